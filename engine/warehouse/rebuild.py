"""The warehouse made again from the journals: on request, or because the file is damaged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import JournalError, StorageError
from engine.files import sync_folder
from engine.warehouse.db import DamagedWarehouseError, Warehouse
from engine.warehouse.ingest import ingest, ingest_files, journal_files
from engine.warehouse.outcome import IngestResult
from engine.warehouse.source import Source

RAW_TABLES = ("raw_order", "raw_fill", "raw_other", "raw_quarantine", "raw_file")
RECORDS = "raw_record"
"""Under this name `differing` speaks of all records, wherever they were read from."""


@dataclass(frozen=True)
class Rebuilt:
    """What was read, where the damaged file now lies (None if it was whole), and what is other than before.

    `differing` names the raw tables, and RECORDS if the records themselves differ; None if nothing could be compared.
    """

    result: IngestResult
    set_aside: Path | None
    differing: tuple[str, ...] | None


def ingest_or_rebuild(
    path: Path, journals: Iterable[Path | str], known: Sequence[Path], *, wait_s: float = 0.0
) -> tuple[IngestResult, Path | None]:
    """Ingest `journals`; if the warehouse file is damaged, set it aside and make it again from these and `known`.

    Returns:
        the counts, and where the damaged file now lies (None as a rule).
    """
    given = list(journals)
    try:
        with Warehouse(path, wait_s=wait_s) as wh:
            return ingest(wh, given), None
    except DamagedWarehouseError:
        made = rebuild(path, [*given, *known], wait_s=wait_s)
    return made.result, made.set_aside


def rebuild(path: Path, journals: Iterable[Path | str], *, wait_s: float = 0.0) -> Rebuilt:
    """Make the warehouse file again from journals, in the order in which it had read them, and compare.

    The file is replaced when the new one is whole; until then, and if anything fails, it stays as it was.

    Raises:
        JournalError: journals that the warehouse has read are not among those given.
        LockHeldError, StorageError: as `Warehouse`.
    """
    files = journal_files(journals)
    fresh = path.with_name(f".{path.name}.rebuild")
    _remove(fresh)
    with ExitStack() as stack:
        stack.callback(_remove, fresh)
        old: Warehouse | None = None
        before: dict[str, tuple[int, int]] | None = None
        if path.exists():
            try:
                old = stack.enter_context(Warehouse(path, wait_s=wait_s))
                before = _digests(old)
                files = _in_former_order(old, files)
            except DamagedWarehouseError:
                pass  # nothing to compare with, and nothing to keep the order of
        with Warehouse(fresh) as new:
            result = ingest_files(new, files)
            after = _digests(new)
        if before is not None and after[RECORDS][0] < before[RECORDS][0]:
            raise JournalError(
                f"the journals given hold {after[RECORDS][0]} records, the warehouse {before[RECORDS][0]}",
                where=str(path),
                remedy="give all journals that it was made from; it is left as it was",
            )
        if old is not None:
            old.close()
        aside = _set_aside(path) if before is None and path.exists() else None
        _replace(fresh, path)
    differing = None if before is None else tuple(name for name in after if after[name] != before[name])
    return Rebuilt(result, aside, differing)


def _in_former_order(old: Warehouse, files: Sequence[Path]) -> list[Path]:
    """The files in the order in which the old warehouse first read them, new ones behind.

    Raises:
        JournalError: a file that it has read is not among them.
    """
    former: dict[str | None, dict[str, int]] = {}
    for identity, where, file_id in old.execute("SELECT identity, path, file_id FROM raw_file ORDER BY file_id DESC"):
        former.setdefault(identity, {})[where] = file_id
    behind = 1 + max((max(ids.values()) for ids in former.values()), default=0)
    places: list[tuple[int, int, Path]] = []
    found = set()
    for number, file in enumerate(files):
        with Source(file) as source:
            identity = source.identity
        found.add(identity)
        # Several files may share a first line that is no record; then the path tells them apart.
        ids = former.get(identity, {str(file): behind})
        places.append((ids.get(str(file), min(ids.values())), number, file))
    missing = [identity for identity in former if identity not in found]
    if missing:
        where = next(iter(former[missing[0]]))
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise JournalError(
            f"the warehouse has read {where}{more}, which is not among the journals given",
            where=str(old.path),
            remedy="give all journals that it was made from; it is left as it was",
        )
    return [file for *_, file in sorted(places)]


def _digests(wh: Warehouse) -> dict[str, tuple[int, int]]:
    """Rows and a digest of them, whatever their order, of every raw table and of the records without their place."""
    selects = {name: f"SELECT * FROM {name}" for name in RAW_TABLES}
    # Where a file lies is no content; that it was read twice is its history.
    selects["raw_file"] = "SELECT * EXCLUDE (path, duplicates, former_lines) FROM raw_file"
    selects[RECORDS] = f"SELECT * EXCLUDE (file_id, line) FROM {RECORDS}"
    found = {}
    for name, select in selects.items():
        rows = wh.execute(f"SELECT count(*), coalesce(sum(hash(whole)), 0)::HUGEINT FROM ({select}) AS whole")
        found[name] = (int(rows[0][0]), int(rows[0][1]))
    return found


def _set_aside(path: Path) -> Path:
    """Rename a damaged file, and its log, to the first free <name>.damaged-<n>."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    try:
        path.rename(aside)
        with suppress(FileNotFoundError):
            _log(path).rename(_log(aside))
    except OSError as error:
        raise StorageError(
            f"is damaged and cannot be set aside: {error.strerror}", where=str(path), remedy="move it away yourself"
        ) from error
    return aside


def _replace(fresh: Path, path: Path) -> None:
    try:
        _log(path).unlink(missing_ok=True)  # of the old file: to the new one it would be another's
        fresh.replace(path)
    except OSError as error:
        raise StorageError(
            f"cannot be replaced: {error.strerror}", where=str(path), remedy="make the folder writable, then run again"
        ) from error
    sync_folder(path.parent)


def _remove(path: Path) -> None:
    for part in (path, _log(path)):
        part.unlink(missing_ok=True)


def _log(path: Path) -> Path:
    return path.with_name(path.name + ".wal")
