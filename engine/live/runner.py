"""A live feed for a program that is not asynchronous: two threads behind a few plain calls.

receiver thread   asyncio: connections, stamps          (engine.live.session)
parser thread     frames -> events -> growing tape      (engine.live.intake, engine.live.recorder)
the caller        rows_until(t): everything received before t, and nothing of before t will come after

source = LiveSource(settings, paths.tapes)
with source:
    source.wait_ready(60)
    tape = source.tape()
    session = MakerSession(config, lanes, tape.window, start_ns)
    while ...:
        session.advance(source.rows_until(t), t)
tapes = source.sealed
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.errors import FeedError, NightsoakError
from engine.live import binance, bybit
from engine.live.clock import ArrivalClock
from engine.live.frames import FrameQueue, Item, Kind
from engine.live.growing import GrowingTape
from engine.live.health import Counters, GapEvent, Health
from engine.live.intake import Intake
from engine.live.recorder import Recording, TapeName
from engine.live.session import NS_PER_S, Link, Session
from engine.live.settings import FeedSettings
from engine.live.symbol import SymbolFeed
from engine.live.venues import Venues, read_venues
from engine.market.events import Columns
from engine.market.tape import Tape

_POLL_S = 0.02


class LiveSource:
    """One feed, recorded as it comes.

    Args:
        settings: what to subscribe to and how to behave.
        tapes: folder of tapes; the growing ones stand in its `.recording`.
        rotate_s: seal and begin anew so often; 0: one tape per symbol until `stop`. With rotation `rows_until`
            and `tape` speak of the tape of the moment.
        name: makes a tape's name of (symbol, time of its first event in ns).
        venues: config/venues.json if None.
        clock: other than the machine's in tests.
    """

    def __init__(
        self,
        settings: FeedSettings,
        tapes: Path,
        *,
        rotate_s: float = 0.0,
        name: TapeName | None = None,
        venues: Venues | None = None,
        clock: ArrivalClock | None = None,
    ) -> None:
        venues = venues or read_venues()
        self.settings, self.clock = settings, clock or ArrivalClock()
        self.counters = Counters()
        self.queue = FrameQueue(settings.queue_frames, settings.queue_bytes, self.counters)
        is_bybit = settings.feed == "bybit"

        def links(session: Session) -> list[Link]:
            if is_bybit:
                return bybit.bybit_links(session, venues.bybit)
            return binance.binance_links(session, venues.binance)

        self.session = Session(settings, self.clock, self.queue, self.counters, links)
        self.symbols: dict[str, SymbolFeed] = {}
        for one in settings.instruments:
            book = bybit.bybit_book(one) if is_bybit else binance.binance_book(one)
            self.symbols[one.symbol] = SymbolFeed(one.symbol, book, self.counters, settings.trade_ids)
        self.recording = Recording(
            tapes, settings.feed, self.symbols, self.counters,
            rotate_s=rotate_s, name=name, endpoint=bool(settings.endpoint),
        )  # fmt: skip
        self.intake = Intake(
            settings, self.clock, self.queue, self.counters, self.symbols,
            bybit.route if is_bybit else binance.route, self.session, self.recording.append,
        )  # fmt: skip
        self.sealed: list[Tape] = []
        self.error: Exception | None = None
        self._stopping = threading.Event()
        self._running = threading.Event()
        self._receiver = threading.Thread(target=self._receive, name="feed receiver", daemon=True)
        self._parser = threading.Thread(target=self._parse, name="feed parser", daemon=True)

    # --- life -------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._receiver.start()
        self._running.wait()
        self._parser.start()

    def stop(self) -> list[Tape]:
        """Disconnect, take what has arrived, seal; the tapes of this source, also in `sealed`.

        Raises:
            TapeError, StorageError: a tape could not be sealed; what was recorded stays, to be recovered.
        """
        if self._receiver.ident is None:
            return []
        if not self._stopping.is_set():
            self.session.stop()
            self._receiver.join()
            self._stopping.set()
            self._parser.join()
            self.sealed = self.recording.close()
        return self.sealed

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _receive(self) -> None:
        async def run() -> None:
            asyncio.get_running_loop().call_soon(self._running.set)
            await self.session.run()

        try:
            asyncio.run(run())
        except asyncio.CancelledError:
            pass
        except Exception as error:  # whoever waits for data must hear of it, whatever it was
            self.queue.put(Item(self.clock.now_ns(), Kind.FATAL, -1, error))
        finally:
            self._running.set()

    def _parse(self) -> None:
        try:
            self.intake.run(self._stopping)
        except Exception as error:
            self.error = error
            self.session.stop()

    # --- data -------------------------------------------------------------------------------------------------
    def now_ns(self) -> int:
        """The clock that arrivals are stamped with: UTC ns, never back, never jumping."""
        return self.clock.now_ns()

    def wait_ready(self, timeout_s: float, stop_wanted: Callable[[], str] = str) -> None:
        """Until every symbol has a two-sided book on its tape.

        Args:
            stop_wanted: gives a reason where the caller does not want to wait any longer.

        Raises:
            FeedError: not within `timeout_s`, not before the caller's stop, or the feed is over (then its own error).
        """
        until_s = time.monotonic() + timeout_s
        while waiting := [name for name in self.symbols if not self._is_ready(name)]:
            self._check()
            if reason := stop_wanted():
                raise FeedError(f"no book before the stop ({reason})", where=self.session.links[0].url)
            if time.monotonic() > until_s:
                why = self.session.last_trouble or "no data"
                raise FeedError(
                    f"no book of {', '.join(waiting)} within {timeout_s:g} s ({why})",
                    where=self.session.links[0].url,
                    remedy="check the network and the symbols; without a network nightsoak venue plays a tape",
                )
            time.sleep(_POLL_S)

    def _is_ready(self, symbol: str) -> bool:
        tape = self.recording.growing.get(symbol)
        return tape is not None and tape.window is not None

    def rows_until(self, ts_ns: int, *, wait: bool = True, symbol: str = "") -> Columns:
        """The events on the tape: all that were received before `ts_ns`, and perhaps later ones.

        Whatever comes afterwards was received at `ts_ns` or later. With `wait`, waits until the clock is there;
        without, and with the clock not there yet, gives what there is and promises nothing.

        Raises:
            FeedError, StorageError: the feed is over; `tape` still has what was received.
        """
        while wait and (left_ns := ts_ns - self.now_ns()) > 0:
            self._check()
            time.sleep(min(left_ns / NS_PER_S, 0.25))
        if self.now_ns() >= ts_ns:
            passed = threading.Event()
            self._check()
            self.session.barrier(passed)
            while not passed.wait(_POLL_S * 5):
                self._check()
        return self._tape(symbol).columns

    def tape(self, symbol: str = "") -> GrowingTape:
        """The growing tape of `symbol` (of the only one, if not named).

        Raises:
            FeedError: nothing was received yet.
        """
        return self._tape(symbol)

    def gaps(self, symbol: str = "") -> list[tuple[int, str]]:
        """(local time in ns, reason) of the gaps on the tape, in order of time."""
        return [(gap.local_ts_ns, gap.reason) for gap in self._tape(symbol).gaps]

    def health(self) -> Health:
        """What the feed is doing; cheap enough for once a second."""
        now_ns = self.now_ns()
        symbols = tuple(symbol.health() for symbol in self.symbols.values())
        last_ns = max((one.last_message_ns for one in symbols), default=0)
        opened = [link.opened_ns for link in self.session.links]
        stale = not last_ns or now_ns - last_ns > self.settings.stale_s * NS_PER_S
        if self.error is not None:
            state = "lost"
        elif self._stopping.is_set():
            state = "stopped"
        elif not all(opened):
            state = "connecting"
        elif not all(one.synced for one in symbols):
            state = "syncing"
        else:
            state = "stale" if stale else "live"
        gaps: list[GapEvent] = sorted(
            (gap for symbol in self.symbols.values() for gap in list(symbol.gaps)), key=lambda gap: gap.noticed_ns
        )
        return Health(
            state=state,
            feed=self.settings.feed,
            endpoint=self.session.links[0].url,
            now_ns=now_ns,
            data_age_s=(now_ns - last_ns) / NS_PER_S if last_ns else None,
            backlog_frames=self.queue.backlog,
            counters=self.counters.copy(),
            symbols=symbols,
            gaps=tuple(gaps),
            error=str(self.error or ""),
        )

    def _tape(self, symbol: str) -> GrowingTape:
        name = symbol or next(iter(self.symbols))
        tape = self.recording.growing.get(name)
        if tape is None:
            self._check()
            raise FeedError(f"nothing of {name} was received yet", where=self.session.links[0].url)
        return tape

    def _check(self) -> None:
        if self.error is not None:
            if isinstance(self.error, NightsoakError):
                raise self.error
            raise FeedError(f"failed: {type(self.error).__name__}: {self.error}") from self.error
        if self._receiver.ident is not None and not self._receiver.is_alive() and not self._parser.is_alive():
            raise FeedError("was stopped", where=self.session.links[0].url)
