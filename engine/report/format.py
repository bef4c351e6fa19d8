"""Numbers and times as words: the only place where the report rounds.

Everything here is pure and locale-free. A value that is None is written `no data`: it is never shown as zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

NO_DATA = "no data"
_UNIT_DIGITS = {"bps": 2, "%": 1, "ms": 0, "ratio": 2, "count": 0}
_NS_PER_S = 1_000_000_000
_MAX_DIGITS = 9


def number(value: float | None, digits: int, *, sign: bool = False) -> str:
    """`value` with `digits` decimals; minus zero is zero; `sign` also writes the plus."""
    if value is None:
        return NO_DATA
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0.0:
        return text.lstrip("+-")
    return text


def unit_digits(unit: str) -> int:
    """Decimals a KPI of this unit is shown with."""
    return _UNIT_DIGITS.get(unit, 2)


def beside_limit(value: float | None, limit: float | None, digits: int) -> str:
    """`value` with as many decimals, from `digits` on, as keep it on its own side of `limit`.

    2.9996 against 3.0 reads 2.9996, not 3.00: verdicts compare unrounded values, and the text must agree.
    """
    if value is None or limit is None:
        return number(value, digits)
    for count in range(digits, _MAX_DIGITS + 1):
        shown = float(f"{value:.{count}f}")
        if (shown < limit) == (value < limit) and (shown > limit) == (value > limit):
            return number(value, count)
    return repr(value)


def plain(value: float) -> str:
    """A setting as a person writes it: no trailing zeros, at most 6 decimals."""
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def money_digits(values: Iterable[float | None]) -> int:
    """Decimals for a column of amounts: 2 from 1 upwards, more for small ones so that 4 digits remain, at most 8."""
    top = max((abs(v) for v in values if v is not None), default=0.0)
    if top == 0.0 or top >= 1.0:
        return 2
    return min(8, 3 - math.floor(math.log10(top)))


def money(value: float | None, currency: str, *, digits: int | None = None) -> str:
    """A signed amount with its currency: `+41.20 USDT`."""
    if value is None:
        return NO_DATA
    return f"{number(value, money_digits([value]) if digits is None else digits, sign=True)} {currency}"


def interval(low: float | None, high: float | None, digits: int) -> str:
    """`[1.90, 3.50]`, or nothing where there is no interval."""
    return "" if low is None or high is None else f"[{number(low, digits)}, {number(high, digits)}]"


def utc(ts_ns: int, pattern: str = "%H:%M") -> str:
    """A market time in ns as UTC text."""
    return datetime.fromtimestamp(ts_ns // _NS_PER_S, UTC).strftime(pattern)


def span(start_ns: int, end_ns: int) -> str:
    """`2024-08-09 00:00-03:00 UTC`; seconds where the span is short, both dates where it crosses midnight."""
    clock = "%H:%M" if end_ns - start_ns >= 600 * _NS_PER_S else "%H:%M:%S"
    same_day = utc(start_ns, "%F") == utc(end_ns, "%F")
    end = utc(end_ns, clock if same_day else f"%F {clock}")
    return f"{utc(start_ns, f'%F {clock}')}{'-' if same_day else ' to '}{end} UTC"


def minutes(seconds: float) -> str:
    """Minutes without decimals from ten on, with one below."""
    value = seconds / 60
    return number(value, 0 if value >= 10 else 1)


def count(quantity: int, singular: str, plural: str | None = None) -> str:
    """`1 fill`, `3 fills`."""
    return f"{quantity} {singular if quantity == 1 else plural or singular + 's'}"


def and_list(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
