"""The receiving half of a feed: connections that come back, stamped frames, and the watch over both. asyncio.

    connect -> subscribe -> frames, stamped, into the queue        until: closed, silent, lagging, refused, stopped
    then     lost -> wait uniform(0, min(cap, base * 2^n)) -> connect

Nothing is parsed here but answers to what we sent; data frames go on as bytes. What a venue does differently stands
in engine.live.bybit and engine.live.binance.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Literal, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from engine.errors import FeedError
from engine.live.clock import ArrivalClock
from engine.live.frames import FrameQueue, Item, Kind
from engine.live.health import Counters
from engine.live.settings import FeedSettings
from engine.live.venues import is_loopback

NS_PER_S = 1_000_000_000
_LARGEST_FRAME = 16 << 20
_WATCHES_PER_BOUND = 20


class Link:
    """One connection of a feed, opened again and again. A venue's own kind overrides what is marked so.

    Args:
        index: its place among the session's links.
        url: where to connect to.
        symbols: whose data it carries.
        stale_s: after how much silence it is cut.
    """

    def __init__(self, session: Session, index: int, url: str, symbols: Sequence[str], stale_s: float) -> None:
        self.session, self.index, self.url, self.symbols = session, index, url, tuple(symbols)
        self.stale_ns = round(stale_s * NS_PER_S)
        self.socket: ClientConnection | None = None
        self.last_data_ns = session.clock.now_ns()
        self.watched_ns = self.opened_ns = 0
        self._why = ""

    # --- a venue's own ----------------------------------------------------------------------------------------
    async def on_open(self, socket: ClientConnection) -> None:
        """Subscribe."""

    def is_data(self, raw: bytes) -> bool:
        raise NotImplementedError

    def on_answer(self, raw: bytes) -> None:
        """A frame that is no data. May raise FeedError (the feed is over) or call `cut`."""

    async def ping(self, socket: ClientConnection) -> None:
        """Keep the connection alive where the websocket's own pings do not."""

    async def ask_snapshot(self, symbol: str) -> str:
        """Make the venue send a fresh snapshot of `symbol`; why that cannot be, "" where it can."""
        raise NotImplementedError

    def overdue(self, now_ns: int) -> str:
        """Why an answer that has not come makes this connection useless; "" while it does not."""
        return ""

    # --- what all share ---------------------------------------------------------------------------------------
    def cut(self, why: str) -> None:
        """Drop the connection at once; the next one follows."""
        if self.socket is not None:
            self._why = self._why or why
            self.socket.transport.abort()

    async def run(self) -> None:
        settings, clock = self.session.settings, self.session.clock
        attempt = 0
        while True:
            self._why = ""
            try:
                await self._converse()
            except (OSError, WebSocketException, TimeoutError) as error:
                self._why = self._why or f"connection: {_words(error)}"
            self.socket = None
            now_ns = clock.now_ns()
            if self.opened_ns:
                self.session.queue.put(Item(now_ns, Kind.LOST, self.index, (self._why, self.last_data_ns)))
                if now_ns - self.opened_ns >= settings.steady_s * NS_PER_S:
                    attempt = 0
            self.session.last_trouble = self._why
            self.opened_ns = 0
            longest_s = min(settings.backoff_cap_s, settings.backoff_base_s * 2.0**attempt)
            attempt = min(attempt + 1, 30)
            await asyncio.sleep(self.session.rng.uniform(0.0, longest_s))
            self.session.counters.reconnects += 1

    async def _converse(self) -> None:
        clock, frames, is_data = self.session.clock, self.session.queue, self.is_data
        proxy: Literal[True] | None = None if is_loopback(self.url) else True
        async with connect(
            self.url, compression=None, max_size=_LARGEST_FRAME, max_queue=1024, close_timeout=1, proxy=proxy
        ) as socket:
            self.socket = socket
            self.opened_ns = self.watched_ns = clock.now_ns()
            frames.put(Item(self.opened_ns, Kind.OPENED, self.index))
            await self.on_open(socket)
            pinger = asyncio.create_task(self._ping(socket))
            try:
                while True:
                    raw = await socket.recv(decode=False)
                    now_ns = clock.now_ns()
                    if is_data(raw):
                        self.last_data_ns = self.watched_ns = now_ns
                        frames.put_frame(now_ns, self.index, raw)
                    else:
                        self.on_answer(raw)
            finally:
                pinger.cancel()

    async def _ping(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(self.session.settings.ping_s)
            try:
                await self.ping(socket)
            except (OSError, WebSocketException):
                return  # the receiver hears of it, too

    def watch(self, now_ns: int) -> None:
        """Cut what is open but mute."""
        if self.socket is None or not self.opened_ns:
            return
        silent_ns = now_ns - self.watched_ns
        if silent_ns > self.stale_ns:
            self.cut(f"silence: no data for {silent_ns / NS_PER_S:.1f} s")
        elif why := self.overdue(now_ns):
            self.cut(why)


class Links(Protocol):
    """Makes a feed's connections (engine.live.bybit.bybit_links, engine.live.binance.binance_links)."""

    def __call__(self, session: Session) -> list[Link]: ...


class Session:
    """All connections of a feed. `run` is for an event loop; the other methods may be called from any thread."""

    def __init__(
        self, settings: FeedSettings, clock: ArrivalClock, frames: FrameQueue, counters: Counters, links: Links
    ) -> None:
        self.settings, self.clock, self.queue, self.counters = settings, clock, frames, counters
        self.rng = random.Random(settings.seed)
        self.last_trouble = self.ask_trouble = ""
        self.closing: list[Callable[[], Awaitable[None]]] = []
        self.links = links(self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until stopped.

        Raises:
            FeedError: the feed is over: refused, or lost for good.
        """
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as group:
                for link in self.links:
                    group.create_task(link.run())
                group.create_task(self._watch())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            for close in self.closing:
                await close()

    async def _watch(self) -> None:
        """Silence, missing answers, a wall clock that was set, a process that stood still."""
        settings, clock = self.settings, self.clock
        pause_s = min(0.25, settings.stale_s / _WATCHES_PER_BOUND)
        bound_ns, give_up_ns = round(settings.clock_bound_s * NS_PER_S), round(settings.give_up_s * NS_PER_S)
        clock.jump_ns(bound_ns)
        before_ns = awake_ns = clock.now_ns()
        while True:
            await asyncio.sleep(pause_s)
            now_ns = clock.now_ns()
            if now_ns - before_ns > settings.stale_s * NS_PER_S:
                awake_ns = now_ns  # whoever slept through the night looks for the feed before giving it up
                for link in self.links:
                    link.cut(f"stalled: the process stood still for {(now_ns - before_ns) / NS_PER_S:.1f} s")
            before_ns = now_ns
            if jump_ns := clock.jump_ns(bound_ns):
                self.counters.clock_jumps += 1
                reason = f"clock jump: the wall clock was set by {jump_ns / NS_PER_S:+.3f} s"
                self.queue.put(Item(now_ns, Kind.JUMP, -1, reason))
            for link in self.links:
                link.watch(now_ns)
            quiet_ns = now_ns - max(awake_ns, *(link.last_data_ns for link in self.links))
            if quiet_ns > give_up_ns:
                raise FeedError(
                    f"no data for {quiet_ns / NS_PER_S:.0f} s ({self.last_trouble or 'no reason known'})",
                    where=self.links[0].url,
                    remedy="check the network and the endpoint; nightsoak venue plays a tape without either",
                )

    def _call(self, function: Callable[[], object]) -> None:
        """In the event loop's thread; nothing where the session is over."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        if self._task is not None:
            self._call(self._task.cancel)

    def barrier(self, event: threading.Event) -> None:
        """Put a barrier behind every frame that was stamped before now."""
        self._call(lambda: self.queue.put(Item(self.clock.now_ns(), Kind.BARRIER, -1, event)))

    def ask_snapshot(self, link: int, symbol: str) -> None:
        def ask() -> None:
            task = asyncio.get_running_loop().create_task(self._ask(self.links[link], symbol))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

        self._call(ask)

    async def _ask(self, link: Link, symbol: str) -> None:
        try:
            self.ask_trouble = await link.ask_snapshot(symbol)
        except (OSError, WebSocketException, TimeoutError) as error:
            self.ask_trouble = _words(error)  # asked again when it is overdue

    def reconnect(self, link: int, why: str) -> None:
        self._call(lambda: self.links[link].cut(why))


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
