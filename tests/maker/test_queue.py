"""One suite for every queue model: what any of them must keep, and how they stand to each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.maker.queue import after_depth, fillable_lots
from engine.maker.state import QUEUE_OPTIMISTIC, QUEUE_POWER, QUEUE_RISK

MODELS = [
    pytest.param(QUEUE_RISK, 0, id="risk"),
    pytest.param(QUEUE_POWER, 1, id="power:1"),
    pytest.param(QUEUE_POWER, 3, id="power:3"),
    pytest.param(QUEUE_POWER, 9, id="power:9"),
    pytest.param(QUEUE_OPTIMISTIC, 0, id="optimistic"),
]
every_model = pytest.mark.parametrize(("model", "power"), MODELS)
lots = st.integers(min_value=0, max_value=100_000)


@st.composite
def queues(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """(front, traded, old, new): a place in a level of `old` lots of which `traded` have traded since its update."""
    old = draw(lots)
    traded = draw(st.integers(min_value=0, max_value=old))
    joined_behind = draw(st.integers(min_value=0, max_value=old))
    return float(max(joined_behind - traded, 0)), float(traded), float(old), float(draw(lots))


@every_model
@given(queue=queues())
def test_nobody_moves_back_and_nobody_stands_beyond_the_level(model: int, power: int, queue: tuple) -> None:
    front, traded, old, new = queue
    after = after_depth(model, power, front, traded, old, new)
    assert after <= front + 1e-9
    assert after <= new


@every_model
@given(queue=queues())
def test_a_trade_and_the_decrease_it_causes_count_once(model: int, power: int, queue: tuple) -> None:
    """The level falls by exactly what traded: the trades have moved us already, the update moves nobody."""
    front, traded, old, _ = queue
    left = old - traded
    assert after_depth(model, power, min(front, left), traded, old, left) == pytest.approx(min(front, left))


@every_model
@given(queue=queues(), added=lots)
def test_what_is_added_joins_behind_us(model: int, power: int, queue: tuple, added: int) -> None:
    front, _, old, _ = queue
    assert after_depth(model, power, front, 0.0, old, old + added) == front


@given(queue=queues())
def test_pessimists_stand_furthest_back(queue: tuple) -> None:
    front, traded, old, new = queue
    risk, square, best = (
        after_depth(model, power, front, traded, old, new)
        for model, power in ((QUEUE_RISK, 0), (QUEUE_POWER, 2), (QUEUE_OPTIMISTIC, 0))
    )
    assert risk >= square - 1e-9
    assert square >= best - 1e-9


def test_hand_made_places() -> None:
    """A level of 100, 40 ahead of us, 60 behind; 20 leave."""
    assert after_depth(QUEUE_RISK, 0, 40.0, 0.0, 100.0, 80.0) == 40.0
    assert after_depth(QUEUE_OPTIMISTIC, 0, 40.0, 0.0, 100.0, 80.0) == 20.0
    assert after_depth(QUEUE_POWER, 1, 40.0, 0.0, 100.0, 80.0) == pytest.approx(40 - 0.4 * 20)
    behind = 60**3 / (40**3 + 60**3)
    assert after_depth(QUEUE_POWER, 3, 40.0, 0.0, 100.0, 80.0) == pytest.approx(40 - (1 - behind) * 20)


@pytest.mark.parametrize(
    ("front", "filled"), [(3.0, 0), (0.0, 0), (-0.49, 0), (-0.5, 1), (-1.49, 1), (-1.5, 2), (-7.0, 7)]
)
def test_fills_round_half_away_from_zero(front: float, filled: int) -> None:
    assert fillable_lots(front) == filled
