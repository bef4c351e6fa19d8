"""The local venue's own manners: answers, refusals, depths, REST; asked by a plain websocket client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

from engine.errors import ConfigError, FeedError
from engine.live.bybit import chunks
from engine.live.faults import Fault, parse_fault
from engine.live.lookup import find_instruments
from engine.live.runner import LiveSource
from engine.live.venue_thread import VenueThread
from engine.live.venues import places, read_venues
from engine.market.events import LAST
from engine.market.tape import Tape, write_tape

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


@pytest.fixture
def few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few frames may wait for a client, so that what a socket holds is most of it."""
    monkeypatch.setattr("engine.live.outlet._CLIENT_FRAMES", 50)


TOPICS = ["orderbook.200.SIMUSDT", "orderbook.1000.SIMUSDT"]


@pytest.mark.usefixtures("few_frames")
def test_who_does_not_read_is_hung_up_on(sample: Tape, venue_of: VenueOf, until: Callable[..., None]) -> None:
    venue = venue_of(sample, speed=1e6, loop=True)
    with connect(f"{venue.endpoint}/v5/public/linear", compression=None, max_queue=1, close_timeout=0.1) as socket:
        assert talk(socket, op="subscribe", args=TOPICS)["success"]
        until(lambda: not venue.venue._outlet.clients, "end of the connection")
        venue.pause()


@pytest.mark.usefixtures("few_frames")
def test_at_the_greatest_speed_a_client_that_is_behind_is_waited_for_and_answered(
    sample: Tape, venue_of: VenueOf, until: Callable[..., None]
) -> None:
    venue = venue_of(sample, speed=0, loop=True)
    with connect(f"{venue.endpoint}/v5/public/linear", compression=None, max_queue=1, close_timeout=0.1) as socket:
        talk(socket, op="subscribe", args=TOPICS)
        until(lambda: all(client.is_full for client in venue.venue._outlet.clients), "full queue")
        socket.send('{"op":"ping"}')
        while hear(socket).get("ret_msg") != "pong":
            """What came before it."""
        venue.pause()


def test_only_known_paths_are_served(venue: VenueThread) -> None:
    rest = venue.endpoint.replace("ws:", "http:")
    assert httpx.get(f"{rest}/v5/private").status_code == 404
    assert httpx.get(f"{rest}/fapi/v1/depth?symbol=NOSUCH").json() == {"code": -1121, "msg": "Invalid symbol."}


def test_a_short_market_at_the_greatest_speed_is_not_over_before_its_book_is_asked_for(
    sample: Tape, venue_of: VenueOf, source_of: Callable[..., LiveSource], until: Callable[..., None], tmp_path: Path
) -> None:
    end = int(np.flatnonzero(sample.columns.flags & LAST)[200]) + 1
    tape = write_tape(tmp_path / "short", sample.columns.part(0, end), instrument=sample.meta.instrument())
    venue = venue_of(tape, mode="binance", speed=0)
    source = source_of(venue)
    until(lambda: venue.finished, "end of the market")
    source.wait_ready(10)
    market, live = venue.venue.markets["SIMUSDT"], source.symbols["SIMUSDT"].live
    until(lambda: (live.bids, live.asks) == (market.bids.lots, market.asks.lots), "whole book")
    assert len(source.rows_until(source.now_ns()).kind) > 400 and source.counters.gaps == 0


@pytest.mark.parametrize("feed", ["bybit", "binance"])
def test_a_grid_is_asked_of_the_endpoint(feed: str, sample: Tape, venue: VenueThread) -> None:
    (one,) = find_instruments(feed, ["SIMUSDT"], venue.endpoint, read_venues())
    truth = sample.meta.instrument()
    assert (one.tick, one.lot, one.min_qty_lots) == (truth.tick, truth.lot, truth.min_qty_lots)
    assert (one.quote_currency, one.pnl_currency, one.contract) == ("USDT", "USDT", "linear")
    with pytest.raises(ConfigError, match=f"{feed} does not list NOSUCH"):
        find_instruments(feed, ["NOSUCH"], venue.endpoint, read_venues())
    with pytest.raises(ConfigError, match=f"{feed} does not list BTCUSDTT; did you mean 'BTCUSDT'"):
        find_instruments(feed, ["BTCUSDTT"], venue.endpoint, read_venues())


