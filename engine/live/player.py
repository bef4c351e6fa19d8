"""Tapes as a venue's markets: a book that follows each, its update ids, and when each message falls due.

The tape's messages come in the order of receipt, at their times of receipt: a client then measures the latency that
the recorder measured. Times are moved to now; with speed x they are pressed together x times.
"""

from __future__ import annotations

import heapq
import time
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from engine.instrument import Instrument
from engine.market.events import BUY, CLEAR, DEPTH, GAP, LAST, TRADE
from engine.market.tape import Tape

NS_PER_MS = 1_000_000
_CHUNK_EVENTS = 1 << 16


@dataclass(slots=True)
class Message:
    """One message of the tape: levels by side as (price, lots), and trades as (is buy, price, lots)."""

    exch_ns: int
    local_ns: int
    clear: bool = False
    bids: list[tuple[int, int]] = field(default_factory=list)
    asks: list[tuple[int, int]] = field(default_factory=list)
    trades: list[tuple[bool, int, int]] = field(default_factory=list)

    @property
    def is_depth(self) -> bool:
        return bool(self.clear or self.bids or self.asks)


def messages(tape: Tape) -> Iterator[Message]:
    """The tape's messages in order of receipt. Gap markers are left out: the venue lost nothing, the recorder did;
    what follows a gap up to the next snapshot was of no use to it and is left out, too."""
    columns, lost = tape.columns, False
    start = 0
    while start < len(columns.kind):
        ends = np.flatnonzero(columns.flags[start : start + _CHUNK_EVENTS] & LAST) + 1
        stop = start + (int(ends[-1]) if len(ends) else len(columns.kind) - start)
        part = columns.part(start, stop)
        exch, local, kind, flags, price, qty = (column.tolist() for column in part)
        first = 0
        for end in ends.tolist():
            message = Message(exch[first], local[first])
            for row in range(first, end):
                flag = flags[row]
                if kind[row] == DEPTH:
                    (message.bids if flag & BUY else message.asks).append((price[row], qty[row]))
                elif kind[row] == TRADE:
                    message.trades.append((bool(flag & BUY), price[row], qty[row]))
                else:
                    message.clear = message.clear or bool(flag & CLEAR)
                    lost = bool(flag & GAP) or (lost and not message.clear)
            first = end
            if not lost or message.trades:
                yield message
        start = stop


class Side:
    """One side of a book: sizes by price, prices kept sorted from the best to the worst."""

    def __init__(self, is_bid: bool) -> None:
        self._sign = -1 if is_bid else 1
        self._keys: list[int] = []  # sign * price, rising: the best first
        self.lots: dict[int, int] = {}

    def set(self, price: int, lots: int) -> None:
        key = self._sign * price
        if lots and price not in self.lots:
            insort(self._keys, key)
        elif not lots and self.lots.pop(price, None) is not None:
            del self._keys[bisect_left(self._keys, key)]
        if lots:
            self.lots[price] = lots

    def clear(self) -> None:
        self._keys.clear()
        self.lots.clear()

    def top(self, count: int) -> dict[int, int]:
        """The best `count` levels, the best first."""
        return {self._sign * key: self.lots[self._sign * key] for key in self._keys[:count]}


class Market:
    """One symbol at the venue: the book, and price and size as the venue writes them."""

    def __init__(self, tape: Tape, symbol: str = "") -> None:
        self.tape = tape
        self.instrument: Instrument = tape.meta.instrument()
        self.symbol = symbol or tape.meta.symbol
        self.bids, self.asks = Side(True), Side(False)
        self.seq = 0
        self.trade_count = 0
        self.exch_ms = self.now_ms = 0
        self._texts: tuple[dict[int, str], dict[int, str]] = ({}, {})

    def apply(self, message: Message) -> None:
        """A message of the tape; one that replaces the book gets the deletions of what it does not name."""
        self.seq += 1
        if message.clear:
            for side, levels in ((self.bids, message.bids), (self.asks, message.asks)):
                named = dict(levels)
                levels[:0] = [(price, 0) for price in side.lots if price not in named]
                side.clear()
        for side, levels in ((self.bids, message.bids), (self.asks, message.asks)):
            for price, lots in levels:
                side.set(price, lots)

    def price(self, ticks: int) -> str:
        text = self._texts[0].get(ticks)
        if text is None:
            text = self._texts[0][ticks] = f"{self.instrument.price(ticks):f}"
        return text

    def size(self, lots: int) -> str:
        text = self._texts[1].get(lots)
        if text is None:
            text = self._texts[1][lots] = f"{self.instrument.qty(lots):f}" if lots else "0"
        return text

    def levels(self, levels: dict[int, int]) -> list[list[str]]:
        return [[self.price(ticks), self.size(lots)] for ticks, lots in levels.items()]


class Clockwork:
    """Tape time to the venue's: `at(ns)` is when a moment of the tape falls on the wall clock.

    speed 0: as fast as clients take it, every moment being now. With `keep_times` frames carry the tape's own times.
    """

    def __init__(self, tape_start_ns: int, now_ns: int, speed: float, keep_times: bool) -> None:
        self.tape_start_ns, self.start_ns, self.speed, self.keep_times = tape_start_ns, now_ns, speed, keep_times

    def at(self, tape_ns: int) -> int:
        if not self.speed:
            return self.start_ns
        return self.start_ns + round((tape_ns - self.tape_start_ns) / self.speed)

    def due_ns(self, tape_ns: int) -> int:
        """What a moment of the tape is ordered by; without a speed the time since the tape's start."""
        return self.at(tape_ns) if self.speed else tape_ns - self.tape_start_ns

    def stamp_ms(self, tape_ns: int, now_ns: int) -> int:
        if self.keep_times:
            return tape_ns // NS_PER_MS
        return (self.at(tape_ns) if self.speed else now_ns) // NS_PER_MS


class Due(NamedTuple):
    """A message of `market` that falls due at `due_ns` by `clockwork`; ordered by time, then by market."""

    due_ns: int
    number: int
    message: Message
    market: Market
    clockwork: Clockwork


def timetable(markets: Sequence[Market], *, speed: float, loop: bool, keep_times: bool) -> Iterator[Due]:
    """The messages of all markets' tapes as they fall due; with `loop` each begins again at its end.

    A market whose book stands already (`seq`) begins after the tape's first one.
    """

    def begin(number: int, now_ns: int) -> tuple[Clockwork, Iterator[Message]]:
        tape = markets[number].tape
        return Clockwork(tape.meta.first_local_ts_ns, now_ns, speed, keep_times), messages(tape)

    now_ns = time.time_ns()
    playing = [begin(number, now_ns) for number in range(len(markets))]
    for market, (_, left) in zip(markets, playing, strict=True):
        if market.seq:
            next(message for message in left if message.is_depth)
    queue: list[Due] = []

    def push(number: int) -> None:
        message = next(playing[number][1], None)
        if message is None and loop:
            playing[number] = begin(number, time.time_ns())
            message = next(playing[number][1], None)
        if message is not None:
            clockwork = playing[number][0]
            heapq.heappush(queue, Due(clockwork.due_ns(message.local_ns), number, message, markets[number], clockwork))

    for number in range(len(markets)):
        push(number)
    while queue:
        due = heapq.heappop(queue)
        yield due
        push(due.number)


def changes(before: dict[int, int], after: dict[int, int]) -> dict[int, int]:
    """Levels to send so that who holds `before` holds `after`: 0 for those that left."""
    found = {price: 0 for price in before if price not in after}
    found.update({price: lots for price, lots in after.items() if before.get(price) != lots})
    return found


Frame = dict[str, Any]
