"""The rollback detector by hand, and the loss breaker."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.tuning.cusum import (
    Baseline,
    Breaker,
    BreakerSettings,
    Cusum,
    CusumSettings,
    cusum_step,
    estimated_baselines,
    level_baseline,
    paired_baseline,
    watch,
)
from engine.tuning.judge import load_judge

SETTINGS = CusumSettings(k_sd=0.25, h_sd=12.75, winsor_sd=4.0, max_missing_in_a_row=3)
BASELINE = Baseline(target_bps=3.0, sd_bps=2.0)
LIMITS = BreakerSettings(max_loss_quote=100.0, max_drawdown_quote=60.0)


def test_it_adds_up_what_is_below_the_target() -> None:
    # (3 - 1) / 2 - 0.25 = 0.75 a window
    states = [watch([1.0] * n, BASELINE, SETTINGS) for n in (1, 2, 17, 18, 30)]
    assert [state.total_sd for state in states] == [0.75, 1.5, 12.75, 13.5, 22.5]
    # 12.75 is at h, not above it: the alarm comes with the eighteenth window, number 17, and stays
    assert [state.alarm_window for state in states] == [None, None, None, 17, 17]
    finding = states[3].finding(SETTINGS)
    assert (finding.label, finding.observed, finding.limit) == ("ROLLBACK", 13.5, 12.75)
    assert "window 17" in finding.reason


def test_good_windows_bring_it_down_to_zero_and_no_further() -> None:
    state = watch([1.0, 1.0, 3.0, 9.0, 9.0], BASELINE, SETTINGS)
    assert state.total_sd == 0.0
    assert state.finding(SETTINGS).label == "HEALTHY"


def test_one_freak_window_cannot_raise_the_alarm() -> None:
    state = watch([-1e9], BASELINE, SETTINGS)
    assert state.total_sd == 3.75
    assert watch([-1e9] * 3, BASELINE, SETTINGS).alarm_window is None
    assert watch([-1e9] * 4, BASELINE, SETTINGS).alarm_window == 3


def test_after_an_alarm_it_stays() -> None:
    state = watch([-10.0] * 4 + [100.0] * 50, BASELINE, SETTINGS)
    assert state.total_sd == 0.0
    assert state.finding(SETTINGS).label == "ROLLBACK"


def test_windows_without_data_are_counted_and_too_many_make_it_blind() -> None:
    state = watch([1.0, None, float("nan"), 1.0], BASELINE, SETTINGS)
    assert (state.total_sd, state.windows, state.missing, state.missing_in_a_row) == (1.5, 4, 2, 0)
    healthy = state.finding(SETTINGS)
    assert healthy.label == "HEALTHY"
    assert "2 of 4 windows without data" in healthy.reason
    assert watch([1.0, None, None, None], BASELINE, SETTINGS).finding(SETTINGS).label == "NODATA"
    assert watch([None], BASELINE, SETTINGS).finding(SETTINGS).label == "NODATA"
    assert Cusum().finding(SETTINGS).label == "NODATA"


def test_it_resumes_where_it_was() -> None:
    values = np.random.default_rng(3).normal(2.0, 2.0, 200).tolist()
    state = watch(values[:77], BASELINE, SETTINGS)
    for value in values[77:]:
        state = state.after(value, BASELINE, SETTINGS)
    assert state == watch(values, BASELINE, SETTINGS)


def test_the_vectorised_step_is_the_state_s_own() -> None:
    values = np.random.default_rng(4).normal(2.0, 6.0, (5, 60))
    total = np.zeros(5)
    for column in values.T:
        total = cusum_step(total, (column - 3.0) / 2.0, SETTINGS)
    assert total.tolist() == [watch(row, BASELINE, SETTINGS).total_sd for row in values.tolist()]


def test_baselines_allow_for_their_own_error() -> None:
    values = np.random.default_rng(5).normal(3.0, 2.0, 96)
    paired, level = paired_baseline(values), level_baseline(values)
    sd = values.std(ddof=1) * (1 + 6 / 96)
    assert (paired.target_bps, paired.sd_bps, paired.windows) == (0.0, pytest.approx(sd), 96)
    assert level.sd_bps == pytest.approx(sd)
    assert values.mean() - 0.3 < level.target_bps < values.mean()
    targets, sds = estimated_baselines(np.stack([values, values + 1]), paired=False)
    assert targets == pytest.approx([level.target_bps, level.target_bps + 1])
    assert sds == pytest.approx([sd, sd])


@pytest.mark.parametrize("values", [[1.0, 2.0] * 5, [1.0, float("nan")] * 20, [2.0] * 48])
def test_baselines_from_too_little_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="baseline"):
        level_baseline(values)


def test_the_breaker_trips_at_the_loss() -> None:
    settings = BreakerSettings(max_loss_quote=100.0, max_drawdown_quote=1000.0)
    state = Breaker()
    for pnl in (-60.0, -39.5):
        state = state.after(pnl, settings)
    assert state.finding(settings).label == "HEALTHY"
    state = state.after(-0.5, settings)
    finding = state.finding(settings)
    assert (finding.label, finding.observed, finding.limit) == ("ROLLBACK", 100.0, 100.0)
    assert "loss of 100" in finding.reason
    assert "window 2" in finding.reason
    assert state.after(500.0, settings).finding(settings) == finding


def test_the_breaker_trips_at_the_drawdown_while_still_ahead() -> None:
    state = Breaker()
    for pnl in (200.0, -30.0, -30.0):
        state = state.after(pnl, LIMITS)
    assert state.pnl_quote == 140.0
    finding = state.finding(LIMITS)
    assert (finding.label, finding.observed, finding.limit) == ("ROLLBACK", 60.0, 60.0)
    assert "drawdown" in finding.reason


def test_the_breaker_counts_windows_that_it_does_not_know() -> None:
    state = Breaker().after(None, LIMITS)
    assert state.finding(LIMITS).label == "NODATA"
    state = state.after(math.nan, LIMITS).after(5.0, LIMITS)
    assert (state.pnl_quote, state.windows, state.missing) == (5.0, 3, 2)
    assert "2 of 3 windows without data" in state.finding(LIMITS).reason


def test_the_shipped_settings_load(config) -> None:
    settings = load_judge(config)
    assert (settings.cusum.k_sd, settings.cusum.h_sd, settings.cusum.winsor_sd) == (0.25, 12.75, 4.0)
