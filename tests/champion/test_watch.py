"""When the champion is taken back, when it is only calmed, and when nothing can be said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.champion.watch import BASELINE_WINDOWS, fallback_params, watch_champion
from engine.params import PARAMETERS, Params
from engine.paths import CHECKOUT
from engine.tuning.judge import load_judge
from engine.tuning.pairing import WindowSeries, window_series
from engine.tuning.rules import load_packages

JUDGE = load_judge(CHECKOUT / "config")
NOTIONAL = 10_000.0


def series(bps, first: int = 0) -> WindowSeries:
    """Windows of 10,000 quote with so many bps of PnL; NaN is unknown."""
    values = np.asarray(bps, dtype=float)
    return window_series(range(first, first + len(values)), values * NOTIONAL / 1e4, np.full(len(values), NOTIONAL))


def lanes(windows: int, drop: float, seed: int = 1):
    """(champion, former): level 8 bps, the champion worse by `drop`, the difference's sd 1 bps."""
    rng = np.random.default_rng(seed)
    former = 8 + rng.normal(0, 0.5, windows)
    return series(former - drop + rng.normal(0, 1, windows)), series(former)


def test_a_drop_against_the_former_champion_is_a_rollback() -> None:
    champion, former = lanes(60, 1.5)
    seen = watch_champion(champion, former, JUDGE)
    assert (seen.verdict, seen.watched) == ("rollback", "difference")
    assert seen.statistic > seen.limit
    assert 5 < seen.since_window < 40
    assert seen.findings["cusum"]["baseline_from"] == f"the first {BASELINE_WINDOWS} windows watched"
    assert seen.findings["breaker"]["label"] == "HEALTHY"


def test_without_a_drop_it_is_ok_even_where_both_fall() -> None:
    champion, former = lanes(60, 0.0)
    assert watch_champion(champion, former, JUDGE).verdict == "ok"
    both = np.r_[np.full(30, 3.0), np.full(30, 0.5)]
    noise = np.random.default_rng(2).normal(0, 1, 60)
    assert watch_champion(series(both + noise + 1), series(both), JUDGE).verdict in ("ok", "fallback")
    assert watch_champion(series(both + noise + 1), None, JUDGE).verdict == "rollback"  # the level cannot know


def test_the_confirmations_windows_make_the_baseline_from_the_first_window_on() -> None:
    healthy = lanes(48, 0.0, seed=5)
    champion, former = lanes(20, 3.0)
    seen = watch_champion(champion, former, JUDGE, healthy=healthy)
    assert seen.verdict == "rollback"
    assert seen.findings["cusum"]["baseline_from"] == "48 windows before the promotion"
    assert watch_champion(champion, former, JUDGE).verdict == "nodata"  # alone, 20 windows are too few


def test_the_level_is_watched_behind_its_baseline() -> None:
    rng = np.random.default_rng(3)
    values = np.r_[3 + rng.normal(0, 1, BASELINE_WINDOWS), 0.5 + rng.normal(0, 1, 30)]
    seen = watch_champion(series(values), None, JUDGE)
    assert (seen.verdict, seen.watched) == ("rollback", "level")
    assert seen.since_window >= BASELINE_WINDOWS


@pytest.mark.parametrize(("losses", "reason"), [([-260.0], "loss of 260"), ([200.0, -10.0, -245.0], "drawdown of 255")])
def test_the_breaker_needs_no_baseline(losses, reason) -> None:
    seen = watch_champion(window_series(range(len(losses)), losses, [NOTIONAL] * len(losses)), None, JUDGE)
    assert seen.verdict == "rollback"
    assert seen.since_window == len(losses) - 1
    assert any(reason in text for text in seen.reasons)


def test_two_negative_windows_call_for_the_fallback_until_one_is_not() -> None:
    rng = np.random.default_rng(4)
    good, other = 3 + rng.normal(0, 0.2, (2, 30))

    def seen(*last: float):
        return watch_champion(series(np.r_[good, last]), series(np.r_[other, np.zeros(len(last))]), JUDGE)

    found = seen(-0.1, np.nan, -0.1)
    assert (found.verdict, found.since_window) == ("fallback", 30)
    assert found.findings["negatives"]["label"] == "FALLBACK"
    assert seen(-0.1).verdict == "ok"
    assert seen(-0.1, -0.1, 0.0).verdict == "ok"


@pytest.mark.parametrize("windows", [0, 1, 3])
def test_no_data_is_no_pass(windows: int) -> None:
    unknown = series([np.nan] * windows)
    for former in (None, unknown):
        seen = watch_champion(unknown, former, JUDGE)
        assert seen.verdict == "nodata"
        assert seen.since_window is None
    assert watch_champion(series([3.0] * 30), series([3.0] * 30), JUDGE).verdict == "nodata"  # nothing varies


def test_a_shadow_that_falls_silent_is_said() -> None:
    champion, former = lanes(40, 0.0)
    seen = watch_champion(champion, series(former.pnl_quote[:26] * 1e4 / NOTIONAL), JUDGE)
    assert (seen.verdict, seen.missing) == ("nodata", 14)
    assert "no data in the last 14 windows" in seen.reasons[0]


@given(st.lists(st.floats(-40, 40), min_size=1, max_size=60), st.integers(0, 59))
def test_a_rollback_stays_one_when_windows_are_added(values, cut) -> None:
    """The statistic may move with the scale of the difference, the level of a given baseline may not."""
    healthy = (series(np.random.default_rng(0).normal(3, 1, 48)), None)
    part, whole = (watch_champion(series(v), None, JUDGE, healthy=healthy) for v in (values[: cut + 1], values))
    if part.verdict == "rollback":
        assert whole.verdict == "rollback"
        assert whole.since_window == part.since_window


@given(st.builds(lambda picks: Params().with_changes(picks), st.fixed_dictionaries({
    name: st.integers(int(row.low), int(row.high)) if row.integer else st.floats(row.low, row.high)
    for name, row in PARAMETERS.items()
})))  # fmt: skip
def test_the_fallback_only_calms_and_stays_inside_the_table(params: Params) -> None:
    package = load_packages(CHECKOUT / "config").fallback
    calmed = fallback_params(params, package)
    for name, row in PARAMETERS.items():
        change = calmed[name] - params[name]
        assert change * row.calm >= 0
        assert change <= row.max_step_up + 1e-6  # stored to six places
        if name not in package.values:
            assert change == 0
