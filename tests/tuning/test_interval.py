"""The interval of net_bps: estimator, coverage by simulation, band probabilities, edges."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from engine.tuning.bands import NetBands
from engine.tuning.interval import MIN_WINDOWS, Interval, band_probabilities, interval_of_windows, net_interval
from engine.tuning.longrun import long_run_variance

BANDS = NetBands(fail_below=2.5, warn_below=2.8, ok_below=3.0)


def ar1_t4(rng: np.random.Generator, repetitions: int, n: int, phi: float) -> np.ndarray:
    """AR(1) with t(4) innovations and sd 1, shape [repetitions, n], after a burn-in of 60."""
    innovations = rng.standard_t(4, size=(repetitions, n + 60)) / math.sqrt(2) * math.sqrt(1 - phi**2)
    return lfilter([1.0], [1.0, -phi], innovations, axis=1)[:, 60:]


# The figures of docs/decision.md, from 20,000 repetitions. 4,000 here: a standard error of 0.4 points.
@pytest.mark.parametrize(
    ("n", "phi", "measured"),
    [(12, 0.3, 89.3), (36, 0.0, 93.4), (36, 0.3, 93.0), (48, 0.3, 93.1), (96, 0.5, 93.2), (288, 0.3, 94.6)],
)
def test_coverage_of_the_95_percent_interval(n, phi, measured) -> None:
    """PnL and notional vary together, as in the market: windows with more volume carry more of the noise."""
    rng = np.random.default_rng(20261120 + n)
    truth_bps, repetitions = 3.0, 4000
    notional = rng.gamma(4.0, 250.0, size=(repetitions, n))
    pnl = notional * (truth_bps + 2.0 * ar1_t4(rng, repetitions, n, phi)) / 1e4
    covered = 0
    for p, v in zip(pnl.tolist(), notional.tolist(), strict=True):
        interval = net_interval(p, v)
        covered += interval.low <= truth_bps <= interval.high
    assert 100 * covered / repetitions == pytest.approx(measured, abs=1.2)


def test_it_is_the_ratio_of_sums_not_the_mean_of_ratios() -> None:
    pnl = [1.0, 0.0] * 10
    notional = [1000.0, 9000.0] * 10
    interval = net_interval(pnl, notional)
    assert interval.mean == pytest.approx(1e4 * 10 / 100_000)
    assert interval.n_windows == 20


def test_against_the_formula() -> None:
    rng = np.random.default_rng(1)
    notional = rng.gamma(4.0, 250.0, 40)
    pnl = notional * rng.normal(3.0, 2.0, 40) / 1e4
    interval = net_interval(pnl.tolist(), notional.tolist(), confidence=0.9)
    ratio = pnl.sum() / notional.sum()
    residuals = 1e4 * (pnl - ratio * notional) / notional.mean()
    long_run = long_run_variance(residuals)
    half = stats.t.ppf(0.95, long_run.df) * math.sqrt(float(long_run.variance) / 40)
    assert interval.mean == pytest.approx(1e4 * ratio, rel=1e-12)
    assert interval.high - interval.mean == pytest.approx(half, rel=1e-9)
    assert interval.mean - interval.low == pytest.approx(half, rel=1e-9)
    assert interval.sd == pytest.approx(residuals.std(ddof=1), rel=1e-9)
    assert (interval.confidence, interval.df, interval.phi) == (0.9, 20.0, pytest.approx(float(long_run.phi)))


def test_integer_units_of_any_size_give_the_same_as_floats() -> None:
    rng = np.random.default_rng(2)
    notional = [int(v) for v in rng.integers(10**15, 10**18, 30)]
    pnl = [int(v) for v in rng.integers(-(10**13), 10**14, 30)]
    exact = net_interval(pnl, notional)
    floats = net_interval([p / 1e12 for p in pnl], [v / 1e12 for v in notional])
    assert exact.mean == pytest.approx(1e4 * sum(pnl) / sum(notional), rel=1e-15)
    for name in ("mean", "low", "high", "phi", "sd"):
        assert getattr(floats, name) == pytest.approx(getattr(exact, name), rel=1e-9)


def test_a_window_without_fills_keeps_its_pnl_and_its_place() -> None:
    pnl, notional = [1.0, 2.0] * 8, [1000.0] * 16
    with_gap = net_interval([*pnl[:8], -3.0, *pnl[8:]], [*notional[:8], 0.0, *notional[8:]])
    assert with_gap.n_windows == 17
    assert with_gap.mean == pytest.approx(1e4 * (24 - 3) / 16_000)
    empty = net_interval([*pnl[:8], None, *pnl[8:]], [*notional[:8], None, *notional[8:]])
    assert empty == net_interval([*pnl[:8], 0.0, *pnl[8:]], [*notional[:8], 0.0, *notional[8:]])


@pytest.mark.parametrize("filled", [0, 1, MIN_WINDOWS - 1])
def test_too_few_windows_with_fills_give_none(filled) -> None:
    assert net_interval([1.0] * filled + [0.0] * 30, [100.0] * filled + [0.0] * 30) is None
    assert net_interval([], []) is None
    assert net_interval([1.0] * MIN_WINDOWS, [100.0] * MIN_WINDOWS) is not None


def test_it_narrows_with_windows_and_widens_with_confidence() -> None:
    pnl = np.random.default_rng(3).normal(0.3, 0.2, 288).tolist()
    widths = []
    for n in (18, 72, 288):
        interval = net_interval(pnl[:n], [1000.0] * n)
        widths.append(interval.high - interval.low)
    assert widths == sorted(widths, reverse=True)
    ninety = net_interval(pnl, [1000.0] * 288, confidence=0.9)
    assert ninety.high - ninety.low < widths[-1]


def test_the_windows_of_an_edge_report() -> None:
    rng = np.random.default_rng(4)
    windows = [{"net_pnl_quote": p, "notional_quote": 1000.0, "window": i} for i, p in enumerate(rng.normal(size=20))]
    interval = interval_of_windows(windows)
    assert interval == net_interval([w["net_pnl_quote"] for w in windows], [1000.0] * 20)
    assert json.loads(json.dumps(interval.to_json()))["n_windows"] == 20


@pytest.mark.parametrize(
    ("pnl", "notional", "confidence", "words"),
    [
        ([1.0], [1.0, 2.0], 0.95, "1 PnL values for 2 notionals"),
        ([1.0] * 20, [1.0] * 19 + [-1.0], 0.95, "not negative"),
        ([math.nan] * 20, [1.0] * 20, 0.95, "finite"),
        ([1.0] * 20, [math.inf] * 20, 0.95, "finite"),
        ([1.0] * 19 + [None], [1.0] * 20, 0.95, "notional but no PnL"),
        ([1.0] * 20, [1.0] * 20, 1.0, "confidence 1.0"),
    ],
)
def test_what_is_no_window_is_refused(pnl, notional, confidence, words) -> None:
    with pytest.raises(ValueError, match=words):
        net_interval(pnl, notional, confidence)


def interval_at(mean: float, se: float, df: float = 18.0) -> Interval:
    return Interval(mean, mean - 2 * se, mean + 2 * se, 36, 0.1, 6 * se, se, df, 0.95)


def test_band_probabilities_are_those_of_the_t_distribution() -> None:
    bands = band_probabilities(interval_at(2.7, 0.2), BANDS)
    t = stats.t(18, loc=2.7, scale=0.2)
    assert bands["FAIL"] == pytest.approx(t.cdf(2.5))
    assert bands["WARN"] == pytest.approx(t.cdf(2.8) - t.cdf(2.5))
    assert bands["OK"] == pytest.approx(t.cdf(3.0) - t.cdf(2.8))
    assert bands["SUCCESS"] == pytest.approx(t.sf(3.0))
    assert list(bands) == ["FAIL", "WARN", "OK", "SUCCESS"]


def test_band_probabilities_without_noise_are_the_band() -> None:
    for mean, label in ((2.4, "FAIL"), (2.5, "WARN"), (2.8, "OK"), (3.0, "SUCCESS")):
        bands = band_probabilities(interval_at(mean, 0.0), BANDS)
        assert bands == {name: float(name == label) for name in bands}
        assert BANDS.label(mean) == label


def test_a_higher_mean_moves_probability_upwards() -> None:
    success = [band_probabilities(interval_at(mean, 0.3), BANDS)["SUCCESS"] for mean in (2.0, 2.5, 3.0, 3.5)]
    assert success == sorted(success)
    assert success[2] == pytest.approx(0.5)
