"""Care of the data: a backup that is checked, its way back, and the removal of what is old.

A backup is a folder of the warehouse file and the state of each symbol (champion, overrides) with backup.json, which
names every file with its sha256. The journals are not in it: they are plain files, and the warehouse can be made again
from them as long as they are kept.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.errors import ConfigError, JournalError, StorageError, TapeError, VerificationError
from engine.files import sha256_file, sync_folder, whole_folder, write_json
from engine.market.simulator import SimulatorSettings
from engine.market.tape_meta import META_FILE, read_meta
from engine.paths import Paths
from engine.warehouse.db import Warehouse
from engine.warehouse.ingest import journal_files
from engine.warehouse.rebuild import RAW_TABLES
from engine.warehouse.source import Source

MANIFEST = "backup.json"
_FORMAT = 1
_WAREHOUSE = "warehouse.duckdb"
_STATE = ("champion", "overrides")
_PRUNED = ".pruned"


@dataclass(frozen=True)
class Backup:
    """`files`: path within the backup -> sha256."""

    folder: Path
    rows: dict[str, int]
    files: dict[str, str]


def backup(paths: Paths, database: Path, folder: Path, *, wait_s: float = 0.0) -> Backup:
    """Copy the warehouse and the state of the symbols into a new folder, and read the copy back.

    Raises:
        ConfigError: something stands at `folder`, or there is no warehouse.
        LockHeldError: another process has the warehouse open.
        StorageError: the folder cannot be written.
        VerificationError: the copy is not what was copied.
    """
    if not database.exists():
        raise ConfigError("is not there", where=str(database), remedy="run a soak, or ingest a journal first")
    with whole_folder(folder) as partial:
        with Warehouse(database, wait_s=wait_s) as wh:
            wh.execute("CHECKPOINT")
            rows = _counts(wh)
            shutil.copyfile(database, partial / _WAREHOUSE)  # the lock is held: nobody writes meanwhile
        for name, file in _state_files(paths):
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, partial / name)
        with Warehouse(partial / _WAREHOUSE) as copy:
            if _counts(copy) != rows:
                raise VerificationError("the copy differs", where=str(folder), remedy="check the disk, then run again")
        files = {_name(partial, file): sha256_file(file) for file in sorted(partial.rglob("*")) if file.is_file()}
        write_json(partial / MANIFEST, {"format": _FORMAT, "rows": rows, "files": files})
    return Backup(folder, rows, files)


def restore(paths: Paths, database: Path, folder: Path, *, wait_s: float = 0.0) -> Backup:
    """Put a backup back, every file compared with its sha256 first; the warehouse that stood there is kept beside.

    Raises:
        ConfigError: `folder` is no backup.
        VerificationError: a file of it is missing or altered; nothing was changed.
        LockHeldError: another process has the warehouse open; nothing was changed.
        StorageError: the copies cannot be written; nothing was changed unless a rename failed among them.
    """
    try:
        said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, str] = said["files"]
        rows: dict[str, int] = said["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError("is no backup", where=str(folder), remedy="name a folder that `backup` made") from error
    for name, digest in files.items():
        if name != _WAREHOUSE and (name.split("/")[0] not in _STATE or ".." in name):
            raise VerificationError(
                f"names {name}, which is of no backup", where=str(folder), remedy="take another backup"
            )
        if not (folder / name).is_file() or sha256_file(folder / name) != digest:
            raise VerificationError("is missing or altered", where=str(folder / name), remedy="take another backup")
    targets = {name: database if name == _WAREHOUSE else paths.datasets / name for name in files}
    fresh = {name: target.with_name(f".{target.name}.restore") for name, target in targets.items()}
    try:
        for name, temp in fresh.items():
            temp.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, temp)
        if database.exists():
            with Warehouse(database, wait_s=wait_s):
                pass  # nobody else has it open, and its log is folded in
            number = 1
            while (aside := database.with_name(f"{database.name}.replaced-{number}")).exists():
                number += 1
            database.rename(aside)
        for name, target in targets.items():
            fresh[name].replace(target)
            sync_folder(target.parent)
    except OSError as error:
        raise StorageError(
            f"cannot be restored: {error.strerror or error}",
            where=str(folder),
            remedy="free some space, then run again",
        ) from error
    finally:
        for temp in fresh.values():
            with suppress(OSError):
                temp.unlink(missing_ok=True)
    return Backup(folder, rows, files)


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would be: runs, their journals, generated tapes, and bytes; `kept` runs are young or without
    journal."""

    runs: tuple[str, ...]
    journals: tuple[Path, ...]
    journal_bytes: int
    kept: int
    tapes: tuple[Path, ...]
    tape_bytes: int


