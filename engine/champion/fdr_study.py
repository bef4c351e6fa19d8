"""What the evidence budget really holds: many symbols' years of confirmations, simulated, and their false promotions.

A symbol is confirmed on at gaps drawn from an exponential distribution; a challenger is truly better with some chance,
and its p-value is that of a one-sided normal test whose mean is then `effect` standard errors. Over many symbols:

    mem-FDR   mean of sum w_i V_i / (sum w_i R_i + eta) at the end, which the rule promises to be at most alpha
    FDR       mean of false promotions / promotions over all of the time, 0 where there are none: no promise is made of
              it, since every null that time lets through counts for ever
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from engine.champion.fdr import EvidenceSettings

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Stream:
    """Confirmations of many symbols, all arrays of shape [symbols, tests]: times in days, p-values, which are nulls."""

    days: Array
    p_values: Array
    null: NDArray[np.bool_]


@dataclass(frozen=True)
class Outcome:
    """Shape [symbols, tests]: levels granted, promotions; wealth before each test."""

    level: Array
    promoted: NDArray[np.bool_]
    wealth: Array


@dataclass(frozen=True)
class Rate:
    """A mean over symbols with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def simulate(
    rng: np.random.Generator, *, symbols: int, tests: int, gap_days: float, better_share: float, effect: float
) -> Stream:
    """Confirmations as described above."""
    days = np.cumsum(rng.exponential(gap_days, (symbols, tests)), axis=1)
    null = rng.random((symbols, tests)) >= better_share
    z = rng.standard_normal((symbols, tests)) + np.where(null, 0.0, effect)
    return Stream(days, ndtr(-z), null)


def spend_all(stream: Stream, settings: EvidenceSettings) -> Outcome:
    """The rule of engine.champion.fdr over all symbols at once."""
    shape = stream.days.shape
    level, wealths, promoted = np.empty(shape), np.empty(shape), np.zeros(shape, dtype=bool)
    wealth, before = np.full(shape[0], settings.initial_wealth), stream.days[:, 0]
    for test in range(shape[1]):
        kept = 0.5 ** ((stream.days[:, test] - before) / settings.half_life_days)
        wealth = settings.initial_wealth + (wealth - settings.initial_wealth) * kept
        wealths[:, test] = wealth
        level[:, test] = np.minimum(settings.share * wealth, settings.max_level)
        promoted[:, test] = stream.p_values[:, test] <= level[:, test]
        wealth = wealth - level[:, test] + settings.alpha * promoted[:, test]
        before = stream.days[:, test]
    return Outcome(level, promoted, wealths)


def mem_fdr(stream: Stream, outcome: Outcome, settings: EvidenceSettings) -> Rate:
    """At the time of the last test."""
    weight = 0.5 ** ((stream.days[:, -1:] - stream.days) / settings.half_life_days)
    false = (weight * (outcome.promoted & stream.null)).sum(axis=1)
    return _rate(false / ((weight * outcome.promoted).sum(axis=1) + settings.smoothing))


def plain_fdr(stream: Stream, outcome: Outcome) -> Rate:
    false = (outcome.promoted & stream.null).sum(axis=1)
    return _rate(false / np.maximum(outcome.promoted.sum(axis=1), 1))


def power(stream: Stream, outcome: Outcome) -> float:
    """Share of the truly better that are promoted; NaN where there are none."""
    better = int((~stream.null).sum())
    return float((outcome.promoted & ~stream.null).sum() / better) if better else float("nan")


def false_per_year(stream: Stream, outcome: Outcome) -> float:
    """False promotions of a symbol in a year."""
    years = float(stream.days[:, -1].sum()) / 365.0
    return float((outcome.promoted & stream.null).sum()) / years


def _rate(values: Array) -> Rate:
    mean, half = float(values.mean()), 1.96 * float(values.std(ddof=1)) / float(np.sqrt(len(values)))
    return Rate(mean, mean - half, mean + half)
