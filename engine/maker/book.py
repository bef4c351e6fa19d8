"""A price-level book over a window of ticks: displayed lots by side and mirrored key (see state.py).

One message may cross the book inside itself (real venues do). As it happens, the newer side wins: the other
side's best steps back behind it. Whether levels are truly crossed is judged at message ends only.
"""

from __future__ import annotations

from engine.jit import compiled, inlined
from engine.maker.state import (
    BACK,
    BEST,
    CROSSED,
    CROSSED_ENDS,
    GAP,
    LO_BOOK,
    MID2,
    MOVED,
    NOWHERE,
    WINDOW_LOW,
    Array,
)


@inlined
def next_level(book: Array, base: int, key: int) -> int:
    """The highest key at or below `key` with size on the side that starts at `base`, or NOWHERE."""
    while key >= 0 and book[base + key] == 0:
        key -= 1
    return key


@inlined
def set_level(book: Array, s: Array, at: int, width: int, side: int, key: int, lots: int) -> int:
    """Set the level (side, key) to `lots`; returns 1 when this raised the side's best, else 0."""
    base = side * width
    book[base + key] = lots
    best = s[at + BEST + side]
    if lots > 0:
        if key > best:
            s[at + BEST + side] = key
            s[at + MOVED] = 1
            other = s[at + BEST + 1 - side]
            if other + key >= width - 1:  # crossed: the newer side wins, the other steps back behind it
                if other > s[at + BACK + 1 - side]:
                    s[at + BACK + 1 - side] = other
                s[at + BEST + 1 - side] = next_level(book, width - base, width - 2 - key)
            return 1
    elif key == best:
        s[at + BEST + side] = next_level(book, base, key - 1)
        s[at + MOVED] = 1
    return 0


@inlined
def judge(book: Array, s: Array, at: int, width: int) -> None:
    """At a message's end: is the book two-sided and uncrossed? Sets mid2 (0 when not) and the crossed mark.

    A side that stepped back may have left levels behind: up to BACK. While such a level still stands at or
    beyond the other side's best, the book is crossed.
    """
    s[at + MOVED] = 0
    s[at + CROSSED] = 0
    if s[at + BACK] >= 0 or s[at + BACK + 1] >= 0:
        bid = next_level(book, 0, max(s[at + BEST], s[at + BACK]))
        ask = next_level(book, width, max(s[at + BEST + 1], s[at + BACK + 1]))
        if bid >= 0 and ask >= 0 and bid + ask >= width - 1:
            s[at + CROSSED] = 1
            s[at + MOVED] = 1  # to be judged again at the next message's end
            if at == LO_BOOK:
                s[CROSSED_ENDS] += 1
        else:
            s[at + BACK] = bid if bid > s[at + BEST] else NOWHERE
            s[at + BACK + 1] = ask if ask > s[at + BEST + 1] else NOWHERE
    bid, ask = s[at + BEST], s[at + BEST + 1]
    if bid >= 0 and ask >= 0 and s[at + GAP] == 0 and s[at + CROSSED] == 0:
        s[at + MID2] = bid + (width - 1 - ask) + 2 * s[WINDOW_LOW]
    else:
        s[at + MID2] = 0


@compiled
def clear(book: Array, s: Array, at: int) -> None:
    """Empty the book: what follows is a snapshot."""
    book[:] = 0
    for side in range(2):
        s[at + BEST + side] = NOWHERE
        s[at + BACK + side] = NOWHERE
    s[at + GAP] = 0
    s[at + MOVED] = 1
