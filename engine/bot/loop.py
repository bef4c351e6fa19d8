"""The running bot: kernel in, journal out; replay and shadow are this one loop.

    for every window: advance the kernel second by second, journal orders, fills and marks
    at its edge:      blocks, mark, window_end; flush; report progress
    at an iteration's end (but the last): say so; a replay waits for the decision, so that it can be done again
    overrides:        a replay picks them up then, a live bot at the next second; `params` is journalled

The market comes from a `Market`; a stop comes from `Ear`, which is asked after every second of market time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from engine.bot.journal import JournalTail, JournalWriter
from engine.bot.overrides import pick_up
from engine.bot.protocol import COMPLETE, Message
from engine.bot.records import Record, RecordFormatter
from engine.bot.telemetry import Telemetry
from engine.params import Params
from engine.soak import NS_PER_S, Schedule

_NS_PER_MS = 1e6
_NO_TOUCH = (0, 0, 0)
_HEARTBEAT_S = 1.0
RESUMED = "resumed"
"""The reason of the gap where a run went on after its bot had died."""


class Market(Protocol):
    """A maker over a feed, advanced in market time: engine.bot.feed.ReplayMarket, engine.bot.live.LiveMarket."""

    live: bool
    """Whether market time passes by itself."""

    def wait_until(self, until_ns: int) -> None:
        """Until everything before `until_ns` is there; `gaps` is then complete up to it."""

    def close(self) -> None:
        """No more market: a live one seals its tape."""

    def advance(self, until_ns: int) -> Any:
        """Everything before `until_ns`; RECORD_DTYPE rows in time order."""

    def touch(self) -> tuple[int, int, int]:
        """(mid2, bid, ask) in ticks of the local book; zeros where it is not two-sided."""

    def first_touch(self) -> tuple[int, tuple[int, int, int]]:
        """Advance to the first two-sided book: (its time in ns, touch)."""

    def take_blocks(self) -> Any: ...
    def take_valid_ns(self, now_ns: int) -> int: ...
    def set_params(self, lane: int, params: Mapping[str, float]) -> None: ...

    # for the control plane
    def set_paused(self, lane: int, paused: bool) -> None: ...
    def flatten(self, lane: int) -> None: ...
    def set_limits(self, order_lots: int, cap_lots: int) -> None:
        """Largest quote and position cap of every lane."""

    def telemetry(self, now_ns: int) -> Telemetry: ...

    @property
    def cap_lots(self) -> int:
        """The position cap in force."""

    @property
    def events(self) -> int:
        """Market events seen so far."""

    @property
    def gaps(self) -> list[tuple[int, str]]:
        """(local time in ns, reason) of the feed's gaps, in order of time."""


class Ear(Protocol):
    """Where commands come from."""

    def wait(self) -> Message: ...
    def stop_wanted(self) -> str: ...


class Desk(Protocol):
    """The control plane's part in the loop (engine.control.desk); every call is between two seconds."""

    def act(self) -> None:
        """Carry out actions that wait; they take effect at the bot's present market time."""

    def see(self, parts: list[Any], wall_ns: int) -> None:
        """A second has passed: its RECORD_DTYPE rows, part after part, and the wall time that the market took."""

    def edge(self, window: int, *, iteration_end: bool) -> None:
        """A window is over, its records are written."""


class Stopped(Exception):  # noqa: N818  (an outcome, not a fault)
    """The bot was asked to end; the argument is the reason."""


