"""Observations and their quantiles; without observations there is none."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable

import numpy as np

from engine.live_metrics import SAMPLES
from engine.maker.state import Array

_MAD_SCALE = 1.4826
"""Makes the median absolute deviation of a normal distribution its standard deviation."""


class Recent:
    """The last SAMPLES observations."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=SAMPLES)

    def add(self, value: float) -> None:
        self._values.append(value)

    def extend(self, values: Iterable[float]) -> None:
        self._values.extend(values)

    def __len__(self) -> int:
        return len(self._values)

    def values(self) -> Array:
        return np.fromiter(self._values, np.float64, len(self._values))

    def quantile(self, share: float) -> float | None:
        return quantile(self.values(), share)


class Every(Recent):
    """Every observation of a run: eight bytes each."""

    def __init__(self) -> None:
        self._all = array("d")

    def add(self, value: float) -> None:
        self._all.append(value)

    def extend(self, values: Iterable[float]) -> None:
        self._all.extend(values)

    def __len__(self) -> int:
        return len(self._all)

    def values(self) -> Array:
        return np.array(self._all, np.float64)


def quantile(values: Array, share: float) -> float | None:
    """Linear between neighbours, as the warehouse's quantile_cont; None without values."""
    return float(np.quantile(values, share)) if len(values) else None


def inliers(values: Array, outlier_mads: float) -> Array:
    """bool per value: within `outlier_mads` scaled median absolute deviations of the median.

    Where more than half of the values are the same there is no scale to judge by, and none is an outlier.
    """
    if not len(values):
        return np.zeros(0, np.bool_)
    away = np.abs(values - np.median(values))
    scale = _MAD_SCALE * float(np.median(away))
    return away <= outlier_mads * scale if scale else np.ones(len(values), np.bool_)
