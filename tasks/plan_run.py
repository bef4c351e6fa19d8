"""Step: the plan of a run, written to its folder."""

from __future__ import annotations

from engine.locks import FileLock
from engine.paths import Paths
from engine.soak import RunPlan, SoakSettings
from engine.soak_plan import make_plan
from tasks.listening import tell
from tasks.step import step


@step
def plan_run(settings: SoakSettings, lock: FileLock) -> RunPlan:
    """Tape (generated on first use), profile, parameters, windows and run id; the lock then names the run."""
    plan = make_plan(
        settings,
        Paths.from_environment(),
        progress=lambda share: tell({"event": "generating", "share": share}),
    )
    lock.describe(plan.run_id)
    tell({"event": "planned", "run_id": plan.run_id, "notes": plan.notes, "windows": plan.schedule.windows})
    return plan
