"""A run's report again: rendered from its JSON, and published in Prefect's UI."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.job import JOB, job
from tasks.publish_report import publish_report
from tasks.render_report import render_report


@flow(name="report", **JOB)
@job
def report(run: str = "latest") -> tuple[Path, str]:
    """Render and publish the report of a run: its id, its folder, or the latest."""
    folder = render_report(run)
    return folder, publish_report(folder)
