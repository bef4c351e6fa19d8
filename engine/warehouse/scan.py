"""The compiled line scanner: one pass over a chunk of whole lines, strict, into columns of numbers.

Notation: `data` is uint8[bytes] and ends with a newline; positions are offsets into it; a line is [start, end) without
its newline. Fields and slots are numbered as in keys.py. A decimal is mantissa * 10^-scale, put out as a 128-bit
integer of 10^-18 (low word, high word). It is one function since a key, its value and what went wrong with either
share their state: handed over at calls it would cost more than the scanning.

Every line ends as one of three things. A *row*: what the strict line reader (parse.read_line) would have made of it.
A *refusal* (code > 0, below): the strict reader would have refused it for the same reason. *Undecided* (code 0): what
is rare (nested values, escapes, run_start, numbers of more than 18 or 19 digits) is left to the strict reader. The
scanner must be certain in both directions; tests/warehouse/test_parse.py holds the two readers together.

Order of judgement, as the strict reader has it: bytes that are not UTF-8, then whatever stands first in the line
(syntax, a constant, a number out of range), then keys that stand twice, then the first value of a wrong type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import compiled
from engine.warehouse.fields import JOURNAL_VERSION, KINDS, PARTS
from engine.warehouse.keys import (
    BOOLEAN,
    DECIMAL,
    FIELD_KINDS,
    IDENTIFIER,
    INTEGER,
    SLOTS,
    TEXT,
    bits_of,
    find_field,
    slots_of,
)
from engine.warehouse.sure import is_record
from engine.warehouse.tokens import (
    FALSE,
    INFINITY,
    MOST_DIGITS,
    NAN,
    NULL,
    TRUE,
    decimal_words,
    is_literal,
    read_number,
    skip_blanks,
    string_end,
)
from engine.warehouse.words import load_byte

Array = NDArray[Any]

UNDECIDED, NOT_JSON, TWICE, WRONG_TYPE, CONSTANT, OUT_OF_RANGE, NOT_UTF8 = range(7)
_STRING_FAULTS = np.array([NOT_JSON, UNDECIDED, NOT_UTF8])
MOST_STRANGERS = 32
_LONGEST_WHOLE = 4_000  # Python refuses to make an int of more than 4300 digits
_LONGEST_EXPONENT = 1_000

_U0, _U1 = np.uint64(0), np.uint64(1)
_TYPE_FIELD = list(KINDS).index("type")
_VERSION_BIT, (_V,) = bits_of("v"), slots_of("v")
_RUN_START = np.frombuffer(b"run_start", np.uint8)
_ORDER, _FILL = (np.frombuffer(name.encode(), np.uint8) for name in PARTS)
_BEYOND_ORDER, _BEYOND_FILL = (
    np.uint64(sum(1 << field for field, name in enumerate(KINDS) if name not in (*part, "type")))
    for part in PARTS.values()
)


@compiled
def scan_lines(
    data: Array,
    size: int,
    ascii_only: bool,
    present: Array,
    line_of_row: Array,
    part_of_row: Array,
    sure_of_row: Array,
    integers: Array,
    decimals: Array,
    booleans: Array,
    text_start: Array,
    text_length: Array,
    other: Array,
    strangers: Array,
) -> tuple[int, int, int]:
    """Scan every line of `data`; (lines, rows, others).

    Args:
        data: uint8[bytes + SLACK]; whole lines and, behind them, anything.
        size: bytes of the lines.
        ascii_only: no byte is above 127.
        present: uint64[lines], out: by row, the set of fields that hold a value.
        line_of_row: int32[lines], out: by row, its line in the chunk.
        part_of_row: uint8[lines], out: by row, 1 or 2 if it fits into the first or second of PARTS, else 0.
        sure_of_row: uint8[lines], out: by row, 1 if it is an order or fill that breaks no rule of record_reason.sql.
        integers: int64[slots, lines], out by row, as are the next four.
        decimals: uint64[slots, lines, 2].
        booleans: uint8[slots, lines].
        text_start, text_length: int32[slots, lines]: where the characters stand in `data`.
        other: int32[lines, 7], out: lines that are no rows: line, start, end, code, and (by code) the field and the
            start and end of the token that is complained of.
        strangers: int64[MOST_STRANGERS, 2], scratch: unknown keys of a line.
    """
    at = 0
    line = 0
    rows = 0
    others = 0
    while at < size:
        start = at
        seen = _U0
        values = _U0
        many = 0
        part = 0
        code = -1
        wrong = -1
        wrong_start = 0
        wrong_end = 0
        token_start = 0
        token_end = 0
        at = skip_blanks(data, at)
        if load_byte(data, at) != 123:
            byte = load_byte(data, at)
            # A value that is no object, or bytes that may not be UTF-8, are not ours to name.
            value_like = (
                byte == 91 or byte == 34 or byte == 45 or (48 <= byte <= 57) or byte == 116 or byte == 102
                or byte == 110 or byte == 78 or byte == 73 or byte >= 128
            )  # fmt: skip
            code = UNDECIDED if value_like else NOT_JSON
        else:
            at = skip_blanks(data, at + 1)
            if load_byte(data, at) == 125:
                at += 1
            else:
                while True:
                    # the key
                    if load_byte(data, at) != 34:
                        code = NOT_JSON
                        break
                    key = at + 1
                    key_end = string_end(data, key)
                    if key_end < 0:
                        code = _STRING_FAULTS[-1 - key_end]
                        break
                    field = find_field(data, key, key_end - key)
                    if field >= 0:
                        bit = _U1 << np.uint64(field)
                        if seen & bit and token_end == 0:
                            token_start, token_end = key, key_end
                        seen |= bit
                        kind = FIELD_KINDS[field]
                        slot = SLOTS[field]
                    else:
                        bit = _U0
                        kind = -1
                        slot = 0
                        for i in range(many):
                            if strangers[i, 1] - strangers[i, 0] == key_end - key and token_end == 0:
                                same = True
                                for j in range(key_end - key):
                                    if data[strangers[i, 0] + j] != data[key + j]:
                                        same = False
                                        break
                                if same:
                                    token_start, token_end = key, key_end
                        if many == MOST_STRANGERS:
                            code = UNDECIDED
                            break
                        strangers[many, 0], strangers[many, 1] = key, key_end
                        many += 1
                    at = skip_blanks(data, key_end + 1)
                    if load_byte(data, at) != 58:
                        code = NOT_JSON
                        break
                    at = skip_blanks(data, at + 1)
                    # the value
                    byte = load_byte(data, at)
                    value = at
                    right = True
                    if byte == 34:
                        end = string_end(data, at + 1)
                        if end < 0:
                            code = _STRING_FAULTS[-1 - end]
                            break
                        at = end + 1
                        if kind in (TEXT, IDENTIFIER):
                            if field == _TYPE_FIELD:
                                if end - value == 10 and is_literal(data, value + 1, _RUN_START):
                                    code = UNDECIDED
                                    break
                                if end - value == 6 and is_literal(data, value + 1, _ORDER):
                                    part = 1
                                elif end - value == 5 and is_literal(data, value + 1, _FILL):
                                    part = 2
                            text_start[slot, rows] = value + 1
                            text_length[slot, rows] = end - value - 1
                            values |= bit
                        elif kind == DECIMAL:
                            stop, mantissa, digits, fraction, exponent, is_real, negative, whole = read_number(
                                data, value + 1, True
                            )
                            if stop != end:
                                right = False
                            elif digits > MOST_DIGITS or fraction < exponent:
                                code = UNDECIDED
                                break
                            else:
                                low, high = decimal_words(mantissa, fraction - exponent, negative)
                                decimals[slot, rows, 0], decimals[slot, rows, 1] = low, high
                                values |= bit
                        elif kind >= 0:
                            right = False
                    elif byte == 45 and load_byte(data, at + 1) == 73:
                        if is_literal(data, at + 1, INFINITY):
                            code, token_start, token_end = CONSTANT, at, at + 9
                        else:
                            code = NOT_JSON
                        break
                    elif byte == 45 or 48 <= byte <= 57:
                        end, mantissa, digits, fraction, exponent, is_real, negative, whole = read_number(
                            data, at, False
                        )
                        if end < 0:
                            code = NOT_JSON
                            break
                        at = end
                        if whole > _LONGEST_WHOLE or abs(exponent) > _LONGEST_EXPONENT:
                            code = UNDECIDED
                            break
                        if is_real:
                            # |x| is about 10^order; doubles end between 10^308 and 10^309
                            order = digits - fraction + exponent
                            if digits > 0 and order > 300:
                                if order > 310:
                                    code, token_start, token_end = OUT_OF_RANGE, value, at
                                else:
                                    code = UNDECIDED
                                break
                        if kind in (INTEGER, IDENTIFIER):
                            if is_real:
                                right = False
                            elif (
                                digits > MOST_DIGITS + 1
                                or mantissa < 0
                                or (kind == IDENTIFIER and negative and digits == 0)
                            ):
                                code = UNDECIDED
                                break
                            elif kind == INTEGER:
                                integers[slot, rows] = -mantissa if negative else mantissa
                                values |= bit
                            else:
                                text_start[slot, rows] = value
                                text_length[slot, rows] = at - value
                                values |= bit
                        elif kind == DECIMAL:
                            if digits > MOST_DIGITS or fraction < exponent:
                                code = UNDECIDED
                                break
                            low, high = decimal_words(mantissa, fraction - exponent, negative)
                            decimals[slot, rows, 0], decimals[slot, rows, 1] = low, high
                            values |= bit
                        elif kind >= 0:
                            right = False
                    elif byte == 116 or byte == 102:
                        word_is_true = byte == 116
                        if not is_literal(data, at, TRUE if word_is_true else FALSE):
                            code = NOT_JSON
                            break
                        at += 4 if word_is_true else 5
                        if kind == BOOLEAN:
                            booleans[slot, rows] = word_is_true
                            values |= bit
                        elif kind >= 0:
                            right = False
                    elif byte == 110:
                        if not is_literal(data, at, NULL):
                            code = NOT_JSON
                            break
                        at += 4
                    elif byte == 78 or byte == 73:
                        if byte == 78 and is_literal(data, at, NAN):
                            code, token_start, token_end = CONSTANT, at, at + 3
                        elif byte == 73 and is_literal(data, at, INFINITY):
                            code, token_start, token_end = CONSTANT, at, at + 8
                        else:
                            code = NOT_JSON
                        break
                    else:
                        code = UNDECIDED if byte == 91 or byte == 123 else NOT_JSON
                        break
                    if not right and wrong < 0:
                        wrong, wrong_start, wrong_end = field, value, at
                    at = skip_blanks(data, at)
                    if load_byte(data, at) == 44:
                        at = skip_blanks(data, at + 1)
                    elif load_byte(data, at) == 125:
                        at += 1
                        break
                    else:
                        code = NOT_JSON
                        break
            if code < 0:
                if token_end > 0:
                    code = TWICE
                else:
                    at = skip_blanks(data, at)
                    if load_byte(data, at) != 10:
                        code = NOT_JSON
                    elif wrong >= 0:
                        code, token_start, token_end = WRONG_TYPE, wrong_start, wrong_end
                        if values & _VERSION_BIT and integers[_V, rows] > JOURNAL_VERSION:
                            code = UNDECIDED
        if code < 0:
            present[rows] = values
            line_of_row[rows] = line
            if (part == 1 and values & _BEYOND_ORDER) or (part == 2 and values & _BEYOND_FILL):
                part = 0
            part_of_row[rows] = part
            sure_of_row[rows] = part > 0 and is_record(
                data, rows, part, values, integers, decimals, text_start, text_length
            )
            rows += 1
        else:
            while load_byte(data, at) != 10:
                at += 1
            if not ascii_only and code != UNDECIDED and code != NOT_UTF8:
                for i in range(start, at):
                    if data[i] >= 128:
                        code = UNDECIDED
                        break
            found = other[others]
            found[0], found[1], found[2], found[3] = line, start, at, code
            found[4], found[5], found[6] = wrong, token_start, token_end
            others += 1
        at += 1
        line += 1
    return line, rows, others
