"""One pass over a tape that keeps the book and judges it at message ends.

Notation: n events, L distinct depth prices. Prices are replaced by their rank among the L distinct ones, so
that the two sides are arrays of L sizes whatever the width of the data's price range, and a side's next best
level is found by walking ranks, never empty ticks. A CLEAR empties only the ranks used since the last one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.jit import allocating
from engine.market.events import BUY, CLEAR, DEPTH, GAP, LAST, MARKER, Array, Columns

MARGIN_RATIO = 0.02
MARGIN_TICKS = 200
_FIRST_EVENTS = 1 << 16
_NO_ORDER = np.zeros(0, np.int64)


class BookScan(NamedTuple):
    """What the pass found; rows are positions in the tape, -1 for none.

    `touch_low_ticks` and `touch_high_ticks` are the lowest best bid and the highest best ask at the ends of
    messages that left a valid, two-sided, uncrossed book (0 when there was none). `valid_ns` is the time, by
    the exchange's clock, during which the book was such. A book is invalid from a GAP until a CLEAR. Empty
    sides count from the first such book on.
    """

    touch_low_ticks: int
    touch_high_ticks: int
    crossed_message_ends: int
    first_crossed_row: int
    empty_side_ends: int
    first_empty_row: int
    gap_count: int
    first_gap_row: int
    valid_ns: int
    span_ns: int


def scan_book(columns: Columns, exch_order: Array | None = None) -> BookScan:
    """Scan the events in tape order, or in `exch_order` (int64[n], positions in the tape) when given."""
    levels, ranks = rank_prices(columns)
    order = _NO_ORDER if exch_order is None else np.ascontiguousarray(exch_order, np.int64)
    found = _scan(columns.exch_ts_ns, columns.kind, columns.flags, columns.qty_lots, ranks, len(levels), order)
    low, high = (int(levels[rank]) if rank >= 0 else 0 for rank in found[:2])
    return BookScan(low, high, *(int(value) for value in found[2:]))


def rank_prices(columns: Columns) -> tuple[Array, Array]:
    """Distinct depth prices, rising (int64[L]), and each event's rank (int64[n], 0 where not DEPTH)."""
    depth = np.flatnonzero(columns.kind == DEPTH)
    levels, inverse = np.unique(columns.price_ticks[depth], return_inverse=True)
    ranks = np.zeros(len(columns.kind), np.int64)
    ranks[depth] = inverse
    return levels.astype(np.int64), ranks


def price_window(columns: Columns, scans: tuple[BookScan, ...]) -> tuple[int, int]:
    """The kernel's price window: the touch's range and max(2 %, 200 ticks) beyond, both ends included.

    Not clipped to the data: a wide quote may stand where nobody else does.
    Without a single two-sided book the window is the data's range; never below 1.
    """
    priced = columns.price_ticks[columns.kind != MARKER]
    if not len(priced):
        return 1, 1
    data_low, data_high = max(1, int(priced.min())), max(1, int(priced.max()))
    lows = [scan.touch_low_ticks for scan in scans if scan.touch_low_ticks > 0]
    highs = [scan.touch_high_ticks for scan in scans if scan.touch_high_ticks > 0]
    if not lows:
        return data_low, data_high
    low, high = min(lows), max(highs)
    low -= max(MARGIN_TICKS, int(low * MARGIN_RATIO))
    high += max(MARGIN_TICKS, int(high * MARGIN_RATIO))
    return max(low, 1), high


def touch_at(columns: Columns, rows: Array) -> tuple[Array, Array, Array, Array]:
    """Best bid and its size, best ask and its size (int64 arrays, 0 for an empty side) after each of `rows`.

    `rows` (int64, rising) are positions in the tape; the book is the one seen in tape order.
    """
    levels, ranks = rank_prices(columns)
    out = np.zeros((4, len(rows)), np.int64)
    rows = np.ascontiguousarray(rows, np.int64)
    _touch(columns.kind, columns.flags, columns.qty_lots, ranks, levels, rows, out)
    return out[0], out[1], out[2], out[3]


def first_mid2(columns: Columns) -> int:
    """Bid + ask in ticks at the first message end with a two-sided, uncrossed book; 0 where there is none.

    What a run's sizes in quote currency are turned into lots at: known when the run starts, and no later.
    """
    stop = _FIRST_EVENTS
    while True:
        part = columns.part(0, stop)
        rows = np.flatnonzero(part.flags & LAST)
        bids, _, asks, _ = touch_at(part, rows)
        both = np.flatnonzero((bids > 0) & (asks > bids))
        if len(both):
            return int(bids[both[0]] + asks[both[0]])
        if stop >= len(columns.kind):
            return 0
        stop *= 2  # the book is built anew each time: so it is read twice at most


