"""Every table as Parquet, for other tools: the raw tables whole, and those of one run that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from engine.files import whole_folder
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
    with whole_folder(folder) as partial:
        if run_id is not None:
            build(wh, run_id)
        return {name: _write(wh, name, partial / f"{name}.parquet") for name in _names(wh)}


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
