"""Rollback: when have the parameters in force stopped being good? A winsorised CUSUM, and a hard loss breaker.

Notation: x_w the watched value of window w in bps, either the paired difference to the shadow lane (target 0: no
worse than the shadow) or, without a shadow, the level against its healthy mean; sd its healthy standard deviation.

    u_w = clip((x_w - target) / sd, -winsor, +winsor)
    S_w = max(0, S_{w-1} - u_w - k),   alarm when S_w > h                                    (Page 1954)

Clipping keeps one freak window from raising the alarm alone; the breaker is there for those. A window without data
leaves S as it is and is counted; too many in a row and the detector says that it is blind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from engine.config import ConfigModel
from engine.tuning.interval import MIN_WINDOWS
from engine.tuning.longrun import long_run_variance

Label = Literal["HEALTHY", "NODATA", "ROLLBACK"]

_SD_ALLOWANCE_WINDOWS = 6.0
_TARGET_ALLOWANCE_SE = 0.6


class CusumSettings(ConfigModel):
    """k, h and winsor in units of the healthy sd. `max_missing_in_a_row`: windows without data before NODATA."""

    k_sd: float = Field(gt=0)
    h_sd: float = Field(gt=0)
    winsor_sd: float = Field(gt=0)
    max_missing_in_a_row: int = Field(ge=1)


class BreakerSettings(ConfigModel):
    """Limits in quote currency since the parameters took effect; reaching one trips the breaker."""

    max_loss_quote: float = Field(gt=0)
    max_drawdown_quote: float = Field(gt=0)


@dataclass(frozen=True)
class Baseline:
    """What is healthy: target and sd in bps, sd above 0. `windows`: how many it was estimated from, 0 if given."""

    target_bps: float
    sd_bps: float
    windows: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.target_bps) and math.isfinite(self.sd_bps) and self.sd_bps > 0):
            raise ValueError(f"baseline of mean {self.target_bps} and sd {self.sd_bps} bps cannot be watched")


def paired_baseline(differences_bps: ArrayLike) -> Baseline:
    """For the difference to the shadow: target 0, sd from healthy windows, see `estimated_baselines`."""
    return _single(differences_bps, paired=True)


def level_baseline(levels_bps: ArrayLike) -> Baseline:
    """For the level, where there is no shadow: both from healthy windows, see `estimated_baselines`."""
    return _single(levels_bps, paired=False)


def estimated_baselines(healthy_bps: NDArray[np.float64], *, paired: bool) -> tuple[NDArray[np.float64], ...]:
    """(target, sd), shape [...], from n healthy windows, shape [..., n].

    Estimates err, and a detector with too small an sd or too high a target cries wolf: the sd is taken (1 + 6/n)
    times as large, and the mean of the level 0.6 standard errors lower (figures: docs/promotion.md).
    """
    n = healthy_bps.shape[-1]
    sd = healthy_bps.std(axis=-1, ddof=1) * (1 + _SD_ALLOWANCE_WINDOWS / n)
    if paired:
        return np.zeros_like(sd), sd
    se = np.sqrt(long_run_variance(healthy_bps).variance / n)
    return healthy_bps.mean(axis=-1) - _TARGET_ALLOWANCE_SE * se, sd


def _single(healthy_bps: ArrayLike, *, paired: bool) -> Baseline:
    """Raises ValueError below MIN_WINDOWS finite windows, or where they do not vary."""
    values = np.asarray(healthy_bps, dtype=np.float64)
    if values.ndim != 1 or len(values) < MIN_WINDOWS or not np.isfinite(values).all():
        raise ValueError(f"a baseline needs at least {MIN_WINDOWS} windows, all with data")
    target, sd = estimated_baselines(values, paired=paired)
    return Baseline(float(target), float(sd), len(values))


def cusum_step(
    total: NDArray[np.float64], standardised: NDArray[np.float64], settings: CusumSettings
) -> NDArray[np.float64]:
    """S_w from S_{w-1} and (x_w - target) / sd; arrays of one shape. The alarm is S_w > settings.h_sd."""
    clipped = np.clip(standardised, -settings.winsor_sd, settings.winsor_sd)
    stepped: NDArray[np.float64] = np.maximum(0.0, total - clipped - settings.k_sd)
    return stepped


@dataclass(frozen=True)
class Finding:
    """A detector's verdict: label, reason, and what was observed against which limit."""

    label: Label
    reason: str
    observed: float
    limit: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Cusum:
    """The detector's state after some windows; start with `Cusum()`. An alarm stays."""

    total_sd: float = 0.0
    windows: int = 0
    missing: int = 0
    missing_in_a_row: int = 0
    alarm_window: int | None = None

    def after(self, value_bps: float | None, baseline: Baseline, settings: CusumSettings) -> Cusum:
        """The state after one more window; None or NaN is a window without data."""
        seen = replace(self, windows=self.windows + 1)
        if value_bps is None or math.isnan(value_bps):
            return replace(seen, missing=self.missing + 1, missing_in_a_row=self.missing_in_a_row + 1)
        standardised = np.asarray((value_bps - baseline.target_bps) / baseline.sd_bps)
        total = float(cusum_step(np.asarray(self.total_sd), standardised, settings))
        alarm = self.windows if self.alarm_window is None and total > settings.h_sd else self.alarm_window
        return replace(seen, total_sd=total, missing_in_a_row=0, alarm_window=alarm)

    def finding(self, settings: CusumSettings) -> Finding:
        limit = settings.h_sd
        if self.alarm_window is not None:
            return Finding(
                "ROLLBACK", f"CUSUM went above {limit:g} sd in window {self.alarm_window}", self.total_sd, limit
            )
        if self.windows == self.missing or self.missing_in_a_row >= settings.max_missing_in_a_row:
            return Finding("NODATA", f"no data in the last {self.missing_in_a_row} windows", self.total_sd, limit)
        gaps = f", {self.missing} of {self.windows} windows without data" if self.missing else ""
        return Finding("HEALTHY", f"CUSUM at {self.total_sd:.2f} of {limit:g} sd{gaps}", self.total_sd, limit)


