"""Builds a run's core_, attr_ and kpi_ tables: each is one SELECT in sql/, run in the order of its Inputs header.

The tables are of the session (TEMP): the warehouse file keeps what was read, everything else follows from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from engine.errors import JournalError
from engine.instrument import VALUE_SCALE
from engine.warehouse.db import Warehouse
from engine.warehouse.fields import DECIMAL_TYPE
from engine.warehouse.fifo import MOST_LOTS, START, matcher
from engine.warehouse.scope import Run, Slice, Window, create_scope, edges_every, journalled_windows, load_run, recut

SQL = Path(__file__).parent / "sql"
LAYERS = {"core": "core", "attribution": "attr", "kpi": "kpi", "checks": "check"}
HEADER = ("Title", "Unit", "Formula", "Grain", "Inputs", "NULL")
_FIELD = re.compile(r"-- (?P<name>[A-Za-z]+): (?P<text>.*)")
_GIVEN = ("raw_record", "core_run", "core_lane", "core_window", "core_slice", "core_limit", "core_horizon")
_LOT_TOLERANCE = Decimal("1e-6")


@dataclass(frozen=True)
class Query:
    """One .sql file: the table it makes, its header (name -> text) and its SELECT."""

    table: str
    path: Path
    header: dict[str, str]
    sql: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.header["Inputs"].split(","))


@dataclass(frozen=True)
class Built:
    """What the session's tables hold."""

    run: Run
    windows: tuple[Window, ...]
    slices: tuple[Slice, ...]


@cache
def queries() -> dict[str, Query]:
    """Table name -> query, for every file of the layers."""
    found = {}
    for folder, prefix in LAYERS.items():
        for path in sorted((SQL / folder).glob("*.sql")):
            query = read_query(path, prefix)
            found[query.table] = query
    return found


def read_query(path: Path, prefix: str) -> Query:
    """A file's header lines (`-- Name: text`, continued by `--   text`) and its statement."""
    text = path.read_text(encoding="utf-8")
    header: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        match = _FIELD.match(line)
        if match:
            name = match["name"]
            header[name] = match["text"].strip()
        else:
            header[name] += " " + line.removeprefix("--").strip()
    return Query(f"{prefix}_{path.stem}", path, header, text)


@cache
def build_order() -> tuple[str, ...]:
    """Every table that is built, inputs first."""
    graph = {query.table: set(query.inputs) - set(_GIVEN) for query in queries().values()}
    graph |= {name: set(inputs) for name, (inputs, _) in _COMPUTED.items()}
    unknown = {name for inputs in graph.values() for name in inputs} - graph.keys()
    assert not unknown, f"Inputs headers name unknown tables: {sorted(unknown)}"
    try:
        # static_order leaves the order among equals to insertion: sorted names make it the same everywhere.
        return tuple(TopologicalSorter({name: sorted(graph[name]) for name in sorted(graph)}).static_order())
    except CycleError as error:
        raise AssertionError(f"Inputs headers form a circle: {error.args[1]}") from error


def build(wh: Warehouse, run_id: str, *, seconds: int | None = None, edges_ns: tuple[int, ...] | None = None) -> Built:
    """Make every table for one run, once per session and run.

    Args:
        seconds: windows of this length instead of those that were journalled.
        edges_ns: windows with these edges (ns UTC, those within the run) instead.

    Raises:
        JournalError: the run is unknown, its records cannot be told in lots, or they are too large to be summed.
    """
    key = (run_id, seconds, edges_ns)
    if wh.built is not None and wh.built[0] == key:
        built: Built = wh.built[1]
        return built
    wh.built = None
    run = load_run(wh, run_id)
    windows = journalled_windows(wh, run)
    if seconds is not None:
        edges_ns = tuple(edges_every(run, seconds))
    if edges_ns is not None:
        windows = recut(run, windows, edges_ns)
    slices = create_scope(wh, run, windows)
    try:
        for table in build_order():
            if table in _COMPUTED:
                _COMPUTED[table][1](wh, run)
            else:
                wh.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {queries()[table].sql}")
    except (duckdb.OutOfRangeException, duckdb.ConversionException) as error:
        raise JournalError(
            f"has numbers too large to be summed ({table})",
            where=f"run {run_id}",
            remedy="mend prices, quantities and times in its journal, or `lot` in its instrument",
        ) from error
    result = Built(run, tuple(windows), tuple(slices))
    wh.built = (key, result)
    return result


def _value(wh: Warehouse, run: Run) -> None:
    """core_value: price -> value of one lot, once per distinct price."""
    columns = (
        "SELECT price FROM core_fill",
        "SELECT quote_mid FROM core_fill_mid",
        "SELECT fill_mid FROM core_fill_mid",
        "SELECT mid FROM core_markout",
        "SELECT mid FROM core_edge",
        "SELECT mid FROM core_funding",
    )
    prices = _distinct(wh, " UNION ".join(columns))
    _create(wh, "core_value", "price", prices, "v", [run.instrument.value_units(price) for price in prices])


