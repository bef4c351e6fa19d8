"""The budget of false promotions: what it never does, and what it holds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.champion.fdr import EvidenceSettings, Spent, Wealth, load_evidence, wealth_after
from engine.champion.fdr_study import mem_fdr, power, simulate, spend_all
from engine.errors import ConfigError
from engine.paths import CHECKOUT

SHIPPED = load_evidence(CHECKOUT / "config")
SETTINGS = st.builds(
    lambda alpha, part, share, max_level, half_life: EvidenceSettings(
        alpha=alpha, initial_wealth=alpha * part, share=share, max_level=max_level, half_life_days=half_life
    ),
    st.floats(0.01, 0.5), st.floats(0.1, 1.0), st.floats(0.05, 0.95), st.floats(0.001, 0.5), st.floats(0.5, 1000),
)  # fmt: skip
TESTS = st.lists(st.tuples(st.floats(0, 30), st.floats(0, 1)), max_size=30)


def play(tests: list[tuple[float, float]], settings: EvidenceSettings) -> tuple[list[Spent], list[float]]:
    """(tests made, wealth before each) for (days since the one before, p-value)."""
    made: list[Spent] = []
    wealths, now = [], 0.0
    for gap, p_value in tests:
        now += gap
        wealth = wealth_after(made, settings).at(now, settings)
        wealths.append(wealth.value)
        level = wealth.level(settings)
        made.append(Spent(now, level, p_value <= level))
    return made, wealths


@given(TESTS, SETTINGS)
def test_the_wealth_is_never_negative_and_what_was_spent_is_covered(tests, settings) -> None:
    made, wealths = play(tests, settings)
    assert all(value >= 0 for value in wealths)
    assert all(
        0 <= test.level <= min(settings.max_level, settings.share * w) for test, w in zip(made, wealths, strict=True)
    )
    for end in (test.at_days for test in made):
        weights = [0.5 ** ((end - test.at_days) / settings.half_life_days) for test in made if test.at_days <= end]
        spent = sum(w * test.level for w, test in zip(weights, made, strict=False))
        earned = sum(w * test.promoted for w, test in zip(weights, made, strict=False))
        assert spent <= settings.alpha * (earned + settings.smoothing) + 1e-9


@given(TESTS, SETTINGS)
def test_the_recursion_is_the_sum_it_says_it_is(tests, settings) -> None:
    made, _ = play(tests, settings)
    if not made:
        return
    end = made[-1].at_days
    weights = [0.5 ** ((end - test.at_days) / settings.half_life_days) for test in made]
    total = settings.initial_wealth + sum(
        w * (settings.alpha * test.promoted - test.level) for w, test in zip(weights, made, strict=True)
    )
    assert wealth_after(made, settings).value == pytest.approx(total, abs=1e-9)


@given(TESTS, SETTINGS, st.data())
def test_one_more_promotion_never_lowers_a_later_level(tests, settings, data) -> None:
    """Monotony: what the FDR promise under independence rests on."""
    if not tests:
        return
    luckier = list(tests)
    place = data.draw(st.integers(0, len(tests) - 1))
    luckier[place] = (tests[place][0], 0.0)
    levels, more = ([test.level for test in play(one, settings)[0]] for one in (tests, luckier))
    assert all(b >= a - 1e-12 for a, b in zip(levels, more, strict=True))


@given(TESTS, SETTINGS)
def test_the_same_order_gives_the_same_levels(tests, settings) -> None:
    assert play(tests, settings) == play(list(tests), settings)


def test_time_brings_back_half_of_what_is_missing_in_a_half_life() -> None:
    spent = Wealth(0.02, 10.0)
    assert spent.at(10 + SHIPPED.half_life_days, SHIPPED).value == pytest.approx((0.02 + SHIPPED.initial_wealth) / 2)
    assert spent.at(9.0, SHIPPED) == spent  # a clock that went back
    rich = Wealth(0.5, 0.0)
    assert SHIPPED.initial_wealth < rich.at(100, SHIPPED).value < 0.5  # unearned riches fade as well


def test_the_shipped_budget_lets_a_first_promotion_pass_at_the_judges_own_error() -> None:
    judge = 0.05
    assert Wealth(SHIPPED.initial_wealth).level(SHIPPED) == pytest.approx(judge)
    after_three = wealth_after([Spent(0.0, Wealth(SHIPPED.initial_wealth * 0.5**n).level(SHIPPED), False)
                                for n in range(3)], SHIPPED)  # fmt: skip
    assert after_three.level(SHIPPED) == pytest.approx(judge / 8)
    assert wealth_after([Spent(0.0, 0.05, True)], SHIPPED).level(SHIPPED) == pytest.approx(judge)


@pytest.mark.parametrize("gap_days", [0.01, 3.0, 30.0])
@pytest.mark.parametrize("better_share", [0.0, 0.2, 0.6])
def test_false_promotions_stay_within_alpha(gap_days, better_share) -> None:
    rng = np.random.default_rng(7)
    stream = simulate(rng, symbols=4000, tests=40, gap_days=gap_days, better_share=better_share, effect=2.9)
    outcome = spend_all(stream, SHIPPED)
    assert mem_fdr(stream, outcome, SHIPPED).low <= SHIPPED.alpha
    assert (outcome.wealth >= 0).all()
    if better_share:
        assert power(stream, outcome) > 0.2


def test_a_rule_without_a_budget_fails_the_same_study() -> None:
    rng = np.random.default_rng(7)
    stream = simulate(rng, symbols=4000, tests=40, gap_days=0.01, better_share=0.0, effect=0.0)
    outcome = spend_all(stream, SHIPPED)
    careless = type(outcome)(outcome.level, stream.p_values <= 0.05, outcome.wealth)
    assert mem_fdr(stream, careless, SHIPPED).low > 3 * SHIPPED.alpha


def test_the_study_is_the_rule() -> None:
    rng = np.random.default_rng(3)
    stream = simulate(rng, symbols=5, tests=20, gap_days=5.0, better_share=0.3, effect=2.9)
    outcome = spend_all(stream, SHIPPED)
    for symbol in range(5):
        days = stream.days[symbol]
        gaps = np.diff(days, prepend=0.0)
        made, wealths = play(list(zip(gaps.tolist(), stream.p_values[symbol].tolist(), strict=True)), SHIPPED)
        assert [test.promoted for test in made] == outcome.promoted[symbol].tolist()
        assert wealths == pytest.approx(outcome.wealth[symbol].tolist())


@pytest.mark.parametrize(
    ("change", "words"),
    [({"alpha": 1.5}, "alpha"), ({"initial_wealth": 0.2}, "initial_wealth"), ({"half_life_days": 0.0}, "half_life")],
)
def test_settings_that_promise_nothing_are_refused(tmp_path, change, words) -> None:
    values = SHIPPED.model_dump(exclude={"comment"}) | change
    (tmp_path / "evidence.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=words):
        load_evidence(tmp_path)
