"""Simulated windows of several lanes on one market: the noise that error rates are measured on.

Model (docs/promotion.md says what it leaves out): net bps of lane j in window w is mean_j + x_jw with

    x_jw = phi x_j,w-1 + e_jw,   e_jw = g_jw / sqrt(s_w),   g_jw = sqrt(rho) c_w + sqrt(1 - rho) g'_jw

c, g' standard normal, s_w = chi2(df) / df common to the lanes: every lane has Student-t(df) innovations, any two
correlate by rho, and bursts of volatility hit all of them at once, as one market does. x is scaled to `sd_bps`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

_BURN_IN = 40


@dataclass(frozen=True)
class NoiseModel:
    """Autocorrelation, degrees of freedom (above 2), sd of a window in bps, correlation between lanes."""

    phi: float = 0.3
    t_df: float = 4.0
    sd_bps: float = 2.0
    pairing: float = 0.8

    @property
    def difference_sd_bps(self) -> float:
        """sd of the difference of two lanes."""
        return self.sd_bps * math.sqrt(2 * (1 - self.pairing))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def lane_noise(
    rng: np.random.Generator, model: NoiseModel, lanes: int, series: int, windows: int
) -> NDArray[np.float64]:
    """x, shape [lanes, series, windows], in bps, mean 0."""
    length = windows + _BURN_IN
    common = math.sqrt(model.pairing) * rng.standard_normal((series, length))
    values: NDArray[np.float64] = rng.standard_normal((lanes, series, length))
    values *= math.sqrt(1 - model.pairing)
    values += common
    innovation_sd = model.sd_bps * math.sqrt(1 - model.phi**2)
    # chi2(df) = 2 gamma(df / 2); a Student-t(df) has variance df / (df - 2)
    spread = 2 * rng.standard_gamma(model.t_df / 2, (series, length)) / (model.t_df - 2)
    values *= innovation_sd / np.sqrt(spread)
    filtered: NDArray[np.float64] = lfilter([1.0], [1.0, -model.phi], values, axis=-1)[..., _BURN_IN:]
    return filtered


def resampled(
    rng: np.random.Generator, residuals_bps: NDArray[np.float64], block: int, series: int, windows: int
) -> NDArray[np.float64]:
    """Circular block resamples (Politis-Romano 1992) of measured windows: [k, n] -> [k, series, windows].

    The k rows are resampled together, so that what correlates them stays.
    """
    n = residuals_bps.shape[-1]
    starts = rng.integers(0, n, (series, -(-windows // block)))
    index = (starts[..., None] + np.arange(block)).reshape(series, -1)[:, :windows] % n
    return residuals_bps[:, index]
