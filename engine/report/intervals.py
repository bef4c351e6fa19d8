"""95 % intervals of the KPIs that are a sum over a sum, from their values in the run's windows.

Notation: x_w the KPI of window w, d_w its denominator, so that the run's KPI is sum x_w d_w / sum d_w: the ratio
estimator of engine.tuning.interval with x_w d_w for PnL and d_w for notional (its factor 1e4 is taken out again).
Percentiles are not of that form and have no interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.metrics import COMPONENTS


def _notional(window: Mapping[str, Any], kpi: str) -> float:
    return float(window["notional_quote"] or 0)


def _count(window: Mapping[str, Any], kpi: str) -> float:
    return float(window["n"].get(kpi) or 0)


def _seconds(window: Mapping[str, Any], kpi: str) -> float:
    return float(window["end_ns"] - window["start_ns"]) / 1e9


DENOMINATORS: dict[str, Callable[[Mapping[str, Any], str], float]] = {
    **dict.fromkeys((*COMPONENTS, "slippage_cost_bps", "maker_share_pct"), _notional),
    **dict.fromkeys(("maker_taker_ratio", "cancel_ratio"), _count),
    "risk_ratio": _seconds,
}
"""KPI -> its denominator in a window. net_bps has its own interval (RunRecord.interval)."""


def kpi_intervals(edge: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """{kpi: {low, high}} for the KPIs of DENOMINATORS that have enough windows with data, in the KPI's own unit."""
    from engine.tuning.interval import net_interval  # scipy: not needed to render a report again

    result = {}
    for kpi, denominator in DENOMINATORS.items():
        numerators, denominators = [], []
        for window in edge.get("windows", []):
            if window["net_pnl_quote"] is None:
                continue  # a position, and no book to mark it with
            value = window[kpi]
            weight = 0.0 if value is None else denominator(window, kpi)
            if value is None and kpi == "inventory_bps":
                # without fills there are no bps, but what the position earned is all of the window's PnL
                numerators.append(1e4 * window["net_pnl_quote"])
            else:
                numerators.append(0.0 if value is None else value * weight)
            denominators.append(weight)
        interval = net_interval(numerators, denominators) if any(denominators) else None
        if interval is not None:
            result[kpi] = {"low": interval.low / 1e4, "high": interval.high / 1e4}
    return result
