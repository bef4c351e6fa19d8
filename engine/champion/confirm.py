"""A challenger's confirmation, from the nights it has run to its promotion: windows, gates, verdict, budget, store.

Verdict and gates rest on the same windows: all those since it was proposed in which it ran beside the champion in
force. Done again after a kill it comes to the same (engine.champion.award).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from engine.champion.award import award
from engine.champion.challengers import Challenger
from engine.champion.change import Champion, utc_text
from engine.champion.evidence import Paired
from engine.champion.gate_windows import pooled_kpis
from engine.champion.ledger import INCONCLUSIVE, PROMOTE, Grant
from engine.champion.market import Market, on_market
from engine.champion.reigns import Reign, end_tests, id_of_test, windows_of_test
from engine.champion.store import ChampionStore
from engine.report.format import count
from engine.soak import WINDOW_SECONDS
from engine.tuning.bands import load_gates
from engine.tuning.gate import Objections, objections
from engine.tuning.judge import Judgement, judge_challenger, load_judge
from engine.warehouse.db import Warehouse

_LEFT_OUT = {
    "changed": "a set changed in them",
    "other_length": "of another length",
    "not_fresh": "the search had seen them",
    "repeated": "this tape was counted already",
    "unsound": "the run's numbers contradict each other",
}


@dataclass(frozen=True)
class Confirmation:
    """`nights_missing`: to the next look and at most, None while no run gave windows. `gates`: what they have against
    it on its windows. `grant` is None while the verdict is open; `promoted` is the new champion; `reason` the outcome
    in words, `market` what it was judged on; `ended`: sentences on its tests against former champions."""

    challenger: Challenger
    champion_id: str
    judgement: Judgement
    gates: Objections
    windows_left_out: dict[str, int]
    nights_missing: tuple[int, int] | None
    grant: Grant | None
    promoted: Champion | None
    reason: str
    market: Market | None
    ended: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "challenger": self.challenger.to_json(),
            "champion_id": self.champion_id,
            "judgement": self.judgement.to_json(),
            "gates": {"failed": list(self.gates.failed), "missing": list(self.gates.missing)},
            "windows_left_out": self.windows_left_out,
            "nights_missing": None if self.nights_missing is None else list(self.nights_missing),
            "grant": None if self.grant is None else asdict(self.grant),
            "promoted": None if self.promoted is None else self.promoted.to_json(),
            "reason": self.reason,
            "market": None if self.market is None else self.market.to_json(),
            "ended": list(self.ended),
        }


def confirm(
    wh: Warehouse,
    store: ChampionStore,
    challenger: Challenger,
    *,
    market: Market | None = None,
    window_seconds: int = WINDOW_SECONDS,
    tonight: str = "",
    who: str = "nightsoak",
    at_utc: datetime | None = None,
) -> Confirmation:
    """Judge a waiting challenger on what ran since it was proposed; promote it, take it off the list, or let it wait.

    A gate that fails rejects, though not before the first look. It waits, and nothing is paid, where a gate has no
    data for one that would be promoted, or the champion is frozen. A test against a champion that is no more ends, and
    begins anew against the one in force. One that was withdrawn is paid for and forgotten.

    Args:
        market: by default the one of the last run that ran the champion.
        tonight: the run behind it: where none of its windows count, the reason says so.

    Raises:
        ConfigError, OverridesError: configuration or champion cannot be used.
        StorageError: history or ledger could not be written; done again it goes on where it stopped.
    """
    champion, settings = store.current(), load_judge(store.paths.config)
    reign = Reign.of(champion)
    paired = windows_of_test(wh, store.symbol, challenger, reign, window_seconds, market)
    gates = objections(pooled_kpis(wh, store.symbol, paired.places()), load_gates(store.paths.config))
    judged = judge_challenger(paired.champion, paired.challenger, settings, gates)
    done = Confirmation(
        challenger,
        champion.id,
        judged,
        gates,
        paired.left_out,
        paired.nights_missing(judged),
        None,
        None,
        "",
        paired.market,
        tuple(end_tests(wh, store, challenger, settings, window_seconds, at_utc)),
    )
    if challenger.withdrawn_utc or challenger.sha256 == champion.sha256:
        store.forget(challenger)
        why = "it was withdrawn" if challenger.withdrawn_utc else f"it is {champion.id}, the champion in force"
        return replace(done, reason=f"leaves the list, {why}: {'; '.join(done.ended) or 'nothing to pay for'}")
    on = on_market(paired.market)
    if judged.verdict == PROMOTE and champion.frozen:
        reason = f"{judged.reason}; the champion is frozen, so nothing is spent and it waits"
        judged = replace(judged, verdict="INCONCLUSIVE")
        return replace(done, judgement=judged, reason=f"{INCONCLUSIVE}: {reason}{on}{_and(done.ended, champion)}")
    if judged.verdict == INCONCLUSIVE:
        since, waits = (
            max(challenger.since_utc, reign.since_utc),
            _missing(judged, done.nights_missing, _nothing_new(paired, tonight)),
        )
        if since > utc_text(at_utc):
            waits = f"no window counts before {since}, which is still to come by this machine's clock: set it right"
        return replace(done, reason=f"{INCONCLUSIVE}: {judged.reason}; {waits}{on}{_and(done.ended, champion)}")
    became = award(
        wh,
        store,
        challenger.params,
        against=champion.sha256,
        confirmation_id=id_of_test(store.symbol, challenger, reign),
        decision=judged.verdict,
        p_value=judged.looks[-1].p_value if judged.looks else 1.0,
        who=who,
        why=f"{challenger.id} from {challenger.origin}: {judged.reason}{on}",
        evidence=_evidence(challenger, judged, paired),
        at_utc=at_utc,
    )
    if became.promoted is not None or not became.grant.promoted:
        store.forget(challenger)
    reason = f"{judged.verdict}: {judged.reason}; {became.reason}{on}{_and(done.ended, champion)}"
    return replace(done, grant=became.grant, promoted=became.promoted, reason=reason)


def _evidence(challenger: Challenger, judgement: Judgement, paired: Paired) -> dict[str, Any]:
    """What the history keeps of it."""
    look = judgement.looks[-1] if judgement.looks else None
    return {
        "challenger": challenger.id,
        "origin": challenger.origin,
        "proposed_utc": challenger.since_utc,
        "verdict": judgement.verdict,
        "effect": asdict(look.effect) if look else None,
        "p_value": look.p_value if look else None,
        "windows": look.windows if look else 0,
        "runs": [run.run_id for run in paired.runs if run.pairs],
        "left_out": paired.left_out,
        "market": None if paired.market is None else paired.market.to_json(),
    }


def _nothing_new(paired: Paired, run_id: str) -> str:
    """Why a run in which it was beside the champion gave no window; empty where it gave some, or did not run it."""
    run = next((run for run in paired.runs if run.run_id == run_id), None)
    if run is None or run.pairs or not (total := sum(run.left_out.values())):
        return ""
    why = ", ".join(f"{_LEFT_OUT[reason]} ({windows})" for reason, windows in run.left_out.items() if windows)
    return f"nothing new tonight, {count(total, 'window')} left out: {why}"


def _missing(judgement: Judgement, nights: tuple[int, int] | None, nothing_new: str) -> str:
    if not judgement.at_most_needed:
        return "it waits for windows that have them"
    windows = f"{judgement.to_next_look} windows to the next look, at most {judgement.at_most_needed}"
    if nothing_new:
        return f"{nothing_new}; {windows}"
    if nights is None:
        return f"{windows}; no night has given any yet"
    return f"{windows}: {count(nights[0], 'more night')} like these, at most {nights[1]}"


def _and(ended: tuple[str, ...], champion: Champion) -> str:
    """What a reader must know of tests that are over."""
    return f". Before, {'; '.join(ended)}; it began anew against {champion.id}" if ended else ""
