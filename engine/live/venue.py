"""A local venue: plays tapes over a real websocket on the loopback interface, and fails on request.

It speaks the public streams of Bybit V5, or of Binance USD-M futures, as docs/live-feed.md describes them. The tape
starts with the first subscription, unless told otherwise; a book's first message stands before that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import orjson
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engine.errors import RunError
from engine.live import binance_frames, bybit_frames
from engine.live.faults import Fault
from engine.live.outlet import Client, Outlet
from engine.live.player import NS_PER_MS, Frame, Market, Message, messages, timetable
from engine.market.tape import Tape

HOST = "127.0.0.1"
NS_PER_S = 1_000_000_000
_BURST = 64
_LOG = logging.getLogger("nightsoak.venue")
_LOG.addHandler(logging.NullHandler())  # a client that goes away in its handshake is no news for a terminal
_ANSWER_S = 0.02
_SNAPSHOT_S = 10.0


class Venue:
    """Plays one tape per symbol. `async with Venue(...) as venue:` serves; `play` plays until the tapes' end.

    Args:
        tapes: one per symbol; `symbols` renames them, in their order.
        mode: "bybit" or "binance".
        speed: 1 real time, 60 a minute of the tape a second; 0 as fast as the clients take it.
        loop: begin again at the end.
        port: 0 for a free one.
        faults: injected at their times, counted from the start of the playing.
        keep_times: frames carry the tape's own times instead of now's.
        wait_for: play when so many requests to subscribe (Binance: connections) have come; 0: at once.
    """

    def __init__(
        self,
        tapes: Sequence[Tape],
        *,
        mode: str = "bybit",
        speed: float = 1.0,
        loop: bool = False,
        port: int = 0,
        faults: Iterable[Fault] = (),
        keep_times: bool = False,
        symbols: Sequence[str] = (),
        wait_for: int = 1,
    ) -> None:
        names = list(symbols) or [tape.meta.symbol for tape in tapes]
        self.markets = {name: Market(tape, name) for name, tape in zip(names, tapes, strict=True)}
        self.mode, self.speed, self.loop, self.port = mode, speed, loop, port
        self.faults, self.keep_times, self.wait_for = tuple(faults), keep_times, wait_for
        self.finished = False
        self._outlet = Outlet(patient=not speed)
        self._books: dict[str, bybit_frames.BookStream] = {}
        self._diffs = {name: binance_frames.DiffStream(market) for name, market in self.markets.items()}
        self._snapshot_asked = {name: asyncio.Event() for name in self.markets}
        self._started, self._unpaused = asyncio.Event(), asyncio.Event()
        self._unpaused.set()
        self._server: Server | None = None

    # --- serving ------------------------------------------------------------------------------------------------
    async def __aenter__(self) -> Self:
        try:
            self._server = await serve(
                self._handle,
                HOST,
                self.port,
                process_request=self._answer_http,
                compression=None,
                ping_interval=None,
                logger=_LOG,
            )
        except OSError as error:
            raise RunError(
                f"cannot listen: {error.strerror or error}",
                where=f"{HOST}:{self.port}",
                remedy="choose another --port, or leave it out",
            ) from error
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close(close_connections=False)
        self._outlet.drop_all()
        await self._server.wait_closed()

    @property
    def endpoint(self) -> str:
        return f"ws://{HOST}:{self.port}"

    @property
    def sent(self) -> Counter[str]:
        """Frames sent by topic, answers left out."""
        return self._outlet.sent

    def inject(self, kind: str, amount: float = 1) -> None:
        """Make a fault happen now (see engine.live.faults). For the event loop's own thread."""
        self._outlet.inject(kind, amount)

    def pause(self, paused: bool = True) -> None:
        """Stop playing, or go on; connections and requests are served all the while."""
        if paused:
            self._unpaused.clear()
        else:
            self._unpaused.set()

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        path = urlsplit(connection.request.path)
        client = Client(connection, path.path.rpartition("/")[2])
        self._outlet.clients.add(client)
        sender = asyncio.create_task(client.send_all())
        try:
            if self.mode == "binance":
                client.topics.update(parse_qs(path.query).get("streams", [""])[0].split("/"))
                self._subscribed()
            async for raw in connection:
                if self.mode == "bybit":
                    await asyncio.sleep(_ANSWER_S)  # clients may count on an answer that takes its time
                    self._bybit_request(client, raw)
        except ConnectionClosed:
            pass
        finally:
            sender.cancel()
            self._outlet.clients.discard(client)

    def _answer_http(self, connection: ServerConnection, request: Request) -> Response | None:
        """REST answers, and refused connections."""
        path = urlsplit(request.path)
        asked = {name: values[0] for name, values in parse_qs(path.query).items()}
        if path.path == "/v5/market/instruments-info":
            rows = [bybit_frames.instrument_info(one) for one in self.markets.values()]
            rows = [row for row in rows if asked.get("symbol", row["symbol"]) == row["symbol"]]
            rows = [row for row in rows if (asked.get("category") == "inverse") == row["contractType"].startswith("I")]
            return _json({"retCode": 0, "retMsg": "OK", "result": {"category": asked.get("category"), "list": rows}})
        if path.path == "/fapi/v1/exchangeInfo":
            return _json(binance_frames.exchange_info(list(self.markets.values())))
        if path.path == "/fapi/v1/depth":
            diff = self._diffs.get(asked.get("symbol", ""))
            if diff is None:
                return _json({"code": -1121, "msg": "Invalid symbol."}, HTTPStatus.BAD_REQUEST)
            if self._outlet.is_on("limit"):
                return _json({"code": -1003, "msg": "Too many requests."}, HTTPStatus.TOO_MANY_REQUESTS, retry_after=1)
            self._snapshot_asked[diff.market.symbol].set()
            return _json(diff.snapshot(int(asked.get("limit", 500))))
        if self._outlet.is_on("refuse"):
            return _json({"error": "refused on request"}, HTTPStatus.SERVICE_UNAVAILABLE)
        bybit = path.path in ("/v5/public/linear", "/v5/public/inverse", "/v5/public/spot")
        if bybit if self.mode == "bybit" else path.path.endswith("/stream"):
            return None
        return _json({"error": "no such path"}, HTTPStatus.NOT_FOUND)

    # --- Bybit requests -----------------------------------------------------------------------------------------
    def _bybit_request(self, client: Client, raw: str | bytes) -> None:
        try:
            asked = orjson.loads(raw)
            op, args, req_id = asked.get("op"), asked.get("args", []), str(asked.get("req_id", ""))
            topics = [str(topic) for topic in args]
        except (ValueError, AttributeError, TypeError):
            self._say(client, {"success": False, "ret_msg": "error:invalid request", "op": "", "req_id": ""})
            return
        answer = {"success": True, "ret_msg": "", "conn_id": str(client.connection.id), "req_id": req_id, "op": op}
        if op == "ping":
            self._say(client, {**answer, "ret_msg": "pong"})
            return
        refusal = bybit_frames.refusal(op, topics, client.category, self.markets, client.topics)
        if refusal:
            self._say(client, {**answer, "success": False, "ret_msg": refusal})
            return
        self._say(client, {**answer, "ret_msg": "subscribe" if client.category == "spot" else ""})
        if op == "unsubscribe":
            client.topics.difference_update(topics)
            return
        client.topics.update(topics)
        for topic in topics:
            self._send_snapshot(client, topic)
        self._subscribed()

    def _subscribed(self) -> None:
        self.wait_for -= 1
        if self.wait_for <= 0:
            self._started.set()

    def _send_snapshot(self, client: Client, topic: str) -> None:
        found = bybit_frames.read_topic(topic)
        if found is None or not found[1] or self._outlet.is_on("silence"):
            return
        name, depth = found
        self._first(name)
        stream = self._books.get(topic)
        if stream is None:
            stream = self._books[topic] = bybit_frames.BookStream(self.markets[name], depth)
        self._say(client, stream.snapshot())

    def _first(self, name: str) -> None:
        """Before the playing has begun a book is the tape's first snapshot."""
        market = self.markets[name]
        first = next((message for message in messages(market.tape) if message.is_depth), None)
        if market.seq == 0 and first is not None:
            market.now_ms = time.time_ns() // NS_PER_MS
            market.exch_ms = first.exch_ns // NS_PER_MS if self.keep_times else market.now_ms
            market.apply(first)

    def _say(self, client: Client, frame: Frame) -> None:
        client.answer(orjson.dumps(frame).decode())

    # --- playing ------------------------------------------------------------------------------------------------
    async def play(self) -> None:
        """From the first subscription to the end of every tape, and until everybody has everything."""
        if self.wait_for:
            await self._started.wait()
        faults = [asyncio.create_task(self._inject_later(fault)) for fault in self.faults]
        try:
            await self._play_all()
        finally:
            for fault in faults:
                fault.cancel()
        await self._outlet.drain()
        self.finished = True

    async def _inject_later(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        self.inject(fault.kind, fault.amount)

    async def _play_all(self) -> None:
        markets = list(self.markets.values())
        due = timetable(markets, speed=self.speed, loop=self.loop, keep_times=self.keep_times)
        for played, (due_ns, _, message, market, clockwork) in enumerate(due, start=1):
            await self._unpaused.wait()
            now_ns = time.time_ns()
            if self.speed and due_ns > now_ns:
                await asyncio.sleep((due_ns - now_ns) / NS_PER_S)
                now_ns = time.time_ns()
            if played % _BURST == 0:
                await asyncio.sleep(0)
            market.exch_ms = clockwork.stamp_ms(message.exch_ns, now_ns)
            market.now_ms = now_ns // NS_PER_MS
            await self._follow(market, message)

    async def _follow(self, market: Market, message: Message) -> None:
        """The frames that a message of the tape makes: its trades, then what they left of the book."""
        if message.trades:
            market.seq += 1
            if self.mode == "binance":
                frames = binance_frames.agg_trade_frames(market, message)
            else:
                frames = bybit_frames.trade_frames(market, message)
            for frame in frames:
                await self._outlet.publish(frame.get("topic") or frame["stream"], frame, is_book=False)
        if message.is_depth:
            market.apply(message)
            if self._outlet.take("restart"):
                await self._restart()
            await self._follow_book(market, message)

    async def _follow_book(self, market: Market, message: Message) -> None:
        if self.mode == "binance":
            diff = self._diffs[market.symbol]
            if (change := diff.follow(message)) is not None:
                await self._outlet.publish(diff.name, change, is_book=True)
                if not self.speed and self._outlet.wanted(diff.name):
                    await self._wait_for_snapshot(self._snapshot_asked[market.symbol])
            return
        for topic, stream in list(self._books.items()):
            if stream.market is not market:
                continue
            if (change := stream.follow(message)) is not None:
                await self._outlet.publish(topic, change, is_book=True)
            elif (same := stream.repeat()) is not None:
                await self._outlet.publish(topic, same, is_book=False)

    async def _wait_for_snapshot(self, asked: asyncio.Event) -> None:
        """At the greatest speed a market could be over before whoever has its first update has asked for the book."""
        if not asked.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), _SNAPSHOT_S)
            asked.set()

    async def _restart(self) -> None:
        for topic, stream in list(self._books.items()):
            await self._outlet.publish(topic, stream.snapshot(1), is_book=False)
        for diff in self._diffs.values():
            diff.u = 0


def _json(value: Any, status: HTTPStatus = HTTPStatus.OK, *, retry_after: int = 0) -> Response:
    body = orjson.dumps(value)
    headers = Headers([("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    headers["Connection"] = "close"
    if retry_after:
        headers["Retry-After"] = str(retry_after)
    return Response(status.value, status.phrase, headers, body)
