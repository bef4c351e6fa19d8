"""The book scan against a slow, obvious book of two dicts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.market import book_scan
from engine.market.book_scan import BookScan, price_window, scan_book, touch_at
from engine.market.events import BUY, CLEAR, DEPTH, GAP, LAST, MARKER, TRADE, Columns

EVENT = st.tuples(
    st.sampled_from([DEPTH] * 8 + [TRADE, MARKER]),
    st.booleans(),  # buy
    st.booleans(),  # last of its message
    st.sampled_from([GAP, CLEAR, GAP | CLEAR]),
    st.sampled_from([1, 90, 91, 92, 93, 94, 2_000_000_000]),
    st.integers(0, 2),
    st.integers(0, 3),  # ns since the event before
)


def columns_of(events: list[tuple]) -> Columns:
    columns = Columns.empty(len(events))
    now_ns = 1_000
    for row, (kind, is_buy, is_last, mark, price, qty, wait_ns) in enumerate(events):
        now_ns += wait_ns
        flags = mark if kind == MARKER else BUY * is_buy
        values = (now_ns, now_ns, kind, flags | LAST * is_last, 0 if kind == MARKER else price, qty)
        for column, value in zip(columns, values, strict=True):
            column[row] = value
    return columns


def slow_scan(columns: Columns, order: np.ndarray) -> tuple[BookScan, dict[int, tuple[int, int, int, int]]]:
    """The same answers, the obvious way; also the touch after every row."""
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    synced, quotable, last_ns, valid_ns = True, False, None, 0
    touches, crossed, empty, gaps, touch_at_row = [], [], [], [], {}
    for row in order:
        exch_ns, _, kind, flags, price, qty = (int(column[row]) for column in columns)
        if quotable:
            valid_ns += exch_ns - last_ns
        last_ns = exch_ns
        if kind == DEPTH:
            (bids if flags & BUY else asks)[price] = qty
        if kind == MARKER and flags & GAP:
            gaps.append(row)
            synced = quotable = False
        if kind == MARKER and flags & CLEAR:
            bids, asks, synced, quotable = {}, {}, True, False
        bid = max((p for p, q in bids.items() if q), default=0)
        ask = min((p for p, q in asks.items() if q), default=0)
        touch_at_row[int(row)] = (bid, bids.get(bid, 0), ask, asks.get(ask, 0))
        if not flags & LAST or not synced:
            continue
        quotable = bool(bid and ask and bid < ask)
        if quotable:
            touches.append((bid, ask))
        elif bid and ask:
            crossed.append(row)
        elif touches:
            empty.append(row)
    first = [int(rows[0]) if rows else -1 for rows in (crossed, empty, gaps)]
    span_ns = last_ns - int(columns.exch_ts_ns[order[0]])
    scan = BookScan(
        min((bid for bid, _ in touches), default=0),
        max((ask for _, ask in touches), default=0),
        len(crossed), first[0], len(empty), first[1], len(gaps), first[2], valid_ns, span_ns,
    )  # fmt: skip
    return scan, touch_at_row


@given(st.lists(EVENT, min_size=1, max_size=60))
@settings(max_examples=300, deadline=None)
def test_scan_and_touch_equal_the_slow_book(events: list[tuple]) -> None:
    columns = columns_of(events)
    rows = np.arange(len(events))
    scan, touches = slow_scan(columns, rows)
    assert scan_book(columns) == scan
    found = np.array(touch_at(columns, rows)).T
    assert [tuple(row) for row in found.tolist()] == [touches[row] for row in rows.tolist()]


@given(st.lists(EVENT, min_size=2, max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_scan_in_exchange_order_equals_the_slow_book(events: list[tuple], random) -> None:
    columns = columns_of(events)
    shuffled = list(range(len(events)))
    random.shuffle(shuffled)
    columns.exch_ts_ns[:] = columns.exch_ts_ns[shuffled]
    order = np.argsort(columns.exch_ts_ns, kind="stable")
    assert scan_book(columns, order) == slow_scan(columns, order)[0]


def book(bid: int, ask: int, far: tuple[int, int]) -> Columns:
    """A book whose touch is bid | ask, with one level far away on each side."""
    return columns_of(
        [
            (DEPTH, True, False, 0, far[0], 1, 0),
            (DEPTH, True, False, 0, bid, 1, 0),
            (DEPTH, False, False, 0, ask, 1, 0),
            (DEPTH, False, True, 0, far[1], 1, 0),
        ]
    )


@pytest.mark.parametrize(
    ("bid", "ask", "far", "window"),
    [
        (100_000, 100_010, (1, 2**31 - 1), (98_000, 102_010)),  # 2 % beyond
        (1_000, 1_010, (1, 9_000), (800, 1_210)),  # 200 ticks beyond
        (1_000, 1_010, (950, 1_100), (800, 1_210)),  # whatever the data's own range
        (100, 110, (1, 900), (1, 310)),  # never below 1
    ],
)
def test_price_window(bid: int, ask: int, far: tuple[int, int], window: tuple[int, int]) -> None:
    columns = book(bid, ask, far)
    assert price_window(columns, (scan_book(columns),)) == window


def test_a_data_set_without_a_whole_book_has_the_datas_range_as_window() -> None:
    columns = columns_of([(TRADE, True, True, 0, price, 1, 1) for price in (90, 94)])
    scan = scan_book(columns)
    assert (scan.touch_low_ticks, scan.valid_ns, scan.crossed_message_ends) == (0, 0, 0)
    assert price_window(columns, (scan,)) == (90, 94)


def test_a_book_crossed_inside_a_message_only_is_not_crossed() -> None:
    rows = [(DEPTH, True, False, 0, 93, 1, 0), (DEPTH, False, False, 0, 91, 1, 0), (DEPTH, True, False, 0, 93, 0, 0)]
    columns = columns_of([*rows, (DEPTH, True, True, 0, 90, 1, 0)])
    assert scan_book(columns).crossed_message_ends == 0
    assert scan_book(columns.part(0, 2)).crossed_message_ends == 0
    columns.flags[1] |= LAST
    assert (scan_book(columns).crossed_message_ends, scan_book(columns).first_crossed_row) == (1, 1)


@pytest.mark.parametrize("at_once", [1, 2, 64])
def test_the_first_mid_is_that_of_the_first_whole_book(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(book_scan, "_FIRST_EVENTS", at_once)
    bids = [(DEPTH, True, True, 0, price, 1, 1) for price in (95, 96, 97)]
    crossed = [(DEPTH, False, True, 0, 96, 1, 1), (DEPTH, False, False, 0, 96, 0, 1)]
    whole = (DEPTH, False, True, 0, 100, 1, 1)
    assert book_scan.first_mid2(columns_of([*bids, *crossed, whole, (DEPTH, True, True, 0, 98, 1, 1)])) == 97 + 100
    assert book_scan.first_mid2(columns_of([*bids, *crossed])) == 0
    assert book_scan.first_mid2(Columns.empty(0)) == 0
