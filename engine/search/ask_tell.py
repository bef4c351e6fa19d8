"""Ask and tell: which points to try next, and which of those tried to recommend.

A batch is a function of the observations, the seed and the batch's number alone: the process is fitted anew for each
batch, so that a search taken up again goes on exactly as one that never stopped. The objective is maximised; the
champion is the first observation, with value 0 by definition.

The first points are a Sobol sequence of scikit-optimize. After that, one fit a batch; within it each point is the
best upper bound mean + kappa sd, and the process is then conditioned on its own mean there (the "believer" of
Ginsbourger et al. 2010), which lowers the sd around it without a second fit. The last point of a batch is the best
mean alone, so that what will be recommended has been tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from engine.search.space import SearchSpace
from engine.search.surrogate import Surrogate, fit

Floats = NDArray[np.float64]
_CANDIDATES = 2048
_ROUNDS = 4
_NEAR = 24
_SHRINK = 0.4


@dataclass(frozen=True)
class Observation:
    """A point and its objective; None where the trial failed. `batch` counts from 1; the champion's is 0."""

    point: tuple[float, ...]
    value: float | None
    batch: int


def ask(
    space: SearchSpace,
    observations: Sequence[Observation],
    *,
    seed: int,
    batch: int,
    count: int,
    sobol: int,
    kappa: float,
) -> list[tuple[float, ...]]:
    """The next `count` points, all different from each other and, where the space allows, from those tried.

    Args:
        sobol: points of the Sobol sequence before the process is asked.
        kappa: sd above the mean that a point is valued at.
    """
    # Matrices this small are slower on several threads, and sums would depend on how many there are.
    with threadpool_limits(1):
        return _ask(space, observations, seed, batch, count, sobol, kappa)


def _ask(
    space: SearchSpace,
    observations: Sequence[Observation],
    seed: int,
    batch: int,
    count: int,
    sobol: int,
    kappa: float,
) -> list[tuple[float, ...]]:
    rng = np.random.default_rng([seed, batch])
    known = [one for one in observations if one.value is not None]
    tried = {one.point for one in observations}
    left = sobol - (len(observations) - 1)
    chosen: list[tuple[float, ...]] = []
    if left > 0 or len(known) < 2:
        done = len(observations) - 1
        chosen = _fresh(_sobol(space, seed, sobol)[done : done + min(left, count)], tried, space, rng)
    if len(known) < 2:  # nothing to fit to: what is missing is drawn at random
        more = space.decode(rng.random((count - len(chosen), space.size)))
        return chosen + _fresh(more, tried | set(chosen), space, rng)
    if len(chosen) == count:
        return chosen
    model = fit(space.encode([one.point for one in known]), np.array([one.value for one in known], np.float64))
    for point in chosen:
        model = _believe(model, space, point)
    while len(chosen) < count:
        greedy = len(chosen) == count - 1
        point = space.decode(_climb(model, rng, 0.0 if greedy else kappa)[None])[0]
        if point in tried or point in chosen:
            point = _fresh([point], tried | set(chosen), space, rng)[0]
        chosen.append(point)
        model = _believe(model, space, point)
    return chosen


def recommend(space: SearchSpace, observations: Sequence[Observation]) -> list[tuple[int, float, float]]:
    """(index of the observation, posterior mean, sd) of every trial with a value, best mean first.

    By the posterior mean and not by the value observed: the best of many noisy values flatters itself.
    """
    known = [(i, one) for i, one in enumerate(observations) if one.value is not None]
    if len(known) < 2:
        return [(i, float(one.value or 0.0), 0.0) for i, one in known]
    x = space.encode([one.point for _, one in known])
    with threadpool_limits(1):
        mean, sd = fit(x, np.array([one.value for _, one in known], np.float64)).predict(x)
    ranked = [(i, float(m), float(s)) for (i, _), m, s in zip(known, mean, sd, strict=True)]
    return sorted(ranked, key=lambda row: (-row[1], row[0]))


def _believe(model: Surrogate, space: SearchSpace, point: tuple[float, ...]) -> Surrogate:
    x = space.encode([point])
    return model.with_more(x, model.predict(x)[0])


def _climb(model: Surrogate, rng: np.random.Generator, kappa: float) -> Floats:
    """The point of the cube with the best mean + kappa sd: many candidates, then rounds of smaller steps."""
    d = model.x.shape[1]
    best_known = model.x[np.argsort(-model.predict(model.x)[0], kind="stable")[:_NEAR]]
    mix = rng.random((_CANDIDATES // 2, d)) < max(0.3, 2.0 / d)
    near = best_known[rng.integers(0, len(best_known), _CANDIDATES // 2)]
    near = np.where(mix, near + rng.normal(0.0, 0.2, near.shape), near)
    pool = np.clip(np.vstack([rng.random((_CANDIDATES // 2, d)), near]), 0.0, 1.0)
    step = 0.1
    for _ in range(_ROUNDS):
        mean, sd = model.predict(pool)
        top = pool[np.argsort(-(mean + kappa * sd), kind="stable")[:_NEAR]]
        moves = rng.normal(0.0, step, (16, *top.shape)) * (rng.random((16, *top.shape)) < 0.5)
        pool = np.clip(np.vstack([top, (top + moves).reshape(-1, d)]), 0.0, 1.0)
        step *= _SHRINK
    mean, sd = model.predict(pool)
    best: Floats = pool[int(np.argmax(mean + kappa * sd))]
    return best


def _sobol(space: SearchSpace, seed: int, count: int) -> list[tuple[float, ...]]:
    from skopt.sampler import Sobol

    power = 1 << max(0, (count - 1).bit_length())  # other lengths unbalance it, and warn
    points = Sobol(randomize=True).generate(space.skopt(), power, random_state=seed)
    return space.decode(space.encode(points))[:count]


def _fresh(
    points: Sequence[tuple[float, ...]], tried: set[tuple[float, ...]], space: SearchSpace, rng: np.random.Generator
) -> list[tuple[float, ...]]:
    """`points`, those met before moved to a neighbour at random."""
    fresh: list[tuple[float, ...]] = []
    for point in points:
        new = point
        for _ in range(50):
            if new not in tried and new not in fresh:
                break
            new = space.decode(space.encode([point]) + rng.normal(0.0, 0.05, (1, space.size)))[0]
        fresh.append(new)
    return fresh
