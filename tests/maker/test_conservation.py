"""What is true of any run, read from its records alone: nothing is filled twice, lost or made up."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from engine.maker.state import (
    EVENT_ACK,
    EVENT_AMEND,
    EVENT_CANCEL,
    EVENT_EXPIRE,
    EVENT_NEW,
    EVENT_REJECT,
    REASON_AMEND,
    REASON_NEW,
    REASON_POST_ONLY,
    REC_FILL,
    RULE_S1,
    RULE_SYMMETRIC,
)
from engine.market.events import BUY, CLEAR, DEPTH, GAP, LAST, MARKER, TRADE

SEEDS = range(25)
BID, ASK = 0, 1


def run(case: Any) -> tuple[Any, list[dict[str, int]]]:
    session = case.session()
    records = session.advance(case.columns, case.end_ns, case.order)
    return session, [dict(zip(records.dtype.names, row, strict=True)) for row in records.tolist()]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_order_is_accounted_for(seed: int, rule: int, make_case: Any) -> None:
    """Lots: sent = filled + left; an order ends once, and then stays ended."""
    case = make_case(seed, rule)
    _, records = run(case)
    remaining: dict[tuple[int, int], int] = {}
    asked: dict[tuple[int, int], int] = {}
    filled_since_asked: dict[tuple[int, int], int] = defaultdict(int)
    ended: set[tuple[int, int]] = set()
    for r in records:
        order = r["lane"], r["order_id"]
        if r["kind"] == REC_FILL:
            assert order not in ended
            assert 0 < r["qty_lots"] <= remaining[order]
            remaining[order] -= r["qty_lots"]
            filled_since_asked[order] += r["qty_lots"]
            assert (r["over"] == 1) == (remaining[order] == 0)
        elif r["code"] == EVENT_NEW:
            assert order not in remaining
            assert 0 < r["qty_lots"] <= case.config.order_lots
            remaining[order] = r["qty_lots"]
        elif r["code"] == EVENT_AMEND:
            assert order not in ended
            asked[order], filled_since_asked[order] = r["qty_lots"], 0
        elif r["code"] == EVENT_ACK and r["reason"] == REASON_AMEND:
            remaining[order] = r["qty_lots"]
            assert r["qty_lots"] == asked[order] - filled_since_asked[order] > 0
        if r["over"]:
            assert order not in ended
            ended.add(order)
            assert r["kind"] == REC_FILL or r["code"] in (EVENT_ACK, EVENT_EXPIRE)
        elif order in ended:  # the only thing still to come: an answer to what was under way
            assert r["code"] == EVENT_REJECT


@pytest.mark.parametrize("seed", SEEDS)
def test_position_and_cash_follow_the_fills(seed: int, rule: int, make_case: Any) -> None:
    case = make_case(seed, rule)
    session, records = run(case)
    start = list(case.positions or [0] * len(case.lanes))
    position, cash, lots, fills, ordered = start.copy(), *([0] * len(start) for _ in range(4))
    for r in records:
        k = r["lane"]
        if r["kind"] == REC_FILL:
            position[k] += r["side"] * r["qty_lots"]
            cash[k] -= r["side"] * r["qty_lots"] * r["price_ticks"]
            lots[k] += r["qty_lots"]
            fills[k] += 1
            assert r["latency_ns"] == case.config.response_ns == r["ts_ns"] - r["exch_ts_ns"]
            assert r["age_ns"] >= case.config.entry_ns
        ordered[k] += r["kind"] != REC_FILL and r["code"] == EVENT_NEW
        assert r["position_lots"] == position[k]
        if rule == RULE_S1:
            assert abs(position[k]) <= case.config.cap_lots
    names = ("fills", "position_lots", "cash_tick_lots", "filled_lots", "ordered")
    rows = [dict(zip(names, row, strict=True)) for row in zip(fills, position, cash, lots, ordered, strict=True)]
    assert rows == session.lane_sums()


@pytest.mark.parametrize("seed", SEEDS)
def test_no_more_is_filled_than_was_there(seed: int, rule: int, make_case: Any) -> None:
    """Partial fills: at one time a lane gets at most the lots of the trades and crossing levels of that time."""
    case = make_case(seed, rule)
    case = case.with_config(full_fill=0)
    there: dict[tuple[int, int], int] = defaultdict(int)
    for exch, _, kind, flags, _, lots in zip(*(column.tolist() for column in case.columns), strict=True):
        if kind != MARKER:
            sign = -1 if flags & BUY else 1  # a buying aggressor, or a bid that crosses, meets our asks
            there[exch, sign] += lots
    got: dict[tuple[int, int, int], int] = defaultdict(int)
    for r in run(case)[1]:
        if r["kind"] == REC_FILL:
            got[r["lane"], r["exch_ts_ns"], r["side"]] += r["qty_lots"]
    for (_, exch, side), lots in got.items():
        assert lots <= there[exch, side]


def exchange_at(book: Any, case: Any) -> Any:
    """Yields (time, book after everything up to that time), for rising times that are sent in."""
    rows = list(zip(*(column.tolist() for column in case.columns), strict=True))
    rows.sort(key=lambda row: row[0])
    until = yield
    for exch, _, kind, flags, price, lots in rows:
        while exch > until:
            until = yield book
        if kind == MARKER:
            if flags & CLEAR:
                book.clear()
            book.gap |= bool(flags & GAP)
        elif kind == DEPTH and case.window[0] <= price < case.window[1]:
            book.set(BID if flags & BUY else ASK, price, lots)
        if flags & LAST:
            book.judge()
    while True:
        yield book


@pytest.mark.parametrize("seed", SEEDS)
def test_post_only(seed: int, rule: int, make_case: Any, reference_book: Any) -> None:
    """What is accepted does not reach the other side at its arrival, what is refused for it does; no fill then."""
    case = make_case(seed, rule)
    _, records = run(case)
    book_at = exchange_at(reference_book, case)
    next(book_at)
    arrivals = [r for r in records if r["kind"] != REC_FILL and r["exch_ts_ns"] > 0]
    for r in sorted(arrivals, key=lambda r: r["exch_ts_ns"]):
        book = book_at.send(r["exch_ts_ns"])
        opposite = book.best[ASK if r["side"] > 0 else BID]
        reaches = opposite is not None and r["side"] * (r["price_ticks"] - opposite) >= 0
        if r["code"] == EVENT_ACK and r["reason"] in (REASON_NEW, REASON_AMEND):
            assert not reaches
        if r["code"] == EVENT_EXPIRE and r["reason"] == REASON_POST_ONLY:
            assert reaches
    happened = set(case.columns.exch_ts_ns.tolist())
    assert all(r["exch_ts_ns"] in happened for r in records if r["kind"] == REC_FILL)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_quoted_book_is_never_crossed(seed: int, rule: int, make_case: Any) -> None:
    case = make_case(seed, rule)
    session = case.session()
    for until in np.unique(case.columns.local_ts_ns).tolist():
        session.advance(case.columns, until + 1, case.order)
        mid2, bid, ask = session.touch()
        assert mid2 == bid + ask
        assert mid2 == 0 or bid < ask


@pytest.mark.parametrize("seed", SEEDS)
def test_the_queue_ahead_never_grows(seed: int, rule: int, make_case: Any) -> None:
    """Read from the reference, which the kernel equals: the front falls, until the order joins anew."""
    case = make_case(seed, rule)
    reference = case.reference()
    ahead: dict[tuple[int, int, int], tuple[int, float]] = {}
    for until in np.unique(case.columns.exch_ts_ns).tolist():
        reference.advance(case.columns, until + 1)
        for order in reference.resting():
            key = order.lane, order.side, order.id
            arrival, front = ahead.get(key, (order.arrival, np.inf))
            if arrival == order.arrival:
                assert max(order.front, 0.0) <= max(front, 0.0)
            ahead[key] = order.arrival, order.front


@pytest.mark.parametrize("rule", [RULE_S1, RULE_SYMMETRIC])
def test_nothing_rests_across_a_marker(rule: int, make_case: Any) -> None:
    """Between a GAP and the next CLEAR nothing is accepted and nothing filled."""
    checked = 0
    for seed in SEEDS:
        case = make_case(seed, rule)
        order = np.argsort(case.columns.exch_ts_ns, kind="stable")
        exch, kind, flags = (column[order] for column in (case.columns[0], case.columns[2], case.columns[3]))
        marks = [(int(t), bool(f & CLEAR)) for t, k, f in zip(exch, kind, flags, strict=True) if k == MARKER]
        spans = []
        since = None
        for at, clears in marks:
            if clears and since is not None:
                spans.append((since, at))
                since = None
            elif not clears and since is None:
                since = at
        for r in run(case)[1]:
            good = r["kind"] == REC_FILL or (r["code"] == EVENT_ACK and r["reason"] in (REASON_NEW, REASON_AMEND))
            if good:
                assert not any(start < r["exch_ts_ns"] < end for start, end in spans)
            checked += r["kind"] != REC_FILL and r["code"] == EVENT_EXPIRE
    assert checked > 50


def test_cancels_are_only_sent_for_what_is_live(rule: int, make_case: Any) -> None:
    """At most one request of an order is under way at a time."""
    for seed in SEEDS:
        waiting: set[tuple[int, int]] = set()
        for r in run(make_case(seed, rule))[1]:
            order = r["lane"], r["order_id"]
            if r["kind"] == REC_FILL:
                continue
            if r["code"] in (EVENT_NEW, EVENT_AMEND, EVENT_CANCEL):
                assert order not in waiting
                waiting.add(order)
            elif r["code"] in (EVENT_ACK, EVENT_REJECT) or r["reason"] == REASON_POST_ONLY:
                waiting.remove(order)


def test_trades_are_the_tapes(make_case: Any) -> None:
    """A fill's price is the order's own, and some trade or level of the tape reaches it at that time."""
    for rule in (RULE_S1, RULE_SYMMETRIC):
        for seed in SEEDS:
            case = make_case(seed, rule)
            reaching: dict[tuple[int, int], list[int]] = defaultdict(list)
            for exch, _, kind, flags, price, _ in zip(*(c.tolist() for c in case.columns), strict=True):
                if kind in (TRADE, DEPTH):
                    reaching[exch, -1 if flags & BUY else 1].append(price)
            for r in run(case)[1]:
                if r["kind"] == REC_FILL:
                    prices = reaching[r["exch_ts_ns"], r["side"]]
                    assert any(r["side"] * (r["price_ticks"] - price) >= 0 for price in prices)
