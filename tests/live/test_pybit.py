"""An independent client: pybit builds the same book from the local venue as we do, event by event."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pybit import unified_trading

from engine.live.runner import LiveSource
from engine.live.venue_thread import VenueThread
from engine.market.events import BUY, CLEAR, DEPTH, LAST, MARKER, TRADE, Columns
from engine.market.tape import Tape, write_tape

MESSAGES = 2500  # of the sample's 15,422: pybit searches its levels one by one
TICK, LOT = Decimal("0.001"), Decimal("0.1")
Book = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]
Trade = tuple[int, str, int, int]


def steps(text: str, step: Decimal) -> int:
    value = Decimal(text) / step
    assert value == int(value)
    return int(value)


def book_of(bids: dict[int, int], asks: dict[int, int]) -> Book:
    return tuple(sorted(bids.items(), reverse=True)), tuple(sorted(asks.items()))


def books(columns: Columns) -> list[Book]:
    """The whole book at the end of every depth message, kept the slow and obvious way."""
    found = []
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    rows = zip(*(column.tolist() for column in columns[2:]), strict=True)
    for kind, flags, price, lots in rows:
        if kind == MARKER and flags & CLEAR:
            bids, asks = {}, {}
        elif kind == DEPTH:
            side = bids if flags & BUY else asks
            side[price] = lots
            if not lots:
                del side[price]  # the venue deletes only what it has told of
        if flags & LAST and kind != TRADE:
            found.append(book_of(bids, asks))
    return found


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_pybit_builds_our_book_event_by_event(
    sample: Tape,
    venue_of: Callable[..., VenueThread],
    source_of: Callable[..., LiveSource],
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    end = int(np.flatnonzero(sample.columns.flags & LAST)[MESSAGES - 1]) + 1
    tape = write_tape(tmp_path / "part", sample.columns.part(0, end), instrument=sample.meta.instrument())
    venue = venue_of(tape, speed=0, keep_times=True, wait_for=3)
    theirs: list[Book] = []
    trades: list[Trade] = []

    def on_book(message: dict[str, Any]) -> None:
        bids, asks = ({steps(p, TICK): steps(q, LOT) for p, q in message["data"][side]} for side in "ba")
        theirs.append(book_of(bids, asks))

    def on_trades(message: dict[str, Any]) -> None:
        for one in message["data"]:
            trades.append((one["T"], one["S"], steps(one["p"], TICK), steps(one["v"], LOT)))

    def subscribe(client: unified_trading.WebSocket) -> None:
        client.trade_stream("SIMUSDT", on_trades)
        client.orderbook_stream(50, "SIMUSDT", on_book)

    monkeypatch.setattr(unified_trading, "PUBLIC_WSS", f"{venue.endpoint}/v5/public/{{CHANNEL_TYPE}}")
    client = unified_trading.WebSocket("linear", testnet=False, restart_on_error=False)
    try:
        asking = threading.Thread(target=subscribe, args=(client,), daemon=True)  # pybit may wait for ever
        asking.start()
        until(lambda: not asking.is_alive(), "subscription of pybit")
        source = source_of(venue)
        until(lambda: venue.finished, "end of the tape", 60)
        sent = venue.venue.sent["orderbook.50.SIMUSDT"]
        until(lambda: len(theirs) >= sent + 1, "end at pybit", 20)  # and the snapshot of the subscription
    finally:
        client.exit()
    columns = source.rows_until(source.now_ns())
    assert source.gaps() == [] and source.counters.reconnects == 0
    ours = books(columns)
    assert len(ours) == len(theirs) == sent + 1 > 1500
    differing = [at for at, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
    assert differing == []
    # Both told the tape's own story, too: every trade, and the touch that the tape's whole book has.
    rows = np.flatnonzero(columns.kind == TRADE)
    sides = np.where(columns.flags[rows] & BUY, "Buy", "Sell").tolist()
    ms = (columns.exch_ts_ns[rows] // 1_000_000).tolist()
    mine = list(zip(ms, sides, columns.price_ticks[rows].tolist(), columns.qty_lots[rows].tolist(), strict=True))
    assert mine == trades and len(trades) == tape.meta.trade_count
    touches = [(bids[0], asks[0]) for bids, asks in ours]
    truth = touches_of(tape.columns)
    assert [one for at, one in enumerate(touches) if at == 0 or one != touches[at - 1]] == [
        one for at, one in enumerate(truth) if at == 0 or one != truth[at - 1]
    ]


def touches_of(columns: Columns) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """((bid, lots), (ask, lots)) of the tape's own book at the end of every depth message."""
    found = []
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    for kind, flags, price, lots in zip(*(column.tolist() for column in columns[2:]), strict=True):
        if kind == DEPTH:
            side = bids if flags & BUY else asks
            side[price] = lots
            if not lots:
                del side[price]
        if flags & LAST and kind != TRADE:
            bid, ask = max(bids), min(asks)
            found.append(((bid, bids[bid]), (ask, asks[ask])))
    return found
