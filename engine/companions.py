"""Who runs beside the champion: challengers that wait for their confirmation, and the champion before this one.

They and their windows of earlier nights are put into a run's plan, so that the run's artefacts follow from the plan
alone. Which of the run's own windows count (engine.champion.evidence says what is left out, such as a stretch of
market that was seen before) is known when its journal is in the warehouse, and is then written into the plan too.
"""

from __future__ import annotations

import math
from dataclasses import replace

from engine.champion.change import params_sha256
from engine.champion.evidence import Paired, paired_windows
from engine.champion.store import ChampionStore
from engine.files import write_json
from engine.params import Params
from engine.paths import Paths
from engine.soak import Companion, RunPlan
from engine.warehouse.db import Warehouse
from engine.warehouse.opening import open_warehouse

MOST_CHALLENGERS = 4


def gather(paths: Paths, symbol: str, window_seconds: int) -> tuple[tuple[Companion, ...], tuple[str, ...]]:
    """The companions of a run that starts from the champion, and what to tell the reader.

    Raises:
        ConfigError, OverridesError, StorageError: champion or challengers cannot be read.
        LockHeldError: another process has the warehouse.
    """
    store = ChampionStore(paths, symbol)
    champion, waiting = store.current(), store.challengers()
    notes: tuple[str, ...] = ()
    if len(waiting) > MOST_CHALLENGERS:
        notes = (f"{len(waiting)} challengers wait; the {MOST_CHALLENGERS} that have waited longest ran.",)
    found = [
        Companion(one.id, "challenger", one.params, fresh_after_ns=one.fresh_after_ns, since_utc=one.since_utc)
        for one in waiting[:MOST_CHALLENGERS]
    ]
    if champion.former is not None:
        found.append(Companion(champion.former.id, "former", champion.former.params, since_utc=champion.since_utc))
    if not found or not paths.warehouse.exists():
        return tuple(found), notes
    with open_warehouse(paths) as warehouse:
        companions = tuple(
            replace(one, earlier=_rows(_paired(warehouse, symbol, champion.params, one, window_seconds)))
            for one in found
        )
    return companions, notes


def count_windows(plan: RunPlan, warehouse: Warehouse) -> RunPlan:
    """The plan with the windows of this run that count as evidence, per companion; written to the run's folder.

    A plan that has them already, as that of a run that is made again, stays as it is.
    """
    if all(one.counted is not None for one in plan.companions):
        return plan
    companions = []
    for one in plan.companions:
        paired = _paired(warehouse, plan.symbol, plan.params, one, plan.schedule.window_seconds)
        first = next((run.first_id for run in paired.runs if run.run_id == plan.run_id), None)
        ids = paired.champion.window.tolist() if first is not None else []
        counted = tuple(i - first for i in ids if first is not None and 0 <= i - first < plan.schedule.windows)
        companions.append(replace(one, counted=counted))
    plan = replace(plan, companions=tuple(companions))
    write_json(plan.file, plan.to_json())
    return plan


def _paired(warehouse: Warehouse, symbol: str, champion: Params, one: Companion, window_seconds: int) -> Paired:
    return paired_windows(
        warehouse,
        symbol,
        params_sha256(champion),
        params_sha256(one.params),
        window_seconds=window_seconds,
        fresh_after_ns=one.fresh_after_ns,
        since_utc=one.since_utc,
    )


def _rows(paired: Paired) -> tuple[tuple[float | None, float | None, float | None, float | None], ...]:
    known = [[None if math.isnan(value) else value for value in row] for row in paired.rows()]
    return tuple((row[0], row[1], row[2], row[3]) for row in known)
