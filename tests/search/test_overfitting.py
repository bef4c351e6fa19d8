from __future__ import annotations

import numpy as np
import pytest

from engine.search.overfitting import overfitting


def test_a_trial_that_is_always_best_is_no_overfitting() -> None:
    rng = np.random.default_rng(1)
    d = rng.normal(0, 0.1, (10, 64))
    d[3] += 2.0
    result = overfitting(d)
    assert (result.pbo, result.ways) == (0.0, 70)
    assert result.deflated_probability == pytest.approx(1.0, abs=1e-6)


def test_of_nulls_the_winner_falls_to_anywhere() -> None:
    rng = np.random.default_rng(2)
    results = [overfitting(rng.normal(size=(20, 64))) for _ in range(60)]
    assert np.mean([one.pbo for one in results]) == pytest.approx(0.5, abs=0.1)
    # the best of nulls is what nulls bring about: no evidence, on average
    assert np.mean([one.deflated_probability for one in results]) == pytest.approx(0.5, abs=0.12)


def test_the_expected_best_of_nulls_is_the_size_it_is() -> None:
    rng = np.random.default_rng(3)
    drawn = [rng.normal(size=(30, 100)) for _ in range(200)]
    best = np.mean([d.mean(axis=1).max() for d in drawn])
    expected = np.mean([overfitting(d).expected_best_of_nulls_bps for d in drawn])
    assert expected == pytest.approx(best, rel=0.08)


@pytest.mark.parametrize("shape", [(2, 64), (20, 15)])
def test_too_little_gives_no_number(shape: tuple[int, int]) -> None:
    result = overfitting(np.random.default_rng(4).normal(size=shape))
    assert (result.pbo, result.deflated_probability) == (None, None)


def test_trials_that_are_the_champion_or_unknown_are_left_out() -> None:
    d = np.random.default_rng(5).normal(size=(6, 32))
    d[1] = 0.0
    d[2, 4] = np.nan
    assert overfitting(d).trials == 4