def _money(wh: Warehouse, run: Run) -> None:
    """core_money: amount in PnL currency -> units."""
    amounts = _distinct(wh, "SELECT fee FROM core_fill UNION SELECT amount FROM core_funding")
    units = [int((a.scaleb(VALUE_SCALE)).to_integral_value(ROUND_HALF_EVEN)) for a in amounts]
    _create(wh, "core_money", "amount", amounts, "units", units)


def _lot(wh: Warehouse, run: Run) -> None:
    """core_lot: quantity -> whole lots."""
    quantities = _distinct(wh, "SELECT qty FROM core_fill")
    _create(wh, "core_lot", "qty", quantities, "lots", [_lots(run, qty) for qty in quantities])


def _start(wh: Warehouse, run: Run) -> None:
    """core_start: the position at the run's start and the cap, in lots."""
    cap = None if run.position_cap is None else max(1, round(run.position_cap / run.instrument.lot))
    wh.execute(
        "CREATE OR REPLACE TEMP TABLE core_start AS SELECT ?::HUGEINT AS lots, ?::HUGEINT AS cap_lots",
        [_lots(run, run.position_start), cap],
    )


def _fifo_match(wh: Warehouse, run: Run) -> None:
    """core_fifo_match: which fill closed which, lane by lane; opened_seq is null for the position at the start."""
    start_lots = _lots(run, run.position_start)
    columns: dict[str, list[Any]] = {name: [] for name in ("lane", "opened_seq", "closed_seq", "lots")}
    for lane, _ in run.lanes:
        [(traded,)] = wh.execute("SELECT coalesce(sum(lots), 0) FROM core_fill_value WHERE lane = ?", [lane])
        if traded + abs(start_lots) > MOST_LOTS:
            raise JournalError(
                f"lane {lane} began with {start_lots} lots and traded {traded}: more than can be counted",
                where=f"run {run.run_id}",
                remedy="mend `lot` in its instrument",
            )
        fills = wh.columns(
            "SELECT seq, signed_lots::BIGINT AS lots FROM core_fill_value WHERE lane = ? "
            "ORDER BY window_id, ts_ns, seq",
            [lane],
        )
        seq = fills.column("seq").to_numpy()
        matches = matcher(fills.num_rows)(fills.column("lots").to_numpy(), start_lots)
        opened, closed = matches[:, 0], matches[:, 1]
        columns["lane"].append(pa.array(np.full(len(matches), lane), pa.int64()))
        columns["opened_seq"].append(pa.array(seq[opened], pa.int64(), mask=opened == START))
        columns["closed_seq"].append(pa.array(seq[closed], pa.int64()))
        columns["lots"].append(pa.array(matches[:, 2], pa.int64()))
    with wh.incoming(pa.table({name: pa.chunked_array(parts, pa.int64()) for name, parts in columns.items()})):
        wh.execute(
            "CREATE OR REPLACE TEMP TABLE core_fifo_match AS "
            "SELECT lane, opened_seq, closed_seq, lots::HUGEINT AS lots FROM incoming"
        )


def _lots(run: Run, qty: Decimal) -> int:
    exact = qty / run.instrument.lot
    lots = round(exact)
    if abs(exact - lots) > _LOT_TOLERANCE:
        raise JournalError(
            f"quantity {qty.normalize():f} is not a whole number of lots of {run.instrument.lot}",
            where=f"run {run.run_id}",
            remedy="mend `lot` in the run's instrument",
        )
    return lots


_Step = tuple[tuple[str, ...], Callable[[Warehouse, Run], None]]
_COMPUTED: dict[str, _Step] = {
    "core_value": (("core_fill", "core_fill_mid", "core_markout", "core_edge", "core_funding"), _value),
    "core_money": (("core_fill", "core_funding"), _money),
    "core_lot": (("core_fill",), _lot),
    "core_start": ((), _start),
    "core_fifo_match": (("core_fill_value",), _fifo_match),
}
"""Tables that are computed in Python, with exact decimals, and what each needs."""


def _distinct(wh: Warehouse, sql: str) -> list[Decimal]:
    rows = wh.columns(f"SELECT DISTINCT x.* FROM ({sql}) AS x").column(0)
    return sorted(value for value in rows.to_pylist() if value is not None)


def _create(wh: Warehouse, table: str, key: str, keys: list[Decimal], name: str, values: list[int]) -> None:
    columns: dict[str, Any] = {key: pa.array(keys, DECIMAL_TYPE), name: pa.array(list(map(str, values)), pa.string())}
    with wh.incoming(pa.table(columns)):
        wh.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {key}, CAST({name} AS HUGEINT) AS {name} FROM incoming"
        )
