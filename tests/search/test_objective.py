from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.search.objective import Scoring, score
from engine.search.trial_windows import LaneWindows

Make = Callable[..., LaneWindows]
N = 100.0


def pair(make: Make, champion: object, trial: object, **trial_changes: object) -> tuple[LaneWindows, LaneWindows]:
    shape = np.shape(np.atleast_2d(champion))
    return make(champion, np.full(shape, N)), make(trial, np.full(shape, N), **trial_changes)


def test_ev_net_is_the_mean_paired_difference_over_the_champions_notional(windows_of: Make, scoring: Scoring) -> None:
    a, b = pair(windows_of, [1.0, 2.0, 0.0, 1.0, 1.0, 1.0], [1.5, 2.0, 1.0, 1.0, 1.0, 1.0])
    b = replace(b, notional_quote=b.notional_quote * 3)  # trading more does not shrink the difference
    result = score(a, b, scoring)
    assert result.ev_net_bps == pytest.approx(1e4 * 1.5 / 6 / N)
    assert result.notional_share == pytest.approx(3.0)


def test_not_trading_is_no_way_to_win(windows_of: Make, scoring: Scoring) -> None:
    """Against a champion that earns, doing nothing loses what it earns, and fails the notional floor besides."""
    a, b = pair(windows_of, [1.0] * 6, [0.0] * 6)
    b = replace(b, notional_quote=b.notional_quote * 0)
    result = score(a, b, scoring)
    assert result.ev_net_bps == pytest.approx(-100.0)
    assert result.terms["gate_fail"].excess == 1
    assert result.value_bps == pytest.approx(-101.0)


def test_the_champion_itself_is_zero(windows_of: Make, scoring: Scoring) -> None:
    a = windows_of(np.arange(30.0), np.full(30, N), blocked=np.full((1, 30), 7.0))
    result = score(a, a, scoring)
    assert result.value_bps == 0.0
    assert all(term.penalty_bps == 0.0 for term in result.terms.values())


@pytest.mark.parametrize(
    ("name", "better", "worse", "excess"),
    [
        ("block_ratio", {"blocked": 5.0}, {"blocked": 20.0}, 0.10),
        ("execution_shortfall", {"slippage_cost_quote": 0.0}, {"slippage_cost_quote": 0.03}, 2.0),
    ],
)
def test_a_term_takes_off_what_is_worse_and_gives_nothing_for_better(
    windows_of: Make, scoring: Scoring, name: str, better: dict[str, float], worse: dict[str, float], excess: float
) -> None:
    field = next(iter(better))
    middle = np.full((1, 6), {"blocked": 10.0, "slippage_cost_quote": 0.01}[field])
    a = replace(windows_of([1.0] * 6, [N] * 6), **{field: middle})
    bad = score(a, replace(a, **{field: np.full((1, 6), worse[field])}), scoring).terms[name]
    good = score(a, replace(a, **{field: np.full((1, 6), better[field])}), scoring).terms[name]
    assert bad.excess == pytest.approx(excess)
    assert bad.penalty_bps == pytest.approx(getattr(scoring.penalties, name).bps_per_unit * excess)
    assert (good.excess, good.penalty_bps) == (0.0, 0.0)


def test_instability_is_the_spread_of_the_folds(windows_of: Make, scoring: Scoring) -> None:
    a, b = pair(windows_of, [0.0] * 6, [0.01, 0.01, 0.02, 0.02, 0.03, 0.03])
    assert score(a, b, scoring).terms["instability"].excess == pytest.approx(1.0)  # fold means of 1, 2 and 3 bps


def test_what_is_not_measured_takes_nothing_off_and_says_so(windows_of: Make, scoring: Scoring) -> None:
    a, b = pair(windows_of, [1.0] * 6, [1.0] * 6)
    terms = score(a, b, scoring).terms
    assert terms["decision_compute"].excess is None
    assert terms["decision_compute"].penalty_bps == 0.0
    assert set(terms) == set(type(scoring.penalties).model_fields) - {"comment"}


def test_what_the_tape_decides_cancels_and_what_a_lane_adds_counts(windows_of: Make, scoring: Scoring) -> None:
    a, b = pair(windows_of, [1.0] * 6, [1.0] * 6)
    assert [score(a, b, scoring).terms[name].excess for name in ("latency", "feed", "data_valid")] == [0.0, 0.0, 0.0]
    slow = replace(b, order_ack_ms=b.order_ack_ms + 10, feed_p95_ms=b.feed_p95_ms + 5, valid_share=b.valid_share * 0.9)
    terms = score(a, slow, scoring).terms
    assert [terms[name].excess for name in ("latency", "feed", "data_valid")] == pytest.approx([10.0, 5.0, 0.1])


def test_unknown_windows_are_left_out_of_both(windows_of: Make, scoring: Scoring) -> None:
    a, b = pair(windows_of, [1.0, np.nan, 1.0, 1.0], [2.0, 9.0, np.nan, 1.0])
    result = score(a, b, scoring)
    assert result.windows == 2
    assert result.ev_net_bps == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("champion", "notional", "reason"),
    [
        ([np.nan] * 4, [np.nan] * 4, "no window is known for both lanes"),
        ([0.0] * 4, [0.0] * 4, "the champion has not traded in these windows"),
    ],
)
def test_a_trial_without_a_number_has_failed(
    windows_of: Make, scoring: Scoring, champion: list[float], notional: list[float], reason: str
) -> None:
    result = score(windows_of(champion, notional), windows_of([1.0] * 4, [N] * 4), scoring)
    assert (result.value_bps, result.reason) == (None, reason)


def test_a_deep_tail_and_cancels_fail_gates(windows_of: Make, scoring: Scoring) -> None:
    rng = np.random.default_rng(0)
    usual = rng.normal(1.0, 0.1, 48)
    hit = usual.copy()
    hit[[5, 25, 40]] -= 20.0
    a, b = pair(windows_of, usual, hit, cancelled=np.full((1, 48), 7.0))
    assert score(a, b, scoring).terms["gate_fail"].excess == 2