def prune(
    paths: Paths,
    database: Path,
    *,
    keep_days: int,
    now: datetime | None = None,
    dry_run: bool = False,
    wait_s: float = 0.0,
) -> Pruned:
    """Remove the runs whose journals have all been left alone for `keep_days`: rows, journals and working folder.

    Generated tapes of that age go too where no run that is kept was on them: their seed makes them again.

    A run's age is that of its youngest journal file: market times say nothing, since a replay may be of any year.
    Reports stay. Rows go first, in one transaction: if it is stopped, running it again ends it.

    Raises:
        ConfigError: keep_days is below 1.
        LockHeldError: another process has the warehouse open.
    """
    if keep_days < 1:
        raise ConfigError(f"--keep-days {keep_days} is below 1", remedy="keep a day at least")
    limit = (now or datetime.now(UTC)) - timedelta(days=keep_days)
    by_run: dict[str, list[Path]] = {}
    for file in journal_files([paths.journals]) if paths.journals.is_dir() else ():
        try:
            with Source(file) as source:
                run_id = source.run_id
        except JournalError:
            continue  # not ours to judge: it stays
        if run_id is not None:
            by_run.setdefault(run_id, []).append(file)
    old = sorted(run_id for run_id, files in by_run.items() if _youngest(files) < limit)
    journals = tuple(file for run_id in old for file in by_run[run_id])
    size = sum(file.stat().st_size for file in journals)
    kept = len(by_run) - len(old)
    tapes = tuple(_old_tapes(paths, old, limit))
    tape_bytes = sum(file.stat().st_size for folder in tapes for file in folder.iterdir())
    if database.exists():
        with Warehouse(database, wait_s=wait_s) as wh:
            known = {run_id for (run_id,) in wh.execute("SELECT DISTINCT run_id FROM raw_record")}
            kept += len(known - set(by_run))
            if old and not dry_run:
                _forget(wh, old)
    if not dry_run:
        for file in journals:
            file.unlink(missing_ok=True)
        working = paths.datasets / "runs"
        # Found by name, not made of it: a run id is whatever a journal says, ".." and "/home" not excepted.
        for folder in [one for one in working.iterdir() if one.name in old] if working.is_dir() else ():
            shutil.rmtree(folder, ignore_errors=True)
        for folder in tapes:
            folder.rename(folder.with_name(f".{folder.name}{_PRUNED}"))  # a tape is there whole or not at all
        for folder in paths.tapes.glob(f".*{_PRUNED}"):
            shutil.rmtree(folder, ignore_errors=True)
    return Pruned(tuple(old), journals, size, kept, tapes, tape_bytes)


def _old_tapes(paths: Paths, old: list[str], limit: datetime) -> Iterator[Path]:
    """Tapes that were generated on first use, made before `limit`, and replayed by no run but the old ones."""
    kept = set()
    for plan in (paths.datasets / "runs").glob("*/plan.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if plan.parent.name not in old:
                kept.add(Path(json.loads(plan.read_bytes())["tape"]).name)
    for folder in sorted(paths.tapes.glob("generated-*")):
        try:
            generated = read_meta(folder).generated
            name = SimulatorSettings.model_validate_json(json.dumps(generated)).tape_name
        except (TapeError, ValueError):
            continue  # recorded, damaged, or of settings that this version does not know
        if name == folder.name and name not in kept and _youngest([folder / META_FILE]) < limit:
            yield folder


def _forget(wh: Warehouse, run_ids: list[str]) -> None:
    with wh.transaction():
        wh.execute(
            "DELETE FROM raw_quarantine WHERE file_id IN (SELECT file_id FROM raw_file WHERE list_contains(?, run_id))",
            [run_ids],
        )
        for table in ("raw_order", "raw_fill", "raw_other", "raw_file"):
            wh.execute(f"DELETE FROM {table} WHERE list_contains(?, run_id)", [run_ids])
    wh.built = None


def _youngest(files: list[Path]) -> datetime:
    return max(datetime.fromtimestamp(file.stat().st_mtime, UTC) for file in files)


def _counts(wh: Warehouse) -> dict[str, int]:
    return {name: int(wh.execute(f"SELECT count(*) FROM {name}")[0][0]) for name in RAW_TABLES}


def _state_files(paths: Paths) -> Iterator[tuple[str, Path]]:
    for name in _STATE:
        for file in sorted((paths.datasets / name).rglob("*.json*")):
            if file.suffix in (".json", ".jsonl"):  # neither what a kill left behind nor what was set aside
                yield _name(paths.datasets, file), file


def _name(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix()
