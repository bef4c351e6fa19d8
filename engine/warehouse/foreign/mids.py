"""Mids for fills that brought none, taken from a tape: the touch after the last whole message before a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.market.book_scan import touch_at
from engine.market.events import CLEAR, GAP, LAST
from engine.market.tape import Tape
from engine.warehouse.limits import LIMITS

FRESH_NS = LIMITS["mid_age_ns"]
"""A touch older than that is not taken for the present one; the warehouse holds marks to the same."""


def touches(tape: Tape, times_ns: Sequence[int]) -> list[tuple[int, int] | None]:
    """(bid, ask) in ticks at each of `times_ns` (exchange time), or None.

    None before the tape, FRESH_NS and more behind the last message, from a gap to the next snapshot, and where the book
    is crossed or has one side only.
    """
    columns = tape.columns
    flags = np.asarray(columns.flags)
    ends = np.flatnonzero(flags & LAST)
    times = np.asarray(times_ns, np.int64)
    if not len(ends) or not len(times):
        return [None] * len(times)
    exchange_ns = np.maximum.accumulate(np.asarray(columns.exch_ts_ns)[ends])
    at = np.searchsorted(exchange_ns, times, side="right") - 1
    known = (at >= 0) & (times - exchange_ns[np.maximum(at, 0)] < FRESH_NS)
    rows = ends[np.maximum(at, 0)]
    known &= _last_before(flags & CLEAR, rows) >= _last_before(flags & GAP, rows)
    order = np.unique(rows)
    bids, _, asks, _ = touch_at(columns, order)
    place = np.searchsorted(order, rows)
    bid, ask = bids[place], asks[place]
    known &= (bid > 0) & (ask > bid)
    found = zip(known.tolist(), bid.tolist(), ask.tolist(), strict=True)
    return [(b, a) if good else None for good, b, a in found]


def _last_before(marks: Any, rows: Any) -> Any:
    """By row, the last position at or before it that is marked; -1 for none."""
    marked = np.flatnonzero(marks)
    place = np.searchsorted(marked, rows, side="right") - 1
    return np.where(place >= 0, marked[np.maximum(place, 0)], -1) if len(marked) else np.full(len(rows), -1)
