"""Expected shortfall, and the check that compares two tails."""

from __future__ import annotations

import numpy as np
import pytest

from engine.config import parse_config
from engine.errors import ConfigError
from engine.tuning.shortfall import ShortfallSettings, check_shortfall, expected_shortfall

SETTINGS = ShortfallSettings(tail_share=0.05, allowed_excess=0.8)


@pytest.mark.parametrize(
    ("n", "share", "expected"),
    [(20, 0.05, 0.0), (21, 0.05, 0.5), (24, 0.05, 0.5), (96, 0.05, 2.0), (100, 0.1, 4.5), (5, 0.5, 1.0)],
)
def test_it_is_the_mean_of_the_lowest(n: int, share: float, expected: float) -> None:
    values = np.random.default_rng(0).permutation(n).astype(float)
    assert float(expected_shortfall(values, share)) == expected


def test_many_series_at_once_are_each_alone() -> None:
    values = np.random.default_rng(1).normal(size=(3, 5, 40))
    together = expected_shortfall(values, 0.1)
    assert together.shape == (3, 5)
    for index in np.ndindex(3, 5):
        assert together[index] == np.sort(values[index])[:4].mean()


def series(depth: float, n: int = 96) -> np.ndarray:
    """Median 0.5, and the five lowest of 96 windows at -depth."""
    values = np.where(np.arange(n) % 2, 0.5, -0.5)
    values[10:15] = -depth
    values[20:25] = 0.5
    return values


@pytest.mark.parametrize(("depth", "passed"), [(10.0, True), (18.3, True), (18.5, False), (60.0, False), (3.0, True)])
def test_the_allowance_at_the_last_look(depth: float, passed: bool) -> None:
    """1.8 times the champion's depth, both measured from the champion's median: 0.5 + 18.4 is the most."""
    champion, challenger = series(10.0), series(depth)
    assert np.median(champion) == 0.5
    result = check_shortfall(champion, challenger, 96, SETTINGS)
    assert result.allowed_ratio == 1.8
    assert float(result.challenger_bps) == -depth
    assert bool(result.passed) is passed


def test_the_allowance_is_wider_early() -> None:
    champion = np.r_[-4.0, -4.0, np.zeros(22)]
    result = check_shortfall(champion, np.r_[-10.0, -10.0, np.zeros(22)], 96, SETTINGS)
    assert result.allowed_ratio == 2.6
    assert bool(result.passed)
    assert not check_shortfall(champion, np.r_[-11.0, -10.0, np.zeros(22)], 96, SETTINGS).passed


def test_a_shock_that_hits_both_lanes_passes() -> None:
    shock = series(200.0)
    assert check_shortfall(shock, shock - 0.5, 96, SETTINGS).passed


def test_a_champion_without_a_tail_allows_none() -> None:
    flat = np.zeros(96)
    assert check_shortfall(flat, flat + 1, 96, SETTINGS).passed
    assert not check_shortfall(flat, series(0.5), 96, SETTINGS).passed


@pytest.mark.parametrize("text", ['{"tail_share": 0, "allowed_excess": 1}', '{"tail_share": 0.1, "allowed_excess": 0}'])
def test_settings_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text, ShortfallSettings, where="test")
