"""The watch over a symbol's champion, from the warehouse: which windows count, and what they say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from engine.champion.change import Champion, params_sha256, utc_text
from engine.champion.evidence import Paired, champion_windows, last_market, paired_windows
from engine.champion.market import Market
from engine.champion.store import ChampionStore
from engine.champion.watch import Watch, watch_champion
from engine.soak import WINDOW_SECONDS
from engine.tuning.judge import load_judge
from engine.warehouse.db import Warehouse

_ENOUGH_SHARE = 0.5
"""The former champion's lane is watched against where it has this share of the champion's windows."""


@dataclass(frozen=True)
class Guarded:
    """`where`: the deciding window in words, empty for none. `market`: the one it was watched on, None where it has run
    on none."""

    champion: Champion
    watch: Watch
    where: str
    market: Market | None


def guard(
    wh: Warehouse,
    store: ChampionStore,
    *,
    window_seconds: int = WINDOW_SECONDS,
    market: Market | None = None,
    at_utc: datetime | None = None,
) -> Guarded:
    """The verdict on the champion from every window since it took effect, on one market.

    A champion that has replaced none cannot be rolled back: where it should be, the verdict is the fallback.

    Args:
        market: by default the one of the last run that ran the champion.
        at_utc: what the clock says; now by default.

    Raises:
        ConfigError: config/judge.json is not what it must be.
        OverridesError, StorageError: as `ChampionStore.current`.
    """
    champion = store.current()
    former = champion.former
    settings = load_judge(store.paths.config)
    market = market or last_market(wh, store.symbol, champion.sha256)

    def pairs(one: str, other: str, since_utc: str) -> Paired:
        return paired_windows(
            wh, store.symbol, one, other, window_seconds=window_seconds, since_utc=since_utc, market=market
        )

    own = champion_windows(
        wh, store.symbol, champion.sha256, window_seconds=window_seconds, since_utc=champion.since_utc, market=market
    )
    beside: Paired | None = None
    healthy = None
    if former is not None:
        digest = params_sha256(former.params)
        beside = pairs(champion.sha256, digest, champion.since_utc)
        before = pairs(digest, champion.sha256, "")
        healthy = (before.challenger, before.champion)
    shadowed = beside is not None and len(beside.challenger.window) >= max(1, _ENOUGH_SHARE * len(own.champion.window))
    watch = watch_champion(
        own.champion,
        beside.challenger if beside is not None and shadowed else None,
        settings,
        healthy=healthy,
        quote_per_pnl=own.quote_per_pnl,
    )
    if watch.verdict == "rollback" and former is None:
        reasons = (*watch.reasons, "there is no former champion to go back to")
        watch = replace(watch, verdict="fallback", reasons=reasons)
    if champion.since_utc > utc_text(at_utc):
        ahead = f"took effect at {champion.since_utc}, which is still to come by this machine's clock"
        remedy = "no window counts before; set the clock right, and promote the set again if it was wrong then"
        watch = replace(watch, verdict="nodata", reasons=(f"{ahead}: {remedy}",))
    where = "" if watch.since_window is None else own.place(watch.since_window)
    return Guarded(champion, watch, where, market)
