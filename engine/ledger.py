"""The PnL identity over fills, in integers: the in-memory twin of the warehouse's attribution.

Notation as in engine/metrics.py: fill i has side s, q lots, value v(p) of one lot at its price, mids mq and mf;
I is the position, V = sum q |v(p)|, K = 1e4 / V. Money is in units of 10^-12 of the PnL currency.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from engine.instrument import UNITS_PER_QUOTE, Instrument
from engine.maker.state import MAKER, REC_FILL, TAKER, Array


@dataclass(frozen=True)
class Components:
    """Integer sums of one lane over one span; bps properties are None without notional."""

    fills: int
    gross_units: int
    slippage_units: int
    fee_units: int
    inventory_units: int
    notional_units: int

    @property
    def net_units(self) -> int:
        return self.gross_units + self.slippage_units + self.fee_units + self.inventory_units

    def bps(self, units: int) -> float | None:
        return 10_000 * units / self.notional_units if self.notional_units else None

    def to_json(self) -> dict[str, Any]:
        """The bps components and their sums in the PnL currency."""
        return {
            "net_bps": self.bps(self.net_units),
            "gross_bps": self.bps(self.gross_units),
            "fees_eff_bps": self.bps(self.fee_units),
            "slippage_bps": self.bps(self.slippage_units),
            "inventory_bps": self.bps(self.inventory_units),
            "net_pnl_quote": self.net_units / UNITS_PER_QUOTE,
            "notional_quote": self.notional_units / UNITS_PER_QUOTE,
        }


class Valuer:
    """Value of a lot at a mid2 (half ticks), memorised: prices of a run are few."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._half_tick = Fraction(instrument.tick) / 2
        self._known: dict[int, int] = {}

    def __call__(self, mid2: int) -> int:
        value = self._known.get(mid2)
        if value is None:
            value = self._known[mid2] = self._instrument.value_units(self._half_tick * mid2)
        return value


def lane_components(
    records: Array,
    lane: int,
    value: Valuer,
    fee_rate: Fraction,
    mid2_start: int,
    mid2_end: int,
    position_start: int = 0,
    taker_fee_rate: Fraction | None = None,
) -> Components:
    """The five components of one lane's fills among RECORD_DTYPE rows, marked from `mid2_start` to `mid2_end`.

    A fee is `fee_rate` x notional, + rebate, - cost, rounded half to even per fill; a taker's fill (a flattened
    position) pays `taker_fee_rate`, where that is given. A fill whose quote or fill
    mid is unknown (0) takes its own price for it: the identity stays exact, the split is then less informative.
    """
    fills = gross = slippage = fees = inventory = notional = 0
    position, last = position_start, value(mid2_start)
    rates = {MAKER: fee_rate, TAKER: fee_rate if taker_fee_rate is None else taker_fee_rate}
    for side, lots, price, quote_mid2, fill_mid2, liquidity in _fills(records, lane):
        v = value(2 * price)
        mid = value(fill_mid2) if fill_mid2 else v
        quoted = value(quote_mid2) if quote_mid2 else mid
        inventory += position * (mid - last)
        gross += side * lots * (quoted - v)
        slippage += side * lots * (mid - quoted)
        amount = lots * abs(v)
        fees += round(rates[liquidity] * amount)
        notional += amount
        position += side * lots
        last = mid
        fills += 1
    inventory += position * (value(mid2_end) - last)
    return Components(fills, gross, slippage, fees, inventory, notional)


def _fills(records: Array, lane: int) -> Iterable[tuple[int, int, int, int, int, int]]:
    mine = records[(records["kind"] == REC_FILL) & (records["lane"] == lane)]
    return zip(
        mine["side"].tolist(),
        mine["qty_lots"].tolist(),
        mine["price_ticks"].tolist(),
        mine["quote_mid2"].tolist(),
        mine["fill_mid2"].tolist(),
        mine["code"].tolist(),
        strict=True,
    )
