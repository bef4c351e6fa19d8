"""Inverse-CDF tables as integers, from Python's decimal arithmetic: correctly rounded, the same on any machine."""

from __future__ import annotations

from decimal import Context, Decimal
from functools import cache

import numpy as np
import numpy.typing as npt

from engine.market.simulator_core import ONE, TABLE_BITS

_CONTEXT = Context(prec=30)
_SIZE = 1 << TABLE_BITS


@cache
def exponential_table() -> npt.NDArray[np.int64]:
    """-ln(1 - u) at u = (i + 1/2) / 2^11, times 2^16; int64[2048]. Mean 1."""
    return _table([-(1 - _quantile(i)).ln(_CONTEXT) for i in range(_SIZE)])


@cache
def loglogistic_table(tail_permille: int) -> npt.NDArray[np.int64]:
    """(u / (1 - u))^(1 / tail) likewise: median 1, a power-law tail with exponent `tail`; int64[2048]."""
    tail = Decimal(tail_permille) / 1000
    return _table([_CONTEXT.exp(_CONTEXT.divide(log_odds, tail)) for log_odds in _log_odds()])


@cache
def _log_odds() -> tuple[Decimal, ...]:
    """ln(u / (1 - u)): what takes the time, and the same for every tail."""
    return tuple(_CONTEXT.ln(_quantile(i) / (1 - _quantile(i))) for i in range(_SIZE))


def _quantile(i: int) -> Decimal:
    return Decimal(2 * i + 1) / (2 * _SIZE)


def _table(values: list[Decimal]) -> npt.NDArray[np.int64]:
    return np.array([round(value * ONE) for value in values], np.int64)
