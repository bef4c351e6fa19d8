"""One symbol's rules without a socket: what is refused, what is lost, and what stands in the events then."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.instrument import Instrument
from engine.live.binance import binance_book, joins
from engine.live.book import CrossedBookError, LiveBook
from engine.live.bybit import bybit_book, route
from engine.live.frames import FrameQueue, Item, Kind
from engine.live.health import Counters
from engine.live.symbol import RecentIds, SymbolFeed
from engine.market.capture import Line
from engine.market.events import BUY, CLEAR, DEPTH, GAP, MARKER, TRADE

MS = 1_000_000
T0 = 1_700_000_000_000
LINEAR = Instrument("bybit-linear", "BTCUSDT", Decimal("0.1"), Decimal("0.001"), "linear", Decimal(1), "USDT", "USDT")
Play = Callable[..., SymbolFeed]


def book(u: int, bids: Any = (), asks: Any = (), *, snapshot: bool = False, **more: Any) -> dict[str, Any]:
    data = {"s": "BTCUSDT", "b": list(bids), "a": list(asks), "u": u, "seq": u}
    kind = "snapshot" if snapshot else "delta"
    return {"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": T0 + u, "data": data, "cts": T0 + u, **more}


START = book(7, [["100.0", "1"], ["99.9", "1"]], [["100.2", "2"], ["100.3", "4"]], snapshot=True)
AGAIN = book(90, [["100.1", "1"]], [["100.2", "2"]], snapshot=True)


@pytest.fixture
def play() -> Play:
    """Feeds frames, a millisecond apart, to a fresh symbol."""

    def run(*frames: dict[str, Any]) -> SymbolFeed:
        feed = SymbolFeed("BTCUSDT", bybit_book(LINEAR), Counters(), 100)
        for number, frame in enumerate(frames):
            _, update_id, fresh = route(frame)
            feed.take(Line("bybit", number, (T0 + number + 100) * MS, frame), update_id, fresh=fresh)
        return feed

    return run


def markers(feed: SymbolFeed) -> list[str]:
    batch = feed.drain()
    assert batch is not None
    flags = batch.columns.flags[batch.columns.kind == MARKER].tolist()
    assert len(batch.gaps) == sum(flag & GAP > 0 for flag in flags)
    return ["gap" if flag & GAP else "clear" for flag in flags]


@pytest.mark.parametrize(
    ("frame", "counter", "reason"),
    [
        (book(8, [["100.2", "1"]]), "crossed", "book crossed: bid 1002, ask 1002 ticks"),
        (book(8, [["100.05", "1"]]), "garbage", "garbage: field bids: price '100.05' is not a multiple of 0.1"),
        (book(8, [["100.0", "1"]], [["100.2", "-1"]]), "garbage", "garbage: field asks: size '-1'"),
        (book(8, [["99.8", "1"]], ts="soon"), "garbage", "garbage: is not a frame of a known form (ValueError("),
        (book(8, [["99.8", "1"]], cts=10**15), "garbage", "garbage: is not a frame of a known form (OverflowError("),
        (book(8, [["99.8"]]), "garbage", "garbage: field bids: "),
        (book(8, None or [], [], data={"u": 8}), "garbage", "garbage: is not a frame of a known form (KeyError('b'))"),
    ],
)
def test_a_message_that_cannot_be_is_refused_whole_and_the_book_is_lost(
    frame: dict[str, Any], counter: str, reason: str, play: Play
) -> None:
    feed = play(START, frame, book(9, [["99.7", "3"]]), AGAIN, book(91, [["100.1", "0"]], [["100.1", "5"]]))
    assert getattr(feed.counters, counter) == feed.counters.gaps == 1 and feed.synced
    assert feed.gaps[0].reason.startswith(reason)
    assert (feed.gaps[0].since_ns, feed.gaps[0].noticed_ns, feed.gaps[0].until_ns) == tuple(
        (T0 + 100 + at) * MS for at in (0, 1, 3)
    )
    assert (feed.live.bids, feed.live.asks) == ({}, {1001: 5000, 1002: 2000})
    assert markers(feed) == ["clear", "gap", "clear"]


def test_losses_while_there_is_no_book_are_one_gap(play: Play) -> None:
    feed = play(START, book(10), book(12, [["100.05", "1"]]), book(8), AGAIN)
    assert feed.counters.gaps == 1 and feed.counters.out_of_order == 1
    assert markers(feed) == ["clear", "gap", "clear"]


def test_updates_that_fall_back_for_good_are_a_loss(play: Play) -> None:
    old = [book(7 - number % 5) for number in range(60) if 7 - number % 5 != 1]
    feed = play(START, book(8), *old)
    assert [gap.reason for gap in feed.gaps] == ["sequence: update ids fell back"] and not feed.synced
    assert feed.counters.out_of_order >= 50


def test_a_restart_replaces_the_book_and_the_ids(play: Play) -> None:
    feed = play(START, book(1, [["98.0", "1"]], [["98.1", "1"]]), book(2, [["98.0", "4"]]))
    assert feed.counters.gaps == 0 and feed.live.bids == {980: 4000} and feed.synced


def test_events_begin_with_the_first_book(play: Play) -> None:
    trade = {"T": T0, "s": "BTCUSDT", "S": "Buy", "v": "0.1", "p": "100.2", "i": "a", "BT": False}
    trades = {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": T0, "data": [trade]}
    assert play(trades).drain() is None
    batch = play(trades, START, trades).drain()
    assert batch is not None and batch.columns.flags[0] & CLEAR and len(batch.columns.kind) == 5


def test_trades_that_come_again_after_a_reconnection_count_once(play: Play) -> None:
    def trades(*ids: str) -> dict[str, Any]:
        rows = [{"T": T0, "s": "BTCUSDT", "S": "Buy", "v": "0.1", "p": "100.2", "i": i, "BT": False} for i in ids]
        return {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": T0, "data": rows}

    feed = play(START, trades("a", "b"))
    feed.lose((T0 + 200) * MS, "connection: gone")
    for number, frame in enumerate((trades("b", "c"), AGAIN)):
        _, update_id, fresh = route(frame)
        feed.take(Line("bybit", number, (T0 + 300) * MS, frame), update_id, fresh=fresh)
    batch = feed.drain()
    assert batch is not None and int((batch.columns.kind == TRADE).sum()) == 3
    assert feed.counters.trades_repeated == 1 and feed.synced


def test_the_memory_of_ids_is_bounded() -> None:
    ids = RecentIds(3)
    assert [ids.is_new(one) for one in ("a", "b", "a", None, None, "c", "d", "a")] == [
        True, True, False, True, True, True, True, True,
    ]  # fmt: skip


LEVELS = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=6, unique_by=lambda level: level[0])


@given(steps=st.lists(st.tuples(st.booleans(), LEVELS, LEVELS), max_size=20))
def test_the_book_keeps_its_bests_and_is_never_crossed(steps: list[Any]) -> None:
    """Against two dicts and min and max: the slow and obvious way."""
    live = LiveBook()
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    for clear, down, up in steps:
        if clear:
            bids, asks = {}, {}
        for side, levels in ((bids, down), (asks, up)):
            side.update(levels)
            for price in [price for price, lots in side.items() if not lots]:
                del side[price]
        crossed = bool(bids and asks and max(bids) >= min(asks))
        arguments = [[*part] for levels in (down, up) for part in (zip(*levels, strict=True) if levels else ((), ()))]
        if crossed:
            with pytest.raises(CrossedBookError):
                live.apply(clear, *arguments)
            return
        live.apply(clear, *arguments)
        assert (live.bids, live.asks) == (bids, asks)
        assert (live.best_bid, live.best_ask) == (max(bids, default=0), min(asks, default=0))
        assert live.mid2 == (max(bids) + min(asks) if bids and asks else 0)
        columns = live.snapshot(5, 6)
        depth = columns.kind == DEPTH
        told = list(zip(columns.price_ticks[depth].tolist(), columns.qty_lots[depth].tolist(), strict=True))
        buys = (columns.flags[depth] & BUY).tolist()
        assert {level for level, buy in zip(told, buys, strict=True) if buy} == set(bids.items())
        assert {level for level, buy in zip(told, buys, strict=True) if not buy} == set(asks.items())


@pytest.mark.parametrize(("last_id", "fits"), [(4, False), (5, True), (9, True), (10, True), (30, True)])
def test_a_snapshot_joins_the_updates_kept_or_is_too_old(last_id: int, fits: bool) -> None:
    waiting = binance_book(LINEAR)
    for pu, u in ((5, 10), (10, 20)):
        data = {"e": "depthUpdate", "E": T0, "T": T0, "s": "BTCUSDT", "U": pu + 1, "u": u, "pu": pu, "b": [], "a": []}
        waiting.take(Line("binance", 1, T0 * MS, {"stream": "x", "data": data}))
    snapshot = {"lastUpdateId": last_id, "T": T0, "bids": [["100.0", "1"]], "asks": [["100.2", "1"]]}
    assert joins(waiting, snapshot) is fits


def test_a_full_queue_drops_counts_and_says_where() -> None:
    counters = Counters()
    frames = FrameQueue(4, 1 << 20, counters)
    for number in range(7):
        frames.put_frame(number, 0, b"x")
    frames.put(Item(7, Kind.LOST, 0, ("gone", 0)))  # news always finds room
    kinds = []
    while (item := frames.get(0)) is not None:
        kinds.append((item.local_ns, item.kind))
    assert kinds == [*((at, Kind.FRAME) for at in range(4)), (4, Kind.OVERFLOW), (7, Kind.LOST)]
    assert (counters.messages, counters.dropped, frames.backlog, frames.backlog_bytes) == (7, 3, 0, 0)
    frames.put_frame(8, 0, b"x")
    assert frames.backlog == 1 and counters.dropped == 3


def test_a_queue_is_bounded_in_bytes_too() -> None:
    counters = Counters()
    frames = FrameQueue(1000, 10, counters)
    for _ in range(4):
        frames.put_frame(0, 0, b"12345")
    assert counters.dropped == 2 and frames.backlog_bytes == 10
