"""What the scanner found in a chunk, as an Arrow table and a list of refusals. No value is touched by Python."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.warehouse import packing, reasons, scan
from engine.warehouse.arrow import INDEXED, number_column
from engine.warehouse.fields import KINDS, SCHEMA
from engine.warehouse.keys import SLOT_COUNTS, SLOTS
from engine.warehouse.reasons import Refusals
from engine.warehouse.words import SLACK

_FIELDS = list(KINDS.items())
_MOST_KNOWN = 20_000


class Scanner:
    """Scans chunk after chunk into the same memory.

    A table that it gave out is overwritten by the next chunk.
    """

    def __init__(self) -> None:
        self._lines = 0
        self._raw = np.empty(0, np.uint8)
        self._known_reasons: dict[tuple[int, int, bytes], str] = {}

    def scan(self, data: bytes, count: int) -> tuple[pa.Table, Refusals, list[list[int]]]:
        """Rows, refusals and undecided lines (line from 0, start, end) of `count` whole lines.

        The table has the columns of INDEXED; rows are in order of lines.
        """
        self._reserve(len(data), count)
        raw = self._raw
        raw[: len(data)] = np.frombuffer(data, np.uint8)
        lines, rows, others = scan.scan_lines(
            raw,
            len(data),
            data.isascii(),
            self._present,
            self._line_of_row,
            self._part_of_row,
            self._sure_of_row,
            self._integers,
            self._decimals,
            self._booleans,
            self._starts,
            self._lengths,
            self._other,
            self._strangers,
        )
        assert lines == count
        columns = [self._column(field, rows) for field in range(len(_FIELDS))]
        columns += [number_column(a[:rows]) for a in (self._line_of_row, self._part_of_row, self._sure_of_row)]
        found = self._other[:others]
        is_undecided = found[:, 3] == scan.UNDECIDED
        refused, undecided = found[~is_undecided], found[is_undecided]
        refusals = Refusals(refused[:, 0].astype(np.int64), self._reasons(data, refused[:, 3:]))
        return pa.Table.from_arrays(columns, schema=INDEXED), refusals, undecided[:, :3].tolist()

    def _reasons(self, data: bytes, complaints: NDArray[np.int32]) -> list[str]:
        """In words, rows of code, field, start and end of a token. What is wrong with one line often is with many."""
        known = self._known_reasons
        if len(known) > _MOST_KNOWN:
            known.clear()
        reasons = []
        for code, field, start, end in zip(*complaints.T.tolist(), strict=True):
            key = (code, field, data[start:end])
            reason = known.get(key)
            if reason is None:
                reason = known[key] = _reason(*key)
            reasons.append(reason)
        return reasons

    def _reserve(self, size: int, lines: int) -> None:
        if size + SLACK > self._raw.size:
            self._raw = np.empty(size + SLACK, np.uint8)
        if lines <= self._lines:
            return
        lines += lines // 8
        slots = SLOT_COUNTS
        self._lines = lines
        self._present, self._line_of_row = np.empty(lines, np.uint64), np.empty(lines, np.int32)
        self._part_of_row, self._sure_of_row = np.empty(lines, np.uint8), np.empty(lines, np.uint8)
        self._integers = np.empty((slots[0], lines), np.int64)
        self._decimals = np.empty((slots[1], lines, 2), np.uint64)
        self._booleans = np.empty((slots[2], lines), np.uint8)
        self._starts, self._lengths = np.empty((slots[3], lines), np.int32), np.empty((slots[3], lines), np.int32)
        self._other = np.empty((lines, 7), np.int32)
        self._strangers = np.empty((scan.MOST_STRANGERS, 2), np.int64)

    def _column(self, field: int, rows: int) -> pa.Array:
        name, kind = _FIELDS[field]
        type_ = SCHEMA.field(name).type
        bitmap = np.empty((rows + 7) // 8, np.uint8)
        missing = packing.validity(self._present, field, rows, bitmap)
        if missing == rows:
            return pa.nulls(rows, type_)
        valid = pa.py_buffer(bitmap) if missing else None
        slot = int(SLOTS[field])
        if kind == "integer":
            buffers = [pa.py_buffer(self._integers[slot, :rows])]
        elif kind == "decimal":
            buffers = [pa.py_buffer(self._decimals[slot, :rows])]
        elif kind == "boolean":
            bits = np.empty((rows + 7) // 8, np.uint8)
            packing.pack_bits(self._booleans[slot], rows, bits)
            buffers = [pa.py_buffer(bits)]
        else:
            offsets = np.empty(rows + 1, np.int32)
            size = packing.gather_size(self._present, field, self._lengths[slot], rows, offsets)
            text = np.empty(size + SLACK, np.uint8)
            packing.gather(self._raw, self._starts[slot], offsets, rows, text)
            buffers = [pa.py_buffer(offsets), pa.py_buffer(text[:size])]
        return pa.Array.from_buffers(type_, rows, [valid, *buffers], missing)


def _reason(code: int, field: int, raw: bytes) -> str:
    if code == scan.NOT_JSON:
        return reasons.NOT_JSON
    if code == scan.NOT_UTF8:
        return reasons.NOT_UTF8
    token = raw.decode("utf-8")
    if code == scan.TWICE:
        return reasons.twice(token)
    if code == scan.CONSTANT:
        return reasons.not_a_number(token)
    if code == scan.OUT_OF_RANGE:
        return reasons.beyond_double(token)
    return reasons.wrong_type(*_FIELDS[field], reasons.shown_token(token))
