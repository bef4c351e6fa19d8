"""A lane's windows from a CSV file, as `nightsoak windows RUN --csv` prints it or anyone else writes it.

The header names at least window, net_pnl_quote and notional_quote; other columns are ignored. A row per window, its id
a whole number that rises with time. An empty field, `nan` or `null` is unknown.
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from engine.errors import InputError
from engine.tuning.pairing import WindowSeries, window_series

COLUMNS = ("window", "net_pnl_quote", "notional_quote")
_UNKNOWN = ("", "nan", "null", "none", "na")


def read_windows(path: Path) -> WindowSeries:
    """The windows in `path`, in order of id.

    Raises:
        InputError: unreadable, or not such a file; names file, line and column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise InputError(f"cannot be read: {reason}", where=str(path), remedy="check the path") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        where = f"{path} line {reader.line_num}"
        raise InputError(f"is not CSV: {error}", where=where, remedy="correct the file") from error
    return _series(rows, path)


def _series(rows: list[tuple[int, list[str]]], path: Path) -> WindowSeries:
    header = [name.strip() for name in rows[0][1]] if rows else []
    for name in COLUMNS:
        if header.count(name) != 1:
            problem = "stands twice" if name in header else "is missing"
            found = ", ".join(header)[:120] or "nothing"
            raise InputError(
                f"column {name} {problem}; the header has {found}",
                where=f"{path} line 1",
                remedy=f"the header must name {', '.join(COLUMNS)}",
            )
    places = [header.index(name) for name in COLUMNS]
    lines: dict[int, int] = {}
    pnl: list[float] = []
    notional: list[float] = []
    for line, row in rows[1:]:
        where = f"{path} line {line}"
        if not any(field.strip() for field in row):
            continue
        if len(row) != len(header):
            raise InputError(f"{len(row)} fields, the header has {len(header)}", where=where, remedy="correct the line")
        window, pnl_text, notional_text = (row[place].strip() for place in places)
        identity = _window_id(window, f"{where} column window")
        if identity in lines:
            raise InputError(
                f"window {identity} stands in line {lines[identity]} already",
                where=f"{where} column window",
                remedy="give every window its own id, rising with time over all runs",
            )
        lines[identity] = line
        pnl.append(_number(pnl_text, f"{where} column net_pnl_quote"))
        notional.append(_number(notional_text, f"{where} column notional_quote", negative=False))
    if not lines:
        raise InputError("has no windows", where=str(path), remedy="write a row per window under the header")
    return window_series(list(lines), pnl, notional, name=str(path))


def _window_id(text: str, where: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -(1 << 63) - 1
    if not -(1 << 63) <= value < 1 << 63:
        raise InputError(f"{text!r} is no whole number", where=where, remedy="number the windows in order of time")
    return value


def _number(text: str, where: str, *, negative: bool = True) -> float:
    if text.lower() in _UNKNOWN:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise InputError(f"{text!r} is no number", where=where, remedy="write a number, or nothing where it is unknown")
    if value < 0 and not negative:
        raise InputError(f"{text} is negative", where=where, remedy="a notional is a sum of sizes; correct it")
    return value
