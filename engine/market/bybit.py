"""Raw Bybit V5 public captures to events: orderbook.<depth>.<symbol> and publicTrade.<symbol>.

Lines are frames, optionally after `<local ns> `. Notation: u is the book's update id.

    snapshot, or u == 1 (the service restarted)    the book is replaced
    delta, u <= last                               repeated, dropped
    delta, u == last + 1                           applied
    delta, u > last + 1                            a gap; the book waits for the next snapshot

Depth 1 sends snapshots only, so none of its frames can be missed unseen. Exchange time is `cts` (the matching
engine's) or, where a frame has none, `ts` (the push's); T of trades. Where the capture has no times of receipt,
`ts` stands in for them and the tape says so (`local_clock` "venue").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from engine.errors import CaptureError
from engine.instrument import Instrument
from engine.market.capture import NS_PER_MS, Capture, EventBuilder, Line, read_lines
from engine.market.events import Columns
from engine.market.instruments import InstrumentFlags, find_instrument
from engine.market.tape_meta import Gap

VENUES = ("bybit-linear", "bybit-inverse")


def read_bybit(files: Sequence[Path], flags: InstrumentFlags, known: tuple[Instrument, ...]) -> Capture:
    """Read one symbol of a capture cut into `files` in order of time; `flags.symbol` chooses among several.

    Frames do not name the category: a symbol is looked up as linear, then as inverse.

    Raises:
        CaptureError: a file or line cannot be read, there is no book, there are several symbols and none was
            chosen, the symbol is unknown, a number is off the grid, or times of receipt go back or stand at
            some lines only.
    """
    counts: Counter[str] = Counter()
    lines = read_lines(files, counts)
    head, symbol = _recognise(lines, files, flags.symbol)
    instrument = find_instrument(VENUES, symbol, flags, known, where=str(files[0]))
    book = BybitBook(instrument, counts, others_allowed=flags.symbol is not None)
    for line in chain(head, lines):
        book.take(line)
    return book.capture(str(files[0]))


def _recognise(lines: Iterator[Line], files: Sequence[Path], wanted: str | None) -> tuple[list[Line], str]:
    """The lines up to the first book frame of the wanted symbol (of any, if None), and that symbol."""
    head = []
    for line in lines:
        head.append(line)
        topic = line.value.get("topic")
        if isinstance(topic, str) and topic.startswith("orderbook."):
            symbol = topic.rpartition(".")[2]
            if wanted in (None, symbol):
                return head, symbol
    name = f" of {wanted}" if wanted else ""
    raise CaptureError(f"holds no orderbook topic{name}", where=str(files[0]), remedy="mend --symbol or the capture")


class BybitBook:
    """Takes frames one by one and collects the events of one symbol and one book depth: the first one seen.

    `is_new_trade`, where set, says of a trade's id whether it was not seen before (a live feed reconnects).
    """

    def __init__(self, instrument: Instrument, counts: Counter[str], *, others_allowed: bool) -> None:
        self.builder = EventBuilder(instrument)
        self.is_new_trade: Callable[[Any], bool] | None = None
        self.counts = counts
        self.others_allowed = others_allowed
        self.last_u: int | None = None  # None: waiting for a snapshot
        self._depth = ""
        self._had_book = False
        self._has_receipt: bool | None = None
        self._gap_ns, self._last_local_ns = 0, 0

    def take(self, line: Line) -> None:
        """Raises: CaptureError, naming file and line."""
        frame = line.value
        topic = frame.get("topic")
        try:
            name, _, symbol = str(topic).rpartition(".")
            if name != "publicTrade" and not name.startswith("orderbook."):
                self.counts[f"other {name or frame.get('op')}"] += 1
            elif symbol != self.builder.instrument.symbol:
                self._other_symbol(line, symbol)
            elif name == "publicTrade":
                self._trades(line, frame)
            else:
                self._book(line, frame, name)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            reason = f"is not a frame of a known form ({error!r})"
            raise CaptureError(reason, where=line.where, remedy="remove the line") from error

    def _other_symbol(self, line: Line, symbol: str) -> None:
        self.counts["other symbols"] += 1
        if not self.others_allowed:
            raise CaptureError(
                f"holds {symbol} beside {self.builder.instrument.symbol}",
                where=line.where,
                remedy="choose one with --symbol",
            )

    def _local_ns(self, line: Line, frame: dict[str, Any]) -> int:
        has_receipt = line.local_ns is not None
        if self._has_receipt not in (None, has_receipt):  # two clocks cannot be told apart afterwards
            reason = "some lines have a time of receipt and some have none"
            raise CaptureError(reason, where=line.where, remedy="import them as tapes of their own")
        self._has_receipt = has_receipt
        pushed_ns = max(int(frame["ts"]) * NS_PER_MS, self._last_local_ns)
        local_ns = pushed_ns if line.local_ns is None else line.local_ns
        if local_ns < self._last_local_ns:
            back_ms = (self._last_local_ns - local_ns) / 1e6
            reason = f"time of receipt goes back by {back_ms:.3f} ms"
            raise CaptureError(reason, where=line.where, remedy="give the files in the order of time")
        self._last_local_ns = local_ns
        return local_ns

    def _trades(self, line: Line, frame: dict[str, Any]) -> None:
        local_ns = self._local_ns(line, frame)
        for trade in frame["data"]:
            if trade["S"] not in ("Buy", "Sell"):
                reason = f"trade side is {trade['S']!r}, neither Buy nor Sell"
                raise CaptureError(reason, where=line.where, remedy="remove the line")
            if self.is_new_trade is not None and not self.is_new_trade(trade.get("i")):
                self.counts["trades_repeated"] += 1
                continue
            if trade.get("BT") is True:  # a block trade: agreed outside the book
                self.counts["trades_off_book"] += 1
                continue
            self.counts["trades"] += 1
            is_buy = trade["S"] == "Buy"
            exch_ns = int(trade["T"]) * NS_PER_MS
            self.builder.trade(line.where, exch_ns, local_ns, trade["p"], trade["v"], buyer_aggressed=is_buy)

    def _book(self, line: Line, frame: dict[str, Any], depth: str) -> None:
        self._depth = self._depth or depth
        if depth != self._depth:  # two depths are two books; mixing them would be wrong
            self.counts[f"other {depth}"] += 1
            return
        data, u = frame["data"], int(frame["data"]["u"])
        local_ns = self._local_ns(line, frame)
        exch_ns = int(frame.get("cts", frame["ts"])) * NS_PER_MS
        if frame["type"] == "snapshot" or u == 1:
            self.counts["snapshots"] += 1
            self.counts["restarts"] += u == 1
            self._had_book = True
            exch_ns = max(exch_ns, self._gap_ns)
            self.builder.depth(line.where, exch_ns, local_ns, data["b"], data["a"], clear=True)
            self.last_u = u
            return
        self.counts["deltas"] += 1
        if self.last_u is None:
            self.counts["deltas_without_book"] += 1
        elif u <= self.last_u:
            self.counts["deltas_repeated"] += 1
        elif u > self.last_u + 1:
            self.counts["gaps"] += 1
            self.builder.gap(exch_ns, local_ns, f"sequence: u {u} does not follow u {self.last_u}")
            self._gap_ns, self.last_u = exch_ns, None
        else:
            self.builder.depth(line.where, exch_ns, local_ns, data["b"], data["a"])
            self.last_u = u

    def lose(self, local_ns: int, reason: str) -> None:
        """Messages were lost just before `local_ns`, and not by the sequence: the book waits for a snapshot."""
        if self.last_u is None:
            return
        self.builder.gap(self.builder.latest_exch_ns, local_ns, reason)
        self._gap_ns, self.last_u = self.builder.latest_exch_ns, None
        self._last_local_ns = max(self._last_local_ns, local_ns)

    def take_events(self) -> tuple[Columns, tuple[Gap, ...]]:
        """The events and gaps since the last call."""
        return self.builder.take()

    def capture(self, where: str) -> Capture:
        """Finish: remove the clock shift.

        Raises:
            CaptureError: no snapshot came.
        """
        if not self._had_book:
            reason = "holds no orderbook snapshot, so the book cannot be built"
            raise CaptureError(reason, where=where, remedy="record from the subscription on: it starts with one")
        counts = Counter({name: count for name, count in self.counts.items() if count})
        return self.builder.capture(counts, "recorder" if self._has_receipt else "venue")
