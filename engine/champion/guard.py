"""The watch over a symbol's champion, from the warehouse: which windows count, and what they say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.champion.change import Champion, params_sha256
from engine.champion.evidence import Paired, champion_windows, paired_windows
from engine.champion.store import ChampionStore
from engine.champion.watch import Watch, watch_champion
from engine.soak import WINDOW_SECONDS
from engine.tuning.judge import load_judge
from engine.warehouse.db import Warehouse

_ENOUGH_SHARE = 0.5
"""The former champion's lane is watched against where it has this share of the champion's windows."""


@dataclass(frozen=True)
class Guarded:
    """`where`: the deciding window in words, empty for none."""

    champion: Champion
    watch: Watch
    where: str


def guard(wh: Warehouse, store: ChampionStore, *, window_seconds: int = WINDOW_SECONDS) -> Guarded:
    """The verdict on the champion from every window since it took effect.

    A champion that has replaced none cannot be rolled back: where it should be, the verdict is the fallback.

    Raises:
        ConfigError: config/judge.json is not what it must be.
        OverridesError, StorageError: as `ChampionStore.current`.
    """
    champion = store.current()
    former = champion.former
    settings = load_judge(store.paths.config)
    own = champion_windows(
        wh, store.symbol, champion.sha256, window_seconds=window_seconds, since_utc=champion.since_utc
    )
    beside: Paired | None = None
    healthy = None
    if former is not None:
        digest = params_sha256(former.params)
        beside = paired_windows(
            wh, store.symbol, champion.sha256, digest, window_seconds=window_seconds, since_utc=champion.since_utc
        )
        before = paired_windows(wh, store.symbol, digest, champion.sha256, window_seconds=window_seconds)
        healthy = (before.challenger, before.champion)
    shadowed = beside is not None and len(beside.challenger.window) >= max(1, _ENOUGH_SHARE * len(own.champion.window))
    watch = watch_champion(
        own.champion, beside.challenger if beside is not None and shadowed else None, settings, healthy=healthy
    )
    if watch.verdict == "rollback" and former is None:
        reasons = (*watch.reasons, "there is no former champion to go back to")
        watch = replace(watch, verdict="fallback", reasons=reasons)
    return Guarded(champion, watch, "" if watch.since_window is None else own.place(watch.since_window))
