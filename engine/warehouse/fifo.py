"""First in, first out: which fill closed which, in whole lots. Money stays in SQL, where it is exact at any size.

Notation: fill i trades d_i signed lots (+ bought, - sold). What stands open is a queue of layers of one sign, oldest
first; a fill of the other sign closes from its head, and what is left of it opens a layer of its own. A match closes
x lots (signed like the position: + of a long) opened at value v_o and closed at v_c, and realises x (v_c - v_o),
linear and inverse alike (engine/instrument.py). sql/attribution/fifo.sql sums that; sql/checks/fifo_by_intervals.sql
comes to it without a queue.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

START = -1
"""Stands for the position at the run's start where a match names the fill that opened it."""
MOST_LOTS = 1 << 62
"""Bought and sold together a lane may not have traded more: positions are int64."""
FEW_FILLS = 5_000
"""Up to so many are matched before the compiler would have been loaded."""


def matcher(fills: int) -> Callable[[Any, int], Any]:
    """`match_lots`, compiled where there are more than a few fills."""
    return match_lots if fills <= FEW_FILLS else compiled_matcher()


@cache
def compiled_matcher() -> Callable[[Any, int], Any]:
    from engine.jit import allocating

    return allocating(match_lots)


def match_lots(signed_lots: Any, start_lots: int) -> Any:
    """Match one lane's fills.

    Args:
        signed_lots: int64[n], in the order in which they were filled.
        start_lots: the position before the first of them.

    Returns:
        int64[m, 3]: index of the opening fill (START: the position at the start), index of the closing fill, lots
        closed (+ of a long, - of a short); m <= 2 n.
    """
    count = len(signed_lots)
    opener = np.empty(count + 1, np.int64)
    left = np.empty(count + 1, np.int64)
    matches = np.empty((2 * count, 3), np.int64)
    head = tail = found = 0
    if start_lots != 0:
        opener[0], left[0] = START, start_lots
        tail = 1
    for index in range(count):
        rest = signed_lots[index]
        while rest != 0 and head < tail and (rest > 0) != (left[head] > 0):
            size = min(abs(rest), abs(left[head]))
            closed = size if left[head] > 0 else -size
            matches[found, 0], matches[found, 1], matches[found, 2] = opener[head], index, closed
            found += 1
            left[head] -= closed
            rest += closed
            if left[head] == 0:
                head += 1
        if rest != 0:
            opener[tail], left[tail] = index, rest
            tail += 1
    return matches[:found]
