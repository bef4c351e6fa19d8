"""A challenger's confirmation, from the nights it has run to its promotion: windows, verdict, budget, store.

The order makes it safe to be stopped: the verdict follows from the windows, it is paid for once under an id of its own,
and only then is anything promoted. Done again it comes to the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from engine.champion.challengers import Challenger
from engine.champion.change import Champion
from engine.champion.evidence import Paired, paired_windows
from engine.champion.ledger import INCONCLUSIVE, PROMOTE, Grant, spend, synchronise
from engine.champion.market import Market, on_market
from engine.champion.store import ChampionStore
from engine.soak import WINDOW_SECONDS
from engine.tuning.judge import Judgement, JudgeSettings, judge_challenger, load_judge
from engine.warehouse.db import Warehouse


@dataclass(frozen=True)
class Confirmation:
    """`nights_missing`: to the next look and at most, None while no run gave windows. `grant` is None while the verdict
    is open; `promoted` is the new champion; `reason` the outcome in words, `market` what it was judged on."""

    challenger: Challenger
    champion_id: str
    judgement: Judgement
    windows_left_out: dict[str, int]
    nights_missing: tuple[int, int] | None
    grant: Grant | None
    promoted: Champion | None
    reason: str
    market: Market | None

    def to_json(self) -> dict[str, Any]:
        return {
            "challenger": self.challenger.to_json(),
            "champion_id": self.champion_id,
            "judgement": self.judgement.to_json(),
            "windows_left_out": self.windows_left_out,
            "nights_missing": None if self.nights_missing is None else list(self.nights_missing),
            "grant": None if self.grant is None else asdict(self.grant),
            "promoted": None if self.promoted is None else self.promoted.to_json(),
            "reason": self.reason,
            "market": None if self.market is None else self.market.to_json(),
        }


def confirm(
    wh: Warehouse,
    store: ChampionStore,
    challenger: Challenger,
    *,
    gate_failures: Sequence[str] = (),
    gates_missing: Sequence[str] = (),
    ran: bool = True,
    market: Market | None = None,
    window_seconds: int = WINDOW_SECONDS,
    who: str = "nightsoak",
    at_utc: datetime | None = None,
) -> Confirmation:
    """Judge a waiting challenger on what ran since it was proposed; promote it, take it off the list, or let it wait.

    Args:
        gate_failures: one sentence per gate that it fails; any of them rejects, at the first look or behind it.
        gates_missing: one per gate without data: none of them is a pass, so that it waits, and none is a failure.
        ran: whether it ran in the night that is judged; without, nothing is known of its gates and it waits.
        market: by default the one of the last run that ran the champion.

    Raises:
        ConfigError, OverridesError: configuration or champion cannot be used.
        StorageError: history or ledger could not be written; done again it goes on where it stopped.
    """
    champion = store.current()
    paired = paired_windows(
        wh,
        store.symbol,
        champion.sha256,
        challenger.sha256,
        window_seconds=window_seconds,
        fresh_after_ns=challenger.fresh_after_ns,
        seen_tapes=challenger.seen_tapes,
        since_utc=challenger.since_utc,
        market=market,
    )
    judged = _judge(paired, load_judge(store.paths.config), gate_failures)
    judgement, waits = judged, ""
    if not ran:
        waits = "it did not run in this night, so that its gates are unknown, and waits for one in which it runs"
    elif judged.verdict == PROMOTE and gates_missing:
        waits = f"gates without data are no pass ({'; '.join(gates_missing)}), and it waits for a night that has them"
    elif judged.verdict == PROMOTE and champion.frozen:
        waits = "the champion is frozen, so nothing is spent and it waits"
    if waits:
        judgement = replace(judged, verdict="INCONCLUSIVE")
    nights, on = paired.nights_missing(judged), on_market(paired.market)

    def outcome(grant: Grant | None, promoted: Champion | None, reason: str) -> Confirmation:
        return Confirmation(
            challenger,
            champion.id,
            judgement,
            paired.left_out,
            nights,
            grant,
            promoted,
            f"{judgement.verdict}: {reason}{on}",
            paired.market,
        )

    if waits:
        return outcome(None, None, f"{judged.reason}; {waits}")
    if judgement.verdict == INCONCLUSIVE:
        return outcome(None, None, f"{judgement.reason}; {_missing(judgement, nights)}")
    grant = spend(
        wh,
        store.paths,
        store.symbol,
        judgement.looks[-1].p_value if judgement.looks else 1.0,
        confirmation_id=_id(store.symbol, champion, challenger),
        challenger_sha256=challenger.sha256,
        decision=judgement.verdict,
        at_utc=at_utc,
    )
    promoted = None
    if grant.promoted:
        promoted = store.promote(
            challenger.params,
            who=who,
            why=f"{challenger.id} from {challenger.origin}: {judgement.reason}; {grant.reason}{on}",
            evidence=_evidence(challenger, judgement, paired, grant),
            at_utc=at_utc,
        )
    elif any(known.id == challenger.id for known in store.challengers()):
        store.withdraw(challenger.id)
    synchronise(wh, store.paths, store.symbol)
    return outcome(grant, promoted, f"{judgement.reason}; {grant.reason}")


def _evidence(challenger: Challenger, judgement: Judgement, paired: Paired, grant: Grant) -> dict[str, Any]:
    """What the history keeps of it."""
    look = judgement.looks[-1]
    return {
        "challenger": challenger.id,
        "origin": challenger.origin,
        "proposed_utc": challenger.since_utc,
        "verdict": judgement.verdict,
        "effect": asdict(look.effect),
        "p_value": look.p_value,
        "windows": look.windows,
        "runs": [run.run_id for run in paired.runs if run.pairs],
        "left_out": paired.left_out,
        "market": None if paired.market is None else paired.market.to_json(),
        "grant": asdict(grant),
    }


def _judge(paired: Paired, settings: JudgeSettings, gate_failures: Sequence[str]) -> Judgement:
    """A gate that fails before the first look is one window's luck as well as the challenger's fault."""
    found = judge_challenger(paired.champion, paired.challenger, settings)
    if not (found.looks and gate_failures):
        return found
    return judge_challenger(paired.champion, paired.challenger, settings, gate_failures)


def _missing(judgement: Judgement, nights: tuple[int, int] | None) -> str:
    windows = f"{judgement.to_next_look} windows to the next look, at most {judgement.at_most_needed}"
    if nights is None:
        return f"{windows}; no night has given any yet"
    return f"{windows}: {nights[0]} more nights like these, at most {nights[1]}"


def _id(symbol: str, champion: Champion, challenger: Challenger) -> str:
    """One confirmation: this challenger, as proposed then, against this champion."""
    said = (symbol, champion.sha256, challenger.sha256, challenger.since_utc, challenger.fresh_after_ns)
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]
