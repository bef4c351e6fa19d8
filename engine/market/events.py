"""The market event: one row of a tape, 30 bytes, integers only.

A *message* is a run of events that the venue sent together; its last event carries LAST. A book is judged
(crossed, quotable) at message ends only: inside a message real venues cross it for a moment.

    exch_ts_ns   int64  time at the exchange, UTC ns
    local_ts_ns  int64  time of receipt, UTC ns, clock shift already removed
    kind         uint8  DEPTH, TRADE or MARKER
    flags        uint8  BUY | LAST | GAP | CLEAR
    price_ticks  int32  price / tick
    qty_lots     int64  DEPTH: the level's new absolute size, 0 deletes; TRADE: the size traded

BUY means: a bid level (DEPTH), a buying aggressor (TRADE). A MARKER has no price: GAP says that messages were
lost before it, CLEAR that the book is empty from here (a snapshot follows).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

TIMES_END_NS = 2**62
"""Times are at least 0 and below this (the year 2116), so that a sum of two still fits."""
DEPTH, TRADE, MARKER = 0, 1, 2
BUY, LAST, GAP, CLEAR = 1, 2, 4, 8

Array = npt.NDArray[Any]

COLUMN_DTYPES: dict[str, np.dtype[Any]] = {
    "exch_ts_ns": np.dtype("<i8"),
    "local_ts_ns": np.dtype("<i8"),
    "kind": np.dtype("u1"),
    "flags": np.dtype("u1"),
    "price_ticks": np.dtype("<i4"),
    "qty_lots": np.dtype("<i8"),
}
EVENT_DTYPE = np.dtype(list(COLUMN_DTYPES.items()))
assert EVENT_DTYPE.itemsize == 30


class Columns(NamedTuple):
    """Events as one array per field, all of the same length, in the order in which they were received."""

    exch_ts_ns: Array
    local_ts_ns: Array
    kind: Array
    flags: Array
    price_ticks: Array
    qty_lots: Array

    @classmethod
    def empty(cls, count: int) -> Columns:
        return cls(*(np.zeros(count, dtype) for dtype in COLUMN_DTYPES.values()))

    def part(self, start: int, stop: int) -> Columns:
        return Columns(*(column[start:stop] for column in self))
