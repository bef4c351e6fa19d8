"""Ticks, lots and the one value function: integers whose sums do not depend on their order."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.instrument import UNITS_PER_QUOTE, Instrument

LINEAR = Instrument(
    venue="binance-usdm",
    symbol="BTCUSDT",
    tick=Decimal("0.1"),
    lot=Decimal("0.001"),
    contract="linear",
    contract_size=Decimal(1),
    quote_currency="USDT",
    pnl_currency="USDT",
)
INVERSE = replace(
    LINEAR, symbol="BTCUSD_PERP", lot=Decimal(1), contract="inverse", contract_size=Decimal(100),
    quote_currency="USD", pnl_currency="BTC",
)  # fmt: skip
prices = st.integers(1, 10_000_000)
trades = st.lists(st.tuples(prices, st.integers(-1_000, 1_000)), min_size=1, max_size=30)


def test_value_of_a_lot() -> None:
    assert LINEAR.value_units(Decimal("60000.1")) == 60_000_100_000_000  # 0.001 BTC at 60000.1 = 60.0001 USDT
    assert INVERSE.value_units(Decimal("50000")) == -2_000_000_000  # 100 USD at 50000 = 0.002 BTC
    assert INVERSE.value_units(Decimal("60000.1")) == round(Fraction(-100 * UNITS_PER_QUOTE) / Fraction("60000.1"))


def test_value_is_rounded_half_to_even() -> None:
    tiny = replace(LINEAR, lot=Decimal("1e-12"), tick=Decimal("0.5"))
    assert [tiny.value_units(Decimal(p)) for p in ("0.5", "1.5", "2.5", "2.6")] == [0, 2, 2, 3]


@given(bought=prices, sold=prices, lots=st.integers(1, 100_000))
def test_a_round_trip_earns_the_difference_of_values(bought: int, sold: int, lots: int) -> None:
    """Linear: exactly lots x size x difference. Inverse: to half a unit a lot and side."""
    p1, p2 = LINEAR.price(bought), LINEAR.price(sold)
    units = lots * (LINEAR.value_units(p2) - LINEAR.value_units(p1))
    assert Fraction(units, UNITS_PER_QUOTE) == Fraction(LINEAR.qty(lots)) * (Fraction(p2) - Fraction(p1))
    units = lots * (INVERSE.value_units(p2) - INVERSE.value_units(p1))
    exact = lots * 100 * (1 / Fraction(p1) - 1 / Fraction(p2)) * UNITS_PER_QUOTE
    assert abs(units - exact) <= lots
    assert (units > 0) == (sold > bought) or abs(exact) < lots


@given(trades, st.randoms())
def test_cash_does_not_depend_on_the_order_of_fills(fills: list[tuple[int, int]], random: object) -> None:
    for instrument in (LINEAR, INVERSE):
        flows = [-lots * instrument.value_units(instrument.price(ticks)) for ticks, lots in fills]
        shuffled = flows.copy()
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        assert sum(flows) == sum(shuffled)


@given(trades, prices)
def test_components_telescope(fills: list[tuple[int, int]], last: int) -> None:
    """Cash plus the last mark is the sum over intervals of position x change of value, to the unit."""
    for instrument in (LINEAR, INVERSE):
        value = [instrument.value_units(instrument.price(ticks)) for ticks, _ in fills]
        value.append(instrument.value_units(instrument.price(last)))
        cash = position = carried = 0
        for (_, lots), now, after in zip(fills, value, value[1:], strict=False):
            cash -= lots * now
            position += lots
            carried += position * (after - now)
        assert cash + position * value[-1] == carried


@given(prices)
def test_value_rises_with_the_price(ticks: int) -> None:
    for instrument in (LINEAR, INVERSE):
        assert instrument.value_units(instrument.price(ticks + 1)) >= instrument.value_units(instrument.price(ticks))


def test_grid_conversions_are_exact() -> None:
    assert LINEAR.price(600_001) == Decimal("60000.1")
    assert LINEAR.mid(1_200_001) == Decimal("60000.05")
    assert LINEAR.qty(7) == Decimal("0.007")
    assert LINEAR.notional_quote(Decimal("60000.1"), Decimal("0.007")) == Decimal("420.0007")
    assert INVERSE.notional_quote(Decimal("60000.1"), Decimal(7)) == 700


@pytest.mark.parametrize(
    ("notional", "mid2", "lots"),
    [
        (500.0, 1_200_000, 8),
        (510.0, 1_200_000, 8),
        (511.0, 1_200_000, 9),
        (1.0, 1_200_000, 1),
        (60_000.0, 1_200_000, 1_000),
    ],
)
def test_lots_for_a_notional(notional: float, mid2: int, lots: int) -> None:
    """One lot is 60 USDT at a mid of 60000; ties go to even, and one lot is the least."""
    assert LINEAR.lots_for_notional(notional, mid2) == lots


def test_lots_for_a_notional_of_an_inverse_contract_do_not_depend_on_the_price() -> None:
    assert [INVERSE.lots_for_notional(500.0, mid2) for mid2 in (1_000_000, 2_000_000)] == [5, 5]


def test_journal_object_is_text() -> None:
    assert LINEAR.journal() == {
        "venue": "binance-usdm",
        "tick": "0.1",
        "lot": "0.001",
        "contract": "linear",
        "contract_size": "1",
        "quote_currency": "USDT",
        "pnl_currency": "USDT",
    }


@pytest.mark.parametrize("name", ["tick", "lot", "contract_size"])
@pytest.mark.parametrize("value", ["0", "-0.1", "NaN", "Infinity"])
def test_a_grid_that_is_none_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"BTCUSDT: {name} .* is not positive"):
        replace(LINEAR, **{name: Decimal(value)})


def test_an_unknown_contract_is_refused() -> None:
    with pytest.raises(ConfigError, match="BTCUSDT: contract 'quanto' is neither linear nor inverse"):
        replace(LINEAR, contract="quanto")
