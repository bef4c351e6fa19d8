"""The warehouse of an installation, opened with patience for readers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from engine.paths import Paths
from engine.warehouse.db import Warehouse

READERS_S = 60.0
"""How long a run waits for somebody who reads the warehouse."""


@contextmanager
def open_warehouse(paths: Paths) -> Iterator[Warehouse]:
    """A Ctrl-C inside a query, which DuckDB reports as an error, is one again.

    Raises:
        LockHeldError: another process has had the file for longer than a run waits; otherwise as Warehouse.
    """
    try:
        with Warehouse(paths.warehouse, wait_s=READERS_S) as warehouse:
            yield warehouse
    except (RuntimeError, duckdb.InterruptException) as error:
        if "interrupt" in str(error).lower():
            raise KeyboardInterrupt from error
        raise
