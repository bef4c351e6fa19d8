"""The local venue's own manners: answers, refusals, depths, REST; asked by a plain websocket client."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from engine.errors import ConfigError, FeedError
from engine.live.bybit import chunks
from engine.live.faults import Fault, parse_fault
from engine.live.lookup import find_instruments
from engine.live.runner import LiveSource
from engine.live.venue_thread import VenueThread
from engine.live.venues import places, read_venues
from engine.market.tape import Tape

VenueOf = Callable[..., VenueThread]


def talk(socket: ClientConnection, **asked: Any) -> dict[str, Any]:
    socket.send(json.dumps(asked))
    return hear(socket)


def hear(socket: ClientConnection) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(socket.recv(timeout=10))
    return value


@pytest.fixture
def venue(sample: Tape, venue_of: VenueOf) -> VenueThread:
    return venue_of(sample, speed=50.0, wait_for=99)


def test_requests_are_answered_as_the_venue_does(venue: VenueThread) -> None:
    with connect(f"{venue.endpoint}/v5/public/linear", compression=None) as socket:
        pong = talk(socket, op="ping", req_id="7")
        assert (pong["success"], pong["ret_msg"], pong["op"], pong["req_id"]) == (True, "pong", "ping", "7")
        refused = talk(socket, op="subscribe", args=["publicTrade.SIMUSDT", "orderbook.500.SIMUSDT"], req_id="8")
        assert refused["success"] is False and refused["req_id"] == "8"
        assert refused["ret_msg"] == "error:handler not found,topic:orderbook.500.SIMUSDT"
        assert talk(socket, op="subscribe", args=["orderbook.50.NOSUCH"])["ret_msg"].endswith(
            "topic:orderbook.50.NOSUCH"
        )
        done = talk(socket, op="subscribe", args=["orderbook.50.SIMUSDT"], req_id="9")
        assert (done["success"], done["ret_msg"], done["op"], done["req_id"]) == (True, "", "subscribe", "9")
        book = hear(socket)
        assert (book["topic"], book["type"]) == ("orderbook.50.SIMUSDT", "snapshot")
        assert {"ts", "cts", "data"} < book.keys() and {"s", "b", "a", "u", "seq"} == book["data"].keys()
        bids, asks = ([float(price) for price, _ in book["data"][side]] for side in "ba")
        assert len(bids) == len(asks) == 50 and bids == sorted(bids, reverse=True) and asks == sorted(asks)
        again = talk(socket, op="subscribe", args=["orderbook.50.SIMUSDT"])
        assert again["ret_msg"] == "error:already subscribed,topic:orderbook.50.SIMUSDT"
        assert talk(socket, op="unsubscribe", args=["orderbook.50.SIMUSDT"])["success"] is True
        assert talk(socket, op="dance")["success"] is False
        socket.send("{broken")
        assert hear(socket)["success"] is False
        assert talk(socket, op="subscribe", args=["publicTrade.SIMUSDT"] * 2000)["success"] is False
    with connect(f"{venue.endpoint}/v5/public/spot", compression=None) as socket:
        assert talk(socket, op="subscribe", args=["x"] * 11)["ret_msg"] == "args size >10"
        assert talk(socket, op="subscribe", args=["publicTrade.SIMUSDT"])["ret_msg"] == "subscribe"


def test_depth_one_sends_snapshots_only_and_deeper_books_chain(sample: Tape, venue_of: VenueOf) -> None:
    venue = venue_of(sample, speed=50.0)
    with connect(f"{venue.endpoint}/v5/public/linear", compression=None, close_timeout=0.2) as socket:
        talk(socket, op="subscribe", args=["orderbook.1.SIMUSDT", "orderbook.200.SIMUSDT"])
        last, deltas = 0, 0
        while deltas < 50:
            frame = hear(socket)
            data = frame["data"]
            if frame["topic"] == "orderbook.1.SIMUSDT":
                assert frame["type"] == "snapshot" and len(data["b"]) == len(data["a"]) == 1
            elif frame["type"] == "delta":
                assert data["u"] == last + 1 and (data["b"] or data["a"])
                deltas += 1
            last = data["u"] if frame["topic"] == "orderbook.200.SIMUSDT" else last


def test_only_known_paths_are_served(venue: VenueThread) -> None:
    rest = venue.endpoint.replace("ws:", "http:")
    assert httpx.get(f"{rest}/v5/private").status_code == 404
    assert httpx.get(f"{rest}/fapi/v1/depth?symbol=NOSUCH").json() == {"code": -1121, "msg": "Invalid symbol."}


@pytest.mark.parametrize("feed", ["bybit", "binance"])
def test_a_grid_is_asked_of_the_endpoint(feed: str, sample: Tape, venue: VenueThread) -> None:
    (one,) = find_instruments(feed, ["SIMUSDT"], venue.endpoint, read_venues())
    truth = sample.meta.instrument()
    assert (one.tick, one.lot, one.min_qty_lots) == (truth.tick, truth.lot, truth.min_qty_lots)
    assert (one.quote_currency, one.pnl_currency, one.contract) == ("USDT", "USDT", "linear")
    with pytest.raises(ConfigError, match=f"{feed} does not list NOSUCH"):
        find_instruments(feed, ["NOSUCH"], venue.endpoint, read_venues())


def test_known_symbols_need_no_network_and_others_say_what_is_wrong() -> None:
    (one,) = find_instruments("bybit", ["BTCUSDT"], "", read_venues())
    assert (one.venue, str(one.tick)) == ("bybit-linear", "0.1")
    for symbols, what in (([], "no symbol"), (["BTCUSDT", "BTCUSDT"], "given twice")):
        with pytest.raises(ConfigError, match=what):
            find_instruments("bybit", symbols, "", read_venues())
    with pytest.raises(FeedError, match="does not answer"):
        find_instruments("bybit", ["BTCUSDT"], "ws://127.0.0.1:9", read_venues())


def test_a_refused_topic_is_an_error_that_names_it(
    venue: VenueThread, source_of: Callable[..., LiveSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(venue, start=False)
    source.session.links[0].symbols = ("SIMUSDT", "GONEUSDT")
    source.intake._link_symbols = [[source.symbols["SIMUSDT"]]]
    source.start()
    with pytest.raises(FeedError, match=r"the venue refuses publicTrade\.GONEUSDT: error:handler not found"):
        source.wait_ready(10)


def test_subscriptions_are_cut_to_the_venues_bounds() -> None:
    topics = [f"orderbook.50.SYMBOL{number}USDT" for number in range(900)]
    cut = chunks(topics, 21_000, 500)
    assert [topic for chunk in cut for topic in chunk] == topics and chunks([], 100, 10) == []
    assert all(len(json.dumps(chunk)) <= 21_000 + 900 and len(chunk) <= 500 for chunk in cut) and len(cut) == 2
    assert [len(chunk) for chunk in chunks(topics[:25], 21_000, 10)] == [10, 10, 5]


def test_endpoints_are_websocket_addresses() -> None:
    assert places("wss://a/", "https://b/", "") == ("wss://a", "https://b")
    assert places("wss://a", "https://b", "ws://127.0.0.1:5/") == ("ws://127.0.0.1:5", "http://127.0.0.1:5")
    with pytest.raises(ConfigError, match="is not a websocket address"):
        places("wss://a", "https://b", "http://127.0.0.1:5")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("disconnect@30s", Fault("disconnect", 30.0)),
        ("silence@1.5m:15s", Fault("silence", 90.0, 15.0)),
        ("gap@2:3", Fault("gap", 2.0, 3.0)),
    ],
)
def test_faults_are_read(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("text", ["", "gap", "gap@", "flood@3s", "gap@3s:", "gap@1.2.3s", "gap@-1s"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no fault"):
        parse_fault(text)
