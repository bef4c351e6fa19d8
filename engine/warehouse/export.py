"""Every table as Parquet, for other tools: the raw tables whole, and those of one run that follow from them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from engine.errors import ConfigError, StorageError
from engine.files import sync_folder
from engine.warehouse.build import build
from engine.warehouse.db import Warehouse

_BATCH_ROWS = 100_000


def export_tables(wh: Warehouse, folder: Path, *, run_id: str | None = None) -> dict[str, int]:
    """Write <folder>/<table>.parquet for every table and view of the file; rows by table. All of them or none.

    Args:
        run_id: also build this run's core_, attr_ and kpi_ tables and write those.

    Raises:
        ConfigError: something stands at `folder`.
        StorageError: the folder cannot be written or the disk is full.
    """
    refuse_used(folder)
    if run_id is not None:
        build(wh, run_id)
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        written = {name: _write(wh, name, partial / f"{name}.parquet") for name in _names(wh)}
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except OSError as error:
        raise StorageError(
            f"cannot be written: {error.strerror or error}", where=str(folder), remedy="free some space, then run again"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    sync_folder(folder.parent)
    return written


def refuse_used(folder: Path) -> None:
    """Refuse a folder that holds anything.

    Raises:
        ConfigError: it does, or a file stands there.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError("is not empty", where=str(folder), remedy="name a new folder")


def _names(wh: Warehouse) -> Sequence[str]:
    rows = wh.execute("SELECT table_name FROM information_schema.tables ORDER BY table_name")
    return [name for (name,) in rows]


def _write(wh: Warehouse, name: str, path: Path) -> int:
    reader = wh.connection.sql(f'SELECT * FROM "{name}"').to_arrow_reader(_BATCH_ROWS)
    rows = 0
    with pq.ParquetWriter(path, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows
