"""The noise, and the error rates on small seeded simulations; tolerances from the binomial's own spread."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.tuning.calibration import Bound, Figure, Sizes, calibrate, confirm_study, own_study
from engine.tuning.judge import JudgeSettings, load_judge
from engine.tuning.noise import NoiseModel, lane_noise, resampled

SMALL = Sizes(pairs=4_000, choices=1_500, paths=300, path_windows=1_000)


@pytest.fixture(scope="module")
def settings(config) -> JudgeSettings:
    return load_judge(config)


@pytest.fixture(scope="module")
def figures(settings) -> dict[tuple[str, str], Figure]:
    return {(figure.study, figure.name): figure for figure in calibrate(settings, SMALL, seed=7)}


def test_the_noise_is_what_it_says() -> None:
    model = NoiseModel()
    x = lane_noise(np.random.default_rng(1), model, 2, 2_000, 200)
    assert x.mean() == pytest.approx(0.0, abs=0.02)
    assert x.std() == pytest.approx(2.0, rel=0.02)
    assert (x[..., 1:] * x[..., :-1]).mean() / x.var() == pytest.approx(0.3, abs=0.01)
    assert np.corrcoef(x[0].ravel(), x[1].ravel())[0, 1] == pytest.approx(0.8, abs=0.01)
    assert (x[1] - x[0]).std() == pytest.approx(model.difference_sd_bps, rel=0.02)
    innovations = x[0, :, 1:] - 0.3 * x[0, :, :-1]
    scale = 2.0 * np.sqrt(1 - 0.09) / np.sqrt(2)
    # Student-t with four degrees of freedom: 2.132 is its 95 % point
    assert (innovations > 2.132 * scale).mean() == pytest.approx(0.05, abs=0.003)


def test_block_resamples_keep_blocks_and_rows_together() -> None:
    residuals = np.array([np.arange(20.0), np.arange(20.0) * 10])
    draw = resampled(np.random.default_rng(2), residuals, 5, 7, 13)
    assert draw.shape == (2, 7, 13)
    assert np.array_equal(draw[1], 10 * draw[0])
    steps = np.diff(draw[0], axis=-1) % 20
    assert (steps[:, [0, 1, 2, 3, 5, 6, 7, 8, 10, 11]] == 1).all()


def within(figure: Figure, share_pct: float) -> bool:
    """Whether the rate is within 4.5 binomial standard errors of the one measured over 200,000 pairs."""
    share = share_pct / 100
    return abs(figure.value - share_pct) <= 450 * np.sqrt(share * (1 - share) / figure.count)


@pytest.mark.parametrize(
    ("study", "name", "expected_pct"),
    [
        ("confirm", "A/A: promoted", 5.65),
        ("confirm", "A/A: rejected", 6.1),
        ("confirm", "+0.25 bps: promoted", 42.0),
        ("confirm", "+0.5 bps: promoted", 87.0),
        ("confirm", "+1 bps: promoted", 99.8),
        ("best of 16 nulls", "promoted", 2.8),
    ],
)
def test_error_rates_are_the_documented_ones(figures, study, name, expected_pct) -> None:
    figure = figures[study, name]
    assert figure.low <= figure.value <= figure.high
    assert within(figure, expected_pct), figure


def test_every_bound_holds_by_its_interval(figures) -> None:
    bounded = [figure for figure in figures.values() if figure.bound]
    assert len(bounded) == 6
    assert all(figure.holds(quick=True) for figure in bounded)


def test_bigger_effects_need_fewer_windows(figures) -> None:
    used = [figures["confirm", f"{label}: windows used"].value for label in ("A/A", "+0.25 bps", "+0.5 bps", "+1 bps")]
    assert used == sorted(used, reverse=True)
    assert 24 <= used[-1] < used[0] <= 96


def test_the_shortfall_check_stops_what_the_mean_lets_through(figures) -> None:
    label = "5 % of windows at -10 sd, others +2 bps: promoted"
    alone, checked, seen = (
        figures["tail damage", f"{label} {how}"].value
        for how in ("by the mean test alone", "with the shortfall check", "although a hit was seen")
    )
    assert alone > 60
    assert checked < 0.5 * alone
    assert seen < 10


def test_rollback_delays_fall_with_the_drop(figures) -> None:
    for lane in ("paired", "level"):
        delays = [figures[f"rollback, {lane}", f"delay at -{drop} bps"].value for drop in (1, 2, 3)]
        assert delays == sorted(delays, reverse=True)
    assert figures["rollback, paired", "delay at -1 bps"].value < figures["rollback, level", "delay at -1 bps"].value


def test_a_laxer_boundary_is_found_out(settings) -> None:
    """The same study must say so when the test does not hold its level."""
    confirm = settings.confirm.model_copy(update={"error_per_side": 0.10})
    null = confirm_study(settings.model_copy(update={"confirm": confirm}), SMALL, 7, NoiseModel())[0]
    assert null.name == "A/A: promoted"
    assert null.holds(quick=True) is False


def test_figures_depend_on_the_seed_alone(settings) -> None:
    sizes = replace(SMALL, pairs=600)
    first, again, other = (confirm_study(settings, sizes, seed, NoiseModel()) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_bounds_are_read_at_the_value_or_at_the_interval() -> None:
    figure = Figure("s", "n", 6.2, 5.8, 6.6, "%", 100, "series", Bound(6.0, True))
    assert figure.holds(quick=True) is True
    assert figure.holds(quick=False) is False
    assert replace(figure, low=6.1).holds(quick=True) is False
    power = Figure("s", "n", 85.0, 84.0, 86.5, "%", 100, "series", Bound(86.0, False))
    assert power.holds(quick=True) is True
    assert power.holds(quick=False) is False
    assert replace(power, bound=None).holds(quick=False) is None


def test_the_operator_s_own_windows(settings) -> None:
    lanes = 3 + lane_noise(np.random.default_rng(3), NoiseModel(), 2, 1, 288)[:, 0]
    for levels in (lanes[:1], lanes):
        null, rejected, planted, used = own_study(settings, levels, 3_000, planted_bps=0.5)
        assert 3.0 < null.value < 9.0
        # the shortfall check rejects as well, more often where one rare window is drawn again and again
        assert 3.0 < rejected.value < 15.0
        assert 60.0 < planted.value < 98.0
        assert 24 <= used.value <= 96
    still = own_study(settings, lanes, 3_000, planted_bps=0.0)
    assert still[2].value == still[0].value
