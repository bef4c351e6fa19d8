"""Step: a run's Markdown, notice and charts again, from its JSON."""

from __future__ import annotations

from pathlib import Path

from engine.paths import Paths
from engine.report.artefacts import render_again
from engine.report.index import resolve_run
from tasks.step import step


@step
def render_report(run: str) -> Path:
    """The folder of RUN (a run id, a path or `latest`), its files as today's code renders them."""
    folder = resolve_run(run, Paths.from_environment().reports)
    render_again(folder)
    return folder
