"""Raw Binance captures (spot, USD-M, COIN-M) to events: snapshot synchronisation, sequence check, trades.

Lines are `<local ns> <json>`; the JSON is a stream message, bare or wrapped in {"stream", "data"}, or the answer
of the REST depth snapshot (it has `lastUpdateId`). Notation: a depth update carries ids U..u, futures also pu, the
u of the update before it.

    covered      u <= lastUpdateId: older than the snapshot, dropped
    first after  futures pu <= lastUpdateId, spot U <= lastUpdateId + 1
    chain        futures pu == previous u, spot U == previous u + 1; anything else is a gap

Updates received before their snapshot wait for it and are applied after it, at the snapshot's time of receipt:
that is when the book they belong to was known. After a gap the book waits for the next snapshot line.
Exchange time is T of trades and futures updates, E of spot updates. A futures snapshot has a T of its own; a spot
snapshot takes the E of the last update it covers.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import CaptureError
from engine.instrument import Instrument
from engine.market.book_scan import touch_at
from engine.market.capture import Capture, EventBuilder, GridError, Line, bad_field, read_lines
from engine.market.events import Columns
from engine.market.instruments import InstrumentFlags, find_instrument
from engine.market.tape_meta import Gap

_WAITING_UPDATES = 10_000
_MICROSECONDS_FROM = 10**14
_TICKER_KEYS = frozenset("ubBaA")


def read_binance(files: Sequence[Path], flags: InstrumentFlags, known: tuple[Instrument, ...]) -> Capture:
    """Read one capture of one symbol, cut into `files` in order of time.

    Raises:
        CaptureError: a file or line cannot be read, there is no depth update or no snapshot, the symbol is not the
            one asked for or unknown, a number is off the grid, or times of receipt go back.
    """
    counts: Counter[str] = Counter()
    lines = read_lines(files, counts)
    head, symbol, is_futures = _recognise(lines, files)
    where = str(files[0])
    if flags.symbol not in (None, symbol):
        raise CaptureError(f"holds {symbol}, not {flags.symbol}", where=where, remedy="mend --symbol")
    instrument = find_instrument((_venue(symbol, is_futures),), symbol, flags, known, where=where)
    book = BinanceBook(instrument, is_futures, counts)
    for line in chain(head, lines):
        book.take(line)
    return book.capture(where)


def _recognise(lines: Iterator[Line], files: Sequence[Path]) -> tuple[list[Line], str, bool]:
    """The lines up to the first depth update, its symbol, and whether it is a futures market's."""
    head = []
    for line in lines:
        head.append(line)
        data = line.value.get("data", line.value)
        if isinstance(data, dict) and data.get("e") == "depthUpdate" and isinstance(data.get("s"), str):
            return head, data["s"], "pu" in data
    raise CaptureError("holds no depth update", where=str(files[0]), remedy="give a capture with a depth stream")


def _venue(symbol: str, is_futures: bool) -> str:
    """COIN-M symbols are a pair in USD and a delivery: ETHUSD_PERP; USD-M deliveries are in USDT or USDC."""
    if not is_futures:
        return "binance-spot"
    pair, _, delivery = symbol.partition("_")
    return "binance-coinm" if delivery and pair.endswith("USD") else "binance-usdm"


