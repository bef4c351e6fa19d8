"""Ten seeded noisy functions of 6 to 8 parameters, as a search meets them: numpy alone, for both environments.

Each has a maximum of 0 inside the unit cube and stands 2.0 below it at the start, the cube's point 0.5 +- 0.2. Shapes:
bowls of unequal curvature along rotated axes, a flat-topped ridge, dimensions that do not matter, and a wave on top.
Noise is normal with sd 0.35, drawn from the function, the repetition and the number of the evaluation alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
COUNT, EVALUATIONS, NOISE_SD, START_REGRET = 10, 40, 0.35, 2.0


class Function:
    """Number 0 to 9. `value` is the truth, `observe` what the search is told."""

    def __init__(self, number: int, repetition: int = 0) -> None:
        rng = np.random.default_rng([911, number])
        self.number, self.repetition = number, repetition
        self.d = 6 + number % 3
        self.best = rng.uniform(0.15, 0.85, self.d)
        weights = rng.lognormal(0.0, 0.8, self.d)
        weights[rng.permutation(self.d)[: number % 3]] *= 0.02
        turn = np.linalg.qr(np.eye(self.d) + 0.35 * rng.normal(size=(self.d, self.d)))[0]
        self._metric = turn.T @ np.diag(weights) @ turn
        self._power = (1.0, 0.75, 1.25)[number % 3]
        self._wave = (0.0, 0.05)[number % 2] * START_REGRET
        self._angles = rng.normal(size=(self.d, self.d)) * 4.0
        self.start = np.clip(0.5 + rng.uniform(-0.2, 0.2, self.d), 0.0, 1.0)
        self._scale = 1.0
        self._scale = START_REGRET / self._distance(self.start)

    def _distance(self, x: Floats) -> float:
        off = x - self.best
        return self._scale * float(off @ self._metric @ off) ** self._power

    def value(self, x: Floats) -> float:
        """At most 0; 0 at `best`."""
        off = x - self.best
        return -self._distance(x) - self._wave * float((1 - np.cos(self._angles @ off)).mean())

    def observe(self, x: Floats, evaluation: int) -> float:
        """The value with its noise."""
        noise = np.random.default_rng([7, self.number, self.repetition, evaluation]).normal(0.0, NOISE_SD)
        return self.value(x) + float(noise)

    def regret(self, x: Floats) -> float:
        return -self.value(x)
