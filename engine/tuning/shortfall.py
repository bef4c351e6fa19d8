"""The expected-shortfall check: are the challenger's worst windows much worse than the champion's?

Notation: a_w, b_w net PnL of champion and challenger on the same n windows, in bps of the champion's mean notional;
q the tail's share; ES(x) = mean of the ceil(q n) lowest x_w (CVaR); m = median(a).

    depth_a = m - ES(a),   depth_b = m - ES(b)            how far below the champion's usual window the tail lies
    passed  <=>  depth_b <= depth_a (1 + c sqrt(n_final / n))

A mean can hide a tail, and so can a test on it that few hits make wide. The same windows and the same reference point
pair the two, so that a market shock that hit both lanes cancels. The allowance c widens at early looks, where the
tail is two windows; docs/promotion.md has what it lets through and what it costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.config import ConfigModel


class ShortfallSettings(ConfigModel):
    """`allowed_excess`: c above, by how much deeper the challenger's tail may be at the last look, as a share."""

    tail_share: float = Field(gt=0, le=0.5)
    allowed_excess: float = Field(gt=0)


@dataclass(frozen=True)
class Shortfall:
    """Arrays of shape [...]: the two ES and depths in bps, `passed`; `allowed_ratio` is 1 + c sqrt(n_final / n)."""

    champion_bps: NDArray[np.float64]
    challenger_bps: NDArray[np.float64]
    champion_depth_bps: NDArray[np.float64]
    challenger_depth_bps: NDArray[np.float64]
    allowed_ratio: float
    passed: NDArray[np.bool_]


def expected_shortfall(values: NDArray[np.float64], tail_share: float) -> NDArray[np.float64]:
    """Mean of the ceil(tail_share * n) lowest values along the last axis."""
    n = values.shape[-1]
    count = min(n, max(1, math.ceil(tail_share * n - 1e-9)))
    lowest: NDArray[np.float64] = np.partition(values, count - 1, axis=-1)[..., :count].mean(axis=-1)
    return lowest


def check_shortfall(
    champion_bps: NDArray[np.float64],
    challenger_bps: NDArray[np.float64],
    final_windows: int,
    settings: ShortfallSettings,
) -> Shortfall:
    """The check on paired windows.

    Args:
        champion_bps, challenger_bps: finite, shape [..., n], the same windows in both.
        final_windows: windows at the last look, n_final.
    """
    n = champion_bps.shape[-1]
    usual = np.median(champion_bps, axis=-1)
    champion = expected_shortfall(champion_bps, settings.tail_share)
    challenger = expected_shortfall(challenger_bps, settings.tail_share)
    allowed = 1 + settings.allowed_excess * math.sqrt(final_windows / n)
    champion_depth, challenger_depth = usual - champion, usual - challenger
    passed = challenger_depth <= allowed * champion_depth
    return Shortfall(champion, challenger, champion_depth, challenger_depth, allowed, passed)