class BinanceBook:
    """Takes the lines of one symbol one by one and collects its events; needs no line to come again.

    `is_new_trade`, where set, says of a trade's id whether it was not seen before (a live feed reconnects).
    """

    def __init__(self, instrument: Instrument, is_futures: bool, counts: Counter[str]) -> None:
        self.builder = EventBuilder(instrument)
        self.counts = counts
        self.is_futures = is_futures
        self.last_u: int | None = None  # None: waiting for a snapshot
        self.snapshot_id = -1
        self.waiting: deque[tuple[Line, dict[str, Any]]] = deque(maxlen=_WAITING_UPDATES)
        self.spare: Line | None = None  # a snapshot that came while the chain held
        self._is_first = False  # no update applied since the snapshot
        self._undated: int | None = None  # message of a snapshot without exchange time
        self._gap_ns, self._last_local_ns = 0, 0
        self._trade_event = ""
        self.is_new_trade: Callable[[Any], bool] | None = None
        self._tickers = [array("q") for _ in range(5)]
        self._update_u, self._update_row = array("q"), array("q")

    def take(self, line: Line) -> None:
        """Raises: CaptureError, naming file and line."""
        if line.local_ns is None:
            raise CaptureError("has no time of receipt", where=line.where, remedy="record `<local ns> <json>` lines")
        if line.local_ns < self._last_local_ns:
            back_ms = (self._last_local_ns - line.local_ns) / 1e6
            reason = f"time of receipt goes back by {back_ms:.3f} ms"
            raise CaptureError(reason, where=line.where, remedy="give the files in the order of time")
        self._last_local_ns = line.local_ns
        data = line.value.get("data", line.value)
        try:
            self._dispatch(line, data)
        except GridError as error:
            raise bad_field(self.builder.instrument, line.where, "bookTicker", error) from error
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            reason = f"is not a message of a known form ({error!r})"
            raise CaptureError(reason, where=line.where, remedy="remove the line") from error

    def _dispatch(self, line: Line, data: dict[str, Any]) -> None:
        if "lastUpdateId" in data:
            self._one_symbol(line, data.get("symbol"))
            self._snapshot(line)
            return
        event = data.get("e", "bookTicker" if data.keys() >= _TICKER_KEYS else None)
        if event not in ("depthUpdate", "trade", "aggTrade", "bookTicker"):
            self.counts[f"other {event}"] += 1
            return
        self._one_symbol(line, data["s"])
        if event == "depthUpdate":
            self.counts["depth_updates"] += 1
            self._update(line, data)
        elif event == "bookTicker":
            self.counts["book_tickers"] += 1
            price, qty = self.builder.price, self.builder.qty
            row = (data["u"], price[data["b"]], qty[data["B"]], price[data["a"]], qty[data["A"]])
            for column, value in zip(self._tickers, row, strict=True):
                column.append(value)
        else:
            self._trade(line, data, event)

    def _one_symbol(self, line: Line, symbol: Any) -> None:
        if symbol not in (None, self.builder.instrument.symbol):
            raise CaptureError(
                f"holds {symbol} beside {self.builder.instrument.symbol}",
                where=line.where,
                remedy="split the capture: one symbol a tape",
            )

    def _trade(self, line: Line, data: dict[str, Any], event: str) -> None:
        self._trade_event = self._trade_event or event
        if event != self._trade_event:  # trade and aggTrade tell the same trades twice
            self.counts[f"other {event}"] += 1
            return
        if self.is_new_trade is not None and not self.is_new_trade(data["a" if event == "aggTrade" else "t"]):
            self.counts["trades_repeated"] += 1
            return
        if data.get("X") not in (None, "MARKET"):  # insurance fund and the like: not from the book
            self.counts["trades_off_book"] += 1
            return
        self.counts["trades"] += 1
        assert line.local_ns is not None
        self.builder.trade(
            line.where, _ns(data["T"]), line.local_ns, data["p"], data["q"], buyer_aggressed=not data["m"]
        )

    def _snapshot(self, line: Line) -> None:
        self.counts["snapshots"] += 1
        if self.last_u is not None:
            self.spare = line
            return
        assert line.local_ns is not None
        self._synchronise(line, line.local_ns)

    def _synchronise(self, line: Line, local_ns: int) -> None:
        """Start the book from a snapshot, then apply what waited for it."""
        snapshot = line.value.get("data", line.value)
        held, self.waiting = list(self.waiting), deque(maxlen=_WAITING_UPDATES)
        self.last_u = self.snapshot_id = int(snapshot["lastUpdateId"])
        self._is_first = True
        covered = [self._time_ns(data) for _, data in held if data["u"] <= self.last_u]
        after = [self._time_ns(data) for _, data in held if data["u"] > self.last_u]
        exch_ns = _ns(snapshot["T"]) if "T" in snapshot else covered[-1] if covered else 0
        if after:  # in exchange order, too, the snapshot stands before what follows it
            exch_ns = min(exch_ns or after[0], after[0])
        self._undated = None if exch_ns else len(self.builder.exch_ns)
        exch_ns = max(exch_ns or local_ns, self._gap_ns)
        self.builder.depth(line.where, exch_ns, local_ns, snapshot["bids"], snapshot["asks"], clear=True)
        for waiting_line, data in held:
            self._update(waiting_line, data, local_ns)

    def _update(self, line: Line, data: dict[str, Any], local_ns: int | None = None) -> None:
        if self.last_u is None:
            self.waiting.append((line, data))
            return
        local_ns = local_ns or line.local_ns
        assert local_ns is not None
        u, exch_ns = data["u"], self._time_ns(data)
        covered = u <= self.last_u
        if self._undated is not None:
            self._date_snapshot(self._undated, exch_ns, covered)
        if covered:
            self.counts["updates_covered" if u <= self.snapshot_id else "updates_repeated"] += 1
            return
        if not self._chains(data):
            self._gap(line, data, exch_ns, local_ns)
            return
        self.builder.depth(line.where, exch_ns, local_ns, data["b"], data["a"])
        self.last_u, self._is_first = u, False
        self._update_u.append(u)
        self._update_row.append(self.builder.count - 1)

    def _date_snapshot(self, message: int, exch_ns: int, covered: bool) -> None:
        """Date a snapshot that came before any update: by the last one covered, else by the first applied."""
        times = self.builder.exch_ns
        if covered or times[message] == self.builder.local_ns[message]:
            times[message] = max(exch_ns, self._gap_ns)
        if not covered:
            self._undated = None

    def _chains(self, data: dict[str, Any]) -> bool:
        assert self.last_u is not None
        link = data["pu"] if self.is_futures else data["U"] - 1
        return bool(link <= self.last_u if self._is_first else link == self.last_u)

    def _gap(self, line: Line, data: dict[str, Any], exch_ns: int, local_ns: int) -> None:
        name = "pu" if self.is_futures else "U"
        self.counts["gaps"] += 1
        self.builder.gap(exch_ns, local_ns, f"sequence: {name} {data[name]} does not follow u {self.last_u}")
        self._gap_ns, self.last_u = exch_ns, None
        self.waiting.append((line, data))
        spare, self.spare = self.spare, None
        if spare is not None:  # the snapshot of a new connection may come before its first update
            link = data["pu"] if self.is_futures else data["U"] - 1
            if link <= spare.value.get("data", spare.value)["lastUpdateId"] < data["u"]:
                self._synchronise(spare, local_ns)

    def lose(self, local_ns: int, reason: str) -> None:
        """Messages were lost just before `local_ns`, and not by the chain: the book waits for a snapshot."""
        self.waiting.clear()
        self.spare = None
        if self.last_u is None:
            return
        self.builder.gap(self.builder.latest_exch_ns, local_ns, reason)
        self._gap_ns, self.last_u = self.builder.latest_exch_ns, None
        self._last_local_ns = max(self._last_local_ns, local_ns)

    def take_events(self) -> tuple[Columns, tuple[Gap, ...]]:
        """The events and gaps since the last call. What bookTickers are compared by is forgotten with them."""
        for column in (*self._tickers, self._update_u, self._update_row):
            del column[:]
        self._undated = None
        return self.builder.take()

    def _time_ns(self, data: dict[str, Any]) -> int:
        return _ns(data["T"] if self.is_futures else data["E"])

    def capture(self, where: str) -> Capture:
        """Finish: compare with bookTicker, remove the clock shift.

        Raises:
            CaptureError: no snapshot came, so that there never was a book.
        """
        if self.snapshot_id < 0:
            raise CaptureError(
                "holds no snapshot line, so the book cannot be built",
                where=where,
                remedy="record the REST depth snapshot (a line with lastUpdateId) with the stream",
            )
        self._compare_tickers(self.builder.columns())
        return self.builder.capture(self.counts)

    def _compare_tickers(self, columns: Columns) -> None:
        """Count where the touch after an update, and the bookTicker of the same id, agree in prices and sizes."""
        ids, first = np.unique(np.array(self._update_u, np.int64), return_index=True)
        tickers = np.array(self._tickers, np.int64)
        if not len(ids) or not tickers.shape[1]:
            return
        at = np.minimum(np.searchsorted(ids, tickers[0]), len(ids) - 1)
        same = ids[at] == tickers[0]
        order = np.argsort(at[same], kind="stable")
        rows = np.array(self._update_row, np.int64)[first[at[same][order]]]
        equal = np.all(np.array(touch_at(columns, rows)) == tickers[1:, same][:, order], axis=0)
        self.counts["book_tickers_compared"] = len(rows)
        self.counts["book_tickers_equal"] = int(equal.sum())


def _ns(time: int) -> int:
    """Venue time, ms or (spot, where so configured) us, in ns."""
    return time * (1_000 if time >= _MICROSECONDS_FROM else 1_000_000)
