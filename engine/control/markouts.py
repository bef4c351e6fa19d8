"""What the mid did after each fill: the toxicity report, and the figures 10 s after a fill.

Notation as in engine/metrics.py: fill with side s, q lots, price p, mid mf at the fill, fee F; m_{t+h} is the first mid
seen at a whole second at or after the fill's time + h, at most 2 s late, else it is unknown. Adverse cost
-1e4 s (v(m_{t+h}) - v(mf)) / |v(p)|; sums are over integers, ratios a sum over a sum.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.control.samples import Every
from engine.ledger import Valuer

_NS_PER_S = 1_000_000_000
_MOST_LATE_NS = 2 * _NS_PER_S
KPI_HORIZON_S = 5
"""That of adverse_bps."""
PNL_HORIZON_S = 10


@dataclass(frozen=True)
class Fill:
    """One fill; mid 0 = unknown, fee in units, + rebate and - cost."""

    ts_ns: int
    side: int
    lots: int
    price_ticks: int
    fill_mid2: int
    fee_units: int


@dataclass
class _Sums:
    """Of one side at one horizon."""

    fills: int = 0
    adverse_fills: int = 0
    cost_units: int = 0
    notional_units: int = 0

    def add(self, cost_units: int, notional_units: int) -> None:
        self.fills += 1
        self.adverse_fills += cost_units > 0
        self.cost_units += cost_units
        self.notional_units += notional_units

    def to_json(self) -> dict[str, Any]:
        bps = 10_000 * self.cost_units / self.notional_units if self.notional_units else None
        share = self.adverse_fills / self.fills if self.fills else None
        return {"fills": self.fills, "adverse_bps": bps, "adverse_share": share}


@dataclass
class _Horizon:
    pending: deque[Fill] = field(default_factory=deque)
    sides: dict[int, _Sums] = field(default_factory=lambda: {1: _Sums(), -1: _Sums()})
    unknown: int = 0


class Markouts:
    """Fills in, markouts out.

    Args:
        horizons_s: those of the report; 5 s and 10 s are measured in any case.
    """

    def __init__(self, horizons_s: Sequence[int], value: Valuer) -> None:
        self.horizons_s = tuple(horizons_s)
        self._value = value
        self._horizons = {h: _Horizon() for h in sorted({*horizons_s, KPI_HORIZON_S, PNL_HORIZON_S})}
        self.cost_bps = Every()  # of each fill at 5 s
        self.pnl_bps = Every()  # of each fill at 10 s, from its price, without the fee
        self.net_units = Every()  # the same in money, with the fee
        self.net_bps = Every()

    def fill(self, fill: Fill) -> None:
        for horizon in self._horizons.values():
            horizon.pending.append(fill)

    def mature(self, now_ns: int, mid2: int) -> None:
        """The mid is `mid2` at `now_ns` (0: unknown)."""
        for horizon_s, horizon in self._horizons.items():
            while horizon.pending and (due_ns := horizon.pending[0].ts_ns + horizon_s * _NS_PER_S) <= now_ns:
                if now_ns - due_ns > _MOST_LATE_NS:
                    horizon.pending.popleft()
                    horizon.unknown += 1
                elif mid2:
                    self._measure(horizon_s, horizon, horizon.pending.popleft(), mid2)
                else:
                    break

    def _measure(self, horizon_s: int, horizon: _Horizon, fill: Fill, mid2: int) -> None:
        price = self._value(2 * fill.price_ticks)
        later = self._value(mid2)
        notional = fill.lots * abs(price)
        if horizon_s == PNL_HORIZON_S:
            gain = fill.side * (later - price)
            net = fill.lots * gain + fill.fee_units
            self.pnl_bps.add(10_000 * gain / abs(price))
            self.net_units.add(net)
            self.net_bps.add(10_000 * net / notional)
        if not fill.fill_mid2:
            horizon.unknown += 1
            return
        cost = -fill.side * (later - self._value(fill.fill_mid2))
        horizon.sides[fill.side].add(fill.lots * cost, notional)
        if horizon_s == KPI_HORIZON_S:
            self.cost_bps.add(10_000 * cost / abs(price))

    def adverse_bps(self, horizon_s: int = KPI_HORIZON_S) -> float | None:
        """Notional-weighted, both sides."""
        value: float | None = _both(self._horizons[horizon_s]).to_json()["adverse_bps"]
        return value

    def report(self) -> list[dict[str, Any]]:
        """Per horizon: fills, adverse_bps and adverse_share by side and together, fills pending and unknown."""
        rows = []
        for horizon_s in self.horizons_s:
            horizon = self._horizons[horizon_s]
            rows.append(
                {
                    "horizon_s": horizon_s,
                    "all": _both(horizon).to_json(),
                    "buy": horizon.sides[1].to_json(),
                    "sell": horizon.sides[-1].to_json(),
                    "pending": len(horizon.pending),
                    "unknown": horizon.unknown,
                }
            )
        return rows


def _both(horizon: _Horizon) -> _Sums:
    buy, sell = horizon.sides[1], horizon.sides[-1]
    return _Sums(
        buy.fills + sell.fills,
        buy.adverse_fills + sell.adverse_fills,
        buy.cost_units + sell.cost_units,
        buy.notional_units + sell.notional_units,
    )
