"""Which field a key of a line is: a hash table over a key's first eight bytes and its size, made on import.

Notation: fields are numbered as in `fields.KINDS`; `slot` is a field's row among those of its kind, and where the
scanner puts its values. Keys are compared as three words of eight bytes, filled with zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import inlined
from engine.warehouse.fields import KINDS
from engine.warehouse.words import load_word

Array = NDArray[Any]

INTEGER, TEXT, DECIMAL, BOOLEAN, IDENTIFIER, NESTED = range(6)
_KIND_CODES = {
    "integer": INTEGER,
    "text": TEXT,
    "decimal": DECIMAL,
    "boolean": BOOLEAN,
    "id": IDENTIFIER,
    "nested": NESTED,
}
# An id is stored as its characters, so it shares the slots of the texts.
_SLOT_GROUP = {INTEGER: 0, DECIMAL: 1, BOOLEAN: 2, TEXT: 3, IDENTIFIER: 3, NESTED: 4}
_TABLE_BITS = 10
_SPREAD = 0x9E3779B97F4A7C15
_U0, _U1 = np.uint64(0), np.uint64(1)


def _words(key: bytes) -> list[int]:
    """A key of up to 24 bytes as three words, filled with zeros."""
    return [int.from_bytes(key[i : i + 8], "little") for i in (0, 8, 16)]


def _hash(first_word: int, size: int) -> int:
    return ((first_word + size) * _SPREAD % (1 << 64)) >> (64 - _TABLE_BITS)


def _key_tables() -> tuple[Array, Array, Array, Array, Array]:
    """(hash table -> field or -1, key words, key sizes, kinds, slots); fields that share a hash follow each other."""
    names = [name.encode() for name in KINDS]
    table = np.full(1 << _TABLE_BITS, -1, np.int64)
    kinds = np.array([_KIND_CODES[kind] for kind in KINDS.values()], np.int64)
    slots = np.zeros(len(names), np.int64)
    used = dict.fromkeys(range(5), 0)
    for field, name in enumerate(names):
        at = _hash(_words(name)[0], len(name))
        while table[at] >= 0:
            at = (at + 1) % (1 << _TABLE_BITS)
        table[at] = field
        group = _SLOT_GROUP[int(kinds[field])]
        slots[field] = used[group]
        used[group] += 1
    keys = np.array([_words(name) for name in names], np.uint64)
    return table, keys, np.array([len(name) for name in names], np.int64), kinds, slots


_TABLE, _KEYS, _SIZES, FIELD_KINDS, SLOTS = _key_tables()
SLOT_COUNTS = [
    1 + max(int(SLOTS[field]) for field, kind in enumerate(FIELD_KINDS) if _SLOT_GROUP[int(kind)] == group)
    for group in range(4)
]
"""Slots of integers, decimals, booleans, and texts with ids."""
_SPREAD_WORD, _HASH_SHIFT = np.uint64(_SPREAD), np.uint64(64 - _TABLE_BITS)
assert len(KINDS) <= 64 and max(map(len, KINDS)) <= 24, "the set of fields of a row is one 64-bit word"


def bits_of(*names: str) -> Any:
    """The set of these fields, as a word with their bits."""
    return np.uint64(sum(1 << list(KINDS).index(name) for name in names))


def slots_of(*names: str) -> list[int]:
    return [int(SLOTS[list(KINDS).index(name)]) for name in names]


@inlined
def find_field(data: Array, start: int, size: int) -> Any:
    """The field of the key of `size` bytes at `start`, -1 where no version knows it."""
    first = load_word(data, start)
    if size < 8:
        first &= (_U1 << np.uint64(8 * size)) - _U1
    slot = np.int64(((first + np.uint64(size)) * _SPREAD_WORD) >> _HASH_SHIFT)
    while True:
        field = _TABLE[slot]
        if field < 0:
            return -1
        if _SIZES[field] == size and _KEYS[field, 0] == first:
            if size <= 8:
                return field
            second = load_word(data, start + 8)
            third = load_word(data, start + 16)
            if size < 16:
                second &= (_U1 << np.uint64(8 * (size - 8))) - _U1
                third = _U0
            elif size < 24:
                third &= (_U1 << np.uint64(8 * (size - 16))) - _U1
            if _KEYS[field, 1] == second and _KEYS[field, 2] == third:
                return field
        slot = (slot + 1) & ((1 << _TABLE_BITS) - 1)
