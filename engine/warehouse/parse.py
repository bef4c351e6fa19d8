"""Journal lines -> typed rows, strictly, by two readers that agree.

`read_line` is the reference: Python's JSON reader with every leniency taken away, one line at a time, and a reason in
words for what it refuses. The compiled scanner (scan.py) does the same for the lines that journals are made of, fifty
times as fast, and leaves to `read_line` what it is not sure of. Whether a well-typed row is a record is then asked of
both alike, in sql/quality/record_reason.sql.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from engine.errors import ConfigError, JournalError
from engine.instrument import Instrument
from engine.warehouse import reasons
from engine.warehouse.arrow import row_table
from engine.warehouse.fields import DECIMAL_PLACES, JOURNAL_VERSION, KINDS
from engine.warehouse.reasons import Refusals

if TYPE_CHECKING:
    from engine.warehouse.columns import Scanner

SCAN_FROM_BYTES = 1 << 20
"""Below it the scanner is not worth loading (0.3 s)."""
_INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") != "0"
"""The scanner reads memory by words; there is no interpreted form of that."""
_DECIMAL_TEXT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\Z")
_DECIMAL_LIMIT = Decimal(10) ** (38 - DECIMAL_PLACES)
_DECIMAL_STEP = Decimal(1).scaleb(-DECIMAL_PLACES)
_EXACT = Context(prec=400, traps=[])
_INT64 = 1 << 63


class LineError(ValueError):
    """Why a line is refused."""


class LineReader:
    """Reads chunk after chunk of whole lines. A table that it gave out is good until it reads the next chunk."""

    def __init__(self) -> None:
        self._scanner: Scanner | None = None

    def read(self, data: bytes, count: int) -> tuple[pa.Table, Refusals]:
        """Rows of the `count` lines in `data` (each ends with a newline), and those that are none.

        The table has the columns of arrow.INDEXED. Rows that needed the strict reader come last; otherwise rows and
        refusals are in file order.

        Raises:
            JournalError: a record is of a newer schema version.
        """
        if len(data) < SCAN_FROM_BYTES or _INTERPRETED:
            return _read_slow(enumerate(data.split(b"\n")[:-1]))
        if self._scanner is None:
            from engine.warehouse.columns import Scanner

            self._scanner = Scanner()
        table, refused, undecided = self._scanner.scan(data, count)
        if undecided:
            slow, more = _read_slow((index, data[start:end]) for index, start, end in undecided)
            table = pa.concat_tables([table, slow])
            refused = refused.merged(more)
        return table, refused


def _read_slow(lines: Iterable[tuple[int, bytes]]) -> tuple[pa.Table, Refusals]:
    rows: list[dict[str, Any]] = []
    at: list[int] = []
    why: list[str] = []
    for index, line in lines:
        try:
            rows.append({**read_line(line), "index": index})
        except LineError as error:
            at.append(index)
            why.append(str(error))
    return row_table(rows), Refusals(np.array(at, np.int64), why)


def read_line(line: bytes) -> dict[str, Any]:
    """The known fields of one line, typed.

    Raises:
        LineError: the line is not a JSON object with unique keys, or a field has the wrong type.
        JournalError: the record is of a newer schema version.
    """
    try:
        record = json.loads(
            line.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as error:
        raise LineError(reasons.NOT_UTF8) from error
    except RecursionError as error:
        raise LineError("not a record: nested too deep") from error
    except LineError:
        raise
    except ValueError as error:
        raise LineError(reasons.NOT_JSON) from error
    if not isinstance(record, dict):
        raise LineError("not a JSON object")
    version = record.get("v")
    if isinstance(version, int) and not isinstance(version, bool) and version > JOURNAL_VERSION:
        refuse_version(version)
    row = {name: _typed(name, KINDS[name], value) for name, value in record.items() if name in KINDS}
    if row.get("type") == "run_start":
        _check_run_start(record)
    return row


def refuse_version(version: int) -> None:
    raise JournalError(
        f"the journal is of schema version {version}, this Nightsoak reads up to {JOURNAL_VERSION}",
        remedy="upgrade Nightsoak, then ingest again",
    )


def instrument_from(value: Any, symbol: str) -> Instrument:
    """The Instrument of a run_start record; venue and currencies may be left out by other bots.

    Raises:
        LineError: a field is missing or not what it must be.
    """
    if not isinstance(value, dict):
        raise LineError("run_start without an instrument object")

    def text(name: str) -> str:
        found = value.get(name, "")
        return found if isinstance(found, str) else ""

    try:
        return Instrument(
            venue=text("venue"),
            symbol=symbol,
            tick=_positive(value, "tick"),
            lot=_positive(value, "lot"),
            contract=text("contract"),
            contract_size=_positive(value, "contract_size") if "contract_size" in value else Decimal(1),
            quote_currency=text("quote_currency"),
            pnl_currency=text("pnl_currency") or (text("quote_currency") if text("contract") == "linear" else ""),
        )
    except ConfigError as error:
        raise LineError(f"instrument: {error.what}") from error


def _positive(value: dict[str, Any], name: str) -> Decimal:
    number = _typed(f"instrument.{name}", "decimal", value.get(name))
    if number is None or number <= 0:
        raise LineError(f"instrument.{name} must be a number above 0")
    return Decimal(number)


def _check_run_start(record: dict[str, Any]) -> None:
    instrument_from(record.get("instrument"), str(record.get("symbol", "")))
    for lane in record.get("lanes") or ():
        number = lane.get("lane") if isinstance(lane, dict) else None
        if type(number) is not int or not 0 <= number < _INT64 or not isinstance(lane.get("role"), str):
            raise LineError("lanes must be a list of {lane, role, params}")


def _typed(name: str, kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "integer":
        if type(value) is int and -_INT64 <= value < _INT64:
            return value
    elif kind == "text":
        if isinstance(value, str):
            return _encodable(name, value)
    elif kind == "boolean":
        if isinstance(value, bool):
            return value
    elif kind == "id":
        if isinstance(value, str) or (type(value) is int and -_INT64 <= value < _INT64):
            return _encodable(name, str(value))
    elif kind == "nested":
        if isinstance(value, dict | list):
            return _encodable(name, json.dumps(value, sort_keys=True, ensure_ascii=False, default=str))
    else:
        return _decimal(name, value)
    raise LineError(reasons.wrong_type(name, kind, reasons.shown(value)))


def _encodable(name: str, text: str) -> str:
    """JSON can write half of a surrogate pair; no text can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise LineError(f"{name} holds half of a surrogate pair") from error
    return text


def _decimal(name: str, value: Any) -> Decimal:
    text = str(value) if type(value) is int or isinstance(value, Decimal) else value
    if not isinstance(text, str) or not _DECIMAL_TEXT.match(text):
        raise LineError(reasons.wrong_type(name, "decimal", reasons.shown(value)))
    number = Decimal(text)
    if not number.is_finite() or abs(number) >= _DECIMAL_LIMIT:
        raise LineError(f"{name} {reasons.shown(value)} is out of range")
    try:
        return number.quantize(_DECIMAL_STEP, rounding=ROUND_HALF_EVEN, context=_EXACT)
    except Inexact as error:
        raise LineError(f"{name} {reasons.shown(value)} is out of range") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise LineError(reasons.twice(key))
            seen.add(key)
    return record


def _finite(text: str) -> Decimal:
    if math.isinf(float(text)):
        raise LineError(reasons.beyond_double(text))
    return Decimal(text)


def _no_constant(text: str) -> None:
    raise LineError(reasons.not_a_number(text))
