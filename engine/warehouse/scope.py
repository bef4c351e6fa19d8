"""What one run is made of: its instrument, lanes, windows and slices, read from run_start and window_end records.

Windows lie end to end over the run. Edges are those the bot journalled; what lies behind the last one is a window
of its own, and a journal without edges (another bot's) is cut every `window_seconds`, 300 by default. A slice is a
run of windows of one lane; the grains window, iteration, symbol, lane and run are slices of different length.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa

from engine.errors import JournalError
from engine.instrument import Instrument
from engine.metrics import MARKOUT_HORIZONS_S
from engine.warehouse.db import Warehouse
from engine.warehouse.fields import DECIMAL_TYPE
from engine.warehouse.limits import LIMITS
from engine.warehouse.parse import instrument_from

DEFAULT_WINDOW_SECONDS = 300
MOST_WINDOWS = 100_000
_EVER = -(1 << 63)


@dataclass(frozen=True)
class Run:
    """One run. Times in ns UTC; `lanes` are (lane, role) in order; position and cap in base quantity."""

    run_id: str
    symbol: str
    instrument: Instrument
    lanes: tuple[tuple[int, str], ...]
    start_ns: int
    end_ns: int
    position_start: Decimal
    position_cap: Decimal | None
    window_seconds: int


@dataclass(frozen=True)
class Window:
    """`valid_book_ns` is what the bot journalled at the window's end, None where it journalled nothing."""

    window: int
    iteration: int
    start_ns: int
    end_ns: int
    valid_book_ns: int | None


@dataclass(frozen=True)
class Slice:
    """Windows first_window..last_window (both included, none if last < first) of a lane."""

    slice_id: int
    grain: str
    lane: int
    iteration: int | None
    start_ns: int
    end_ns: int
    first_window: int
    last_window: int


def load_run(wh: Warehouse, run_id: str) -> Run:
    """The run as its first run_start record says it was.

    Raises:
        JournalError: the run is unknown, has no run_start, or holds records of two symbols.
    """
    seen = wh.execute(
        "SELECT count(*), min(symbol), max(symbol), max(ts_ns), count(*) FILTER (type = 'fill') "
        "FROM raw_record WHERE run_id = ?",
        [run_id],
    )[0]
    if not seen[0]:
        raise JournalError("is not in the warehouse", where=f"run {run_id}", remedy="ingest its journal first")
    starts = wh.execute(
        "SELECT symbol, ts_ns, instrument, lanes, position_start, position_cap_qty, window_seconds "
        "FROM raw_record WHERE run_id = ? AND type = 'run_start' ORDER BY seq LIMIT 1",
        [run_id],
    )
    if not starts:
        raise JournalError(
            "has no run_start record", where=f"run {run_id}", remedy="ingest the run's first journal file too"
        )
    symbol, start_ns, instrument, lanes, position, cap, window_seconds = starts[0]
    if seen[1] != seen[2]:
        raise JournalError(
            f"holds records of {seen[1]} and {seen[2]}",
            where=f"run {run_id}",
            remedy="give each symbol a run of its own",
        )
    named = {lane["lane"]: lane["role"] for lane in json.loads(lanes or "[]")}
    for (lane,) in wh.execute("SELECT DISTINCT lane FROM raw_record WHERE run_id = ? AND lane >= 0", [run_id]):
        named.setdefault(lane, "champion" if lane == 0 else "challenger")
    return Run(
        run_id=run_id,
        symbol=symbol,
        instrument=instrument_from(json.loads(instrument), symbol),
        lanes=tuple(sorted(named.items())),
        start_ns=start_ns,
        # A fill needs a window to stand in, be it a nanosecond long.
        end_ns=max(seen[3], start_ns + (1 if seen[4] else 0)),
        position_start=position or Decimal(0),
        position_cap=cap if cap and cap > 0 else None,
        window_seconds=window_seconds or DEFAULT_WINDOW_SECONDS,
    )


def journalled_windows(wh: Warehouse, run: Run) -> list[Window]:
    """The run's windows, end to end; see the module's text."""
    ends = wh.execute(
        "SELECT ts_ns, start_ns, iteration, iteration_end, valid_book_ms FROM raw_record "
        "WHERE run_id = ? AND type = 'window_end' AND ts_ns > ? ORDER BY ts_ns, seq",
        [run.run_id, run.start_ns],
    )
    if not ends:
        return cut_windows(run, edges_every(run, run.window_seconds))
    by_end = {row[0]: row for row in ends}
    edges = {run.start_ns, *by_end, *(row[1] for row in ends if row[1] is not None and row[1] > run.start_ns)}
    if run.end_ns > max(edges):
        edges.add(run.end_ns)
    ordered = sorted(edges)
    windows: list[Window] = []
    following = sorted(by_end)
    for number, (start, end) in enumerate(pairwise(ordered)):
        row = by_end.get(end)
        # A window whose end was not journalled (a kill, a line in quarantine) belongs to the next end's iteration,
        # or, behind the last end, to that one's (to a new one if the iteration was complete).
        owner = row or next((by_end[e] for e in following if e > end), None)
        if owner is None:
            last = by_end[following[-1]]
            iteration = (last[2] or 0) + (1 if last[3] else 0)
        else:
            iteration = owner[2] or 0
        # valid_book_ms counts from the bot's own window start: no statement about a window cut otherwise.
        known = row is not None and row[4] is not None and row[1] in (None, start)
        windows.append(Window(number, iteration, start, end, round(row[4] * 1e6) if row and known else None))
    return windows


