"""Step: the search on what the night recorded. One that cannot be made costs the search, not the night."""

from __future__ import annotations

from engine import night
from engine.errors import NightsoakError
from engine.paths import Paths
from engine.search.settings import TuneSettings
from engine.search.tune import TuneResult, run_tune
from engine.soak import RunPlan
from tasks.listening import tell
from tasks.step import step


@step
def search_night(plan: RunPlan, tuning: TuneSettings) -> TuneResult | str:
    """What the search came to, or why there was none."""
    try:
        return run_tune(night.tuning_of(plan, tuning), Paths.from_environment(), tell=tell)
    except NightsoakError as error:
        return str(error)
