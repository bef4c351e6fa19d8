"""Binance USD-M futures: depth and aggTrade as combined streams on two connections, snapshots over REST.

A book is whole when updates arrive, the trades' connection is open, and a snapshot has been joined to the chain of
updates that were kept meanwhile (engine.market.binance). A snapshot older than the first of them is thrown away.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import orjson

from engine.instrument import Instrument
from engine.live.bybit import chunks
from engine.live.frames import Item, Kind
from engine.live.session import NS_PER_S, Link, Session
from engine.live.venues import BinanceVenue, is_loopback, places
from engine.market.binance import BinanceBook

_REST_TIMEOUT_S = 10.0
_TOO_OFTEN = (403, 418, 429)
_HOLD_S = 60
"""How long the venue is left alone where it does not say itself."""


def binance_book(instrument: Instrument) -> BinanceBook:
    return BinanceBook(instrument, True, Counter())


def route(frame: dict[str, Any]) -> tuple[str, int | None, bool]:
    """(symbol, update id, whether it brings a whole book) of a data frame.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: it is not one.
    """
    data = frame["data"]
    return data["s"], int(data["u"]) if data["e"] == "depthUpdate" else None, False


def joins(book: BinanceBook, snapshot: dict[str, Any]) -> bool:
    """Whether the chain of the updates kept so far goes on from `snapshot`; without any, the next one will tell."""
    last_id = int(snapshot["lastUpdateId"])
    for _, data in book.waiting:
        if data["u"] > last_id:
            return bool(data["pu"] <= last_id)
    return True


class Snapshots:
    """Depth snapshots over REST. A venue that says it was asked too often is left alone for as long as it says."""

    def __init__(self, session: Session, url: str, client: httpx.AsyncClient) -> None:
        self.session, self.url, self.client = session, url, client
        self._from_ns = 0

    async def ask(self, symbol: str, link: int) -> str:
        """Put the snapshot of `symbol` into the queue; why that cannot be, "" where it is there."""
        session = self.session
        wait_s = (self._from_ns - session.clock.now_ns()) / NS_PER_S
        if wait_s > 0:
            return f"snapshot of {symbol}: the venue wants to be left alone for {wait_s:.0f} s more"
        try:
            answer = await self.client.get(self.url.format(symbol=symbol))
        except httpx.HTTPError as error:
            return f"snapshot of {symbol}: {error or type(error).__name__}"
        if answer.status_code in _TOO_OFTEN:
            asked_s = answer.headers.get("retry-after", "")
            hold_s = int(asked_s) if asked_s.isdecimal() else _HOLD_S
            self._from_ns = session.clock.now_ns() + hold_s * NS_PER_S
        if not answer.is_success:
            return f"snapshot of {symbol}: HTTP {answer.status_code} {answer.reason_phrase}"
        session.queue.put(Item(session.clock.now_ns(), Kind.SNAPSHOT, link, (symbol, answer.content)))
        return ""


class BinanceLink(Link):
    """One combined-stream address; what to send is in the address, so there is nothing to acknowledge."""

    def __init__(
        self, session: Session, index: int, url: str, symbols: list[str], stale_s: float, snapshots: Snapshots
    ) -> None:
        super().__init__(session, index, url, symbols, stale_s)
        self.snapshots = snapshots

    def is_data(self, raw: bytes) -> bool:
        return b'"stream"' in raw

    def on_answer(self, raw: bytes) -> None:
        self.session.queue.put_frame(self.session.clock.now_ns(), self.index, raw)  # nothing else is expected

    async def ask_snapshot(self, symbol: str) -> str:
        return await self.snapshots.ask(symbol, self.index)


def read_snapshot(raw: bytes) -> dict[str, Any]:
    """Raises: ValueError, LookupError, TypeError: not a depth snapshot of a futures market."""
    snapshot: dict[str, Any] = orjson.loads(raw)
    if not (isinstance(snapshot["lastUpdateId"], int) and isinstance(snapshot["T"], int)):
        raise TypeError("lastUpdateId and T are not integers")
    return snapshot


def binance_links(session: Session, venue: BinanceVenue) -> list[Link]:
    """Connections for the depth of all symbols, then for their trades; within the bound on streams each."""
    settings = session.settings
    ws, rest = places(venue.ws, venue.rest, settings.endpoint)
    snapshot_url = f"{rest}/fapi/v1/depth?symbol={{symbol}}&limit={venue.snapshot_levels}"
    remote = not is_loopback(rest)
    client = httpx.AsyncClient(timeout=_REST_TIMEOUT_S, trust_env=remote, verify=remote)  # loads certificates: once
    session.closing.append(client.aclose)
    snapshots = Snapshots(session, snapshot_url, client)
    symbols = [one.symbol for one in settings.instruments]
    links: list[Link] = []
    for path, stream, stale_s in (
        (venue.depth_path, venue.depth_stream, settings.stale_s),
        (venue.trade_path, venue.trade_stream, settings.quiet_s),
    ):
        for part in chunks(symbols, 1 << 20, venue.streams_count):
            streams = "/".join(f"{symbol.lower()}@{stream}" for symbol in part)
            url = f"{ws}{path}/stream?streams={streams}"
            links.append(BinanceLink(session, len(links), url, part, stale_s, snapshots))
    return links
