"""How much of a search's best result is luck: PBO, the deflated figure, and shrinkage. Reported, never gated on alone.

Notation: D float64[T, W], d_w of T trials over W windows, finite.

PBO (Bailey, Borwein, Lopez de Prado and Zhu 2014): the windows are cut into S blocks; for each of the C(S, S/2) ways
to take half of them, the best trial there has rank r (1 the worst) among T in the other half; PBO is the share of ways
with r / (T + 1) <= 1/2, that is, with the winner below the median where it was not chosen.

Deflated (Bailey and Lopez de Prado 2014), on SR = mean / sd of the best trial's d_w:

    SR0 = sd_t(SR_t) ((1 - g) z(1 - 1/T) + g z(1 - 1/(T e)))         g = 0.5772..., the best of T nulls
    DSR = Phi((SR - SR0) sqrt(n - 1) / sqrt(1 - skew SR + (kurt - 1) SR^2 / 4))

n is W times the share of its variance in the long-run variance, so that autocorrelated windows count for less. DSR is
the probability that the best trial's true mean is above 0, were its luck the only doubt.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import kurtosis, skew

from engine.tuning.longrun import long_run_variance

Floats = NDArray[np.float64]
_BLOCKS = 8
_EULER = 0.5772156649015329


@dataclass(frozen=True)
class Overfitting:
    """None where there are too few trials or windows. `ways`: splits that PBO rests on."""

    pbo: float | None
    ways: int
    deflated_probability: float | None
    expected_best_of_nulls_bps: float | None
    trials: int
    windows: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def overfitting(d: Floats) -> Overfitting:
    """Both figures of D [T, W]; trials that do not differ from the champion anywhere are left out."""
    d = d[np.isfinite(d).all(axis=1) & (d.std(axis=1) > 0)]
    trials, windows = d.shape
    if trials < 3 or windows < 2 * _BLOCKS:
        return Overfitting(None, 0, None, None, trials, windows)
    pbo, ways = _pbo(d)
    probability, best_null = _deflated(d)
    return Overfitting(pbo, ways, probability, best_null, trials, windows)


def _pbo(d: Floats) -> tuple[float, int]:
    blocks = np.array_split(d, _BLOCKS, axis=1)
    sums, counts = np.stack([block.sum(axis=1) for block in blocks]), np.array([block.shape[1] for block in blocks])
    below = 0
    ways = list(combinations(range(_BLOCKS), _BLOCKS // 2))
    for way in ways:
        inside = np.isin(np.arange(_BLOCKS), way)
        seen = sums[inside].sum(axis=0) / counts[inside].sum()
        unseen = sums[~inside].sum(axis=0) / counts[~inside].sum()
        rank = int((unseen < unseen[int(np.argmax(seen))]).sum()) + 1
        below += rank / (d.shape[0] + 1) <= 0.5
    return below / len(ways), len(ways)


def _deflated(d: Floats) -> tuple[float, float]:
    trials, windows = d.shape
    ratios = d.mean(axis=1) / d.std(axis=1, ddof=1)
    best = d[int(np.argmax(ratios))]
    ratio = float(ratios.max())
    spread = float(ratios.std(ddof=1))
    null = spread * ((1 - _EULER) * float(ndtri(1 - 1 / trials)) + _EULER * float(ndtri(1 - 1 / (trials * math.e))))
    omega = float(long_run_variance(best).variance)
    n = min(windows, windows * float(best.var(ddof=1)) / omega) if omega > 0 else windows
    shape = 1 - float(skew(best)) * ratio + (float(kurtosis(best, fisher=False)) - 1) / 4 * ratio**2
    z = (ratio - null) * math.sqrt(max(n - 1, 1)) / math.sqrt(max(shape, 1e-9))
    return float(ndtr(z)), null * float(best.std(ddof=1))
