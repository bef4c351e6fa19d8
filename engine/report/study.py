"""What the folders of a ladder and of a tune share: one JSON record, a document and a notice from it, a manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import InputError, VerificationError
from engine.files import to_json, write_atomic, write_json
from engine.report.manifest import MANIFEST, artefact_sha256, code_sha256, lock_sha256, read_manifest_json
from engine.report.render import SUMMARY, environment

_FORMAT = 1
_BLANK_LINES = re.compile(r"\n{3,}")


def dated_folder(reports: Path, study_id: str) -> Path:
    """reports/<utc-date>/<id>; an id begins with its UTC date, like a run's."""
    return reports / f"{study_id[:4]}-{study_id[4:6]}-{study_id[6:8]}" / study_id


def render_study(document: str, view: Any, summary: Sequence[str], templates: Path) -> dict[str, bytes]:
    """The document from its template and view-model, one blank line at most between blocks, and the notice."""
    text = environment(templates).get_template(f"{document}.j2").render(v=view)
    shown = _BLANK_LINES.sub("\n\n", text).strip() + "\n"
    return {document: shown.encode(), SUMMARY: ("\n".join(summary) + "\n").encode()}


def study_manifest(
    kind: str,
    study_id: str,
    document: str,
    result: Mapping[str, Any],
    files: Mapping[str, bytes],
    more: Mapping[str, Any],
) -> bytes:
    """manifest.json over `files`.

    Args:
        document: the file that a reader opens.
        result: symbol, verdict and net_bps, for the index.
        more: what is of this kind alone: settings, inputs, seeds.
    """
    manifest = {
        "format": _FORMAT,
        "kind": kind,
        "run_id": study_id,
        "document": document,
        "interrupted": False,
        "result": {**result, "low_bps": None, "high_bps": None},
        **more,
        "code_sha256": code_sha256(),
        "lock_sha256": lock_sha256(),
        "artefacts": {name: artefact_sha256(files[name], study_id) for name in sorted(files)},
    }
    return to_json(manifest).encode()


def render_study_again(folder: Path, record: str, files: Mapping[str, bytes]) -> list[str]:
    """Put `files`, made of the folder's JSON `record`, in the place of those that differ; the names of these.

    Raises:
        InputError: the manifest cannot be read.
        VerificationError: the record differs from what the manifest says was written.
        StorageError: the folder cannot be written.
    """
    manifest = read_manifest_json(folder, ("run_id", "artefacts"))
    study_id = str(manifest["run_id"])
    if artefact_sha256((folder / record).read_bytes(), study_id) != manifest["artefacts"].get(record):
        raise VerificationError(
            f"differs from its sha256 in {MANIFEST}",
            where=str(folder / record),
            remedy="restore the file, or make it again",
        )
    changed = [
        name for name, data in files.items() if not (folder / name).is_file() or (folder / name).read_bytes() != data
    ]
    for name in changed:
        write_atomic(folder / name, files[name])
    if changed:
        hashes = {name: artefact_sha256(files[name], study_id) for name in changed}
        write_json(folder / MANIFEST, manifest | {"artefacts": manifest["artefacts"] | hashes})
    return sorted(changed)


def read_study(file: Path, *, what: str, remedy: str) -> dict[str, Any]:
    """A study's JSON record.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    try:
        return dict(json.loads(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise InputError(f"is not {what}", where=str(file), remedy=remedy) from error
