"""Reading memory eight bytes at a time from compiled code: what the line scanner is fast by.

A word is little-endian: its lowest byte stands first. Positions are not checked; the caller keeps SLACK bytes behind
the last one that it asks for. Byte tricks: Warren, Hacker's Delight, ch. 6 (find a byte); Lemire's eight-digit parse.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from engine.jit import inlined

SLACK = 32
assert sys.byteorder == "little", "words are read as little-endian"

_ONES = np.uint64(0x0101010101010101)
_TOPS = np.uint64(0x8080808080808080)
_QUOTES = np.uint64(0x2222222222222222)
_SLASHES = np.uint64(0x5C5C5C5C5C5C5C5C)
_BLANKS = np.uint64(0x2020202020202020)
_ZEROS = np.uint64(0x3030303030303030)
_SIXES = np.uint64(0x0606060606060606)
_THREES = np.uint64(0x3333333333333333)
_HIGH_HALVES = np.uint64(0xF0F0F0F0F0F0F0F0)
_3, _4, _8, _16, _32 = np.uint64(3), np.uint64(4), np.uint64(8), np.uint64(16), np.uint64(32)
_BYTES = np.uint64(0x000000FF000000FF)
_PAIR_1 = np.uint64(0x000F424000000064)  # 100 + (1000000 << 32)
_PAIR_2 = np.uint64(0x0000271000000001)  # 1 + (10000 << 32)
_TEN = np.uint64(10)
_EIGHT_DIGITS = np.uint64(100_000_000)
_LOW_HALF = np.uint64(0xFFFFFFFF)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    proxy: Any = cgutils.create_struct_proxy
    data = proxy(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(data, ir.IntType(8).as_pointer()), [at])


def _load_byte_(_typing: Any, data: Any, at: Any) -> Any:
    """The byte at `at` of a uint8 array, as int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1])
        return builder.zext(builder.load(pointer), ir.IntType(64))

    return types.int64(data, types.int64), generate


def _load_word_(_typing: Any, data: Any, at: Any) -> Any:
    """The eight bytes from `at` on, as uint64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1])
        return builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.int64), generate


def _store_word_(_typing: Any, data: Any, at: Any, word: Any) -> Any:
    """Put eight bytes into a uint8 array from `at` on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1])
        builder.store(args[2], builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(data, types.int64, types.uint64), generate


def _trailing_zeros_(_typing: Any, word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


load_byte: Any = intrinsic(_load_byte_)
load_word: Any = intrinsic(_load_word_)
store_word: Any = intrinsic(_store_word_)
_trailing_zeros: Any = intrinsic(_trailing_zeros_)


@inlined
def first_special(data: Any, at: Any) -> Any:
    """Position of the first byte from `at` on that is a quote, a backslash, below 32 or above 127.

    A borrow can only set marks behind a true one, so the lowest mark is true.
    """
    while True:
        word = load_word(data, at)
        quote, slash = word ^ _QUOTES, word ^ _SLASHES
        marks = (
            ((quote - _ONES) & ~quote) | ((slash - _ONES) & ~slash) | ((word - _BLANKS) & ~word) | word
        ) & _TOPS  # fmt: skip
        if marks != 0:
            return at + np.int64(_trailing_zeros(marks) >> _3)
        at += 8


@inlined
def digits_run(data: Any, at: Any, value: Any) -> tuple[Any, Any]:
    """(end of the digits from `at` on, `value` with them appended modulo 2^64)"""
    word = load_word(data, at)
    while ((word & _HIGH_HALVES) | (((word + _SIXES) & _HIGH_HALVES) >> _4)) == _THREES:
        word = word - _ZEROS
        word = word * _TEN + (word >> _8)
        word = ((word & _BYTES) * _PAIR_1 + ((word >> _16) & _BYTES) * _PAIR_2) >> _32
        value = value * _EIGHT_DIGITS + (word & _LOW_HALF)
        at += 8
        word = load_word(data, at)
    byte = np.int64(word & np.uint64(255))
    while 48 <= byte <= 57:
        value = value * _TEN + np.uint64(byte - 48)
        at += 1
        byte = load_byte(data, at)
    return at, value