def watch(values_bps: Iterable[float | None], baseline: Baseline, settings: CusumSettings) -> Cusum:
    """The state after all of `values_bps`, in order of time."""
    state = Cusum()
    for value in values_bps:
        state = state.after(value, baseline, settings)
    return state


@dataclass(frozen=True)
class Breaker:
    """Cumulated PnL since the parameters took effect, its high (0 at the start), and the window that tripped it."""

    pnl_quote: float = 0.0
    high_quote: float = 0.0
    windows: int = 0
    missing: int = 0
    tripped: Finding | None = None

    @property
    def drawdown_quote(self) -> float:
        return self.high_quote - self.pnl_quote

    def after(self, pnl_quote: float | None, settings: BreakerSettings) -> Breaker:
        """The state after one more window's PnL; None or NaN adds nothing and is counted."""
        if pnl_quote is None or math.isnan(pnl_quote):
            return replace(self, windows=self.windows + 1, missing=self.missing + 1)
        total = self.pnl_quote + pnl_quote
        moved = replace(self, pnl_quote=total, high_quote=max(self.high_quote, total), windows=self.windows + 1)
        return replace(moved, tripped=self.tripped or moved._trip(settings))

    def _trip(self, settings: BreakerSettings) -> Finding | None:
        window, loss = self.windows - 1, -self.pnl_quote
        if loss >= settings.max_loss_quote:
            reason = f"loss of {loss:g} in quote currency after window {window}"
            return Finding("ROLLBACK", reason, loss, settings.max_loss_quote)
        if self.drawdown_quote >= settings.max_drawdown_quote:
            reason = f"drawdown of {self.drawdown_quote:g} in quote currency after window {window}"
            return Finding("ROLLBACK", reason, self.drawdown_quote, settings.max_drawdown_quote)
        return None

    def finding(self, settings: BreakerSettings) -> Finding:
        if self.tripped is not None:
            return self.tripped
        loss, drawdown = -self.pnl_quote, self.drawdown_quote
        if self.windows == self.missing:
            return Finding("NODATA", "no window has a known PnL", loss, settings.max_loss_quote)
        gaps = f", {self.missing} of {self.windows} windows without data" if self.missing else ""
        return Finding("HEALTHY", f"PnL {-loss:g}, drawdown {drawdown:g}{gaps}", loss, settings.max_loss_quote)
