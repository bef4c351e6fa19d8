from __future__ import annotations

import json

import numpy as np
import pytest

from engine.params import Params
from engine.search.ask_tell import Observation, ask, recommend
from engine.search.space import Axis, SearchSpace, point_of, trust_region
from engine.search.surrogate import fit

SPACE = trust_region(Params(), 0.35)
BOX = SearchSpace(tuple(Axis(f"x{i}", 0.0, 1.0) for i in range(4)))
START = Observation(point_of(Params()), 0.0, 0)


def value(point: tuple[float, ...]) -> float:
    """A bowl in the unit cube of SPACE, best at 0.7."""
    return -float(((SPACE.encode([point])[0] - 0.7) ** 2).sum())


def batch(seen: list[Observation], number: int, count: int = 6, seed: int = 3) -> list[tuple[float, ...]]:
    return ask(SPACE, seen, seed=seed, batch=number, count=count, sobol=8, kappa=1.0)


def run(batches: int) -> list[Observation]:
    seen = [START]
    for number in range(1, batches + 1):
        seen += [Observation(point, value(point), number) for point in batch(seen, number)]
    return seen


def test_a_batch_is_a_function_of_observations_seed_and_number() -> None:
    seen = run(3)
    again = [Observation(tuple(json.loads(json.dumps(one.point))), one.value, one.batch) for one in seen]
    assert batch(seen, 4) == batch(again, 4)
    assert batch(seen, 4) != batch(seen, 5)
    assert batch(seen, 4, seed=4) != batch(seen, 4)


def test_the_first_points_are_sobols_and_only_then_the_process_is_asked() -> None:
    first = batch([START], 1)
    second = batch([START, *(Observation(p, value(p), 1) for p in first)], 2)
    whole = batch([START], 1, count=8)
    assert first == whole[:6]
    assert second[:2] == whole[6:8]  # two were left of eight
    assert len(set(first + second)) == 12


def test_points_are_json_and_never_asked_twice() -> None:
    seen = run(5)
    points = [one.point for one in seen]
    assert len(set(points)) == len(points)
    assert all(type(number) in (int, float) for point in points for number in point)


def test_it_climbs_a_bowl() -> None:
    """Forty points in four dimensions, without noise: the best of eight Sobol points is left far behind."""

    def height(point: tuple[float, ...]) -> float:
        return -float(((np.array(point) - 0.7) ** 2).sum())

    start = (0.2, 0.4, 0.3, 0.2)
    seen = [Observation(start, height(start), 0)]
    for number in range(1, 6):
        points = ask(BOX, seen, seed=1, batch=number, count=8, sobol=8, kappa=1.0)
        seen += [Observation(point, height(point), number) for point in points]
    index, mean, _ = recommend(BOX, seen)[0]
    best = height(seen[index].point)
    assert best > max(one.value or -9.0 for one in seen[1:9]) / 10
    assert best > -0.01
    assert mean == pytest.approx(best, abs=0.01)


def test_the_recommendation_is_the_posterior_mean_and_not_the_luckiest() -> None:
    rng = np.random.default_rng(5)
    truth = lambda x: -4 * float(((x - 0.5) ** 2).sum())  # noqa: E731
    seen = [Observation((0.5, 0.5, 0.5, 0.5), 0.0, 0)]
    for x in np.clip(0.5 + rng.normal(0, 0.1, (30, 4)), 0, 1):
        seen.append(Observation(tuple(x.tolist()), truth(x) + float(rng.normal(0, 0.1)), 1))
    seen.append(Observation((0.95, 0.05, 0.95, 0.05), truth(np.array([0.95, 0.05, 0.95, 0.05])) + 3.5, 1))
    luckiest = max(range(len(seen)), key=lambda i: seen[i].value or 0.0)
    ranked = recommend(BOX, seen)
    shrunk = next(mean for index, mean, _ in ranked if index == luckiest)
    assert shrunk < (seen[luckiest].value or 0.0)


def test_failed_trials_are_passed_over_and_not_recommended() -> None:
    seen = [START, *(Observation(p, None if i % 2 else value(p), 1) for i, p in enumerate(batch([START], 1)))]
    points = batch(seen, 2)
    assert not {one.point for one in seen} & set(points)
    assert {index for index, _, _ in recommend(SPACE, seen)} == {0, 1, 3, 5}


def test_with_nothing_but_failures_it_still_asks() -> None:
    seen = [START, *(Observation(p, None, 1) for p in batch([START], 1, count=10))]
    points = batch(seen, 2)
    assert len(set(points)) == 6
    assert recommend(SPACE, seen) == [(0, 0.0, 0.0)]


def test_the_process_knows_its_points_and_doubts_elsewhere() -> None:
    rng = np.random.default_rng(2)
    x = rng.random((40, 3))
    y = np.sin(4 * x[:, 0]) + x[:, 1]
    model = fit(x, y)
    mean, sd = model.predict(x)
    assert np.abs(mean - y).max() < 0.15
    far_sd = model.predict(np.array([[3.0, 3.0, 3.0]]))[1]
    assert far_sd[0] > 3 * sd.max()
    more = model.with_more(np.array([[0.5, 0.5, 0.5]]), np.array([9.0]))
    assert more.predict(np.array([[0.5, 0.5, 0.5]]))[0][0] > mean.max()


def test_equal_values_are_no_trouble() -> None:
    model = fit(np.random.default_rng(1).random((5, 2)), np.zeros(5))
    mean, sd = model.predict(np.array([[0.2, 0.2]]))
    assert np.isfinite(mean).all()
    assert np.isfinite(sd).all()
