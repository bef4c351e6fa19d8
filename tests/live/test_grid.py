"""The fast exact conversion of decimal text against decimal arithmetic."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.capture import Grid, GridError

STEPS = [Decimal(text) for text in ("0.1", "0.5", "0.001", "0.00001", "1", "10", "1E+2", "0.10", "0.25", "2.5")]


def by_decimal(text: str, step: Decimal, limit: int) -> int | None:
    """What the text means in whole steps, None where it is refused: the slow and obvious way."""
    try:
        value = Decimal(text)
        steps, rest = divmod(value, step)
    except InvalidOperation:
        return None
    if not steps.is_finite() or rest or not 0 <= steps <= limit:
        return None
    return int(steps)


TEXTS = st.one_of(
    st.from_regex(r"\A[0-9]{0,12}(\.[0-9]{0,8})?\Z"),
    st.from_regex(r"\A[-+ ]?[0-9_]{1,6}(\.[0-9]{0,3})?([eE][-+]?[0-9]{1,2})?\Z"),
    st.decimals(min_value=0, max_value=10**7, places=3).map(str),
    st.sampled_from(
        ["", ".", "1.", ".5", "NaN", "Infinity", "-0", "-1", "1..2", "1.2.3", "٣", "１", "0x1", " 1 ", "²"]
    ),
    st.text(max_size=4),
)


@given(text=TEXTS, step=st.sampled_from(STEPS), limit=st.sampled_from([2**31 - 1, 2**63 - 1]))
def test_text_becomes_the_whole_steps_that_decimal_arithmetic_gives(text: str, step: Decimal, limit: int) -> None:
    expected, grid = by_decimal(text, step, limit), Grid("price", step, limit)
    if expected is None:
        with pytest.raises(GridError):
            grid[text]
    else:
        assert grid[text] == expected
        assert grid[text] == expected  # now from the cache


@given(steps=st.integers(0, 2**31 - 1), step=st.sampled_from(STEPS))
def test_every_price_of_the_grid_comes_back(steps: int, step: Decimal) -> None:
    assert Grid("price", step, 2**31 - 1)[f"{step * steps:f}"] == steps
