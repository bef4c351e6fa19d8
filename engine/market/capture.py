"""What every importer of raw captures shares: lines with their place, exact decimals, and the event builder.

A capture is a sequence of files read one after another: plain, gzip, or a zip archive of such lines. A line is
`<local ns> <json>`, or the JSON alone where the recorder kept no time of receipt.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

import numpy as np
import orjson

from engine.errors import CaptureError
from engine.instrument import Instrument
from engine.market.events import BUY, CLEAR, DEPTH, GAP, LAST, MARKER, TIMES_END_NS, TRADE, Array, Columns
from engine.market.tape_meta import Gap

NS_PER_MS = 1_000_000
LEAST_LATENCY_NS = NS_PER_MS
_INT32_MAX, _INT64_MAX = 2**31 - 1, 2**63 - 1
_CACHE_ENTRIES = 1 << 17
_PLAIN_DIGITS = 28


class Line(NamedTuple):
    """One line of a capture. `local_ns` is None without a time of receipt; `value` is the parsed JSON object."""

    file: str
    number: int
    local_ns: int | None
    value: dict[str, Any]

    @property
    def where(self) -> str:
        return f"{self.file}, line {self.number}"


@dataclass(frozen=True)
class Capture:
    """What an importer hands over: events in order of receipt, clock shift removed, and what it met."""

    columns: Columns
    instrument: Instrument
    clock_shift_ns: int
    gaps: tuple[Gap, ...]
    counts: dict[str, int]
    local_clock: Literal["recorder", "venue"] = "recorder"


def read_lines(files: Sequence[Path], counts: Counter[str]) -> Iterator[Line]:
    """The lines of `files`, in the order given. A torn last line of a file is counted (`torn_lines`) and left out.

    Raises:
        CaptureError: a file cannot be opened, is truncated, or holds a line that is not a JSON object.
    """
    for file in files:
        number = 0
        try:
            with _open(file) as stream:
                for number, raw in enumerate(stream, 1):
                    if raw.isspace():
                        continue
                    line = _parse(str(file), number, raw, counts)
                    if line is not None:
                        yield line
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise CaptureError(
                f"the compressed file is truncated or damaged after line {number}: {error}",
                where=str(file),
                remedy="copy it again from its source",
            ) from error
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
            raise CaptureError(reason, where=str(file), remedy="check the path") from error


def _open(file: Path) -> IO[bytes]:
    with file.open("rb") as probe:
        magic = probe.read(4)
    if magic[:2] == b"\x1f\x8b":
        return cast(IO[bytes], gzip.open(file, "rb"))
    if magic != b"PK\x03\x04":
        return file.open("rb")
    archive = zipfile.ZipFile(file)
    names = archive.namelist()
    if len(names) != 1:
        archive.close()
        reason = f"the archive holds {len(names)} files, not one"
        raise CaptureError(reason, where=str(file), remedy="unpack it and give the files in order")
    stream = archive.open(names[0])
    archive.close()  # the open member keeps the file; it is closed with the member
    return stream


def _parse(file: str, number: int, raw: bytes, counts: Counter[str]) -> Line | None:
    start = raw.find(b"{")
    prefix = raw[:start].strip() if start > 0 else b""
    try:
        if start < 0 or not (prefix.isdigit() or prefix == b""):
            raise ValueError("it is neither `<local ns> <json>` nor a JSON object")
        local_ns = int(prefix) if prefix else None
        if local_ns is not None and local_ns >= TIMES_END_NS:
            raise ValueError("its time of receipt is not in ns since 1970")
        value = orjson.loads(raw[start:])
    except ValueError as error:
        if not raw.endswith(b"\n"):  # the recorder was stopped while it wrote
            counts["torn_lines"] += 1
            return None
        raise CaptureError(
            f"cannot be read as a message: {error}",
            where=f"{file}, line {number}",
            remedy="remove the line; the sequence check will tell whether anything is lost",
        ) from error
    return Line(file, number, local_ns, value)


class GridError(ValueError):
    """A decimal that is not on the instrument's grid; the text says which and why."""


