from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError, OverridesError
from engine.params import PARAMETERS, Params
from engine.search.space import params_of, point_of, trust_region


def test_the_region_is_around_the_champion_within_table_and_guardrails() -> None:
    axes = {axis.name: axis for axis in trust_region(Params(), 0.35).axes}
    assert list(axes) == list(PARAMETERS)
    assert (axes["base_spread_bps_delta"].low, axes["base_spread_bps_delta"].high) == (0.0, 0.2)  # at most +0.10
    assert (axes["min_interval_ms"].low, axes["min_interval_ms"].high) == (50, 158)
    assert (axes["tail_age_ms"].low, axes["tail_age_ms"].high) == (440, 860)
    assert axes["min_lot"].integer


@given(radius=st.floats(0.01, 1.0), unit=st.lists(st.floats(-0.2, 1.2), min_size=8, max_size=8), corner=st.booleans())
def test_every_point_is_a_valid_set_near_the_champion(radius: float, unit: list[float], corner: bool) -> None:
    champion = Params().with_changes({name: row.high if corner else row.initial for name, row in PARAMETERS.items()})
    space = trust_region(champion, radius)
    point = space.decode(np.array([unit]))[0]
    params = params_of(point)
    for name, row in PARAMETERS.items():
        assert params[name] - champion[name] <= row.max_step_up + 1e-9
        assert abs(params[name] - champion[name]) <= max(
            1.0 if row.integer else 0.0, radius * (row.high - row.low) + 0.5
        )
    assert space.decode(space.encode([point]))[0] == point
    assert json.loads(json.dumps(point)) == list(point)


def test_the_champion_is_a_point_of_its_own_region() -> None:
    space = trust_region(Params(), 0.35)
    assert params_of(space.decode(space.encode([point_of(Params())]))[0]) == Params()


def test_skopt_sees_the_same_box() -> None:
    space = trust_region(Params(), 0.35)
    theirs = space.skopt()
    points = theirs.rvs(20, random_state=1)
    np.testing.assert_allclose(theirs.transform(points), space.encode(points), atol=1e-12)


def test_a_champion_outside_the_table_is_refused() -> None:
    with pytest.raises(InputError, match=r"min_interval_ms 10 is outside 50 to 300.*--overrides"):
        trust_region(Params(min_interval_ms=10), 0.35)


def test_a_point_outside_the_table_is_refused() -> None:
    with pytest.raises(OverridesError, match="min_interval_ms"):
        params_of((10, *point_of(Params())[1:]))
