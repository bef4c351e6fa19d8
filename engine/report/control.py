"""What tuning was worth: lane 0 (tuned) against the control lane (starting parameters, frozen), window by window.

Notation: P_w, C_w net PnL of the tuned and the control lane in window w, N the control's mean notional per window,

    d_w = 1e4 (P_w - C_w) / N     bps of N; a window without fills counts with the PnL it has

A window whose PnL is unknown in either lane (a position, and no book to mark it with) is left out and counted.
The same market drives both lanes, so differences are paired and the market's own moves cancel out of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONTROL_ROLE = "control"


def compare(edge: Mapping[str, Any]) -> dict[str, Any] | None:
    """The comparison as JSON data, or None where the run had no control lane or no window both lanes share.

    Returns {lane, mean_bps, low, high, n, unknown_windows, windows: [{window, end_ns, difference_bps, tuned_pnl_quote,
    control_pnl_quote}], tuned and control: {net_bps, net_pnl_quote, notional_quote, fills}}. `mean_bps` and the
    differences are null where the control never traded; `low` and `high` where no interval can be had.
    """
    lanes = {lane["lane"]: lane for lane in edge.get("lanes", [])}
    control = next((lane for _, lane in sorted(lanes.items()) if lane.get("role") == CONTROL_ROLE), None)
    if control is None or 0 not in lanes:
        return None
    tuned_of, control_of = ({w["window"]: w for w in lane["windows"]} for lane in (lanes[0], control))
    both = sorted(tuned_of.keys() & control_of.keys())
    shared = [w for w in both if _is_known(tuned_of[w]) and _is_known(control_of[w])]
    if not shared:
        return None
    end_ns = {w["window"]: w["end_ns"] for w in edge["windows"]}
    notional = sum(control_of[w]["notional_quote"] or 0.0 for w in shared) / len(shared)
    rows = []
    for window in shared:
        tuned_pnl, control_pnl = (side[window]["net_pnl_quote"] for side in (tuned_of, control_of))
        rows.append(
            {
                "window": window,
                "end_ns": end_ns[window],
                "difference_bps": 1e4 * (tuned_pnl - control_pnl) / notional if notional > 0 else None,
                "tuned_pnl_quote": tuned_pnl,
                "control_pnl_quote": control_pnl,
            }
        )
    interval = _interval(rows, notional)
    return {
        "lane": control["lane"],
        "mean_bps": sum(row["difference_bps"] for row in rows) / len(rows) if notional > 0 else None,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "n": len(rows),
        "unknown_windows": len(both) - len(shared),
        "windows": rows,
        "tuned": _side(lanes[0]),
        "control": _side(control),
    }


def _is_known(window: Mapping[str, Any]) -> bool:
    return window["net_pnl_quote"] is not None


def _interval(rows: list[dict[str, Any]], notional: float) -> Any:
    """The interval of mean d_w: that of the ratio estimator, the denominator being the same N in every window."""
    from engine.tuning.interval import net_interval  # scipy: not needed to render a report again

    if notional <= 0:
        return None
    differences = [row["tuned_pnl_quote"] - row["control_pnl_quote"] for row in rows]
    return net_interval(differences, [notional] * len(rows))


def _side(lane: Mapping[str, Any]) -> dict[str, Any]:
    return {name: lane.get(name) for name in ("net_bps", "net_pnl_quote", "notional_quote", "fills")}