class Grid(dict[str, int]):
    """Decimal text to whole steps, exactly: `grid["61800.20"]` -> 618002 for step 0.1. A cache in front.

    Plain digits with at most one point are read with integers: the step is `_unit` * 10^-`_places`, so that text
    with that many places is a whole number of 10^-places. Everything else (signs, exponents, more places, errors)
    goes through Decimal; both ways give the same answer.

    Raises:
        GridError: not a decimal, negative, off the grid, or beyond `limit` steps.
    """

    def __init__(self, name: str, step: Decimal, limit: int) -> None:
        super().__init__()
        self.name, self.step, self.limit = name, step, limit
        self._places = max(0, -int(step.as_tuple().exponent))
        self._unit = int(step.scaleb(self._places))
        self._padding = "0" * self._places

    def __missing__(self, text: str) -> int:
        if not isinstance(text, str):
            raise GridError(f"{self.name} {text!r} is not a decimal string")
        whole, _, fraction = text.partition(".")
        missing = self._places - len(fraction)
        digits = whole + fraction
        if missing >= 0 and len(digits) < _PLAIN_DIGITS and digits.isascii() and digits.isdigit():
            steps, rest = divmod(int(digits + self._padding[:missing]), self._unit)
            if not rest and steps <= self.limit:
                return self._keep(text, steps)
        return self._keep(text, self._by_decimal(text))

    def _by_decimal(self, text: str) -> int:
        try:
            steps, rest = divmod(Decimal(text), self.step)
        except InvalidOperation:
            raise GridError(f"{self.name} {text!r} is not a decimal in range") from None
        if not steps.is_finite() or rest or steps < 0:
            raise GridError(f"{self.name} {text!r} is not a multiple of {self.step}")
        if steps > self.limit:
            raise GridError(f"{self.name} {text!r} is more than {self.limit} steps of {self.step}")
        return int(steps)

    def _keep(self, text: str, steps: int) -> int:
        if len(self) >= _CACHE_ENTRIES:
            self.clear()
        self[text] = steps
        return steps


DepthWatch = Callable[[bool, list[int], list[int], list[int], list[int]], None]
"""Called with (clear, bid prices, bid lots, ask prices, ask lots) before a depth message becomes events."""


