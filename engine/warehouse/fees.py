"""What net_bps would be at another fee tier: every fill charged again, everything else as it was.

A fee is rate x notional of the fill, + rebate, - cost, rounded half to even to whole units, as the bot does it
(engine/bot/records.py). What another tier would change in the quotes or in the queue is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.instrument import UNITS_PER_QUOTE
from engine.profile import load_profile, profile_names
from engine.warehouse.build import build
from engine.warehouse.db import Warehouse
from engine.warehouse.quality import require_sound

MOST_BPS = 10_000


@dataclass(frozen=True)
class Tier:
    """Fees in bps of the notional, + rebate, - cost."""

    name: str
    maker_bps: Decimal
    taker_bps: Decimal

    def __post_init__(self) -> None:
        for side in ("maker", "taker"):
            bps = getattr(self, f"{side}_bps")
            if not bps.is_finite() or abs(bps) > MOST_BPS:
                raise InputError(
                    f"{side} fee of {bps} bps", where=self.name, remedy=f"give -{MOST_BPS} to {MOST_BPS}, - is a cost"
                )

    def fee_units(self, liquidity: str | None, notional: int) -> int | None:
        """The fee of a fill of `notional` units; None where it is not known what it was and that matters."""
        if liquidity is None and self.maker_bps != self.taker_bps:
            return None
        bps = self.taker_bps if liquidity == "taker" else self.maker_bps
        return round(Fraction(bps) / 10_000 * notional)


def profile_tiers(config: Path) -> list[Tier]:
    """The tier of every profile in the configuration folder, by name.

    Raises:
        ConfigError: a profile cannot be read.
    """
    profiles = {name: load_profile(config, name) for name in profile_names(config)}
    return [
        Tier(f"profile {name}", Decimal(str(profile.maker_fee_bps)), Decimal(str(profile.taker_fee_bps)))
        for name, profile in profiles.items()
    ]


def simulate_fees(wh: Warehouse, run_id: str, tiers: Sequence[Tier]) -> dict[str, Any]:
    """Lane 0 at each tier.

    Returns:
        {run_id, symbol, pnl_currency, paid: {totals, windows}, tiers: [{name, maker_bps, taker_bps, totals,
        windows}]}; totals and windows hold {fees_quote, fees_eff_bps, net_pnl_quote, net_bps, fills, notional_quote},
        windows also {window, start_ns, end_ns}, each null where it cannot be known. `paid` is what was journalled.

    Raises:
        JournalError: the run is unknown.
        VerificationError: its numbers contradict themselves.
    """
    built = build(wh, run_id)
    require_sound(wh, run_id)
    slices = wh.execute(
        "SELECT c.grain, c.first_window, c.start_ns, c.end_ns, s.fills, s.notional, s.fees, s.before_fees "
        "FROM attr_slice AS s JOIN core_slice AS c ON c.slice_id = s.slice_id "
        "WHERE c.lane = 0 AND c.grain IN ('run', 'window') ORDER BY c.first_window"
    )
    fills = wh.execute("SELECT window_id, liquidity, notional FROM core_fill_value WHERE lane = 0")

    def table(fees: Mapping[int, int | None] | None) -> dict[str, Any]:
        """By slice, with the fees of each window, or with those that were paid."""
        found: dict[str, Any] = {"totals": None, "windows": []}
        for grain, window, start_ns, end_ns, count, notional, paid, before_fees in slices:
            if fees is None:
                units = paid
            else:
                units = _total(fees.values()) if grain == "run" else fees.get(window, 0)
            row = _row(count, notional, units, before_fees)
            if grain == "run":
                found["totals"] = row
            else:
                found["windows"].append({"window": window, "start_ns": start_ns, "end_ns": end_ns} | row)
        return found

    return {
        "run_id": run_id,
        "symbol": built.run.symbol,
        "pnl_currency": built.run.instrument.pnl_currency,
        "paid": table(None),
        "tiers": [
            {"name": tier.name, "maker_bps": float(tier.maker_bps), "taker_bps": float(tier.taker_bps)}
            | table(_by_window(fills, tier))
            for tier in tiers
        ],
    }


def _by_window(fills: Iterable[Sequence[Any]], tier: Tier) -> dict[int, int | None]:
    fees: dict[int, int | None] = {}
    for window, liquidity, notional in fills:
        fees[window] = _total((fees.get(window, 0), tier.fee_units(liquidity, int(notional))))
    return fees


def _total(parts: Iterable[int | None]) -> int | None:
    total = 0
    for part in parts:
        if part is None:
            return None
        total += part
    return total


def _row(fills: int, notional: int, fees: int | None, before_fees: int | None) -> dict[str, Any]:
    net = None if fees is None or before_fees is None else fees + before_fees
    return {
        "fees_quote": None if fees is None else fees / UNITS_PER_QUOTE,
        "fees_eff_bps": 10_000 * fees / notional if fees is not None and notional else None,
        "net_pnl_quote": None if net is None else net / UNITS_PER_QUOTE,
        "net_bps": 10_000 * net / notional if net is not None and notional else None,
        "fills": fills,
        "notional_quote": notional / UNITS_PER_QUOTE,
    }
