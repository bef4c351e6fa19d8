"""Compiled: what the scanner left behind, row by row, into the buffers of Arrow columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import compiled
from engine.warehouse.words import load_word, store_word

Array = NDArray[Any]
_U1 = np.uint64(1)


@compiled
def gather_size(present: Array, field: int, length: Array, rows: int, offsets: Array) -> int:
    """Fill offsets int32[rows + 1] of a text column; its bytes in all."""
    bit = _U1 << np.uint64(field)
    total = 0
    for row in range(rows):
        offsets[row] = total
        if present[row] & bit:
            total += length[row]
    offsets[rows] = total
    return total


@compiled
def gather(data: Array, start: Array, offsets: Array, rows: int, out: Array) -> None:
    """Copy the characters of a text column's rows behind each other; `out` has SLACK bytes more than they need."""
    for row in range(rows):
        begin, end = np.int64(offsets[row]), np.int64(offsets[row + 1])
        source = np.int64(start[row]) - begin
        for at in range(begin, end, 8):
            store_word(out, at, load_word(data, source + at))


@compiled
def validity(present: Array, field: int, rows: int, out: Array) -> int:
    """Fill the Arrow validity bitmap uint8[(rows + 7) // 8] of a field; the number of rows without a value."""
    shift = np.uint64(field)
    missing = 0
    for byte in range(out.size):
        bits = 0
        for i in range(min(8, rows - 8 * byte)):
            if (present[8 * byte + i] >> shift) & _U1:
                bits |= 1 << i
            else:
                missing += 1
        out[byte] = bits
    return missing


@compiled
def pack_bits(flags: Array, rows: int, out: Array) -> None:
    """Pack uint8[rows] of 0 and 1 into an Arrow bitmap."""
    for byte in range(out.size):
        bits = 0
        for i in range(min(8, rows - 8 * byte)):
            if flags[8 * byte + i]:
                bits |= 1 << i
        out[byte] = bits
