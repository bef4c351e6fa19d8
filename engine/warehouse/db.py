"""The one door to the warehouse file. DuckDB allows a file one process at a time: keep a Warehouse open briefly."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from engine.errors import LockHeldError, NightsoakError, StorageError
from engine.warehouse.migrations import migrate

_MEMORY = "512MB"
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    # Rows come in as Arrow tables and leave as results: SQL never opens a file of its own.
    "enable_external_access": "false",
    "memory_limit": _MEMORY,
    # Measured on 205,000 records: one thread inserts in half the CPU time of two.
    "threads": "1",
}
# A transaction that cannot be committed for want of memory or disk is reported as a TransactionException.
_STORAGE_FAULTS = (duckdb.IOException, duckdb.FatalException, duckdb.OutOfMemoryException, duckdb.TransactionException)
_HOLDER = re.compile(r"PID (\d+)")
_DAMAGE = re.compile(
    r"Corrupt|not a valid DuckDB database|Could not read enough bytes|replaying WAL|deserializ", re.IGNORECASE
)
_RETRY_S = 0.05


class DamagedWarehouseError(StorageError):
    """The file is not what was written. The journals are: it can be made again from them."""


class Feed:
    """An Arrow table that SQL sees under a name; put another one of the same schema in its place at any time."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class Warehouse:
    """`with Warehouse(path) as wh:` opens (or creates) the file and brings its schema up to date.

    Args:
        wait_s: how long to wait for another process that has the file open.

    Raises:
        LockHeldError: another process has the file open; names its pid.
        ConfigError: the file was written by a newer Nightsoak.
        DamagedWarehouseError: the file is no DuckDB file, or its checksums do not hold.
        StorageError: the folder cannot be written.
    """

    def __init__(self, path: Path | str, *, wait_s: float = 0.0) -> None:
        self.path = Path(path)
        self._wait_s = wait_s
        self.built: tuple[object, Any] | None = None
        """What the session's core_, attr_ and kpi_ tables were built from; see engine.warehouse.build."""
        self._connection: duckdb.DuckDBPyConnection | None = None

    def __enter__(self) -> Self:
        self._connection = _connect(self.path, self._wait_s)
        try:
            migrate(self._connection, where=str(self.path))
        except duckdb.Error as error:
            self.close()
            raise _mapped(self.path, error) from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self.built = None

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        assert self._connection is not None, "the warehouse is not open"
        return self._connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with bound parameters; all of its rows.

        Raises:
            StorageError: the disk is full or cannot be written.
        """
        try:
            return self.connection.execute(sql, list(parameters)).fetchall()
        except duckdb.Error as error:
            raise _mapped(self.path, error) from error

    def columns(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """The same, as an Arrow table."""
        try:
            return self.connection.sql(sql, params=list(parameters)).to_arrow_table()
        except duckdb.Error as error:
            raise _mapped(self.path, error) from error

    @contextmanager
    def incoming(self, table: pa.Table) -> Iterator[None]:
        """Show an Arrow table to SQL under the name `incoming`."""
        self.connection.register("incoming", table)
        try:
            yield
        finally:
            self.connection.unregister("incoming")

    @contextmanager
    def memory(self, limit: str) -> Iterator[None]:
        """Another bound than the usual one on what DuckDB keeps in memory."""
        self.execute(f"SET memory_limit = '{limit}'")
        try:
            yield
        finally:
            if self._connection is not None:
                self.execute(f"SET memory_limit = '{_MEMORY}'")

    @contextmanager
    def feed(self, name: str, schema: pa.Schema) -> Iterator[Feed]:
        """As `incoming`, for table after table of one schema.

        Within a transaction DuckDB keeps every table that was registered, dropped or not, until the commit.
        """
        empty = pa.Table.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
        feed = Feed(empty)
        self.connection.register(name, feed)
        try:
            yield feed
        finally:
            feed.table = empty
            if self._connection is not None:
                self.connection.unregister(name)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        self.execute("BEGIN")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            try:
                self.connection.execute("ROLLBACK")
            except duckdb.Error:
                self.close()  # a fatal error ended the transaction with the connection: nothing was committed
            raise


def _connect(path: Path, wait_s: float) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = duckdb.connect(str(path), config=_SETTINGS)
            # After two seconds of a query it would be drawn into whatever stdout is.
            connection.execute("SET enable_progress_bar = false")
            return connection
        except OSError as error:
            raise StorageError(
                f"cannot open: {error.strerror or error}", where=str(path), remedy="make the folder writable"
            ) from error
        except duckdb.Error as error:
            mapped = _mapped(path, error)
            if isinstance(mapped, LockHeldError) and time.monotonic() < deadline:
                time.sleep(_RETRY_S)
                continue
            raise mapped from error


def _mapped(path: Path, error: duckdb.Error) -> NightsoakError | duckdb.Error:
    """The error that a user sees; `error` itself where it is a fault of the program."""
    text = str(error)
    line = text.splitlines()[0]
    if "Could not set lock" in text:
        holder = _HOLDER.search(text)
        return LockHeldError(
            f"the warehouse is in use by another process{f' (pid {holder[1]})' if holder else ''}",
            where=str(path),
            remedy="wait until it has finished, or end it",
        )
    if _DAMAGE.search(text):
        return DamagedWarehouseError(
            f"is damaged: {line}",
            where=str(path),
            remedy="`nightsoak ingest --rebuild` sets it aside and makes it again from the journals",
        )
    if isinstance(error, _STORAGE_FAULTS):
        return StorageError(
            f"cannot be read or written: {line}", where=str(path), remedy="free some space, then run again"
        )
    return error
