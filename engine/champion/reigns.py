"""What waiting challengers were compared with: the champions before this one, and the tests that ended with them.

A test is of one challenger against one champion while that one is in force. When another takes effect, be it by a
promotion, a rollback or by hand, every waiting challenger's test ends and a new one begins against the new champion,
with nothing carried over. One that is withdrawn has its test ended likewise. What had taken a look could have promoted:
it is paid for as HOLD, where it was not paid for already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from engine.champion.challengers import Challenger
from engine.champion.change import Champion, Change, params_sha256
from engine.champion.evidence import Paired, paired_windows
from engine.champion.ledger import INCONCLUSIVE, spend
from engine.champion.market import Market
from engine.champion.store import ChampionStore
from engine.tuning.judge import JudgeSettings, judge_challenger
from engine.warehouse.db import Warehouse


@dataclass(frozen=True)
class Reign:
    """A champion in force from `since_utc` (empty for the first) until `until_utc` (empty for the one now)."""

    id: str
    sha256: str
    since_utc: str
    until_utc: str = ""

    @classmethod
    def of(cls, champion: Champion) -> Reign:
        return cls(champion.id, champion.sha256, champion.since_utc)


def former_reigns(changes: Sequence[Change]) -> list[Reign]:
    """Those that are over, oldest first."""
    taken = [change for change in changes if change.kind in ("promote", "rollback")]
    found: list[Reign] = []
    for before, change in zip([None, *taken], taken, strict=False):
        if before is not None:
            found.append(Reign(before.id, before.params_sha256, before.since_utc, change.since_utc))
        elif change.previous is not None and change.previous.id == change.instead_of:
            found.append(Reign(change.instead_of, params_sha256(change.previous.params), "", change.since_utc))
    return found


def windows_of_test(
    wh: Warehouse, symbol: str, challenger: Challenger, reign: Reign, window_seconds: int, market: Market | None = None
) -> Paired:
    """The windows of a challenger's test: those since it was proposed, while that champion was in force."""
    return paired_windows(
        wh,
        symbol,
        reign.sha256,
        challenger.sha256,
        window_seconds=window_seconds,
        fresh_after_ns=challenger.fresh_after_ns,
        seen_tapes=challenger.seen_tapes,
        since_utc=max(challenger.since_utc, reign.since_utc),
        until_utc=reign.until_utc,
        market=market,
    )


def id_of_test(symbol: str, challenger: Challenger, reign: Reign) -> str:
    """One test: this challenger, as proposed then, against this champion, as it took effect then."""
    said = (symbol, reign.sha256, reign.since_utc, challenger.sha256, challenger.since_utc, challenger.fresh_after_ns)
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def end_tests(
    wh: Warehouse,
    store: ChampionStore,
    challenger: Challenger,
    settings: JudgeSettings,
    window_seconds: int,
    at_utc: datetime | None = None,
) -> list[str]:
    """Pay for the challenger's tests that are over, once each; a sentence for every one that had windows.

    Over are those against champions that are no more, and all of one that was withdrawn.

    Raises:
        StorageError: the ledger is damaged or could not be written.
    """
    said, reigns = [], former_reigns(store.history())
    if gone_utc := challenger.withdrawn_utc:
        reigns = [
            replace(one, until_utc=min(one.until_utc or gone_utc, gone_utc))
            for one in (*reigns, Reign.of(store.current()))
        ]
    for reign in reigns:
        if reign.until_utc <= max(challenger.since_utc, reign.since_utc):
            continue
        paired = windows_of_test(wh, store.symbol, challenger, reign, window_seconds)
        judged = judge_challenger(paired.champion, paired.challenger, settings)
        if not judged.windows_usable:
            continue
        paid = "no look was taken and nothing paid"
        if judged.looks:
            grant = spend(
                wh,
                store.paths,
                store.symbol,
                judged.looks[-1].p_value,
                confirmation_id=id_of_test(store.symbol, challenger, reign),
                challenger_sha256=challenger.sha256,
                decision="HOLD",
                at_utc=at_utc,
            )
            paid = f"looks taken: {len(judged.looks)}, level {grant.level:.3g} spent"
        stood = "" if judged.verdict == INCONCLUSIVE else f" at {judged.verdict}"
        said.append(f"its test against {reign.id} ended{stood} after {judged.windows_usable} windows, {paid}")
    return said
