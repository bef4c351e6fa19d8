"""The parsing half of a feed: frames from the queue become events of symbols, losses become gaps and resyncs.

One thread runs `Intake.run`. It alone touches the symbols' books, so that a gap stands in the events exactly where
the frames are missing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from engine.errors import FeedError
from engine.live.binance import joins, read_snapshot
from engine.live.clock import ArrivalClock
from engine.live.frames import FrameQueue, Item, Kind
from engine.live.health import Counters
from engine.live.session import NS_PER_S, Session
from engine.live.settings import FeedSettings
from engine.live.symbol import NEVER_NS, Batch, SymbolFeed
from engine.market.binance import BinanceBook
from engine.market.capture import Line

Route = Callable[[dict[str, Any]], tuple[str, int | None, bool]]
_ITEMS_AT_ONCE = 2000
_WAIT_S = 0.05
_LINGER_S = 0.001
_ASKS_BEFORE_RECONNECT = 3


class Intake:
    """Args: `sink` is given every batch, in order; `route` tells a frame's symbol (a venue's own)."""

    def __init__(
        self,
        settings: FeedSettings,
        clock: ArrivalClock,
        frames: FrameQueue,
        counters: Counters,
        symbols: Mapping[str, SymbolFeed],
        route: Route,
        session: Session,
        sink: Callable[[Batch], None],
    ) -> None:
        self.settings, self.clock, self.queue, self.counters = settings, clock, frames, counters
        self.symbols, self.route, self.session, self.sink = symbols, route, session, sink
        self._lines = 0
        self._bound_ns = round(settings.lag_bound_s * NS_PER_S)
        self._last_ns = 0
        self._whole_ns = 0
        for symbol in symbols.values():
            symbol.links_down = {link.index for link in session.links if symbol.symbol in link.symbols}
        self._link_symbols = [[symbols[name] for name in link.symbols] for link in session.links]

    def run(self, stopping: threading.Event) -> None:
        """Until `stopping` is set and the queue is empty, or the feed is over.

        Raises:
            FeedError: the feed is over; what came before is with the sink.
            StorageError: the sink cannot take more.
        """
        linger = threading.Event()
        self._whole_ns = self.clock.now_ns()
        while True:
            first = self.queue.get(_WAIT_S)
            if first is None and stopping.is_set():
                return
            if first is not None and first.kind is Kind.FRAME and self.queue.backlog < _ITEMS_AT_ONCE // 4:
                linger.wait(_LINGER_S)  # more will have come: one write for all of them
            items = [] if first is None else [first]
            while len(items) < _ITEMS_AT_ONCE and (item := self.queue.get(0)) is not None:
                items.append(item)
            for item in items:
                self._take(item)
            self._ask(self.clock.now_ns())
            for symbol in self.symbols.values():
                if (batch := symbol.drain()) is not None:
                    self.sink(batch)
            self._give_up(self.clock.now_ns())
            for item in items:
                if item.kind is Kind.BARRIER:
                    item.payload.set()
                elif item.kind is Kind.FATAL:
                    raise item.payload

    def _take(self, item: Item) -> None:
        # A loss is noticed by one thread and stamped by another: what is written never goes back in time.
        local_ns = self._last_ns = max(item.local_ns, self._last_ns)
        if item.kind is Kind.FRAME:
            self._frame(local_ns, item.link, item.payload)
        elif item.kind is Kind.SNAPSHOT:
            self._snapshot(local_ns, *item.payload)
        elif item.kind is Kind.OPENED:
            self._opened(local_ns, item.link)
        elif item.kind is Kind.LOST:
            why, since_ns = item.payload
            for symbol in self._link_symbols[item.link]:
                symbol.links_down.add(item.link)
                symbol.lose(local_ns, why, since_ns)
        elif item.kind is Kind.OVERFLOW:
            self._lose_all(local_ns, "dropped: the queue between receiver and parser was full")
        elif item.kind is Kind.JUMP:
            self._lose_all(local_ns, item.payload)

    def _lose_all(self, local_ns: int, why: str, link: int = -1) -> None:
        for symbol in self.symbols.values() if link < 0 else self._link_symbols[link]:
            symbol.lose(local_ns, why)

    def _frame(self, local_ns: int, link: int, raw: bytes) -> None:
        self._lines += 1
        try:
            value = orjson.loads(raw)
            name, update_id, fresh = self.route(value)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # Whose it was cannot be known, so everybody on this connection may have lost something.
            self.counters.garbage += 1
            self._lose_all(local_ns, f"garbage: a frame cannot be read ({type(error).__name__})", link)
            return
        symbol = self.symbols.get(name)
        if symbol is None:
            return
        symbol.take(Line(self.settings.feed, self._lines, local_ns, value), update_id, fresh=fresh)
        if symbol.lag_ns > self._bound_ns:
            self.session.reconnect(link, f"lag: data is {symbol.lag_ns / NS_PER_S:.1f} s behind")
            symbol.forget_latency()

    def _snapshot(self, local_ns: int, name: str, raw: bytes) -> None:
        symbol = self.symbols[name]
        book = symbol.book
        assert isinstance(book, BinanceBook)
        if symbol.synced or symbol.links_down:
            return
        try:
            snapshot = read_snapshot(raw)
            fits = joins(book, snapshot)
        except (ValueError, LookupError, TypeError):
            self.counters.garbage += 1
            return
        if fits:
            self._lines += 1
            symbol.take(Line(self.settings.feed, self._lines, local_ns, snapshot), fresh=True)
        else:
            symbol.ask_at_ns = local_ns  # older than the updates kept: the pause between two asks holds

    def _opened(self, local_ns: int, link: int) -> None:
        for symbol in self._link_symbols[link]:
            symbol.links_down.discard(link)
            symbol.forget_latency()
            symbol.asked = 0
            if isinstance(symbol.book, BinanceBook):
                symbol.ask_at_ns = local_ns
            else:  # the subscription brings a snapshot by itself
                symbol.ask_at_ns, symbol.asked_ns = local_ns + round(self.settings.snapshot_s * NS_PER_S), local_ns

    def _give_up(self, now_ns: int) -> None:
        """Data may come and yet be of no use: the feed is over where no symbol has had a whole book for too long.

        Where no data comes at all the session says so, and is the first to.
        """
        if any(symbol.synced for symbol in self.symbols.values()):
            self._whole_ns = now_ns
        elif now_ns - self._whole_ns > (self.settings.give_up_s + self.settings.stale_s) * NS_PER_S:
            session = self.session
            raise FeedError(
                f"no whole book for {(now_ns - self._whole_ns) / NS_PER_S:.0f} s "
                f"({session.ask_trouble or session.last_trouble or 'no reason known'})",
                where=session.links[0].url,
                remedy="check the network and the endpoint; nightsoak venue plays a tape without either",
            )

    def _ask(self, now_ns: int) -> None:
        """Ask for the snapshots that are needed, and again for those that did not come."""
        for symbol in self.symbols.values():
            if symbol.ask_at_ns > now_ns or symbol.links_down or symbol.synced:
                continue
            if now_ns - symbol.asked_ns < self.settings.resync_pause_s * NS_PER_S:
                continue
            book = symbol.book
            if isinstance(book, BinanceBook) and not book.waiting:
                continue  # no update yet that a snapshot could be joined to
            link = next(one.index for one in self.session.links if symbol.symbol in one.symbols)
            symbol.asked += 1
            symbol.asked_ns = now_ns
            symbol.ask_at_ns = now_ns + round(self.settings.snapshot_s * NS_PER_S)
            if symbol.asked > _ASKS_BEFORE_RECONNECT:
                symbol.ask_at_ns = NEVER_NS
                why = f" ({self.session.ask_trouble})" if self.session.ask_trouble else ""
                self.session.reconnect(link, f"no snapshot of {symbol.symbol} after {symbol.asked - 1} asked for{why}")
                continue
            self.counters.resyncs += 1
            self.session.ask_snapshot(link, symbol.symbol)
