from __future__ import annotations

import numpy as np
import pytest

from engine.params import PARAMETERS, Params
from engine.search.objective import fold_edges
from engine.search.walkforward import consensus, later_mean, robust_rank, walk_forward


def test_blocks_cover_the_windows_once() -> None:
    assert fold_edges(10, 3) == [0, 3, 7, 10]
    assert fold_edges(72, 4) == [0, 18, 36, 54, 72]


def test_a_past_winner_is_scored_on_what_came_later() -> None:
    """Trial 0 is best in the first block only, trial 1 always good, trial 2 always bad."""
    d = np.array([[9.0, 9, 0, 0, 0, 0], [2.0] * 6, [-1.0] * 6])
    result = walk_forward(d, folds=2, top_k=1)
    assert [(fold.past, fold.end, fold.best) for fold in result.folds] == [(2, 4, 0), (4, 6, 0)]
    assert [fold.past_bps for fold in result.folds] == [9.0, 4.5]
    assert [fold.later_bps for fold in result.folds] == [0.0, 0.0]
    assert result.optimism_bps == pytest.approx(6.75)
    assert result.scores == (0.0, 2.0, None)  # two are kept in each fold


def test_nothing_of_the_scored_block_reaches_the_selection() -> None:
    rng = np.random.default_rng(0)
    d = rng.normal(size=(20, 40))
    before = walk_forward(d, folds=1, top_k=2)
    changed = d.copy()
    changed[:, 20:] = rng.normal(size=(20, 20))
    after = walk_forward(changed, folds=1, top_k=2)
    assert before.folds[0].best == after.folds[0].best
    assert [score is None for score in before.scores] == [score is None for score in after.scores]


def test_too_few_windows_are_said() -> None:
    result = walk_forward(np.ones((3, 2)), folds=2, top_k=1)
    assert (result.folds, result.optimism_bps) == ((), None)
    assert result.note == "2 windows are too few for 2 folds"


def test_unknown_windows_are_left_out_and_a_trial_without_any_is_not_kept() -> None:
    d = np.array([[np.nan, 1.0, 1.0, np.nan], [np.nan] * 4, [0.5] * 4])
    result = walk_forward(d, folds=1, top_k=2)
    assert result.scores == (1.0, None, 0.5)


def test_the_score_of_one_that_every_fold_keeps() -> None:
    assert later_mean(np.array([9.0, 9, 1, 1, 3, 3]), folds=2) == 2.0
    assert later_mean(np.array([1.0]), folds=2) is None
    assert later_mean(np.array([1.0, np.nan, np.nan]), folds=2) is None


def test_robust_is_the_lower_of_the_two() -> None:
    posterior, scores = [(1, 0.5), (2, 0.4), (3, 0.9)], {1: 0.1, 2: 0.3, 3: None}
    assert robust_rank(posterior, scores) == [(2, 0.3), (1, 0.1)]


def test_the_consensus_is_the_median_within_the_table() -> None:
    sets = [
        Params().with_changes({"min_interval_ms": i, "base_spread_bps_delta": d})
        for i, d in ((50, 0.1), (90, 0.3), (300, 0.2))
    ]
    agreed = consensus(sets)
    assert (agreed["min_interval_ms"], agreed["base_spread_bps_delta"]) == (90, 0.2)
    halves = consensus([sets[0], sets[1].with_changes({"min_interval_ms": 91})])
    assert halves["min_interval_ms"] == 70  # 70.5 to even
    assert all(PARAMETERS[name].low <= value <= PARAMETERS[name].high for name, value in agreed.items())
