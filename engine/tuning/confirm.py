"""One look at paired windows, in arrays: the same arithmetic decides in `judge` and is measured by `calibrate`.

Notation: d_1..d_n paired differences in bps, dbar their mean; Omega and df from engine.tuning.longrun.

    T   = dbar / sqrt(Omega / n)
    z   = normal value with the tail probability that T has under Student's t with 0.8 df degrees of freedom
    low, high = dbar -+ t_0.8df(Phi(z_k)) sqrt(Omega / n)   repeated interval at look k (Jennison-Turnbull 1989)

z is held against the O'Brien-Fleming boundary z_k. The repeated intervals hold at all looks together with confidence
1 - 2 error_per_side, and the boundary is crossed upwards exactly when low >= 0. Why 0.8: df counts the Bartlett lags,
not the estimated phi, and at 24 windows that is felt; docs/promotion.md has the measured choices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from engine.config import ConfigModel
from engine.tuning.interval import MIN_WINDOWS
from engine.tuning.longrun import long_run_variance
from engine.tuning.sequential import Boundaries, obrien_fleming
from engine.tuning.shortfall import Shortfall, ShortfallSettings, check_shortfall

_DF_SHARE = 0.8
_Z_LIMIT = 37.0
"""Beyond it a normal tail probability is no number of double precision."""


class ConfirmSettings(ConfigModel):
    """`looks`: fresh paired windows at each look; `error_per_side`: of wrongly promoting, and of wrongly rejecting."""

    looks: tuple[int, ...] = Field(min_length=1)
    error_per_side: float = Field(gt=0, lt=0.25)

    @model_validator(mode="after")
    def _rising(self) -> ConfirmSettings:
        if self.looks[0] < MIN_WINDOWS or list(self.looks) != sorted(set(self.looks)):
            raise ValueError(f"looks must rise, from {MIN_WINDOWS} windows at least")
        return self

    @property
    def boundaries(self) -> Boundaries:
        return obrien_fleming(self.looks, self.error_per_side)


@dataclass(frozen=True)
class MeanTest:
    """Arrays of shape [...], in bps where not said otherwise; `df` is the same for all."""

    mean: NDArray[np.float64]
    se: NDArray[np.float64]
    phi: NDArray[np.float64]
    z: NDArray[np.float64]
    df: float

    def half_width(self, z: float) -> NDArray[np.float64]:
        """Half the width of the interval whose ends are z normal standard errors away."""
        return float(stdtrit(self.df, ndtr(z))) * self.se


def mean_test(differences_bps: NDArray[np.float64]) -> MeanTest:
    """The LRV-t of the mean along the last axis. Raises ValueError below 4 windows or for values not finite."""
    long_run = long_run_variance(differences_bps)
    mean = differences_bps.mean(axis=-1)
    se = np.sqrt(long_run.variance / differences_bps.shape[-1])
    t = np.divide(mean, se, out=np.where(mean == 0, 0.0, np.copysign(np.inf, mean)), where=se > 0)
    df = _DF_SHARE * long_run.df
    z = np.clip(-ndtri(stdtr(df, -np.abs(t))), 0, _Z_LIMIT)
    return MeanTest(mean, se, long_run.phi, np.copysign(z, t), df)


@dataclass(frozen=True)
class LookNumbers:
    """What a look saw, arrays of shape [...]. `better` and `worse` say which boundary was reached."""

    test: MeanTest
    shortfall: Shortfall
    better: NDArray[np.bool_]
    worse: NDArray[np.bool_]


def take_look(
    champion_bps: NDArray[np.float64],
    challenger_bps: NDArray[np.float64],
    bound_z: float,
    final_windows: int,
    shortfall: ShortfallSettings,
) -> LookNumbers:
    """The mean test and the shortfall check of paired windows, shape [..., n]."""
    test = mean_test(challenger_bps - champion_bps)
    tail = check_shortfall(champion_bps, challenger_bps, final_windows, shortfall)
    return LookNumbers(test, tail, test.z >= bound_z, test.z <= -bound_z)


@dataclass(frozen=True)
class Outcomes:
    """Per pair of series: promoted, rejected (neither is HOLD), and the windows used."""

    promoted: NDArray[np.bool_]
    rejected: NDArray[np.bool_]
    windows: NDArray[np.int64]


def confirm_many(
    champion_bps: NDArray[np.float64],
    challenger_bps: NDArray[np.float64],
    confirm: ConfirmSettings,
    shortfall: ShortfallSettings,
) -> Outcomes:
    """Confirmation of m pairs of complete series, shape [m, n], n at least the windows of the last look."""
    bounds = confirm.boundaries
    promoted, rejected = (np.zeros(len(champion_bps), dtype=bool) for _ in range(2))
    windows = np.full(len(champion_bps), bounds.looks[-1], dtype=np.int64)
    for count, bound_z in zip(bounds.looks, bounds.z, strict=True):
        open_ = np.flatnonzero(~promoted & ~rejected)
        look = take_look(
            champion_bps[open_, :count], challenger_bps[open_, :count], bound_z, bounds.looks[-1], shortfall
        )
        refused = look.worse | ~look.shortfall.passed
        decided = refused | look.better
        rejected[open_[refused]] = True
        promoted[open_[look.better & ~refused]] = True
        windows[open_[decided]] = count
    return Outcomes(promoted, rejected, windows)