def test_known_symbols_need_no_network_and_others_say_what_is_wrong() -> None:
    (one,) = find_instruments("bybit", ["BTCUSDT"], "", read_venues())
    assert (one.venue, str(one.tick)) == ("bybit-linear", "0.1")
    for symbols, what in (([], "no symbol"), (["BTCUSDT", "BTCUSDT"], "given twice")):
        with pytest.raises(ConfigError, match=what):
            find_instruments("bybit", symbols, "", read_venues())
    with pytest.raises(FeedError, match="does not answer"):
        find_instruments("bybit", ["BTCUSDT"], "ws://127.0.0.1:9", read_venues())


BYBIT_ROW = {
    "symbol": "XUSDT",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "priceFilter": {"tickSize": "0.1"},
    "lotSizeFilter": {"qtyStep": "0.01", "minOrderQty": "0.05"},
}


@pytest.fixture
def endpoint_answering() -> Iterator[Callable[[Any], str]]:
    """A web server that answers everything with one JSON value; its address, as a websocket's."""
    with ExitStack() as stack:

        def serve(value: Any) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    body = json.dumps(value).encode()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *words: Any) -> None:
                    pass

            server = stack.enter_context(HTTPServer(("127.0.0.1", 0), Handler))
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            stack.callback(server.shutdown)
            return f"ws://127.0.0.1:{server.server_port}"

        yield serve


@pytest.mark.parametrize(
    ("feed", "answer"),
    [
        ("bybit", []),
        ("bybit", {"result": {"list": [{"symbol": "XUSDT"}]}}),
        ("bybit", {"result": {"list": [BYBIT_ROW | {"priceFilter": {"tickSize": "fine"}}]}}),
        ("bybit", {"result": {"list": [BYBIT_ROW | {"priceFilter": {"tickSize": "0"}}]}}),
        ("bybit", {"result": {"list": [BYBIT_ROW | {"lotSizeFilter": {"qtyStep": "0", "minOrderQty": "0"}}]}}),
        ("binance", {"code": -1003}),
        ("binance", {"symbols": [{"symbol": "XUSDT", "filters": []}]}),
    ],
)
def test_an_answer_that_is_not_the_venues_is_an_error_that_names_the_address(
    feed: str, answer: Any, endpoint_answering: Callable[[Any], str]
) -> None:
    endpoint = endpoint_answering(answer)
    with pytest.raises(FeedError, match="the venue's answer cannot be read") as caught:
        find_instruments(feed, ["XUSDT"], endpoint, read_venues())
    assert caught.value.where.startswith(endpoint.replace("ws", "http", 1)) and "--endpoint" in caught.value.remedy


def test_a_venue_that_answers_as_documented_is_understood(endpoint_answering: Callable[[Any], str]) -> None:
    endpoint = endpoint_answering({"result": {"list": [BYBIT_ROW]}})
    (one,) = find_instruments("bybit", ["XUSDT"], endpoint, read_venues())
    assert (str(one.tick), str(one.lot), one.min_qty_lots) == ("0.1", "0.01", 5)


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
    wrong = ("http://127.0.0.1:5", "ws://", "ws://h:99999", "ws://h:0", "ws://h:abc", "ws://[::1", "ws://a b:1", "wss:")
    for endpoint in wrong:
        with pytest.raises(ConfigError, match="is not a websocket address"):
            places("wss://a", "https://b", endpoint)
    with pytest.raises(ConfigError, match="need no user name") as caught:
        places("wss://a", "https://b", "ws://me:hunter2@127.0.0.1:5")
    assert "hunter2" not in str(caught.value)


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
