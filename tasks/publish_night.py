"""Step: a copy of NIGHT.md into Prefect, where its UI shows it; the line that says what became of the champion."""

from __future__ import annotations

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from engine.night import Night
from engine.report.copies import artefact_key
from tasks.step import step


@step
def publish_night(night: Night) -> str:
    """Publish the morning's decisions; "champion baseline -> c1-...", or nothing where the champion stayed.

    A server that does not answer costs the copy, not the night.
    """
    text, key = night.file.read_text(encoding="utf-8"), artefact_key("night", night.symbol)
    try:
        create_markdown_artifact(text, key=key, description=f"champion {night.in_force.sentence}")
    except httpx.HTTPError as error:
        get_run_logger().warning(
            "the night is not in the UI: %s; it is in %s", error or type(error).__name__, night.file
        )
    return f"champion {night.in_force.move}" if night.in_force.move else ""
