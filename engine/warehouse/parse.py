"""Journal lines -> typed rows, strictly, by two readers that agree.

The fast reader gives a chunk of lines to Arrow's JSON reader with an explicit schema: it refuses "12", 1.7 or true
for a whole number, keys that stand twice, numbers beyond a double. What it does not refuse (NaN in a field that is
not ours, two objects on a line, bytes that are not UTF-8) is checked here. If it refuses anything, the slow reader
takes the chunk line by line and says what is wrong with which line. Whether a well-typed row is a record is then
asked of both alike, in sql/quality/record_reason.sql.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from engine.errors import ConfigError, JournalError
from engine.instrument import Instrument
from engine.warehouse.fields import DECIMAL_PLACES, DECIMAL_TYPE, FAST_SCHEMA, JOURNAL_VERSION, KINDS, SLOW_SCHEMA

_DECIMAL_TEXT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\Z")
_DECIMAL_LIMIT = Decimal(10) ** (38 - DECIMAL_PLACES)
_DECIMAL_STEP = Decimal(1).scaleb(-DECIMAL_PLACES)
_EXACT = Context(prec=400, traps=[])
_INT64 = 1 << 63


@dataclass(frozen=True)
class Reject:
    """A line that is not a record: `index` counts lines from the start of the chunk."""

    index: int
    reason: str


class LineError(ValueError):
    """Why a line is refused."""


def read_lines(data: bytes) -> tuple[pa.Table, list[Reject]]:
    """Rows of the whole lines in `data` (each ends with a newline), and the lines that could not be read.

    The table has the columns of SLOW_SCHEMA and `index` (int64, the line's place in the chunk), in file order.

    Raises:
        JournalError: a record is of a newer schema version.
    """
    count = data.count(b"\n")
    if data.count(b"{") == count and data.startswith(b"{") and data.count(b"\n{") == count - 1:
        table = _read_fast(data, count)
        if table is not None:
            return table.append_column("index", pa.array(np.arange(count))), []
    lines = data.split(b"\n")[:-1]
    flat = [i for i, line in enumerate(lines) if line.startswith(b"{") and line.count(b"{") == 1]
    fast = _read_fast(b"\n".join(lines[i] for i in flat) + b"\n", len(flat)) if len(flat) < count else None
    if fast is None:
        return _read_slow(lines, range(count))
    apart = set(range(count)).difference(flat)
    slow, rejects = _read_slow(lines, sorted(apart))
    both = pa.concat_tables([fast.append_column("index", pa.array(flat, pa.int64())), slow])
    return both.take(pa.array(np.argsort(both["index"].to_numpy(), kind="stable"))), rejects


def _read_fast(data: bytes, count: int) -> pa.Table | None:
    """The chunk as a table, or None if anything in it needs a closer look.

    Every line holds exactly one `{`, at its start, so an object can neither share a line nor span two.
    """
    if not count:
        return None
    try:
        if not data.isascii():
            data.decode("utf-8")
        table = pa_json.read_json(
            io.BytesIO(data),
            read_options=pa_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=pa_json.ParseOptions(explicit_schema=FAST_SCHEMA, unexpected_field_behavior="infer"),
        )
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    if table.num_rows != count:
        return None
    for name in table.column_names[len(FAST_SCHEMA) :]:
        column = table[name]
        if pa.types.is_floating(column.type) and pc.all(pc.is_finite(column)).as_py() is False:
            return None
    known = table.select(FAST_SCHEMA.names)
    for column in known.columns:
        if column.type == DECIMAL_TYPE and column.null_count < count:
            ends = pc.min_max(column).as_py()
            if max(-ends["min"], ends["max"]) >= _DECIMAL_LIMIT:
                return None
    at = known.schema.get_field_index("order_id")
    return known.set_column(at, "order_id", known["order_id"].cast(pa.string()))


def _read_slow(lines: Sequence[bytes], chosen: Sequence[int]) -> tuple[pa.Table, list[Reject]]:
    rows: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    for index in chosen:
        try:
            rows.append({**read_line(lines[index]), "index": index})
        except LineError as error:
            rejects.append(Reject(index, str(error)))
    return pa.Table.from_pylist(rows, schema=SLOW_SCHEMA.append(pa.field("index", pa.int64()))), rejects


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
        raise LineError(f"not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise LineError("not a record: nested too deep") from error
    except LineError:
        raise
    except ValueError as error:
        raise LineError(f"not JSON: {error}") from error
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
        if not isinstance(lane, dict) or type(lane.get("lane")) is not int or not isinstance(lane.get("role"), str):
            raise LineError("lanes must be a list of {lane, role, params}")


def _typed(name: str, kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "integer":
        if type(value) is int and -_INT64 <= value < _INT64:
            return value
        raise LineError(f"{name} must be a whole number, not {_shown(value)}")
    if kind == "text":
        return _checked(isinstance(value, str), name, "a text", value)
    if kind == "boolean":
        return _checked(isinstance(value, bool), name, "true or false", value)
    if kind == "id":
        _checked(isinstance(value, str) or (type(value) is int and -_INT64 <= value < _INT64), name, "an id", value)
        return str(value)
    if kind == "nested":
        _checked(isinstance(value, dict | list), name, "an object or list", value)
        return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return _decimal(name, value)


def _decimal(name: str, value: Any) -> Decimal:
    text = str(value) if type(value) is int or isinstance(value, Decimal) else value
    if not isinstance(text, str) or not _DECIMAL_TEXT.match(text):
        raise LineError(f"{name} must be a decimal, not {_shown(value)}")
    number = Decimal(text)
    if not number.is_finite() or abs(number) >= _DECIMAL_LIMIT:
        raise LineError(f"{name} {_shown(value)} is out of range")
    try:
        return number.quantize(_DECIMAL_STEP, rounding=ROUND_HALF_EVEN, context=_EXACT)
    except Inexact as error:
        raise LineError(f"{name} {_shown(value)} is out of range") from error


def _checked(good: bool, name: str, wanted: str, value: Any) -> Any:
    if not good:
        raise LineError(f"{name} must be {wanted}, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, Decimal) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise LineError(f"key {key!r} stands twice")
            seen.add(key)
    return record


def _finite(text: str) -> Decimal:
    if math.isinf(float(text)):
        raise LineError(f"number {text} is out of range")
    return Decimal(text)


def _no_constant(text: str) -> None:
    raise LineError(f"{text} is not a number")
