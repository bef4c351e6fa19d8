"""What a driver costs, measured: lane 0 again with the driver removed, beside what accounting says of it.

Accounting splits what happened; it cannot say what would have happened. A component of -3 bps does not mean that 3 bps
come back when its cause is taken away, since the bot would have stood elsewhere in the queue and held another
position. Each intervention changes one thing and leaves tape, parameters and their times as they were:

    no latency        requests reach the exchange, and answers come back, at once; the feed's own delay stays
    no fees           fees are 0; no rule looks at fees, so this difference equals the component
    no position cap   the cap is 2^20 times as far away, and the skew per lot the same
    one tick wider    the half-spread is multiplied so that the mean quote stands about one tick further out
    no skew           quotes do not lean against the position

Notation: P_w, B_w net PnL of the changed and of the unchanged replay in window w, N the unchanged replay's mean
notional per window. difference_bps is of net_bps, each over its own notional; difference_quote = sum (P_w - B_w), and
its interval is N n / 1e4 times that of d_w = 1e4 (P_w - B_w) / N (engine.tuning.interval), null where there are too few
windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from engine.instrument import UNITS_PER_QUOTE
from engine.lane_replay import Change, LaneReplay, Outcome
from engine.tuning.interval import net_interval

COMPONENT_OF = {
    "no latency": "slippage_bps",
    "no fees": "fees_eff_bps",
    "no position cap": "inventory_bps",
    "one tick wider": "gross_bps",
    "no skew": "inventory_bps",
}
"""Intervention -> the component that accounts for what it removes."""
_CAP_FACTOR = 1 << 20
"""A power of two, so that skew / cap, and with it every quote, keeps its value to the last bit."""


def measure_interventions(lane: LaneReplay, totals: Mapping[str, Any]) -> dict[str, Any]:
    """Replays and compares.

    Args:
        totals: lane 0's slice of the run, for the components and for the proof that the replay is the run.

    Returns:
        {"unchanged": {net_bps, net_pnl_quote, notional_quote, fills}, "same_as_run": bool, "interventions": [{name,
        component, component_bps, net_bps, net_pnl_quote, notional_quote, fills, difference_bps, difference_quote,
        low_quote, high_quote}]}; without fills bps are null.
    """
    unchanged = lane.unchanged()
    (base,) = lane.run_all([unchanged])
    changes = _changes(unchanged, base)
    outcomes = dict(zip(changes, lane.run_all(list(changes.values())), strict=True))
    base_json = base.to_json()
    return {
        "unchanged": base_json,
        "same_as_run": all(totals[name] == base_json[name] for name in base_json),
        "interventions": [_row(name, outcomes[name], base, totals) for name in changes],
    }


def _changes(unchanged: Change, base: Outcome) -> dict[str, Change]:
    config = unchanged.config

    def with_config(**constants: Any) -> Change:
        return replace(unchanged, config=config._replace(**constants))

    changes = {
        "no latency": with_config(entry_ns=0, response_ns=0),
        "no fees": replace(unchanged, fee_rate=Fraction(0), taker_fee_rate=Fraction(0)),
        "no position cap": with_config(
            cap_lots=config.cap_lots * _CAP_FACTOR, skew_bps_at_cap=config.skew_bps_at_cap * _CAP_FACTOR
        ),
    }
    if base.quoted_ticks:
        wider = 1 + 1 / base.quoted_ticks
        changes["one tick wider"] = with_config(
            base_half_spread_bps=config.base_half_spread_bps * wider,
            market_half_spread_share=config.market_half_spread_share * wider,
        )
    return changes | {"no skew": with_config(skew_bps_at_cap=0.0)}


def _row(name: str, outcome: Outcome, base: Outcome, totals: Mapping[str, Any]) -> dict[str, Any]:
    values, component = outcome.to_json(), COMPONENT_OF[name]
    own, other = values["net_bps"], base.total.to_json()["net_bps"]
    money = [changed.net_units - was.net_units for changed, was in zip(outcome.windows, base.windows, strict=True)]
    count, notional = len(money), base.total.notional_units
    interval = net_interval(money, [notional] * count) if notional else None
    return {
        "name": name,
        "component": component,
        "component_bps": totals[component],
        **values,
        "difference_bps": None if own is None or other is None else own - other,
        "difference_quote": sum(money) / UNITS_PER_QUOTE,
        # with the same denominator in every window the interval is that of the mean: times n it is the sum's
        "low_quote": _money(interval.low, notional, count) if interval else None,
        "high_quote": _money(interval.high, notional, count) if interval else None,
    }


def _money(bps: float, notional_units: int, count: int) -> float:
    return float(bps / 1e4 * notional_units * count / UNITS_PER_QUOTE)
