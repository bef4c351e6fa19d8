"""Step: a tune from its plan to its verdict; a killed one of the same inputs is taken up where it stopped."""

from __future__ import annotations

from engine.paths import Paths
from engine.search.settings import TuneSettings
from engine.search.tune import TuneResult, run_tune
from tasks.dask_lanes import evaluator
from tasks.listening import tell
from tasks.step import step


@step
def tune_search(settings: TuneSettings) -> TuneResult:
    return run_tune(settings, Paths.from_environment(), tell=tell, evaluate=evaluator())
