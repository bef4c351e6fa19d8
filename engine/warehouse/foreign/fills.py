"""What every export comes to, and the readers of its texts: times, amounts, sides, CSV rows.

What an export does not say stays None; nothing is guessed. A row that is a trade and cannot be read refuses the whole
file, since a ledger with a hole is wrong; rows that are no trades are passed over and counted.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from engine.errors import JournalError
from engine.market.events import TIMES_END_NS

NS_PER_S = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%H:%M %Y-%m-%d", "%Y-%m-%d %H:%M")
_CLOCK = re.compile(r"\d:\d\d(:\d\d)?(\.\d+)?")
_AMOUNT = re.compile(r"(?P<number>[+-]?[0-9][0-9,]*(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?)\s*(?P<unit>[A-Z][A-Z0-9]*)?\Z")
_MOST = Decimal(10) ** 20  # what a journal's decimals end at
_BUYS = {"buy", "b", "long", "open long", "close short"}
_SELLS = {"sell", "a", "short", "open short", "close long"}


@dataclass(frozen=True)
class ForeignFill:
    """A fill as an export tells of it. `fee`: + rebate, - cost, None where it or its currency is not said."""

    ts_ns: int
    symbol: str
    side: str
    price: Decimal
    qty: Decimal
    fee: Decimal | None = None
    fee_currency: str | None = None
    liquidity: str | None = None
    order_id: str | None = None
    position_before: Decimal | None = None


@dataclass(frozen=True)
class ForeignFunding:
    """A funding payment: + received, - paid."""

    ts_ns: int
    symbol: str
    amount: Decimal


@dataclass
class Export:
    """An export's content in order of time.

    `venues` are those it may be of, by the names in config/instruments.json; `passed_over` counts rows that are no
    trades, by what they are; `quote_currency` is what prices are in, where the export or its venue says so.
    """

    venues: tuple[str, ...]
    quote_currency: str | None = None
    fills: list[ForeignFill] = field(default_factory=list)
    funding: list[ForeignFunding] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    time_step_ns: int = 1
    """The coarsest step that its times are written in."""

    def time_ns(self, text: str, where: str) -> int:
        """UTC ns of a time that the export gives; its step is kept in mind."""
        clock = _CLOCK.search(text)
        if clock:
            step = 60 * NS_PER_S if clock[1] is None else NS_PER_S if clock[2] is None else 10**6
            self.time_step_ns = max(self.time_step_ns, step)
        return time_ns(text, where)

    def sorted(self) -> Export:
        """The same in order of time; at equal times in the order of the file, which may run backwards."""
        times = [fill.ts_ns for fill in self.fills]
        if len(times) > 1 and times[0] > times[-1]:
            self.fills.reverse()
        self.fills.sort(key=lambda fill: fill.ts_ns)
        self.funding.sort(key=lambda payment: payment.ts_ns)
        return self


@dataclass(frozen=True)
class Row:
    """A line of a CSV file: its values by column name in lower case."""

    where: str
    values: dict[str, str]

    def get(self, *names: str) -> str | None:
        """The value of the first of these columns that the file has; None where it is empty or a dash."""
        for name in names:
            value = self.values.get(name.lower(), "").strip()
            if value and value != "--":
                return value
        return None

    def need(self, *names: str) -> str:
        value = self.get(*names)
        if value is None:
            raise JournalError(f"has no {names[0]}", where=self.where, remedy="export the history again")
        return value


def csv_rows(data: bytes, where: str, needed: Sequence[Sequence[str]]) -> Iterator[Row]:
    """The rows of a CSV file.

    Args:
        needed: for each column that must be there, the names it goes by.

    Raises:
        JournalError: it is not UTF-8, a column is missing, or a row is longer than the header.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JournalError("is not UTF-8", where=where, remedy="export it as CSV, not as a spreadsheet") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    header: list[str] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            if cells[0].strip().lower().startswith("uid:"):
                continue  # a line about the account
            header = [cell.strip().lower() for cell in cells]
            for names in needed:
                if not any(name.lower() in header for name in names):
                    raise JournalError(
                        f"has no column {' or '.join(names)}",
                        where=where,
                        remedy="check that --format is what made the file",
                    )
            continue
        at = f"{where}:{reader.line_num}"
        if len(cells) != len(header):
            raise JournalError(f"has {len(cells)} values under {len(header)} columns", where=at, remedy="mend the row")
        yield Row(at, dict(zip(header, cells, strict=True)))
    if not header:
        raise JournalError("is empty", where=where, remedy="name an export with trades")


def time_ns(text: str, where: str) -> int:
    """UTC ns of a date, or of a number of seconds or milliseconds since 1970."""
    text = text.strip()
    try:
        number = Decimal(text)
    except InvalidOperation:
        for form in _TIME_FORMS:
            try:
                at = datetime.strptime(text, form).replace(tzinfo=UTC)
            except ValueError:
                continue
            since = at - _EPOCH
            ns = (since.days * 86_400 + since.seconds) * NS_PER_S + since.microseconds * 1000
            if 0 <= ns < TIMES_END_NS:
                return ns
        raise JournalError(f"time {text!r} cannot be read", where=where, remedy="mend the row") from None
    if not (number.is_finite() and 10**8 <= number < TIMES_END_NS // 10**6):
        raise JournalError(f"time {text!r} cannot be read", where=where, remedy="mend the row")
    return int(number * (10**6 if number >= 10**11 else 10**9))


def amount(text: str, where: str) -> tuple[Decimal, str | None]:
    """(number, unit written behind it or None): `0.001`, `1,234.5`, `0.001BTC`."""
    match = _AMOUNT.match(text.strip())
    if match is None:
        raise JournalError(f"number {text!r} cannot be read", where=where, remedy="mend the row")
    number = Decimal(match["number"].replace(",", ""))
    if abs(number) >= _MOST:
        raise JournalError(f"number {text!r:.60} is out of range", where=where, remedy="mend the row")
    return number, match["unit"]


def positive(text: str, where: str) -> Decimal:
    number = amount(text, where)[0]
    if number <= 0:
        raise JournalError(f"number {text!r} is not above 0", where=where, remedy="mend the row")
    return number


def side_of(text: str, where: str) -> str:
    name = text.strip().lower()
    if name in _BUYS:
        return "buy"
    if name in _SELLS:
        return "sell"
    raise JournalError(f"side {text!r} is neither buy nor sell", where=where, remedy="mend the row")


def plain_symbol(text: str) -> str:
    """BTC-USDT, BTC/USDT and btcusdt are one symbol."""
    return re.sub(r"[-/\s]", "", text).upper()
