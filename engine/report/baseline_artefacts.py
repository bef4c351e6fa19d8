"""The folder of a ladder: BASELINE.json first, summary and notice from it, manifest, real times apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.files import to_json
from engine.report.artefacts import replace_folder
from engine.report.baseline_view import BaselineView, build_baseline_view
from engine.report.index import write_index
from engine.report.manifest import MANIFEST, WALL_CLOCK
from engine.report.render import TEMPLATES
from engine.report.study import dated_folder, read_study, render_study, render_study_again, study_manifest

BASELINE, DOCUMENT = "BASELINE.json", "STEP1_BASELINE_SUMMARY.md"


def publish_baseline(
    record: Mapping[str, Any], inputs: Mapping[str, str], reports: Path, *, wall_clock: Mapping[str, Any]
) -> Path:
    """Write the ladder to reports/<utc-date>/<id>/ and list it in the index. `latest` stays with the soaks.

    Args:
        record: engine.baseline.record.document.
        inputs: {name: sha256} of configuration and tapes.
        wall_clock: real times, which no other file holds.

    Raises:
        StorageError: the disk is full or the folder cannot be written; nothing is half-written.
    """
    folder = dated_folder(reports, str(record["id"]))
    files = build_baseline(record, inputs) | {WALL_CLOCK: to_json(wall_clock).encode()}
    replace_folder(folder, files)
    write_index(reports)
    return folder


def build_baseline(record: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, bytes]:
    """{file name: bytes} of all artefacts but wall_clock.json; nothing is written."""
    files = {BASELINE: to_json(record).encode()}
    files |= render_baseline(json.loads(files[BASELINE]))
    judged = record["attempts"][-1]
    result = {
        "symbol": " ".join(market["symbol"] for market in record["markets"]),
        "verdict": record["decision"],
        "net_bps": judged["kpis"]["net_bps"],
    }
    more = {
        "settings": record["settings"],
        "runs": [one["run_id"] for attempt in record["attempts"] for one in attempt["symbols"]],
        "inputs": dict(inputs),
    }
    return files | {MANIFEST: study_manifest("baseline", str(record["id"]), DOCUMENT, result, files, more)}


def render_baseline(record: Mapping[str, Any], templates: Path = TEMPLATES) -> dict[str, bytes]:
    """Summary and notice from BASELINE.json: the same record gives the same bytes."""
    view = build_baseline_view(record)
    return render_study(DOCUMENT, view, view.summary, templates)


def render_baseline_again(folder: Path) -> list[str]:
    """Render summary and notice of a ladder's folder from its JSON; the names of the files that changed.

    Raises:
        InputError: the folder holds no ladder.
        VerificationError: BASELINE.json differs from what the manifest says was written.
        StorageError: the folder cannot be written.
    """
    return render_study_again(folder, BASELINE, render_baseline(read_baseline(folder)))


def read_baseline(folder: Path) -> dict[str, Any]:
    """BASELINE.json of a ladder's folder.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    return read_study(folder / BASELINE, what="a ladder's record", remedy="run the ladder")


def baseline_view(folder: Path) -> BaselineView:
    return build_baseline_view(read_baseline(folder))
