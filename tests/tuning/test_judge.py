"""Every verdict from hand-made windows, and that it depends on the ordered windows alone."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from engine.config import parse_config
from engine.errors import ConfigError
from engine.paths import CHECKOUT
from engine.tuning.confirm import ConfirmSettings, confirm_many, mean_test
from engine.tuning.gate import Objections
from engine.tuning.judge import Judgement, JudgeSettings, judge_challenger, load_judge, screen
from engine.tuning.longrun import long_run_variance
from engine.tuning.noise import NoiseModel, lane_noise
from engine.tuning.pairing import WindowSeries, window_series

NOTIONAL = 10_000.0


@pytest.fixture(scope="module")
def settings(config) -> JudgeSettings:
    return load_judge(config)


def lane(bps: Any, notional: Any = NOTIONAL, skip: tuple[int, ...] = ()) -> WindowSeries:
    """A lane that made `bps` of NOTIONAL per window; windows in `skip` are not there."""
    bps = np.asarray(bps, dtype=float)
    notional = np.broadcast_to(np.asarray(notional, dtype=float), bps.shape)
    keep = [w for w in range(len(bps)) if w not in skip]
    return window_series(keep, bps[keep] * NOTIONAL / 1e4, notional[keep])


def two_lanes(effect_bps: float, n: int = 96, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    champion, challenger = lane_noise(np.random.default_rng(seed), NoiseModel(), 2, 1, n)[:, 0]
    return 3 + champion, 3 + challenger + effect_bps - (challenger - champion).mean()


def judged(champion: Any, challenger: Any, settings: JudgeSettings, **more: Any) -> Judgement:
    return judge_challenger(lane(champion), lane(challenger), settings, **more)


def test_much_better_is_promoted_at_the_first_look(settings) -> None:
    a, b = two_lanes(3.0)
    result = judged(a, b, settings)
    assert result.verdict == "PROMOTE"
    assert "better than the champion" in result.reason
    assert [look.outcome for look in result.looks] == ["promote"]
    assert (result.windows_used, result.windows_usable) == (24, 96)
    assert (result.to_next_look, result.at_most_needed) == (0, 0)
    assert result.effect.adjusted
    assert result.effect.low_bps > 0
    assert result.looks[0].p_value < 0.001
    assert any("72 windows after the decision are not used" in warning for warning in result.warnings)


def test_the_numbers_of_a_look_are_the_formulas(settings) -> None:
    a, b = two_lanes(0.1, n=48)
    look = judged(a, b, settings).looks[1]
    d = b - a
    omega = long_run_variance(d)
    assert look.windows == 48
    assert look.effect.mean_bps == pytest.approx(d.mean())
    assert look.phi == pytest.approx(float(omega.phi))
    t = d.mean() / math.sqrt(omega.variance / 48)
    from scipy.stats import norm
    from scipy.stats import t as student

    df = 0.8 * omega.df
    assert look.z == pytest.approx(norm.isf(student.sf(t, df)))
    half = student.ppf(norm.cdf(look.bound_z), df) * math.sqrt(omega.variance / 48)
    assert (look.effect.low_bps, look.effect.high_bps) == pytest.approx((d.mean() - half, d.mean() + half))
    assert look.notional_share == 1.0
    assert look.champion_shortfall_bps == pytest.approx(np.sort(a)[:3].mean())


@pytest.mark.parametrize("n", [24, 47, 48, 95])
def test_not_shown_yet_is_inconclusive(settings, n) -> None:
    a, b = two_lanes(0.05, n=n)
    result = judged(a, b, settings)
    assert result.verdict == "INCONCLUSIVE"
    assert result.windows_used == n
    assert (result.to_next_look, result.at_most_needed) == (24 - n % 24, 96 - n)
    assert result.effect.windows == 24 * (n // 24)
    assert result.running.windows == n
    assert not result.running.adjusted


def test_before_the_first_look_the_effect_is_unadjusted(settings) -> None:
    a, b = two_lanes(5.0, n=20)
    result = judged(a, b, settings)
    assert result.verdict == "INCONCLUSIVE"
    assert result.looks == ()
    assert result.effect == result.running
    assert not result.effect.adjusted
    assert judged(a[:11], b[:11], settings).effect is None


def test_looks_used_up_is_hold_and_more_windows_change_nothing(settings) -> None:
    a, b = two_lanes(0.0)
    result = judged(a, b, settings)
    assert result.verdict == "HOLD"
    assert len(result.looks) == 4
    assert result.at_most_needed == 0
    more_a, more_b = two_lanes(9.0, n=60, seed=3)
    later = judged(np.r_[a, more_a], np.r_[b, more_b], settings)
    assert (later.verdict, later.looks, later.effect) == ("HOLD", result.looks, result.effect)
    assert later.windows_used == 96


def test_worse_is_rejected(settings) -> None:
    a, b = two_lanes(-3.0)
    result = judged(a, b, settings)
    assert result.verdict == "REJECT"
    assert "worse than the champion" in result.reason
    assert result.effect.high_bps < 0


def test_trading_less_than_half_is_rejected_however_good(settings) -> None:
    a, b = two_lanes(3.0)
    assert judge_challenger(lane(a), lane(b, 0.5 * NOTIONAL), settings).verdict == "PROMOTE"
    result = judge_challenger(lane(a), lane(b, 0.4999 * NOTIONAL), settings)
    assert result.verdict == "REJECT"
    assert "50 % of the champion's notional, less than 50 %" in result.reason


def test_not_trading_at_all_is_no_way_to_win(settings) -> None:
    a = two_lanes(0.0)[0] - 10
    idle = window_series(range(96), [math.nan] * 96, [0.0] * 96)
    result = judge_challenger(lane(a), idle, settings)
    assert result.verdict == "REJECT"
    assert "trades 0 %" in result.reason


FAILED = Objections(failed=("cancel_ratio 0.70 above 0.65", "maker_share_pct 50 below 80"))
NO_DATA = Objections(missing=("order_age_p95_ms has no data",))


def test_a_failed_gate_rejects_with_its_reason(settings) -> None:
    a, b = two_lanes(3.0)
    result = judged(a, b, settings, gates=FAILED)
    assert result.verdict == "REJECT"
    assert "cancel_ratio 0.70 above 0.65; maker_share_pct 50 below 80" in result.reason
    assert result.looks[0].outcome == "promote"


def test_before_the_first_look_a_failed_gate_does_not_reject(settings) -> None:
    a, b = two_lanes(3.0)
    assert judged(a[:23], b[:23], settings, gates=FAILED).verdict == "INCONCLUSIVE"
    assert judged(a[:24], b[:24], settings, gates=FAILED).verdict == "REJECT"


def test_a_gate_without_data_is_no_pass_and_no_failure(settings) -> None:
    a, b = two_lanes(3.0)
    result = judged(a, b, settings, gates=NO_DATA)
    assert (result.verdict, result.to_next_look, result.at_most_needed) == ("INCONCLUSIVE", 0, 0)
    assert "better than the champion" in result.reason and "order_age_p95_ms has no data" in result.reason
    assert judged(b, a, settings, gates=NO_DATA).verdict == "REJECT"  # worse is worse whatever the gates say


def test_tail_damage_is_seen_by_the_shortfall_check_not_by_the_mean(settings) -> None:
    """Two windows of 24 lose 20 bps, the others gain 6: the mean rises by nearly 4 bps."""
    a, b = two_lanes(6.0, n=96)
    b[[5, 30, 55, 80]] -= 26.0
    d = b - a
    at_48 = settings.confirm.boundaries.z[1]
    assert float(mean_test(d[:48]).z) > at_48
    blind = settings.model_copy(update={"shortfall": settings.shortfall.model_copy(update={"allowed_excess": 1e9})})
    assert judged(a, b, blind).verdict == "PROMOTE"
    result = judged(a, b, settings)
    assert result.verdict == "REJECT"
    assert "shortfall" in result.reason
    assert result.looks[-1].tail_ratio > result.looks[-1].allowed_tail_ratio


def test_missing_windows_are_said_and_stand_against_promotion(settings) -> None:
    a, b = two_lanes(0.9, seed=2)
    whole = judged(a, b, settings)
    assert whole.verdict == "PROMOTE"
    gone = tuple(range(1, 96, 2))
    result = judge_challenger(lane(a), lane(b, skip=gone), settings)
    assert result.verdict != "PROMOTE"
    assert result.missing == {"only_champion": 47, "only_challenger": 0, "unknown": 0, "outside": 1}
    assert result.windows_usable == 48
    assert any("47 windows are missing" in warning for warning in result.warnings)


def test_a_promotion_must_survive_the_worst_case_of_what_is_missing(settings) -> None:
    a, b = two_lanes(1.6, n=24, seed=2)
    assert judged(a, b, settings).verdict == "PROMOTE"
    # the same 24 usable windows with eight windows between them that nobody knows
    places = [w + w // 3 for w in range(24)]
    unknown = sorted(set(range(places[-1])) - set(places))
    ids = [*places, *unknown]
    notional = [NOTIONAL] * len(ids)
    champion = window_series(ids, [*(a * NOTIONAL / 1e4), *[0.0] * len(unknown)], notional)
    challenger = window_series(ids, [*(b * NOTIONAL / 1e4), *[math.nan] * len(unknown)], notional)
    result = judge_challenger(champion, challenger, settings)
    look = result.looks[0]
    assert look.z >= look.bound_z > look.worst_case_z
    assert look.missing == len(unknown) == 7
    assert result.verdict == "INCONCLUSIVE"
    assert "missing data is no pass" in look.reason


@pytest.mark.parametrize("n", [0, 30, 120])
def test_a_champion_that_never_traded_promotes_nobody(settings, n) -> None:
    champion = window_series(range(n), [math.nan] * n, [0.0] * n)
    result = judge_challenger(champion, lane(np.ones(n)), settings)
    assert result.verdict == ("HOLD" if n >= 96 else "INCONCLUSIVE")
    assert result.effect is None
    json.dumps(result.to_json(), allow_nan=False)


def test_the_same_lane_twice_is_held(settings) -> None:
    a, _ = two_lanes(0.0)
    result = judged(a, a, settings)
    assert result.verdict == "HOLD"
    assert result.effect.mean_bps == result.effect.low_bps == result.effect.high_bps == 0.0


def test_a_constant_gain_has_no_noise_and_is_promoted(settings) -> None:
    a = np.zeros(24)
    result = judged(a, a + 0.5, settings)
    assert result.verdict == "PROMOTE"
    json.dumps(result.to_json(), allow_nan=False)


def test_slow_regimes_are_warned_about(settings) -> None:
    a, b = lane_noise(np.random.default_rng(5), NoiseModel(phi=0.85), 2, 1, 96)[:, 0]
    result = judged(a, b, settings)
    assert result.phi > 0.5
    assert any("use longer windows" in warning for warning in result.warnings)
    assert not any("longer windows" in warning for warning in judged(*two_lanes(0.0), settings).warnings)


@pytest.mark.parametrize(("effect", "seed"), [(0.0, 1), (0.5, 2), (0.7, 3), (3.0, 4), (-1.0, 5)])
def test_judging_after_every_window_ends_as_judging_once(settings, effect, seed) -> None:
    champion, challenger = lane_noise(np.random.default_rng(seed), NoiseModel(), 2, 1, 110)[:, 0]
    challenger = challenger + effect
    gone = (7, 50)
    once = judge_challenger(lane(champion), lane(challenger, skip=gone), settings)
    final = None
    for n in range(1, 111):
        now = judge_challenger(lane(champion[:n]), lane(challenger[:n], skip=gone), settings)
        if final is None and now.verdict != "INCONCLUSIVE":
            final = now
        if final is not None:
            assert (now.verdict, now.reason, now.looks, now.effect) == (
                final.verdict,
                final.reason,
                final.looks,
                final.effect,
            )
        else:
            assert now.looks == once.looks[: len(now.looks)]
    assert final is not None
    assert (once.verdict, once.reason, once.looks) == (final.verdict, final.reason, final.looks)


def test_what_calibrate_measures_is_what_judge_does(settings) -> None:
    champion, challenger = lane_noise(np.random.default_rng(8), NoiseModel(), 2, 60, 96)
    challenger += 0.5
    challenger[::7] -= 25.0 * (np.random.default_rng(9).random(challenger[::7].shape) < 0.05)
    many = confirm_many(champion, challenger, settings.confirm, settings.shortfall)
    for index in range(60):
        one = judged(champion[index], challenger[index], settings)
        assert one.verdict == ("PROMOTE" if many.promoted[index] else "REJECT" if many.rejected[index] else "HOLD")
        assert one.windows_used == many.windows[index]
    assert many.promoted.any()
    assert many.rejected.any()


def test_the_screen(settings) -> None:
    a, b = two_lanes(1.5, n=60)
    passed = screen(lane(a), lane(b), settings)
    assert passed.passed
    assert passed.windows == 48
    assert passed.mean_bps == pytest.approx((b - a)[-48:].mean())
    assert not screen(lane(a), lane(a), settings).passed
    assert not screen(lane(a), lane(a - 1), settings).passed
    few = screen(lane(a[:47]), lane(b[:47]), settings)
    assert not few.passed
    assert "47 usable windows, 48 needed" in few.reason
    idle = screen(lane(a, 0.0), lane(b), settings)
    assert not idle.passed
    small = screen(lane(a), lane(b, 0.4 * NOTIONAL), settings)
    assert not small.passed
    assert "less than 50 %" in small.reason


@pytest.mark.parametrize("looks", ["[]", "[48, 24]", "[24, 24]", "[5, 24]"])
def test_looks_that_cannot_be_are_refused(looks) -> None:
    with pytest.raises(ConfigError):
        parse_config(f'{{"looks": {looks}, "error_per_side": 0.05}}', ConfirmSettings, where="judge.json")


def test_the_documentation_has_the_shipped_settings(settings) -> None:
    text = (CHECKOUT / "docs" / "promotion.md").read_text()
    bounds = settings.confirm.boundaries
    rows = zip(bounds.looks, bounds.z, bounds.spent, strict=True)
    for look, (windows, z, spent) in enumerate(rows, 1):
        assert f"| {look} | {windows} | {z:.3f} | {spent:.4f} |" in text
    cusum, excess = settings.cusum, settings.shortfall.allowed_excess
    assert f"| k | {cusum.k_sd:g} sd |" in text
    assert f"| h | {cusum.h_sd:g} sd |" in text
    assert f"| winsorised at | {cusum.winsor_sd:g} sd |" in text
    assert f"| blind after | {cusum.max_missing_in_a_row} windows" in text
    assert f"worst {100 * settings.shortfall.tail_share:g} % of windows may lie at most {1 + excess:g} times" in text
    assert f"one-sided LRV-t at {100 * settings.screen.level:g} %" in text
