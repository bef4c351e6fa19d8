"""Step: the plans of a soak's runs, written to their folders."""

from __future__ import annotations

from engine.locks import FileLock
from engine.paths import Paths
from engine.soak import RunPlan, SoakSettings
from engine.soak_market import live_schedule
from engine.soak_plan import make_plan
from tasks.listening import tell, tell_planned
from tasks.step import step


@step
def plan_runs(settings: SoakSettings, lock: FileLock) -> tuple[RunPlan, ...]:
    """Tape (generated on first use), profile, parameters, windows and run id; the lock then names the runs.

    Live runs of several symbols share their hours.
    """
    runs = settings.one_each()
    schedule = live_schedule(settings, len(runs)) if settings.live else None
    plans = tuple(
        make_plan(
            run,
            Paths.from_environment(),
            progress=lambda share: tell({"event": "generating", "share": share}),
            schedule=schedule,
        )
        for run in runs
    )
    lock.describe(", ".join(plan.run_id for plan in plans))
    for plan in plans:
        tell_planned(plan)
    return plans
