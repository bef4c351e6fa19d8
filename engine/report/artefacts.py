"""The folder of a run: JSON first, then Markdown and charts from that JSON, all of it or none of it.

The files are made in a hidden sibling folder, flushed to disk and moved into place with one rename; only then do
`latest` and the index move on. A full disk or an unwritable folder is a StorageError and leaves what was there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import InputError, StorageError, VerificationError
from engine.files import sync_folder, to_json, write_atomic, write_json
from engine.paths import CHECKOUT
from engine.report.index import point_latest_at, write_index
from engine.report.manifest import MANIFEST, WALL_CLOCK, artefact_sha256, build_manifest
from engine.report.record import EDGE, GATE, METRICS_FILE, RunRecord
from engine.report.render import REPORT, render
from engine.report.view import View, build_view

_SOURCES = (EDGE, GATE, METRICS_FILE)


def publish(record: RunRecord, reports: Path, *, wall_clock: Mapping[str, Any] | None = None) -> Path:
    """Write the run to reports/<utc-date>/<run-id>/, point `latest` at it if it is a soak, list it in the index.

    Args:
        wall_clock: real times and durations, the one thing that may differ between two equal runs.

    Returns:
        The run's folder.

    Raises:
        StorageError: the disk is full or the folder cannot be written; nothing is half-written.
    """
    folder = reports / record.utc_date / record.folder_name
    write_artefacts(record, folder, wall_clock=wall_clock)
    if record.kind == "soak":
        with storage_errors(reports):
            point_latest_at(reports, folder)
    write_index(reports)
    return folder


def write_artefacts(record: RunRecord, folder: Path, *, wall_clock: Mapping[str, Any] | None = None) -> None:
    """Write every artefact of the run into `folder`, which is replaced as a whole.

    Raises:
        StorageError: as in `publish`; `folder` is as it was.
    """
    files = build_artefacts(record)
    if wall_clock is not None:
        files[WALL_CLOCK] = to_json(wall_clock).encode()
    replace_folder(folder, files)


def build_artefacts(record: RunRecord) -> dict[str, bytes]:
    """{relative path: bytes} of all artefacts but wall_clock.json; nothing is written."""
    record = record.completed()
    files = {name: to_json(value).encode() for name, value in record.documents().items()}
    files |= render({name: json.loads(files[name]) for name in _SOURCES})
    files[MANIFEST] = to_json(build_manifest(record, files)).encode()
    return files


def render_again(folder: Path) -> list[str]:
    """Render Markdown, notice and charts of a run's folder from its JSON; the names of the files that changed.

    The same code gives the same bytes, so nothing changes then; newer code may change the words, and the manifest
    takes note of the new files. The JSON is never touched.

    Raises:
        InputError: the folder holds no report, or one that cannot be read.
        VerificationError: a JSON file differs from what the manifest says was written.
        StorageError: the folder cannot be written.
    """
    manifest = _read_json(folder / MANIFEST)
    for name in _SOURCES:
        if not (folder / name).is_file():
            raise InputError("is missing", where=str(folder / name), remedy="run the soak again")
        if _artefact_sha256(folder, name, manifest) != manifest["artefacts"].get(name):
            raise VerificationError(
                f"differs from its sha256 in {MANIFEST}",
                where=str(folder / name),
                remedy="restore the file, or run the soak again",
            )
    files = render({name: _read_json(folder / name) for name in _SOURCES})
    changed = [name for name, data in files.items() if _bytes_of(folder / name) != data]
    for name in changed:
        write_atomic(folder / name, files[name])
    if changed:
        hashes = manifest["artefacts"] | {name: _artefact_sha256(folder, name, manifest) for name in changed}
        write_json(folder / MANIFEST, manifest | {"artefacts": hashes})
    return sorted(changed)


def _artefact_sha256(folder: Path, name: str, manifest: dict[str, Any]) -> str:
    return artefact_sha256((folder / name).read_bytes(), str(manifest["run_id"]))


def load_view(folder: Path) -> View:
    """The view-model of a run's folder, read from its JSON.

    Raises:
        InputError: the folder holds no report.
    """
    record = RunRecord.from_documents({name: _read_json(folder / name) for name in _SOURCES})
    shown = folder.absolute()
    shown = shown.relative_to(Path.cwd()) if shown.is_relative_to(Path.cwd()) else shown
    return build_view(record, shown.as_posix())


def report_path(folder: Path) -> Path:
    """The Markdown report of a run's folder."""
    return folder / REPORT


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", where=str(path), remedy="name a run's folder, its id, or latest"
        ) from error
    except ValueError as error:
        raise InputError(f"is not JSON: {error}", where=str(path), remedy="run the soak again") from error


def replace_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make `folder` hold exactly `files` (relative path -> bytes), whole or as it was.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    fresh = folder.with_name(f".{folder.name}.new")
    former = folder.with_name(f".{folder.name}.old")
    with storage_errors(folder):
        shutil.rmtree(fresh, ignore_errors=True)  # of a writer that was killed
        try:
            for name in sorted(files):
                _write_synced(fresh / name, files[name])
            for inner in sorted({(fresh / name).parent for name in files}):
                sync_folder(inner)
            if folder.exists():
                shutil.rmtree(former, ignore_errors=True)
                folder.rename(former)
            fresh.rename(folder)
            sync_folder(folder.parent)
        except BaseException:
            if former.exists() and not folder.exists():
                former.rename(folder)
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        shutil.rmtree(former, ignore_errors=True)


def _write_synced(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """OSError as StorageError, with the path as a user knows it."""
    try:
        yield
    except OSError as error:
        shown = where.relative_to(CHECKOUT) if where.is_relative_to(CHECKOUT) else where
        raise StorageError(
            f"the report cannot be written: {error.strerror or error}",
            where=str(shown),
            remedy="free some space or make the folder writable; the journal is whole, so run the command again",
        ) from error
