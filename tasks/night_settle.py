"""Step: what the night's search found waits or is dropped, both reports are written."""

from __future__ import annotations

from pathlib import Path

from engine import night
from engine.champion.confirm import Confirmation
from engine.paths import Paths
from engine.search.tune import TuneResult, finish, publish
from engine.soak_steps import Report
from tasks.step import step


@step
def settle_night(
    report: Report, watched: night.Watched, confirmed: tuple[Confirmation, ...], tuned: TuneResult
) -> Path:
    paths = Paths.from_environment()
    settled = night.settle_tune(tuned, paths)
    publish(finish(tuned, lambda _: settled), paths)
    return night.write_night(report.folder, watched, confirmed, tuned, settled)
