"""The folder of a ladder: BASELINE.json first, summary and notice from it, manifest, real times apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import InputError, VerificationError
from engine.files import to_json, write_atomic, write_json
from engine.report.artefacts import replace_folder, storage_errors
from engine.report.baseline_view import BaselineView, build_baseline_view
from engine.report.index import point_latest_at, write_index
from engine.report.manifest import MANIFEST, WALL_CLOCK, artefact_sha256, code_sha256, lock_sha256
from engine.report.render import SUMMARY, TEMPLATES, environment

BASELINE, DOCUMENT = "BASELINE.json", "STEP1_BASELINE_SUMMARY.md"
_FORMAT = 1


def publish_baseline(
    record: Mapping[str, Any], inputs: Mapping[str, str], reports: Path, *, wall_clock: Mapping[str, Any]
) -> Path:
    """Write the ladder to reports/<utc-date>/<id>/, point `latest` at it, list it in the index.

    Args:
        record: engine.baseline.record.document.
        inputs: {name: sha256} of configuration and tapes.
        wall_clock: real times, which no other file holds.

    Raises:
        StorageError: the disk is full or the folder cannot be written; nothing is half-written.
    """
    stamp = str(record["id"])
    folder = reports / f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}" / stamp
    files = build_baseline(record, inputs) | {WALL_CLOCK: to_json(wall_clock).encode()}
    replace_folder(folder, files)
    with storage_errors(reports):
        point_latest_at(reports, folder)
    write_index(reports)
    return folder


def build_baseline(record: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, bytes]:
    """{file name: bytes} of all artefacts but wall_clock.json; nothing is written."""
    files = {BASELINE: to_json(record).encode()}
    files |= render_baseline(json.loads(files[BASELINE]))
    judged = record["attempts"][-1]
    manifest = {
        "format": _FORMAT,
        "kind": "baseline",
        "run_id": record["id"],
        "document": DOCUMENT,
        "interrupted": False,
        "result": {
            "symbol": " ".join(market["symbol"] for market in record["markets"]),
            "verdict": record["decision"],
            "net_bps": judged["kpis"]["net_bps"],
            "low_bps": None,
            "high_bps": None,
        },
        "settings": record["settings"],
        "runs": [one["run_id"] for attempt in record["attempts"] for one in attempt["symbols"]],
        "inputs": dict(inputs),
        "code_sha256": code_sha256(),
        "lock_sha256": lock_sha256(),
        "artefacts": {name: artefact_sha256(files[name], str(record["id"])) for name in sorted(files)},
    }
    return files | {MANIFEST: to_json(manifest).encode()}


def render_baseline(record: Mapping[str, Any], templates: Path = TEMPLATES) -> dict[str, bytes]:
    """Summary and notice from BASELINE.json: the same record gives the same bytes."""
    view = build_baseline_view(record)
    text = environment(templates).get_template(f"{DOCUMENT}.j2").render(v=view)
    lines: list[str] = []
    for line in text.strip().splitlines():
        if line or lines[-1]:
            lines.append(line)
    return {DOCUMENT: ("\n".join(lines) + "\n").encode(), SUMMARY: ("\n".join(view.summary) + "\n").encode()}


def render_baseline_again(folder: Path) -> list[str]:
    """Render summary and notice of a ladder's folder from its JSON; the names of the files that changed.

    Raises:
        InputError: the folder holds no ladder.
        VerificationError: BASELINE.json differs from what the manifest says was written.
        StorageError: the folder cannot be written.
    """
    record, manifest = read_baseline(folder), json.loads((folder / MANIFEST).read_bytes())
    if artefact_sha256((folder / BASELINE).read_bytes(), record["id"]) != manifest["artefacts"].get(BASELINE):
        raise VerificationError(
            f"differs from its sha256 in {MANIFEST}",
            where=str(folder / BASELINE),
            remedy="restore the file, or run the ladder again",
        )
    files = render_baseline(record)
    changed = [
        name for name, data in files.items() if not (folder / name).is_file() or (folder / name).read_bytes() != data
    ]
    for name in changed:
        write_atomic(folder / name, files[name])
    if changed:
        hashes = {name: artefact_sha256(files[name], record["id"]) for name in changed}
        write_json(folder / MANIFEST, manifest | {"artefacts": manifest["artefacts"] | hashes})
    return sorted(changed)


def read_baseline(folder: Path) -> dict[str, Any]:
    """BASELINE.json of a ladder's folder.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    try:
        record = json.loads((folder / BASELINE).read_bytes())
    except (OSError, ValueError) as error:
        raise InputError("is not a ladder's record", where=str(folder / BASELINE), remedy="run the ladder") from error
    return dict(record)


def baseline_view(folder: Path) -> BaselineView:
    return build_baseline_view(read_baseline(folder))
