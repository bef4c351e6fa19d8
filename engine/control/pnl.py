"""Components of each lane, second by second, in integers: sums of engine.ledger over slices that meet at marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from fractions import Fraction
from typing import Any

from engine.ledger import Components, Valuer, lane_components
from engine.maker.state import Array

NONE = Components(0, 0, 0, 0, 0, 0)


def added(one: Components, other: Components) -> Components:
    return Components(*(getattr(one, f.name) + getattr(other, f.name) for f in fields(Components)))


class LanesPnl:
    """Every lane's components of the measurement so far and of the current window.

    Args:
        value: the value function of a lot.
        fee_rates: of a maker's and of a taker's fill, shares of notional, + rebate, - cost.
        positions_lots: where the lanes start.
    """

    def __init__(self, value: Valuer, fee_rates: tuple[Fraction, Fraction], positions_lots: Sequence[int]) -> None:
        self._value, self._fee_rates = value, fee_rates
        self._mid2 = 0
        self._early: list[Array] = []
        self.positions_lots = [int(lots) for lots in positions_lots]
        self.total = [NONE for _ in positions_lots]
        self.window = list(self.total)

    def start(self, mid2: int) -> None:
        """The mid at the start, if it is known by then."""
        self._mid2 = mid2

    def see(self, rows: Array, mid2: int, positions_lots: Sequence[int]) -> None:
        """A slice of RECORD_DTYPE rows that ends at mid `mid2` (0: unknown, the last known one then stands)."""
        last, self._mid2 = self._mid2, mid2 or self._mid2
        if not self._mid2:
            return  # before the first book nobody has quoted
        last = last or self._mid2
        for lane, position in enumerate(self.positions_lots):
            maker, taker = self._fee_rates
            part = lane_components(rows, lane, self._value, maker, last, self._mid2, position, taker_fee_rate=taker)
            self.total[lane] = added(self.total[lane], part)
            self.window[lane] = added(self.window[lane], part)
        self.positions_lots = [int(lots) for lots in positions_lots]

    def next_window(self) -> None:
        self.window = [NONE for _ in self.window]

    def to_json(self, lane: int) -> dict[str, Any]:
        """Components of the measurement so far, in bps and money, and its number of fills."""
        return {**self.total[lane].to_json(), "fills": self.total[lane].fills}
