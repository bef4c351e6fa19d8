"""Bybit V5 public streams: orderbook.<depth>.<symbol> and publicTrade.<symbol> on one connection per category."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import orjson
from websockets.asyncio.client import ClientConnection

from engine.errors import FeedError
from engine.instrument import Instrument
from engine.live.session import NS_PER_S, Link, Session
from engine.live.venues import BybitVenue, places
from engine.market.bybit import BybitBook


def category_of(instrument: Instrument) -> str:
    """linear or inverse, by how the contract pays."""
    return instrument.contract


def bybit_book(instrument: Instrument) -> BybitBook:
    return BybitBook(instrument, Counter(), others_allowed=True)


def route(frame: dict[str, Any]) -> tuple[str, int | None, bool]:
    """(symbol, update id, whether it brings a whole book) of a data frame.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: it is not one.
    """
    name, _, symbol = frame["topic"].rpartition(".")
    if not name.startswith("orderbook."):
        return symbol, None, False
    u = int(frame["data"]["u"])
    return symbol, u, u == 1 or frame["type"] == "snapshot"


class BybitLink(Link):
    """Subscribes to books and trades of its symbols; every request has an id and must be acknowledged."""

    def __init__(self, session: Session, index: int, url: str, symbols: list[str], venue: BybitVenue) -> None:
        super().__init__(session, index, url, symbols, session.settings.stale_s)
        self.venue = venue
        self._sent = 0
        self._unanswered: dict[str, tuple[int, list[str]]] = {}  # request id -> when sent, topics
        self._accepted: set[str] = set()  # topics that the venue has served before

    def book_topic(self, symbol: str) -> str:
        return f"orderbook.{self.venue.depth}.{symbol}"

    async def on_open(self, socket: ClientConnection) -> None:
        self._unanswered.clear()
        topics = [f"publicTrade.{symbol}" for symbol in self.symbols] + [self.book_topic(one) for one in self.symbols]
        for chunk in chunks(topics, self.venue.args_chars, self.venue.args_count):
            await self._request(socket, "subscribe", chunk)

    async def _request(self, socket: ClientConnection, op: str, topics: list[str]) -> None:
        self._sent += 1
        name = str(self._sent)
        self._unanswered[name] = self.session.clock.now_ns(), topics
        await socket.send(orjson.dumps({"op": op, "args": topics, "req_id": name}).decode())

    def is_data(self, raw: bytes) -> bool:
        return b'"topic"' in raw

    def on_answer(self, raw: bytes) -> None:
        try:
            answer = orjson.loads(raw)
            op, success, text = answer.get("op"), answer.get("success"), str(answer.get("ret_msg", ""))
        except (ValueError, AttributeError):
            # What cannot be read may have been data.
            self.session.queue.put_frame(self.session.clock.now_ns(), self.index, raw)
            return
        if op in ("ping", "pong") or text == "pong":
            return
        _, topics = self._unanswered.pop(str(answer.get("req_id", "")), (0, []))
        if success is not False:
            self._accepted.update(topics)
            return
        _, _, topic = text.partition("topic:")
        refused = [topic] if topic else topics
        if op == "unsubscribe" or self._accepted.issuperset(refused):
            # What was served before is refused for now; and a new connection knows nothing of old subscriptions.
            self.cut(f"refused: {text}")
            return
        raise FeedError(
            f"the venue refuses {', '.join(refused)}: {text}",
            where=self.url,
            remedy="check the symbol, its category and the depth in config/venues.json",
        )

    async def ping(self, socket: ClientConnection) -> None:
        await socket.send('{"op":"ping"}')

    async def ask_snapshot(self, symbol: str) -> str:
        if self.socket is None:
            return "not connected"
        await self._request(self.socket, "unsubscribe", [self.book_topic(symbol)])
        await self._request(self.socket, "subscribe", [self.book_topic(symbol)])
        return ""

    def overdue(self, now_ns: int) -> str:
        bound_ns = self.session.settings.snapshot_s * NS_PER_S
        for sent_ns, topics in self._unanswered.values():
            if now_ns - sent_ns > bound_ns:
                return f"subscription not acknowledged: {', '.join(topics[:3])}"
        return ""


def chunks(topics: list[str], most_chars: int, most: int) -> list[list[str]]:
    """Topics cut into requests: at most `most` a request, and `most_chars` characters of all of them as sent."""
    found: list[list[str]] = [[]]
    chars = 0
    for topic in topics:
        size = len(topic) + 3  # quotes and comma
        if found[-1] and (chars + size > most_chars or len(found[-1]) >= most):
            found.append([])
            chars = 0
        found[-1].append(topic)
        chars += size
    return found if found[0] else []


def bybit_links(session: Session, venue: BybitVenue) -> list[Link]:
    """A connection per category."""
    base, _ = places(venue.ws, venue.rest, session.settings.endpoint)
    links: list[Link] = []
    instruments = session.settings.instruments
    for category in sorted({category_of(one) for one in instruments}):
        symbols = [one.symbol for one in instruments if category_of(one) == category]
        url = base if urlsplit(base).path else f"{base}/v5/public/{category}"
        links.append(BybitLink(session, len(links), url, symbols, venue))
    return links
