"""Group-sequential O'Brien-Fleming boundaries, computed by recursive integration.

Notation: looks after n_1 < ... < n_K windows. Under the null the score S_k = Z_k sqrt(n_k) is a Brownian motion
seen at times n_k, so that corr(Z_j, Z_k) = sqrt(n_j / n_k). With a constant limit b on |S|,

    z_k = b / sqrt(n_k)                                   (O'Brien-Fleming 1979)
    g_1(s) = phi(s; n_1),   g_k(s) = int_{-b}^{b} g_{k-1}(u) phi(s - u; n_k - n_{k-1}) du
    P(first above b at look k) = int_{-b}^{b} g_{k-1}(u) P(N(0, n_k - n_{k-1}) > b - u) du

(Armitage-McPherson-Rowe 1969), phi(.; v) the normal density of variance v. b is solved so that the probabilities
of the upper side add up to `error_per_side`; by symmetry the lower side has as much. Gauss-Legendre nodes: the
integrands are smooth, and the result is exact to about 1e-10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

_NODES_PER_STEP_SD = 6
_MIN_NODES = 64


@dataclass(frozen=True)
class Boundaries:
    """`z[k]`: the standard normal value to reach at look k. `spent[k]`: error used up by then, on one side."""

    looks: tuple[int, ...]
    z: tuple[float, ...]
    spent: tuple[float, ...]
    error_per_side: float


@lru_cache
def obrien_fleming(looks: tuple[int, ...], error_per_side: float) -> Boundaries:
    """Two symmetric boundaries, each crossed first with probability `error_per_side` under the null.

    Args:
        looks: windows at each look, positive and rising.
        error_per_side: between 0 and 0.25.

    Raises:
        ValueError: anything else.
    """
    from scipy.optimize import brentq  # a fifth of a second, which bad input need not wait for

    if not looks or looks[0] <= 0 or any(later <= earlier for earlier, later in pairwise(looks)):
        raise ValueError(f"looks {looks} must be positive and rise")
    if not 0 < error_per_side < 0.25:
        raise ValueError(f"error_per_side {error_per_side} is not between 0 and 0.25")
    times = np.asarray(looks, dtype=np.float64) / looks[-1]
    single = -float(ndtri(error_per_side))
    limit = brentq(
        lambda b: sum(_first_crossings(times, b, b)) - error_per_side, 0.5 * single, single + 3, xtol=1e-12, rtol=1e-12
    )
    spent = np.cumsum(_first_crossings(times, limit, limit))
    z = limit / np.sqrt(times)
    return Boundaries(looks, tuple(z.tolist()), tuple(spent.tolist()), error_per_side)


def stagewise_p_value(boundaries: Boundaries, look: int, z: float) -> float:
    """One-sided p-value of a path that was between the boundaries before look `look` (0 is the first) and at z there.

    Earlier crossings count as more extreme (Tsiatis-Rosner-Mehta 1984). It is at most `spent[look]` exactly when z
    reaches the boundary.
    """
    times = np.asarray(boundaries.looks[: look + 1], dtype=np.float64) / boundaries.looks[-1]
    limit = boundaries.z[-1]
    return float(sum(_first_crossings(times, limit, z * math.sqrt(times[-1]))))


def _first_crossings(times: NDArray[np.float64], limit: float, last: float) -> list[float]:
    """P(first above the limit at look k) for every k but the last; for the last, P(above `last` there)."""
    steps = np.diff(times, prepend=0.0)
    count = max(_MIN_NODES, math.ceil(_NODES_PER_STEP_SD * 2 * limit / math.sqrt(steps.min())))
    nodes, weights = np.polynomial.legendre.leggauss(count)
    nodes, weights = limit * nodes, limit * weights

    limits = [limit] * (len(times) - 1) + [last]
    crossed = [float(ndtr(-limits[0] / math.sqrt(steps[0])))]
    mass = weights * _density(nodes, steps[0])
    for step, upper in zip(steps[1:], limits[1:], strict=True):
        crossed.append(float(mass @ ndtr((nodes - upper) / math.sqrt(step))))
        mass = weights * (_density(nodes[:, None] - nodes[None, :], step) @ mass)
    return crossed


def _density(value: NDArray[np.float64], variance: float) -> NDArray[np.float64]:
    density: NDArray[np.float64] = np.exp(-value * value / (2 * variance)) / math.sqrt(2 * math.pi * variance)
    return density
