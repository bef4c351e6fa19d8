"""The interval of net_bps over a run's windows, and the probability of each verdict band given it.

Notation: P_w PnL and N_w notional of window w (any common money unit), n windows in time order.
    r   = sum P / sum N                         the ratio estimator: a sum over a sum, never a mean of ratios
    e_w = 1e4 (P_w - r N_w) / mean(N)           its linearised residual, bps of the mean window's notional
    se  = sqrt(Omega(e) / n)                    Omega: engine.tuning.longrun
    low, high = 1e4 r -+ t_df(0.5 + confidence/2) se
A window without fills has N_w = 0 and stays in the series with its PnL (a held position moves).
Sources: Cochran, Sampling Techniques (1977), ch. 6, for the ratio estimator; longrun.py for Omega and df.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

from engine.tuning.bands import NetBands
from engine.tuning.longrun import long_run_variance

MIN_WINDOWS = 12
"""Windows with fills below which no interval is given: an hour of five-minute windows."""

PHI_WARNING = 0.5
"""Autocorrelation above which windows should be longer: the interval's coverage falls off there."""


@dataclass(frozen=True)
class Interval:
    """`mean`, `low`, `high`, `se`, `sd` in bps; `sd` is that of one window's residual, `phi` its
    autocorrelation at lag one; `n_windows` counts all windows, with fills or without; `df` degrees of
    freedom of the Student-t."""

    mean: float
    low: float
    high: float
    n_windows: int
    phi: float
    sd: float
    se: float
    df: float
    confidence: float

    def to_json(self) -> dict[str, float | int]:
        return asdict(self)


def net_interval(
    pnl_units_per_window: Sequence[float | None],
    notional_per_window: Sequence[float | None],
    confidence: float = 0.95,
) -> Interval | None:
    """The interval of net_bps = 1e4 sum PnL / sum notional; None below MIN_WINDOWS windows with fills.

    Args:
        pnl_units_per_window, notional_per_window: one value per window, in time order, in the same money unit
            (integer units or floats; integers are summed exactly). None in both counts as 0.
        confidence: two-sided, between 0 and 1.

    Raises:
        ValueError: lengths differ, a value is not finite, a notional is negative, PnL unknown where there
        were
            fills, or a confidence that is none.
    """
    if len(pnl_units_per_window) != len(notional_per_window):
        raise ValueError(f"{len(pnl_units_per_window)} PnL values for {len(notional_per_window)} notionals")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    notional = [0 if value is None else value for value in notional_per_window]
    if any(p is None and v for p, v in zip(pnl_units_per_window, notional, strict=True)):
        raise ValueError("a window has notional but no PnL")
    pnl = [0 if value is None else value for value in pnl_units_per_window]
    if not all(map(math.isfinite, [*pnl, *notional])) or min(notional, default=0) < 0:
        raise ValueError("PnL and notional must be finite, notional not negative")
    if windows_with_fills(notional) < MIN_WINDOWS:
        return None

    n = len(pnl)
    ratio = _exact_sum(pnl) / _exact_sum(notional)
    mean_notional = _exact_sum(notional) / n
    residuals = np.array([(p - ratio * v) / mean_notional * 1e4 for p, v in zip(pnl, notional, strict=True)])
    long_run = long_run_variance(residuals)
    mean, se = ratio * 1e4, math.sqrt(float(long_run.variance) / n)
    half_width = float(stdtrit(long_run.df, 0.5 + confidence / 2)) * se
    return Interval(
        mean=mean,
        low=mean - half_width,
        high=mean + half_width,
        n_windows=n,
        phi=float(long_run.phi),
        sd=float(residuals.std(ddof=1)),
        se=se,
        df=long_run.df,
        confidence=confidence,
    )


def interval_of_windows(windows: Sequence[Mapping[str, Any]], confidence: float = 0.95) -> Interval | None:
    """`net_interval` of the `windows` of an EDGE_REPORT (keys net_pnl_quote, notional_quote).

    A window whose PnL is unknown (a position, and no book to mark it with) is left out.
    """
    known = [window for window in windows if window["net_pnl_quote"] is not None]
    return net_interval(
        [window["net_pnl_quote"] for window in known],
        [window["notional_quote"] for window in known],
        confidence,
    )


def windows_with_fills(notional_per_window: Sequence[float | None]) -> int:
    """How many windows have notional above 0."""
    return sum(1 for value in notional_per_window if value)


def band_probabilities(interval: Interval, bands: NetBands) -> dict[str, float]:
    """Probability of each verdict band, FAIL to SUCCESS, were net_bps t-distributed around the interval's
    mean with its standard error (the posterior under a flat prior); the four add up to 1."""
    edges = (bands.fail_below, bands.warn_below, bands.ok_below)
    if interval.se == 0:
        below = [float(interval.mean < edge) for edge in edges]
    else:
        below = [float(stdtr(interval.df, (edge - interval.mean) / interval.se)) for edge in edges]
    fail, warn, ok = below
    return {"FAIL": fail, "WARN": warn - fail, "OK": ok - warn, "SUCCESS": 1 - ok}


def _exact_sum(values: Sequence[float]) -> float:
    """Independent of order: integers are added as such, anything else by fsum."""
    return sum(values) if all(isinstance(value, int) for value in values) else math.fsum(values)