@allocating
def _set_level(
    sizes: Array, best: int, rank: int, qty: int, is_bid: bool, count: int
) -> int:  # pragma: no cover  (compiled)
    """Put a level's new absolute size; return the side's best rank (-1 or `count` when the side is empty)."""
    sizes[rank] = qty
    if is_bid:
        if qty > 0:
            return max(best, rank)
        while best >= 0 and sizes[best] == 0:
            best -= 1
        return best
    if qty > 0:
        return min(best, rank)
    while best < count and sizes[best] == 0:
        best += 1
    return best


@allocating
def _scan(
    exch_ts_ns: Array, kind: Array, flags: Array, qty_lots: Array, ranks: Array, count: int, order: Array
) -> Any:  # pragma: no cover  (compiled)
    bids = np.zeros(count, np.int64)
    asks = np.zeros(count, np.int64)
    best_bid, best_ask = -1, count
    used_low, used_high = count, -1
    synced, quotable = True, False
    touch_low, touch_high = -1, -1
    crossed, first_crossed, empty, first_empty, gaps, first_gap = 0, -1, 0, -1, 0, -1
    valid_ns = np.int64(0)
    n = len(kind)
    first_ns = last_ns = np.int64(0)
    for step in range(n):
        row = order[step] if len(order) else step
        now_ns = exch_ts_ns[row]
        if step == 0:
            first_ns = last_ns = now_ns
        if quotable:
            valid_ns += now_ns - last_ns
        last_ns = now_ns
        flag = flags[row]
        if kind[row] == DEPTH:
            rank = ranks[row]
            used_low, used_high = min(used_low, rank), max(used_high, rank)
            if flag & BUY:
                best_bid = _set_level(bids, best_bid, rank, qty_lots[row], True, count)
            else:
                best_ask = _set_level(asks, best_ask, rank, qty_lots[row], False, count)
        elif kind[row] == MARKER:
            if flag & GAP:
                gaps += 1
                if first_gap < 0:
                    first_gap = row
                synced = quotable = False
            if flag & CLEAR:
                bids[used_low : used_high + 1] = 0
                asks[used_low : used_high + 1] = 0
                used_low, used_high = count, -1
                best_bid, best_ask = -1, count
                synced, quotable = True, False
        if not flag & LAST or not synced:
            continue
        quotable = False
        if best_bid < 0 or best_ask >= count:
            if touch_low >= 0:  # while a capture builds its first book a side may well be empty
                empty += 1
                if first_empty < 0:
                    first_empty = row
        elif best_bid >= best_ask:
            crossed += 1
            if first_crossed < 0:
                first_crossed = row
        else:
            quotable = True
            touch_low = best_bid if touch_low < 0 else min(touch_low, best_bid)
            touch_high = max(touch_high, best_ask)
    span_ns = last_ns - first_ns
    marks = (gaps, first_gap, valid_ns, span_ns)
    return (touch_low, touch_high, crossed, first_crossed, empty, first_empty) + marks  # noqa: RUF005  (numba)


@allocating
def _touch(
    kind: Array, flags: Array, qty_lots: Array, ranks: Array, levels: Array, rows: Array, out: Array
) -> None:  # pragma: no cover  (compiled)
    count = len(levels)
    bids = np.zeros(count, np.int64)
    asks = np.zeros(count, np.int64)
    best_bid, best_ask = -1, count
    asked = 0
    for row in range(len(kind)):
        if asked == len(rows):
            return
        if kind[row] == DEPTH:
            if flags[row] & BUY:
                best_bid = _set_level(bids, best_bid, ranks[row], qty_lots[row], True, count)
            else:
                best_ask = _set_level(asks, best_ask, ranks[row], qty_lots[row], False, count)
        elif kind[row] == MARKER and flags[row] & CLEAR:
            bids[:] = 0
            asks[:] = 0
            best_bid, best_ask = -1, count
        while asked < len(rows) and rows[asked] == row:
            if best_bid >= 0:
                out[0, asked], out[1, asked] = levels[best_bid], bids[best_bid]
            if best_ask < count:
                out[2, asked], out[3, asked] = levels[best_ask], asks[best_ask]
            asked += 1