def edges_every(run: Run, seconds: int) -> list[int]:
    """The edges, ns UTC, of windows of `seconds` from the run's start, the last one short.

    Raises:
        JournalError: there would be more than MOST_WINDOWS.
    """
    step = seconds * 10**9
    if (run.end_ns - run.start_ns) // step >= MOST_WINDOWS:
        raise JournalError(
            f"spans more than {MOST_WINDOWS} windows of {seconds} s",
            where=f"run {run.run_id}",
            remedy="cut longer windows; if the run was short, its times are wrong (ts_ns is UTC in ns)",
        )
    return [*range(run.start_ns, run.end_ns, step), run.end_ns]


def cut_windows(run: Run, edges_ns: Sequence[int]) -> list[Window]:
    """Windows between those of `edges_ns` that lie within the run, with nothing known of the book."""
    edges = sorted({run.start_ns, *(edge for edge in edges_ns if run.start_ns < edge < run.end_ns), run.end_ns})
    return [Window(number, 0, start, end, None) for number, (start, end) in enumerate(pairwise(edges))]


def recut(run: Run, windows: Sequence[Window], edges_ns: Sequence[int]) -> list[Window]:
    """`windows` cut anew; the valid book time is kept where no old window straddles a new edge."""
    cut = []
    for new in cut_windows(run, edges_ns):
        inside = [w for w in windows if new.start_ns <= w.start_ns and w.end_ns <= new.end_ns]
        whole = sum(w.end_ns - w.start_ns for w in inside) == new.end_ns - new.start_ns
        known = [w.valid_book_ns for w in inside if w.valid_book_ns is not None]
        valid = sum(known) if whole and len(known) == len(inside) else None
        cut.append(Window(new.window, 0, new.start_ns, new.end_ns, valid))
    return cut


def slices(run: Run, windows: Sequence[Window]) -> list[Slice]:
    """Every slice of the run: each lane's windows and span; lane 0 also by iteration, symbol and run."""
    last = len(windows) - 1
    end_ns = windows[-1].end_ns if windows else run.start_ns
    iterations = sorted({w.iteration for w in windows})
    found: list[Slice] = []

    def add(grain: str, lane: int, iteration: int | None, first: int, final: int) -> None:
        start = windows[first].start_ns if final >= first else run.start_ns
        end = windows[final].end_ns if final >= first else end_ns
        found.append(Slice(len(found), grain, lane, iteration, start, end, first, final))

    add("run", 0, None, 0, last)
    add("symbol", 0, None, 0, last)
    for number in iterations:
        members = [w.window for w in windows if w.iteration == number]
        add("iteration", 0, number, members[0], members[-1])
    for lane, _ in run.lanes:
        add("lane", lane, None, 0, last)
        for window in windows:
            add("window", lane, window.iteration, window.window, window.window)
    return found


def create_scope(wh: Warehouse, run: Run, windows: Sequence[Window]) -> list[Slice]:
    """Make core_run, core_lane, core_window, core_slice, core_limit and core_horizon; returns the slices."""
    whole = slices(run, windows)
    _create(
        wh,
        "core_run",
        {
            "run_id": [run.run_id],
            "pnl_currency": [run.instrument.pnl_currency],
            "start_ns": [run.start_ns],
            "end_ns": [run.end_ns],
            "position_start": pa.array([run.position_start], DECIMAL_TYPE),
            "position_cap": pa.array([run.position_cap], DECIMAL_TYPE),
        },
    )
    _create(
        wh,
        "core_lane",
        {"lane": pa.array([lane for lane, _ in run.lanes], pa.int64()), "role": [role for _, role in run.lanes]},
    )
    _create(
        wh,
        "core_window",
        {
            "window_id": _integers(w.window for w in windows),
            "iteration": _integers(w.iteration for w in windows),
            "start_ns": _integers(w.start_ns for w in windows),
            "end_ns": _integers(w.end_ns for w in windows),
            # Facts are placed by the last window that begins at or before them; the first takes all earlier ones.
            "from_ns": _integers(w.start_ns if w.window else _EVER for w in windows),
            "valid_book_ns": _integers(w.valid_book_ns for w in windows),
        },
    )
    names = ("slice_id", "grain", "lane", "iteration", "start_ns", "end_ns", "first_window", "last_window")
    columns: dict[str, Any] = {}
    for name in names:
        values = [getattr(s, name) for s in whole]
        columns[name] = values if name == "grain" else _integers(values)
    _create(wh, "core_slice", columns)
    _create(wh, "core_limit", {name: [limit] for name, limit in LIMITS.items()})
    _create(wh, "core_horizon", {"horizon_s": _integers(MARKOUT_HORIZONS_S)})
    return whole


def _integers(values: Any) -> pa.Array:
    return pa.array(list(values), pa.int64())


def _create(wh: Warehouse, name: str, columns: dict[str, Any]) -> None:
    with wh.incoming(pa.table(columns)):
        wh.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM incoming")
