"""A run's series for charts, and its windows cut anew."""

from __future__ import annotations

from typing import Any

from engine.errors import InputError
from engine.instrument import UNITS_PER_QUOTE
from engine.warehouse.build import build
from engine.warehouse.db import Warehouse
from engine.warehouse.edge import SCALARS, slice_values
from engine.warehouse.quality import require_sound
from engine.warehouse.targets import load_targets

WINDOW_COLUMNS = ("window", "start_ns", "end_ns", *SCALARS)
"""The columns of `window_table`, in order."""


def chart_series(wh: Warehouse, run_id: str, *, max_points: int = 2000) -> dict[str, Any]:
    """Columns for charts, JSON values only.

    Returns:
        marks {ts_ns, mid, bid, ask}: one in k, the last one always, at most `max_points` + 1;
        fills {ts_ns, side (+1 buy, -1 sell), price, qty} of lane 0, all of them;
        position {ts_ns, qty} of lane 0: at the start, after each fill, at the end, in base quantity;
        pnl [{lane, ts_ns, pnl_quote}]: per lane, cumulated at each window's end, null once a window is unknown.
    """
    run = build(wh, run_id).run
    count = wh.execute("SELECT count(*) FROM core_mark")[0][0]
    step = max(1, -(-count // max_points))
    marks = wh.execute(
        "SELECT ts_ns, mid::DOUBLE, bid::DOUBLE, ask::DOUBLE FROM "
        "(SELECT *, row_number() OVER (ORDER BY ts_ns) AS place FROM core_mark) "
        "WHERE (place - 1) % ? = 0 OR place = ? ORDER BY ts_ns",
        [step, count],
    )
    fills = wh.execute(
        "SELECT ts_ns, side_sign, price::DOUBLE, qty::DOUBLE FROM core_fill WHERE lane = 0 "
        "ORDER BY window_id, ts_ns, seq"
    )
    held = wh.execute(
        "SELECT ts_ns, position_after FROM core_segment WHERE lane = 0 AND (at_edge = 0 OR point_no = 1 OR "
        "point_no = (SELECT max(point_no) FROM core_segment WHERE lane = 0)) ORDER BY point_no"
    )
    return {
        "marks": _columns(("ts_ns", "mid", "bid", "ask"), marks),
        "fills": _columns(("ts_ns", "side", "price", "qty"), fills),
        "position": {
            "ts_ns": [ts for ts, _ in held],
            "qty": [float(run.instrument.qty(int(lots))) for _, lots in held],
        },
        "pnl": [{"lane": lane} | _cumulated(wh, lane) for lane, _ in run.lanes],
    }


def window_table(wh: Warehouse, run_id: str, seconds: int) -> list[dict[str, Any]]:
    """Lane 0 in windows of `seconds` from the run's start: window, start_ns, end_ns and every single-number KPI.

    Edges between marks are valued at the last mark before; coverage is null where it was journalled across an edge.

    Raises:
        InputError: `seconds` is not above 0.
        JournalError: the run is unknown.
    """
    if seconds <= 0:
        raise InputError(f"windows of {seconds} seconds", remedy="give a whole number above 0")
    built = build(wh, run_id, seconds=seconds)
    require_sound(wh, run_id, seconds=seconds)
    values = slice_values(wh, built, load_targets())
    return [
        {"window": s.first_window, "start_ns": s.start_ns, "end_ns": s.end_ns}
        | {name: values[s.slice_id][name] for name in SCALARS}
        for s in built.slices
        if s.grain == "window" and s.lane == 0
    ]


def _columns(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}


def _cumulated(wh: Warehouse, lane: int) -> dict[str, list[Any]]:
    rows = wh.execute(
        "SELECT w.end_ns, n.net FROM attr_ledger AS n JOIN core_window AS w ON w.window_id = n.window_id "
        "WHERE n.lane = ? ORDER BY n.window_id",
        [lane],
    )
    total: int | None = 0
    points: list[float | None] = []
    for _, net in rows:
        total = None if total is None or net is None else total + net
        points.append(None if total is None else total / UNITS_PER_QUOTE)
    return {"ts_ns": [end for end, _ in rows], "pnl_quote": points}
