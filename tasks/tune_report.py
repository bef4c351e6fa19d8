"""Step: the tune's report, JSON first; then its state is no longer needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.paths import Paths
from engine.search.tune import TuneResult, finish, publish
from tasks.step import step


@dataclass(frozen=True)
class TuneReport:
    """Where the report is and what it says."""

    id: str
    folder: Path
    verdict: str


@step
def tune_report(result: TuneResult) -> TuneReport:
    done = finish(result)
    return TuneReport(done.tune_id, publish(done, Paths.from_environment()), done.verdict)
