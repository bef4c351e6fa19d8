"""Step: the ladder's summary, JSON first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.baseline.ladder import Ladder
from engine.baseline.record import Attempt, document
from engine.report.baseline_artefacts import publish_baseline
from engine.soak_state import utc_now
from tasks.step import step


@dataclass(frozen=True)
class BaselineReport:
    """Where the summary is and what it says."""

    id: str
    folder: Path
    decision: str


@step
def write_baseline(ladder: Ladder, attempts: Sequence[Attempt]) -> BaselineReport:
    record = document(ladder, attempts)
    times = {"started_utc": ladder.started_utc, "finished_utc": utc_now()}
    folder = publish_baseline(record, ladder.inputs, ladder.paths.reports, wall_clock=times)
    return BaselineReport(ladder.id, folder, record["decision"])