class EventBuilder:
    """Collects events message by message, in order of receipt; the rows of a message share both times.

    A message is taken whole or not at all: on an error nothing of it was added. `watch`, where set, sees every
    depth message first and refuses it by raising CaptureError.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.watch: DepthWatch | None = None
        self.latest_exch_ns = 0
        self.price = Grid("price", instrument.tick, _INT32_MAX)
        self.qty = Grid("size", instrument.lot, _INT64_MAX)
        self.exch_ns, self.local_ns, self.rows = array("q"), array("q"), array("q")  # a message each
        self._kind, self._flags = bytearray(), bytearray()  # an event each
        self._price, self._qty = array("i"), array("q")
        self._gaps: list[tuple[int, str]] = []

    @property
    def count(self) -> int:
        return len(self._kind)

    def depth(self, where: str, exch_ns: int, local_ns: int, bids: Any, asks: Any, *, clear: bool = False) -> None:
        """One depth message: [price, size] pairs a side; `clear` empties the book first. No rows, no message."""
        before = self.count
        field = "bids"
        try:
            bid_prices, bid_lots = [self.price[level[0]] for level in bids], [self.qty[level[1]] for level in bids]
            field = "asks"
            ask_prices, ask_lots = [self.price[level[0]] for level in asks], [self.qty[level[1]] for level in asks]
        except (GridError, TypeError, LookupError) as error:
            raise bad_field(self.instrument, where, field, error) from error
        if self.watch is not None:
            self.watch(clear, bid_prices, bid_lots, ask_prices, ask_lots)
        if clear:
            self._event(MARKER, CLEAR, 0, 0)
        for prices, lots, flag in ((bid_prices, bid_lots, BUY), (ask_prices, ask_lots, 0)):
            self._price.extend(prices)
            self._qty.extend(lots)
            self._kind.extend(bytes([DEPTH]) * len(prices))
            self._flags.extend(bytes([flag]) * len(prices))
        self._end(exch_ns, local_ns, before)

    def trade(self, where: str, exch_ns: int, local_ns: int, price: Any, qty: Any, *, buyer_aggressed: bool) -> None:
        try:
            price_ticks, qty_lots = self.price[price], self.qty[qty]
        except (GridError, TypeError) as error:
            raise bad_field(self.instrument, where, "trade", error) from error
        self._event(TRADE, BUY if buyer_aggressed else 0, price_ticks, qty_lots)
        self._end(exch_ns, local_ns, self.count - 1)

    def gap(self, exch_ns: int, local_ns: int, reason: str) -> None:
        self._event(MARKER, GAP, 0, 0)
        self._end(exch_ns, local_ns, self.count - 1)
        self._gaps.append((local_ns, reason))

    def _event(self, kind: int, flags: int, price_ticks: int, qty_lots: int) -> None:
        self._kind.append(kind)
        self._flags.append(flags)
        self._price.append(price_ticks)
        self._qty.append(qty_lots)

    def _end(self, exch_ns: int, local_ns: int, before: int) -> None:
        if self.count == before:
            return
        self._flags[-1] |= LAST
        self.exch_ns.append(exch_ns)
        self.latest_exch_ns = max(self.latest_exch_ns, exch_ns)
        self.local_ns.append(local_ns)
        self.rows.append(self.count - before)

    def undo(self, count: int, messages: int) -> None:
        """Forget what came after the first `count` events, `messages` messages."""
        for column in (self._kind, self._flags, self._price, self._qty):
            del column[count:]
        for times in (self.exch_ns, self.local_ns, self.rows):
            del times[messages:]

    def columns(self) -> Columns:
        """The events so far, local times as recorded."""
        rows = np.array(self.rows, np.int64)
        return Columns(
            np.repeat(np.array(self.exch_ns, np.int64), rows),
            np.repeat(np.array(self.local_ns, np.int64), rows),
            np.frombuffer(self._kind, np.uint8).copy(),
            np.frombuffer(self._flags, np.uint8).copy(),
            np.array(self._price, np.int32),
            np.array(self._qty, np.int64),
        )

    def take(self) -> tuple[Columns, tuple[Gap, ...]]:
        """The events and gaps since the last call, local times as recorded; they are forgotten here."""
        columns = self.columns()
        gaps = tuple(Gap(local_ts_ns=local_ns, reason=reason) for local_ns, reason in self._gaps)
        for column in (self.exch_ns, self.local_ns, self.rows, self._price, self._qty):
            del column[:]
        self._kind.clear()
        self._flags.clear()
        self._gaps.clear()
        return columns, gaps

    def capture(self, counts: Counter[str], local_clock: Literal["recorder", "venue"] = "recorder") -> Capture:
        """The finished capture, with the clock shift worked out and removed."""
        columns = self.columns()
        shift_ns = clock_shift_ns(columns)
        columns = columns._replace(local_ts_ns=columns.local_ts_ns + shift_ns)
        gaps = tuple(Gap(local_ts_ns=local_ns + shift_ns, reason=reason) for local_ns, reason in self._gaps)
        return Capture(columns, self.instrument, shift_ns, gaps, dict(sorted(counts.items())), local_clock)


def clock_shift_ns(columns: Columns) -> int:
    """What to add to local times when the local clock is behind the exchange: the least latency becomes 1 ms."""
    if not len(columns.kind):
        return 0
    least: Array = (columns.local_ts_ns - columns.exch_ts_ns).min()
    return LEAST_LATENCY_NS - int(least) if least < 0 else 0


def bad_field(instrument: Instrument, where: str, field: str, error: Exception) -> CaptureError:
    """The error of a message whose numbers do not fit the instrument."""
    reason = str(error) if isinstance(error, GridError) else f"does not hold prices and sizes ({error!r})"
    return CaptureError(
        f"field {field}: {reason} ({instrument.symbol})",
        where=where,
        remedy=f"give the right grid with --tick and --lot (now {instrument.tick} and {instrument.lot})",
    )
