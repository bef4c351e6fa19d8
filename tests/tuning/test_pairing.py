"""Pairing by window id: what is used, what is missing, and d_w by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.errors import InputError
from engine.tuning.pairing import differences_bps, levels_bps, pair, window_series

NAN = math.nan


def test_the_difference_is_over_the_champion_s_mean_notional() -> None:
    champion = window_series([0, 1, 2], [1.0, -2.0, 0.0], [10_000.0, 30_000.0, 20_000.0])
    challenger = window_series([0, 1, 2], [2.0, -3.0, 4.0], [1.0, 1.0, 1.0])
    pairs = pair(champion, challenger)
    assert differences_bps(pairs.champion_pnl, pairs.champion_notional, pairs.challenger_pnl).tolist() == [
        0.5,
        -0.5,
        2.0,
    ]
    assert levels_bps(pairs, 1)[1].tolist() == [2.0]  # N is that of the windows used
    assert levels_bps(pairs)[0].tolist() == [0.5, -1.0, 0.0]


def test_windows_are_in_order_of_id_whatever_the_order_given() -> None:
    champion = window_series([2, 0, 1], [3.0, 1.0, 2.0], [1.0, 1.0, 1.0])
    pairs = pair(champion, window_series([0, 1, 2], [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]))
    assert pairs.window.tolist() == [0, 1, 2]
    assert pairs.champion_pnl.tolist() == pairs.challenger_pnl.tolist() == [1.0, 2.0, 3.0]


def test_of_many_lanes_what_is_unknown_stays_unknown() -> None:
    champion, notional = np.array([1.0, NAN, 3.0]), np.array([1e4, 2e4, NAN])
    lanes = np.array([[2.0, 2.0, 2.0], [NAN, 1.0, 0.0]])
    d = differences_bps(champion, notional, lanes)  # N 15,000
    np.testing.assert_allclose(d, [[2 / 3, NAN, -2 / 3], [NAN, NAN, -2.0]])
    assert np.isnan(differences_bps(champion, np.zeros(3), lanes)).all()


def test_no_fills_and_no_pnl_is_0_but_a_held_position_keeps_its_pnl() -> None:
    series = window_series([0, 1], [None, -7.0], [0.0, 0.0])
    assert series.pnl_quote.tolist() == [0.0, -7.0]


def test_missing_windows_are_counted_by_kind_and_place() -> None:
    champion = window_series([1, 2, 3, 4, 6, 7, 8], [1.0, 1, 1, NAN, 1, 1, 1], [9.0] * 7)
    challenger = window_series([0, 1, 3, 4, 5, 6, 7], [1.0, 1, 1, 1, 1, 1, 1], [9.0, 9, 9, 9, 9, NAN, 9])
    pairs = pair(champion, challenger)
    assert pairs.window.tolist() == [1, 3, 7]
    assert (pairs.only_champion, pairs.only_challenger, pairs.unknown, pairs.outside) == (1, 1, 2, 2)
    assert pairs.missing == 4
    assert [pairs.missing_before(count) for count in range(4)] == [0, 0, 1, 4]


def test_nothing_in_common() -> None:
    one, other = window_series([0, 1], [1.0, 1.0], [1.0, 1.0]), window_series([5], [1.0], [1.0])
    for pairs in (pair(one, other), pair(one, window_series([], [], []))):
        assert len(pairs) == pairs.missing == 0
        assert pairs.outside in (2, 3)
        with pytest.raises(InputError, match="no notional"):
            levels_bps(pairs)


def test_pairing_agrees_with_a_dictionary() -> None:
    rng = np.random.default_rng(6)

    def lane() -> tuple[list[int], list[float]]:
        ids = sorted(rng.choice(60, 45, replace=False).tolist())
        return ids, [NAN if rng.random() < 0.1 else float(rng.normal()) for _ in ids]

    for _ in range(50):
        (a_ids, a), (b_ids, b) = lane(), lane()
        pairs = pair(window_series(a_ids, a, [5.0] * 45), window_series(b_ids, b, [5.0] * 45))
        first, second = dict(zip(a_ids, a, strict=True)), dict(zip(b_ids, b, strict=True))
        known = {w for w in first.keys() & second.keys() if not math.isnan(first[w] + second[w])}
        assert pairs.window.tolist() == sorted(known)
        assert pairs.challenger_pnl.tolist() == [second[w] for w in sorted(known)]
        assert len(pairs) + pairs.missing + pairs.outside == len(first.keys() | second.keys())


@pytest.mark.parametrize(
    ("window", "pnl", "notional", "words"),
    [
        ([0, 1], [1.0], [1.0, 1.0], "one length"),
        ([4, 4], [1.0, 1.0], [1.0, 1.0], "window 4 stands twice"),
        ([0, 1], [1.0, math.inf], [1.0, 1.0], "PnL of window 1 is infinite"),
        ([0, 1], [1.0, 1.0], [math.inf, 1.0], "notional of window 0 is infinite"),
        ([0, 1], [1.0, 1.0], [1.0, -1.0], "notional of window 1 is negative"),
    ],
)
def test_what_cannot_be_a_series_is_refused(window, pnl, notional, words) -> None:
    with pytest.raises(InputError, match=words):
        window_series(window, pnl, notional, name="A")
