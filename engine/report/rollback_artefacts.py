"""The folder of a rollback: ROLLBACK.json and, rendered from it, ROLLBACK.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.files import to_json
from engine.report.artefacts import replace_folder
from engine.report.render import TEMPLATES, environment
from engine.report.rollback_view import build_rollback_view

DOCUMENT, REPORT = "ROLLBACK.json", "ROLLBACK.md"


def write_rollback(document: Mapping[str, Any], folder: Path) -> Path:
    """Write both files, or none; returns the report's path.

    Raises:
        StorageError: the folder cannot be written.
    """
    raw = to_json(document)
    replace_folder(folder, {DOCUMENT: raw.encode(), REPORT: render_rollback(json.loads(raw)).encode()})
    return folder / REPORT


def render_rollback(document: Mapping[str, Any], templates: Path = TEMPLATES) -> str:
    """ROLLBACK.md from ROLLBACK.json: the same document gives the same text."""
    text = environment(templates).get_template(f"{REPORT}.j2").render(v=build_rollback_view(document))
    return str(text).strip() + "\n"
