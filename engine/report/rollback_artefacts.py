"""The folder of a rollback: ROLLBACK.json first, report and notice rendered from it, manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.files import to_json
from engine.report.artefacts import replace_folder
from engine.report.index import write_index
from engine.report.manifest import MANIFEST
from engine.report.render import TEMPLATES
from engine.report.rollback_view import build_rollback_view
from engine.report.study import read_study, render_study, render_study_again, study_manifest

DOCUMENT, REPORT = "ROLLBACK.json", "ROLLBACK.md"


def write_rollback(document: Mapping[str, Any], folder: Path) -> Path:
    """Write reports/<utc-date>/<id>/ whole or not at all, and list it in the index; returns the report's path.

    Raises:
        StorageError: the folder cannot be written.
    """
    replace_folder(folder, build_rollback(document))
    write_index(folder.parent.parent)
    return folder / REPORT


def build_rollback(document: Mapping[str, Any]) -> dict[str, bytes]:
    """{file name: bytes} of all artefacts; nothing is written. There is no wall clock: a rollback is done in real time,
    and all of it follows from the change in the history."""
    files = {DOCUMENT: to_json(document).encode()}
    files |= render_rollback(json.loads(files[DOCUMENT]))
    result = {"symbol": document["symbol"], "verdict": "ROLLED BACK", "net_bps": None}
    parameters = {"from": document["from"]["params"], "to": document["to"]["params"]}
    more = {"parameters": parameters, "inputs": {}}
    return files | {MANIFEST: study_manifest("rollback", document["rollback_id"], REPORT, result, files, more)}


def render_rollback(document: Mapping[str, Any], templates: Path = TEMPLATES) -> dict[str, bytes]:
    """Report and notice from ROLLBACK.json: the same document gives the same bytes."""
    view = build_rollback_view(document)
    return render_study(REPORT, view, view.notice, templates)


def render_rollback_again(folder: Path) -> list[str]:
    """Render report and notice of a rollback's folder from its JSON; the names of the files that changed.

    Raises:
        InputError: the folder holds no rollback.
        VerificationError: ROLLBACK.json differs from what the manifest says was written.
        StorageError: the folder cannot be written.
    """
    document = read_study(folder / DOCUMENT, what="a rollback's record", remedy="name the folder of a rollback")
    return render_study_again(folder, DOCUMENT, render_rollback(document))