class Bot:
    """One run of one bot.

    Args:
        run_start: the fields of the run_start record beyond the common ones.
        schedule: windows and iterations.
        params: lane 0's parameters in force.
        overrides_file: where lane 0's next parameters appear; lane 1, the control, never sees it.
        reference_mid2: bid + ask in ticks of the run's first book, at which sizes in quote currency became lots.
        tail: where the journal ended, if the run is resumed.
        scripted: the run is done again with its changes at their times (engine.control.script), not from the file.
    """

    def __init__(
        self,
        *,
        run_start: Mapping[str, Any],
        schedule: Schedule,
        params: Params,
        overrides_file: Path,
        market: Market,
        formatter: RecordFormatter,
        journal: JournalWriter,
        ear: Ear,
        say: Callable[[Message], None],
        reference_mid2: int,
        tail: JournalTail | None = None,
        scripted: bool = False,
    ) -> None:
        self.scripted, self.reference_mid2 = scripted, reference_mid2
        self.run_start, self.schedule, self.params = run_start, schedule, params
        self.overrides_file, self.tail = overrides_file, tail
        self.market, self.formatter, self.journal, self.ear, self.say = market, formatter, journal, ear, say
        self.now_ns = schedule.start_ns
        self.desk: Desk | None = None
        self._window = 0
        self._edge_ns = schedule.start_ns
        self._gaps_seen = 0
        self._overrides_as_of: tuple[int, int, int] | None = None
        self._events_before = 0
        self._next_heartbeat_s = 0.0

    def run(self) -> str:
        """Run to the end or to a stop; returns the reason of the run's end. Journal and market are closed."""
        with closing(self.market), closing(self.journal):
            try:
                reason = self._run_windows()
            except Stopped as stopped:
                reason = str(stopped)
                if self.now_ns > self._edge_ns:
                    self._close_window(last=True)
            self._write({"type": "run_end", "ts_ns": self.now_ns, "lane": 0, "reason": reason})
        self.say({"event": "end", "reason": reason, "ts_ns": self.now_ns})
        return reason

    def _run_windows(self) -> str:
        if self.tail is None:
            self._begin()
        else:
            self._resume(self.tail)
        for window in range(self._window, self.schedule.windows):
            self._window = window
            started_s, events_before = time.perf_counter(), self.market.events
            self._run_window(window)
            self._close_window(last=window + 1 == self.schedule.windows)
            events = self.market.events - events_before
            self.say(
                {
                    "event": "progress",
                    "ts_ns": self.now_ns,
                    "window": window,
                    "windows": self.schedule.windows,
                    "events": events,
                    "events_per_s": round(events / max(time.perf_counter() - started_s, 1e-9)),
                }
            )
            if self.schedule.ends_iteration(window):
                self._end_iteration(window)
        return COMPLETE

    def _begin(self) -> None:
        self.journal.write({"type": "run_start", "ts_ns": self.now_ns, "lane": 0, **self.run_start})
        self.say({"event": "started", "run_id": self.journal.run_id, "ts_ns": self.now_ns, "resumed": False})
        self.market.take_valid_ns(self.now_ns)  # a book that stood before the start is not the run's
        at_ns, touch = self.market.first_touch()
        if touch != _NO_TOUCH:
            self._write(self.formatter.mark(at_ns, touch))
        self.journal.flush()

    def _resume(self, tail: JournalTail) -> None:
        """Go on at the market time of the last record: the book is rebuilt, no order is alive."""
        self.now_ns = tail.resume_ns
        self._gaps_seen = sum(1 for at_ns, _ in self.market.gaps if at_ns <= self.now_ns)
        self.market.advance(self.now_ns)
        self.market.take_valid_ns(self.now_ns)
        self._events_before = self.market.events
        self.write_now({"type": "gap", "ts_ns": self.now_ns, "lane": 0, "reason": RESUMED})
        self.say({"event": "started", "run_id": self.journal.run_id, "ts_ns": self.now_ns, "resumed": True})
        self._window = tail.next_window
        self._edge_ns = min(self.schedule.window_start_ns(self._window), self.now_ns)
        if tail.awaits_decision:
            self._end_iteration(self._window - 1)

    def _run_window(self, window: int) -> None:
        """Second by second to the window's end, the last step being the edge itself (its mark is not ours)."""
        end_ns = self.schedule.window_end_ns(window)
        while self.now_ns < end_ns:
            if reason := self.ear.stop_wanted():
                raise Stopped(reason)
            if self.market.live and not self.scripted:
                self._look_at_overrides()
            if self.desk:
                self.desk.act()
            whole_seconds = (self.now_ns - self.schedule.start_ns) // NS_PER_S + 1
            until_ns = min(self.schedule.start_ns + whole_seconds * NS_PER_S, end_ns)
            self.market.wait_until(until_ns)
            started_ns = time.perf_counter_ns()
            parts = []
            for at_ns, why in self._new_gaps(until_ns):
                parts.append(self.market.advance(at_ns))
                self.journal.write_all(self.formatter.rows(parts[-1]))
                self._write({"type": "gap", "ts_ns": at_ns, "lane": 0, "reason": why})
            parts.append(self.market.advance(until_ns))
            wall_ns = time.perf_counter_ns() - started_ns
            self.journal.write_all(self.formatter.rows(parts[-1]))
            self.now_ns = until_ns
            if until_ns < end_ns:
                self._mark()
            if self.market.live:
                self.journal.drain()
            if self.desk:
                self.desk.see(parts, wall_ns)
            self._say_heartbeat()

    def _say_heartbeat(self) -> None:
        """A sign of life from the loop itself: one of another thread's would not tell that this one hangs."""
        now_s = time.monotonic()
        if now_s >= self._next_heartbeat_s:
            self._next_heartbeat_s = now_s + _HEARTBEAT_S
            self.say({"event": "heartbeat", "ts_ns": self.now_ns})

    def _new_gaps(self, until_ns: int) -> list[tuple[int, str]]:
        """Gaps before `until_ns` that were not journalled yet."""
        new = [gap for gap in self.market.gaps[self._gaps_seen :] if gap[0] < until_ns]
        self._gaps_seen += len(new)
        return new

    def _close_window(self, *, last: bool) -> None:
        """What stands at a window's edge; an early stop makes an edge of the moment it came at."""
        window, schedule = self._window, self.schedule
        self.journal.write_all(self.formatter.blocks(self.now_ns, self.market.take_blocks()))
        self._mark()
        iteration_end = last or schedule.ends_iteration(window)
        self._write(
            {
                "type": "window_end",
                "ts_ns": self.now_ns,
                "lane": 0,
                "window": window,
                "iteration": schedule.iteration_of(window),
                "start_ns": schedule.window_start_ns(window),
                "iteration_end": iteration_end,
                "valid_book_ms": self.market.take_valid_ns(self.now_ns) / _NS_PER_MS,
                "events": self.market.events - self._events_before,
            }
        )
        self._events_before, self._edge_ns = self.market.events, self.now_ns
        self.journal.flush()
        if self.desk:
            self.desk.edge(window, iteration_end=iteration_end)

    def _end_iteration(self, window: int) -> None:
        iteration = self.schedule.iteration_of(window)
        self.say({"event": "edge", "iteration": iteration, "window": window, "ts_ns": self.now_ns})
        if window + 1 == self.schedule.windows or self.market.live:
            return
        command = self.ear.wait()
        if command.get("command") != "continue":
            raise Stopped(str(command.get("reason", "stopped")))
        if not self.scripted:
            self._pick_up(str(command.get("source", "overrides file")))

    def _look_at_overrides(self) -> None:
        """Pick the file up if it was written since the last look."""
        try:
            found = self.overrides_file.stat()
        except OSError:
            return
        as_of = (found.st_mtime_ns, found.st_ino, found.st_size)
        if as_of != self._overrides_as_of:
            self._overrides_as_of = as_of
            self._pick_up("overrides file")

    def _pick_up(self, source: str) -> None:
        found = pick_up(self.overrides_file, self.params)
        if found.refused:
            self.say({"event": "overrides_refused", "reason": found.refused, "ts_ns": self.now_ns})
        if found.changed:
            self.change_params(found.params, source)

    def change_params(self, new: Params, source: str) -> None:
        """Put lane 0's parameters in force from now on."""
        self.params = new
        self.market.set_params(0, new)
        params = dict(new)
        record = {"type": "params", "ts_ns": self.now_ns, "lane": 0, "params": params, "source": source}
        self.write_now({**record, "effective_ts_ns": self.now_ns})
        self.say({"event": "params", "params": params, "source": source, "ts_ns": self.now_ns})

    def _mark(self) -> None:
        """A mark of the book as the bot sees it; without a two-sided book there is nothing to say."""
        touch = self.market.touch()
        if touch != _NO_TOUCH:
            self._write(self.formatter.mark(self.now_ns, touch))

    def write_now(self, record: Record) -> None:
        """Journal a record and make it durable."""
        self._write(record)
        self.journal.flush()

    def _write(self, record: Record) -> None:
        self.journal.write(record)
