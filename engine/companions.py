"""Who runs beside the champion: challengers that wait for their confirmation, and the champion before this one.

They are put into a run's plan. Their windows of earlier nights on the same market, and which of the run's own windows
count (engine.champion.evidence says what is left out, such as a stretch of market that was seen before), are known when
its journal is in the warehouse, and are then written into the plan too, from which the run's artefacts follow.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import replace

from engine.champion.change import params_sha256
from engine.champion.evidence import Paired, market_of, paired_windows
from engine.champion.store import ChampionStore
from engine.files import write_json
from engine.paths import Paths
from engine.soak import Companion, RunPlan
from engine.warehouse.db import Warehouse

MOST_CHALLENGERS = 4


def gather(paths: Paths, symbol: str) -> tuple[tuple[Companion, ...], tuple[str, ...]]:
    """The companions of a run that starts from the champion, and what to tell the reader.

    Raises:
        ConfigError, OverridesError, StorageError: champion or challengers cannot be read.
    """
    store = ChampionStore(paths, symbol)
    champion = store.current()
    waiting = [one for one in store.challengers() if one.sha256 != champion.sha256]
    notes: tuple[str, ...] = ()
    if len(waiting) > MOST_CHALLENGERS:
        notes = (f"{len(waiting)} challengers wait; the {MOST_CHALLENGERS} that have waited longest ran.",)
    found = [
        Companion(
            one.id,
            "challenger",
            one.params,
            fresh_after_ns=one.fresh_after_ns,
            since_utc=max(one.since_utc, champion.since_utc),
            seen_tapes=one.seen_tapes,
        )
        for one in waiting[:MOST_CHALLENGERS]
    ]
    if champion.former is not None:
        found.append(Companion(champion.former.id, "former", champion.former.params, since_utc=champion.since_utc))
    return tuple(found), notes


def count_windows(plan: RunPlan, warehouse: Warehouse) -> RunPlan:
    """The plan with the windows that are evidence, per companion: those of earlier runs on this run's market, and which
    of its own count; written to the run's folder.

    A plan that has them already, as that of a run that is made again, stays as it is.
    """
    if all(one.counted is not None for one in plan.companions):
        return plan
    market = market_of(warehouse, plan.symbol, plan.run_id)
    champion = params_sha256(plan.lanes[plan.frozen_lane]["params"])
    companions = []
    for one in plan.companions:
        paired = paired_windows(
            warehouse,
            plan.symbol,
            champion,
            params_sha256(one.params),
            window_seconds=plan.schedule.window_seconds,
            fresh_after_ns=one.fresh_after_ns,
            seen_tapes=one.seen_tapes,
            since_utc=one.since_utc,
            market=market,
        )
        first = next((run.first_id for run in paired.runs if run.run_id == plan.run_id), None)
        ids = paired.champion.window.tolist()
        earlier = _rows(paired)[: len(ids) if first is None else bisect_left(ids, first)]
        counted = tuple(i - first for i in ids if first is not None and 0 <= i - first < plan.schedule.windows)
        companions.append(replace(one, earlier=earlier, counted=counted))
    plan = replace(plan, companions=tuple(companions))
    write_json(plan.file, plan.to_json())
    return plan


def _rows(paired: Paired) -> tuple[tuple[float | None, float | None, float | None, float | None], ...]:
    known = [[None if math.isnan(value) else value for value in row] for row in paired.rows()]
    return tuple((row[0], row[1], row[2], row[3]) for row in known)
