"""One symbol of a live feed: the importer's own book rules, the gaps, what is counted, and the events to hand on.

The book of engine.market.bybit or engine.market.binance reads every message, so that a tape recorded live and a
tape imported from the same messages are the same. Here stands what only a live feed needs: a book that refuses
what would cross it, trades that come again after a reconnection, spans of gaps, latencies.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from engine.errors import CaptureError
from engine.live.book import CrossedBookError, LiveBook
from engine.live.health import Counters, GapEvent, SymbolHealth
from engine.market.capture import EventBuilder, Line
from engine.market.events import CLEAR, Columns
from engine.market.tape_meta import Gap

NEVER_NS = 2**62
_REPEATS = 50  # so many old updates in a row: the venue's ids fell back
_GAPS_KEPT = 256
_LATENCIES = 1024


class VenueBook(Protocol):
    """What BybitBook and BinanceBook have in common."""

    builder: EventBuilder
    counts: Counter[str]
    last_u: int | None
    is_new_trade: Any

    def take(self, line: Line) -> None: ...
    def lose(self, local_ns: int, reason: str) -> None: ...
    def take_events(self) -> tuple[Columns, tuple[Gap, ...]]: ...


@dataclass(frozen=True)
class Batch:
    """Whole messages of one symbol in order of receipt, and the gaps marked in them."""

    symbol: str
    columns: Columns
    gaps: tuple[Gap, ...]

    @property
    def local_ts_ns(self) -> int:
        """Time of receipt of the last event."""
        return int(self.columns.local_ts_ns[-1])


class RecentIds:
    """Remembers the last `size` ids."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._ids: OrderedDict[Any, None] = OrderedDict()

    def is_new(self, one: Any) -> bool:
        """Whether `one` was not seen lately; None is nobody's id and always new."""
        if one is None:
            return True
        if one in self._ids:
            return False
        self._ids[one] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)
        return True


class SymbolFeed:
    """`ask_at_ns`: when to ask for a snapshot, NEVER_NS while none is needed or none can be had."""

    def __init__(self, symbol: str, book: VenueBook, counters: Counters, trade_ids: int) -> None:
        self.symbol, self.book, self.counters = symbol, book, counters
        self.live = LiveBook()
        self.book.builder.watch = self.live.apply
        self.book.is_new_trade = self._is_new_trade
        self._trade_ids = RecentIds(trade_ids)
        self.ask_at_ns = NEVER_NS
        self.asked_ns = 0
        self.asked = 0  # snapshots asked for since the book was last whole
        self.links_down: set[int] = set()
        self.gaps: deque[GapEvent] = deque(maxlen=_GAPS_KEPT)
        self.least_latency_ns: int | None = None
        self._latencies: deque[int] = deque(maxlen=_LATENCIES)
        self._last_ns = self._rows = self._repeats = self._highest_u = 0
        self._begun = False

    @property
    def synced(self) -> bool:
        return self.book.last_u is not None

    def take(self, line: Line, update_id: int | None = None, *, fresh: bool = False) -> None:
        """One message; `update_id` is a book update's, `fresh` says that it brings a whole book."""
        book, builder = self.book, self.book.builder
        before, messages, synced = builder.count, len(builder.rows), self.synced
        assert line.local_ns is not None
        try:
            book.take(line)
        except CrossedBookError as error:
            self.counters.crossed += 1
            self.lose(line.local_ns, error.what)
            return
        except (CaptureError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            builder.undo(before, messages)
            self.counters.garbage += 1
            self.lose(line.local_ns, f"garbage: {getattr(error, 'what', type(error).__name__)}")
            return
        if synced and not self.synced:
            self._open_gap(line.local_ns, "sequence: an update is missing")
        elif self.synced and not synced:
            self._close_gap(line.local_ns)
        if builder.count > before and len(builder.exch_ns) > messages:
            self._rows += builder.count - before
            self.counters.rows += builder.count - before
            if not fresh:  # a snapshot of a quiet market carries the time of its last change
                latency_ns = line.local_ns - builder.exch_ns[-1]
                self._latencies.append(latency_ns)
                if self.least_latency_ns is None or latency_ns < self.least_latency_ns:
                    self.least_latency_ns = latency_ns
        self._last_ns = line.local_ns
        if fresh and update_id is not None:
            self._highest_u, self._repeats = update_id, 0
        elif update_id is not None:
            self._count_order(update_id, line.local_ns)

    def _is_new_trade(self, trade_id: Any) -> bool:
        if self._trade_ids.is_new(trade_id):
            return True
        self.counters.trades_repeated += 1
        return False

    def _count_order(self, update_id: int, local_ns: int) -> None:
        if update_id > self._highest_u:
            self._highest_u, self._repeats = update_id, 0
            return
        if update_id == self._highest_u:
            self.counters.duplicates += 1
        else:
            self.counters.out_of_order += 1
        self._repeats += 1
        if self._repeats >= _REPEATS and self.synced:
            self._highest_u = self._repeats = 0
            self.lose(local_ns, "sequence: update ids fell back")

    def lose(self, local_ns: int, reason: str, since_ns: int = 0) -> None:
        """The book is unknown from `local_ns` on; a snapshot is to be asked for at once."""
        self.ask_at_ns = min(self.ask_at_ns, local_ns)
        if self.synced:
            self.book.lose(local_ns, reason)
            self._open_gap(local_ns, reason, since_ns)

    def _open_gap(self, local_ns: int, reason: str, since_ns: int = 0) -> None:
        self.counters.gaps += 1
        self.ask_at_ns = min(self.ask_at_ns, local_ns)
        self.gaps.append(GapEvent(self.symbol, reason, since_ns or self._last_ns, local_ns))

    def _close_gap(self, local_ns: int) -> None:
        self.ask_at_ns, self.asked, self._repeats = NEVER_NS, 0, 0
        if self.gaps and not self.gaps[-1].until_ns:
            self.gaps[-1] = replace(self.gaps[-1], until_ns=local_ns)

    def forget_latency(self) -> None:
        """A new connection: what the old one measured says nothing about it."""
        self.least_latency_ns = None
        self._latencies.clear()

    @property
    def lag_ns(self) -> int:
        """How much older the last message is than the youngest of this connection."""
        if self.least_latency_ns is None or not self._latencies:
            return 0
        return self._latencies[-1] - self.least_latency_ns

    def drain(self) -> Batch | None:
        """What came since the last call; a symbol's events begin with its first book."""
        if not self.book.builder.count:
            return None
        columns, gaps = self.book.take_events()
        if not self._begun:
            clears = np.flatnonzero(columns.flags & CLEAR)
            if not len(clears):
                return None
            self._begun = True
            columns = columns.part(int(clears[0]), len(columns.kind))
        return Batch(self.symbol, columns, gaps)

    def health(self) -> SymbolHealth:
        latencies = list(self._latencies)
        p50, p99 = (float(np.quantile(latencies, q)) / 1e6 if latencies else None for q in (0.5, 0.99))
        least = None if self.least_latency_ns is None else self.least_latency_ns / 1e6
        return SymbolHealth(self.symbol, self.synced, self._last_ns, self._rows, self.live.mid2, p50, p99, least)
