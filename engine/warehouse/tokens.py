"""Compiled readers of JSON's tokens, as strict as Python's json; used by the line scanner (scan.py).

All take a uint8 array and a position in it, and stop at the newline that ends every line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import inlined
from engine.warehouse.fields import DECIMAL_PLACES
from engine.warehouse.words import digits_run, first_special, load_byte

Array = NDArray[Any]

MOST_DIGITS = 18
"""Digits that fit into 63 bits whatever they are."""
_POWERS = np.array([10**k for k in range(MOST_DIGITS + 1)], np.int64)
_PLACES = DECIMAL_PLACES
_U0, _U1, _U32 = np.uint64(0), np.uint64(1), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
TRUE, FALSE, NULL, NAN, INFINITY = (
    np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null", b"NaN", b"Infinity")
)


@inlined
def skip_blanks(data: Array, at: int) -> int:
    byte = load_byte(data, at)
    while byte == 32 or byte == 9 or byte == 13:
        at += 1
        byte = load_byte(data, at)
    return at


@inlined
def _utf8_step(data: Array, at: int) -> int:
    """Length of the well-formed sequence of two to four bytes at `at`, 0 if there is none."""
    first, second = load_byte(data, at), load_byte(data, at + 1)
    if first < 0xC2 or first > 0xF4 or second < 0x80 or second > 0xBF:
        return 0
    if first < 0xE0:
        return 2
    if (
        (first == 0xE0 and second < 0xA0)
        or (first == 0xED and second > 0x9F)
        or (first == 0xF0 and second < 0x90)
        or (first == 0xF4 and second > 0x8F)
    ):
        return 0
    if load_byte(data, at + 2) & 0xC0 != 0x80:
        return 0
    if first < 0xF0:
        return 3
    return 4 if load_byte(data, at + 3) & 0xC0 == 0x80 else 0


@inlined
def string_end(data: Array, at: Any) -> Any:
    """Position of the quote that ends the string beginning at `at`; -1 not JSON, -2 undecided, -3 not UTF-8."""
    while True:
        at = first_special(data, at)
        byte = load_byte(data, at)
        if byte == 34:
            return at
        if byte < 32:
            return -1
        if byte == 92:
            return -2
        step = _utf8_step(data, at)
        if step == 0:
            return -3
        at += step


@inlined
def is_literal(data: Array, at: int, word: Array) -> bool:
    for i in range(word.size):  # noqa: SIM110
        if load_byte(data, at + i) != word[i]:
            return False
    return True


@inlined
def read_number(data: Array, at: int, loose: bool) -> tuple[Any, ...]:
    """Scan a number. `loose` takes what only a decimal in a string may look like (+1, 01, .5, 1.).

    Returns:
        its end (-1 where none stands), mantissa (19 digits wrap to below 0 from 2^63 on; meaningless beyond), its
        digits without leading zeros, digits after the point, exponent, whether it has a point or exponent, whether it
        is negative, digits before the point.
    """
    byte = load_byte(data, at)
    negative = byte == 45
    if negative or (loose and byte == 43):
        at += 1
    begin = at
    while load_byte(data, at) == 48:
        at += 1
    leading = at - begin
    point, mantissa = digits_run(data, at, _U0)
    digits = point - at
    whole = point - begin
    fraction = 0
    exponent = 0
    is_real = False
    bad = not loose and (whole == 0 or (leading > 0 and whole > 1))
    at = point
    byte = load_byte(data, at)
    if byte == 46:
        is_real = True
        at += 1
        point = at
        if digits == 0:
            while load_byte(data, at) == 48:
                at += 1
        begin = at
        at, mantissa = digits_run(data, at, mantissa)
        digits += at - begin
        fraction = at - point
        bad |= fraction == 0 and (not loose or whole == 0)
        byte = load_byte(data, at)
    else:
        bad |= whole == 0
    if byte == 101 or byte == 69:
        is_real = True
        at += 1
        byte = load_byte(data, at)
        minus = byte == 45
        if minus or byte == 43:
            at += 1
        begin = at
        byte = load_byte(data, at)
        while 48 <= byte <= 57:
            if exponent < 100_000:
                exponent = exponent * 10 + (byte - 48)
            at += 1
            byte = load_byte(data, at)
        bad |= at == begin or (loose and at - begin > 3)
        if minus:
            exponent = -exponent
    return -1 if bad else at, np.int64(mantissa), digits, fraction, exponent, is_real, negative, whole


@inlined
def decimal_words(mantissa: int, scale: int, negative: bool) -> tuple[Any, Any]:
    """(low, high) words of mantissa * 10^(18 - scale), half to even; mantissa has at most 18 digits, scale >= 0."""
    if scale > _PLACES:
        if scale - _PLACES > MOST_DIGITS:
            mantissa = 0
        else:
            step = _POWERS[scale - _PLACES]
            quotient = mantissa // step
            twice = 2 * (mantissa - quotient * step)
            if twice > step or (twice == step and quotient % 2 == 1):
                quotient += 1
            mantissa = quotient
        scale = _PLACES
    a = np.uint64(mantissa)
    b = np.uint64(_POWERS[_PLACES - scale])
    a_low, a_high = a & _LOW, a >> _U32
    b_low, b_high = b & _LOW, b >> _U32
    low = a_low * b_low
    middle = a_high * b_low + (low >> _U32)
    other = a_low * b_high + (middle & _LOW)
    out_low = (other << _U32) | (low & _LOW)
    out_high = a_high * b_high + (middle >> _U32) + (other >> _U32)
    if negative:
        out_low = ~out_low + _U1
        out_high = ~out_high
        if out_low == _U0:
            out_high = out_high + _U1
    return out_low, out_high
