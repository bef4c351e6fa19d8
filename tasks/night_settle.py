"""Step: what the night's search found waits or is dropped, both reports are written."""

from __future__ import annotations

from engine import night
from engine.champion.confirm import Confirmation
from engine.paths import Paths
from engine.search.tune import TuneResult, finish, publish
from engine.soak_steps import Report
from tasks.step import step


@step
def settle_night(
    report: Report, watched: night.Watched, confirmed: tuple[Confirmation, ...], found: TuneResult | str
) -> night.Night:
    """`found`: the search's result, or why there was none."""
    paths = Paths.from_environment()
    if isinstance(found, str):
        return night.write_night(paths, report.folder, watched, confirmed, None, f"No search was made: {found}.")
    settled = night.settle_tune(found, paths)
    publish(finish(found, lambda _: settled), paths)
    return night.write_night(paths, report.folder, watched, confirmed, found, settled)
