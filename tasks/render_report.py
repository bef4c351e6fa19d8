"""Step: a report's Markdown, notice and charts again, from its JSON."""

from __future__ import annotations

from pathlib import Path

from engine.find_report import find_report
from engine.paths import Paths
from engine.report.artefacts import render_again
from engine.report.baseline_artefacts import BASELINE, render_baseline_again
from engine.report.rollback_artefacts import DOCUMENT as ROLLBACK
from engine.report.rollback_artefacts import render_rollback_again
from engine.report.tune_artefacts import TUNE
from engine.warehouse.opening import READERS_S
from tasks.step import step


@step
def render_report(run: str) -> Path:
    """The folder of RUN (a run id, a path or `latest`), its files as today's code renders them; of another bot's run
    that was ingested, made from the warehouse."""
    paths = Paths.from_environment()
    folder = find_report(run, paths, paths.warehouse, wait_s=READERS_S)
    if (folder / BASELINE).is_file():
        render_baseline_again(folder)
    elif (folder / ROLLBACK).is_file():
        render_rollback_again(folder)
    elif not (folder / TUNE).is_file():  # a tune's is published as it was written
        render_again(folder)
    return folder
