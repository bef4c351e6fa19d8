"""Step: a copy of a run's report into Prefect, where its UI shows it. The report on disk is the one that counts."""

from __future__ import annotations

from pathlib import Path

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact

from engine.report.copies import ReportCopy, read_copy
from tasks.step import step


@step
def publish_report(folder: Path) -> str:
    """Publish document, KPIs and charts as artifacts; the line that says what came out.

    A server that does not answer costs the copy, not the run.
    """
    copy = read_copy(folder)
    try:
        _publish(copy)
        get_run_logger().info("%s; artifact %s", copy.message, copy.key)
    except httpx.HTTPError as error:
        get_run_logger().warning("the report is not in the UI: %s; it is in %s", error or type(error).__name__, folder)
    return copy.message


def _publish(copy: ReportCopy) -> None:
    create_markdown_artifact(copy.markdown, key=copy.key, description=copy.message)
    if copy.kpis:
        create_table_artifact(list(copy.kpis), key=f"{copy.key}-kpis", description=f"KPIs of run {copy.run_id}")
    for name, data_uri in copy.charts.items():
        create_image_artifact(data_uri, key=f"{copy.key}-{name}", description=f"{name}, run {copy.run_id}")
