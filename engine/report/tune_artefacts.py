"""The folder of a tune: TUNE.json and trials first, report and notice from them, manifest, real times apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.files import to_json
from engine.report.artefacts import replace_folder
from engine.report.index import write_index
from engine.report.manifest import MANIFEST, WALL_CLOCK
from engine.report.record import RECOMMENDED
from engine.report.render import TEMPLATES
from engine.report.study import dated_folder, read_study, render_study, render_study_again, study_manifest
from engine.report.tune_view import TuneView, build_tune_view

TUNE, DOCUMENT, TRIALS = "TUNE.json", "TUNE_RESULTS.md", "tune_trials.json"
THRESHOLDS = "auto_tuned_thresholds.json"


def publish_tune(
    document: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], reports: Path, *, wall_clock: Mapping[str, Any]
) -> Path:
    """Write the tune to reports/<utc-date>/<id>/ and list it in the index. `latest` stays with the soaks.

    Raises:
        StorageError: the disk is full or the folder cannot be written; nothing is half-written.
    """
    folder = dated_folder(reports, str(document["id"]))
    replace_folder(folder, build_tune(document, trials) | {WALL_CLOCK: to_json(wall_clock).encode()})
    write_index(reports)
    return folder


def build_tune(document: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """{file name: bytes} of all artefacts but wall_clock.json; nothing is written."""
    tune_id = str(document["id"])
    values: dict[str, Any] = {
        TUNE: document,
        TRIALS: {"id": tune_id, "trials": list(trials)},
        THRESHOLDS: {
            "id": tune_id,
            "symbol": document["symbol"],
            "verdict": document["verdict"],
            "reason": document["reason"],
            "parameters": document["challenger"] or document["champion"]["params"],
            "is_champion": document["challenger"] is None,
            "evidence": document["evidence"],
        },
        RECOMMENDED: document["challenger"] or document["champion"]["params"],
    }
    files = {name: to_json(value).encode() for name, value in values.items()}
    files |= render_tune(json.loads(files[TUNE]))
    result = {
        "symbol": document["symbol"],
        "verdict": document["verdict"],
        "net_bps": (document["kpis"] or {}).get("challenger", {}).get("net_bps"),
    }
    more = {
        "settings": document["settings"],
        "command": document["command"],
        "parameters": {"champion": document["champion"], "challenger": document["challenger"]},
        "seeds": {"search": document["settings"]["seed"]},
        "trials": document["trials"],
        "inputs": document["inputs"],
    }
    return files | {MANIFEST: study_manifest("tune", tune_id, DOCUMENT, result, files, more)}


def render_tune(document: Mapping[str, Any], templates: Path = TEMPLATES) -> dict[str, bytes]:
    """Report and notice from TUNE.json: the same document gives the same bytes."""
    view = build_tune_view(document)
    return render_study(DOCUMENT, view, view.summary, templates)


def render_tune_again(folder: Path) -> list[str]:
    """Render report and notice of a tune's folder from its JSON; the names of the files that changed.

    Raises:
        InputError: the folder holds no tune.
        VerificationError: TUNE.json differs from what the manifest says was written.
        StorageError: the folder cannot be written.
    """
    return render_study_again(folder, TUNE, render_tune(read_tune(folder)))


def read_tune(folder: Path) -> dict[str, Any]:
    """TUNE.json of a tune's folder.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    return read_study(folder / TUNE, what="a tune's record", remedy="run nightsoak tune")


def tune_view(folder: Path) -> TuneView:
    shown = folder.absolute()
    shown = shown.relative_to(Path.cwd()) if shown.is_relative_to(Path.cwd()) else shown
    return build_tune_view(read_tune(folder), shown.as_posix())
