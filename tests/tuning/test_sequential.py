"""O'Brien-Fleming boundaries against published tables and against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from engine.tuning.sequential import obrien_fleming, stagewise_p_value

# Jennison and Turnbull (2000), table 2.3: constants C of two-sided tests; z_k = C sqrt(K / k).
PUBLISHED = [
    (1, 0.025, 1.960),
    (2, 0.025, 1.977),
    (3, 0.025, 2.004),
    (4, 0.025, 2.024),
    (5, 0.025, 2.040),
    (10, 0.025, 2.087),
    (2, 0.05, 1.678),
    (4, 0.05, 1.733),
    (4, 0.005, 2.609),
]


@pytest.mark.parametrize(("count", "error", "constant"), PUBLISHED)
def test_constants_of_evenly_spaced_looks(count: int, error: float, constant: float) -> None:
    assert obrien_fleming(tuple(range(1, count + 1)), error).z[-1] == pytest.approx(constant, abs=6e-4)


def test_four_looks_two_sided_five_percent() -> None:
    bounds = obrien_fleming((24, 48, 72, 96), 0.025)
    assert bounds.z == pytest.approx((4.049, 2.863, 2.337, 2.024), abs=6e-4)
    assert bounds.spent[-1] == pytest.approx(0.025, abs=1e-9)
    assert list(bounds.spent) == sorted(bounds.spent)
    assert bounds.spent[0] == pytest.approx(ndtr(-bounds.z[0]), rel=1e-9)


def test_only_the_ratio_of_looks_matters() -> None:
    assert obrien_fleming((24, 48, 72, 96), 0.05).z == pytest.approx(obrien_fleming((1, 2, 3, 4), 0.05).z, abs=1e-9)


def test_uneven_looks_spend_what_they_say() -> None:
    """Against Brownian paths: the share that first crosses the upper side by each look."""
    looks, paths = (10, 35, 50), 200_000
    bounds = obrien_fleming(looks, 0.1)
    rng = np.random.default_rng(1)
    steps = np.sqrt(np.diff(looks, prepend=0)) * rng.standard_normal((paths, len(looks)))
    z = np.cumsum(steps, axis=1) / np.sqrt(looks)
    above, below = z >= bounds.z, z <= -np.asarray(bounds.z)
    first = np.where((above | below).any(axis=1), (above | below).argmax(axis=1), len(looks))
    for look, spent in enumerate(bounds.spent):
        share = (above.any(axis=1) & (first <= look) & above[np.arange(paths), np.minimum(first, 2)]).mean()
        assert share == pytest.approx(spent, abs=4.5 * np.sqrt(spent * (1 - spent) / paths))


def test_the_stagewise_p_value_is_the_spending_at_the_boundary() -> None:
    bounds = obrien_fleming((24, 48, 72, 96), 0.05)
    for look, (z, spent) in enumerate(zip(bounds.z, bounds.spent, strict=True)):
        assert stagewise_p_value(bounds, look, z) == pytest.approx(spent, abs=1e-10)
        assert stagewise_p_value(bounds, look, z + 0.1) < spent < stagewise_p_value(bounds, look, z - 0.1)
    assert stagewise_p_value(bounds, 0, 1.0) == pytest.approx(float(ndtr(-1.0)), rel=1e-9)
    assert stagewise_p_value(bounds, 0, float(-ndtri(0.3))) == pytest.approx(0.3, rel=1e-9)


@pytest.mark.parametrize("looks", [(), (0, 5), (5, 5), (8, 4), (-1,)])
def test_looks_that_do_not_rise_are_refused(looks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be positive and rise"):
        obrien_fleming(looks, 0.05)


@pytest.mark.parametrize("error", [0.0, -0.1, 0.25, float("nan")])
def test_errors_that_are_none_are_refused(error: float) -> None:
    with pytest.raises(ValueError, match="error_per_side"):
        obrien_fleming((1, 2), error)
