"""Arrow columns made of their buffers. pa.array() would import pandas, which takes longer than most journals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.warehouse.fields import DECIMAL_PLACES, KINDS, PARTS, SCHEMA

INDEXED = pa.schema([*SCHEMA, ("index", pa.int32()), ("part", pa.uint8()), ("sure", pa.uint8())])
"""SCHEMA, `index` (the row's line in its chunk, from 0), `part` (1, 2: it fits into the first, second of PARTS) and
`sure` (1: it breaks no rule of record_reason.sql, so that need not be asked)."""
_WIDE = Context(prec=60)
_PART_FIELDS = [(name, number, {*fields, "type", "index"}) for number, (name, fields) in enumerate(PARTS.items(), 1)]


def number_column(values: NDArray[Any]) -> pa.Array:
    """An Arrow column without nulls over a numpy array of integers."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, [None, pa.py_buffer(values)], 0)


def numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column of integers without nulls, as numpy (to_numpy() would import pandas)."""
    dtype = np.dtype(column.type.to_pandas_dtype())
    parts = [np.frombuffer(c.buffers()[1], dtype, len(c), c.offset * dtype.itemsize) for c in column.chunks if len(c)]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, dtype), *parts])


def bool_column(values: NDArray[np.bool_]) -> pa.Array:
    bits = np.packbits(values, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), values.size, [None, pa.py_buffer(bits)], 0)


def text_column(values: Sequence[str | None]) -> pa.Array:
    return bytes_column([b"" if value is None else value.encode() for value in values], _valid(values))


def bytes_column(parts: Sequence[bytes], valid: pa.Buffer | None = None) -> pa.Array:
    """A text column of parts that are UTF-8."""
    offsets = np.zeros(len(parts) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, parts), np.int32, len(parts)), out=offsets[1:])
    return pa.Array.from_buffers(pa.string(), len(parts), [valid, pa.py_buffer(offsets), pa.py_buffer(b"".join(parts))])


def row_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Typed rows of the strict reader, each with its `index`, as a table of INDEXED."""
    columns = []
    for name, kind in KINDS.items():
        values = [row.get(name) for row in rows]
        type_ = SCHEMA.field(name).type
        if all(value is None for value in values):
            columns.append(pa.nulls(len(rows), type_))
        elif kind in ("text", "id", "nested"):
            columns.append(text_column(values))
        elif kind == "boolean":
            bits = np.packbits([bool(value) for value in values], bitorder="little")
            columns.append(pa.Array.from_buffers(type_, len(rows), [_valid(values), pa.py_buffer(bits)]))
        else:
            size = type_.bit_width // 8
            whole = (_unscaled(value) if kind == "decimal" else value or 0 for value in values)
            data = b"".join(value.to_bytes(size, "little", signed=True) for value in whole)
            columns.append(pa.Array.from_buffers(type_, len(rows), [_valid(values), pa.py_buffer(data)]))
    columns.append(number_column(np.array([row["index"] for row in rows], np.int32)))
    columns.append(number_column(np.array([_part(row) for row in rows], np.uint8)))
    columns.append(number_column(np.zeros(len(rows), np.uint8)))
    return pa.Table.from_arrays(columns, schema=INDEXED)


def _valid(values: Sequence[Any]) -> pa.Buffer:
    return pa.py_buffer(np.packbits([value is not None for value in values], bitorder="little"))


def _unscaled(value: Decimal | None) -> int:
    return 0 if value is None else int(value.scaleb(DECIMAL_PLACES, _WIDE))


def _part(row: Mapping[str, Any]) -> int:
    for name, number, fields in _PART_FIELDS:
        if row.get("type") == name and all(field in fields for field, value in row.items() if value is not None):
            return number
    return 0
