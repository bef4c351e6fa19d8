"""The long-run variance against a slow reading of its formula, and its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.tuning.longrun import bandwidth_rule, long_run_variance


def reference(series: list[float], lags: int) -> tuple[float, float]:
    """Omega and phi, term by term from the module's notation."""
    n = len(series)
    mean = sum(series) / n
    u = [value - mean for value in series]
    r1 = sum(u[t] * u[t - 1] for t in range(1, n)) / sum(value * value for value in u)
    phi = max(-0.9, min(0.9, r1 + (1 + 3 * r1) / n))
    v = [u[t] - phi * u[t - 1] for t in range(1, n)]

    def autocovariance(lag: int) -> float:
        return sum(v[t] * v[t - lag] for t in range(lag, n - 1)) / (n - 2)

    omega = autocovariance(0)
    for lag in range(1, lags + 1):
        omega += 2 * (1 - lag / (lags + 1)) * autocovariance(lag)
    return omega / (1 - phi) ** 2, phi


@pytest.mark.parametrize(("n", "lags"), [(4, 0), (7, 1), (12, 3), (36, None), (48, 5), (100, None)])
def test_it_is_the_formula(n, lags) -> None:
    series = np.random.default_rng(n).standard_t(4, n)
    result = long_run_variance(series, lags)
    used = math.floor(0.75 * n ** (1 / 3)) if lags is None else lags
    omega, phi = reference(series.tolist(), used)
    assert result.bandwidth == used
    assert float(result.variance) == pytest.approx(omega, rel=1e-12)
    assert float(result.phi) == pytest.approx(phi, rel=1e-12)
    assert result.df == min(3 * n / (2 * (used + 1)), n - 2)


def test_many_series_at_once_are_each_alone() -> None:
    series = np.random.default_rng(2).normal(size=(3, 5, 40))
    together = long_run_variance(series)
    assert together.variance.shape == together.phi.shape == (3, 5)
    for index in np.ndindex(3, 5):
        alone = long_run_variance(series[index])
        assert float(alone.variance) == together.variance[index]
        assert float(alone.phi) == together.phi[index]


def test_shift_leaves_it_and_scale_squares_it() -> None:
    series = np.random.default_rng(3).normal(size=60)
    base = float(long_run_variance(series).variance)
    assert float(long_run_variance(series + 1000).variance) == pytest.approx(base, rel=1e-9)
    assert float(long_run_variance(series * -7).variance) == pytest.approx(49 * base, rel=1e-12)


def test_a_constant_series_varies_by_nothing() -> None:
    result = long_run_variance([2.5] * 20)
    assert float(result.variance) == 0.0
    assert float(result.phi) == 0.0


def test_it_finds_the_truth_in_a_long_ar1_series() -> None:
    rng = np.random.default_rng(4)
    series = np.zeros(200_000)
    noise = rng.normal(size=series.size)
    for t in range(1, series.size):
        series[t] = 0.3 * series[t - 1] + noise[t]
    result = long_run_variance(series)
    assert float(result.variance) == pytest.approx(1 / (1 - 0.3) ** 2, rel=0.03)
    assert float(result.phi) == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(
    ("series", "lags", "words"),
    [
        ([1.0, 2.0, 3.0], None, "at least 4 values, not 3"),
        (5.0, None, "at least 4 values, not 0"),
        ([1.0, 2.0, float("nan"), 3.0], None, "finite"),
        ([1.0, 2.0, float("inf"), 3.0], None, "finite"),
        ([1.0, 2.0, 3.0, 4.0], 3, "bandwidth 3"),
        ([1.0, 2.0, 3.0, 4.0], -1, "bandwidth -1"),
    ],
)
def test_what_does_not_fit_is_refused(series, lags, words) -> None:
    with pytest.raises(ValueError, match=words):
        long_run_variance(series, lags)


def test_the_bandwidth_rule() -> None:
    assert [bandwidth_rule(n) for n in (4, 12, 18, 19, 36, 64, 96, 288)] == [1, 1, 1, 2, 2, 3, 3, 4]
