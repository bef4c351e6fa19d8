"""The search space: the parameter table, cut to a trust region around the champion, as scikit-optimize dimensions.

Notation: c the champion's value of a parameter, [l, h] its range, r the trust region's radius as a share of h - l.
A trial's value lies in

    [max(l, c - r (h - l)),  min(h, c + min(r (h - l), max_step_up))]

max_step_up being the guardrail's largest rise (engine.params; engine/tuning/guardrails.py applies the same limit to
the rules' moves). The optimiser works on the unit cube of that box; integers are rounded on the way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.params import PARAMETERS, Params
from engine.tuning.guardrails import limit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """One dimension: bounds included; `decimals` is 0 for whole numbers."""

    name: str
    low: float
    high: float
    integer: bool = False
    decimals: int = 6


@dataclass(frozen=True)
class SearchSpace:
    """A box of axes; points are tuples of plain Python numbers in the order of the axes."""

    axes: tuple[Axis, ...]

    @property
    def size(self) -> int:
        return len(self.axes)

    def skopt(self) -> Any:
        """The same box as a skopt.space.Space that normalises to the unit cube."""
        from skopt.space import Integer, Real, Space

        return Space(
            [
                (Integer if axis.integer else Real)(axis.low, axis.high, transform="normalize", name=axis.name)
                for axis in self.axes
            ]
        )

    def encode(self, points: Sequence[Sequence[float]]) -> Floats:
        """Points as float64[n, d] in the unit cube."""
        low, span = self._bounds()
        return (np.asarray(points, np.float64).reshape(-1, self.size) - low) / span

    def decode(self, unit: Floats) -> list[tuple[float, ...]]:
        """Rows of the unit cube as points: rounded, within the box, JSON-able."""
        low, span = self._bounds()
        return [
            tuple(_rounded(axis, value) for axis, value in zip(self.axes, row.tolist(), strict=True))
            for row in low + np.clip(unit, 0.0, 1.0) * span
        ]

    def _bounds(self) -> tuple[Floats, Floats]:
        low = np.array([axis.low for axis in self.axes])
        return low, np.array([axis.high for axis in self.axes]) - low


def _rounded(axis: Axis, value: float) -> float:
    bounded = min(max(value, axis.low), axis.high)
    return round(bounded) if axis.integer else round(bounded, axis.decimals)


def trust_region(champion: Params, radius: float) -> SearchSpace:
    """The box around `champion`; every parameter of the table keeps some room.

    Args:
        radius: r, above 0, at most 1.

    Raises:
        InputError: the champion lies outside the table's ranges.
    """
    axes = []
    for name, row in PARAMETERS.items():
        value = champion[name]
        if not row.low <= value <= row.high:
            raise InputError(
                f"the champion's {name} {value:g} is outside {row.low:g} to {row.high:g}",
                where="tune",
                remedy="give a champion within the guardrails with --overrides",
            )
        reach = radius * (row.high - row.low)
        if row.integer:
            reach = max(1.0, round(reach))
        low = row.clamp(value - reach)
        high, _ = limit(name, row.clamp(value + reach), value)
        axes.append(Axis(name, low, high, row.integer))
    return SearchSpace(tuple(axes))


def point_of(params: Params) -> tuple[float, ...]:
    """A parameter set as a point of the table's space."""
    return tuple(params[name] for name in PARAMETERS)


def params_of(point: Sequence[float]) -> Params:
    """A point as a parameter set, checked against the table."""
    return Params().with_changes(dict(zip(PARAMETERS, point, strict=True)), where="tune")
