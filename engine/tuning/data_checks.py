"""Checks on what the numbers rest on, beside the gates on KPIs: they can lower a verdict and never raise it.

expectations        failures of expectations on the run's rows (engine.quality)
parity              lanes whose journalled fills a replay of the tape does not give (engine.parity)
windows_with_fills  below MIN_WINDOWS there is no interval of net_bps, and a level without one is no pass
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.tuning.bands import SEVERITY, Actions, Label

EXPECTATIONS, PARITY, WINDOWS = "expectations", "parity", "windows_with_fills"
BETTER = {EXPECTATIONS: -1, PARITY: -1, WINDOWS: +1}
"""Check -> +1 more is better, -1 less is better; all are counts."""

Check = dict[str, Any]


def windows_check(windows: Sequence[Mapping[str, Any]]) -> Check:
    """`windows`: those of the edge report."""
    from engine.tuning.interval import MIN_WINDOWS, windows_with_fills  # scipy: not needed to render a report again

    filled = windows_with_fills([window["notional_quote"] for window in windows])
    enough = filled >= MIN_WINDOWS
    reason = f"meets {MIN_WINDOWS}" if enough else f"{filled} of the {MIN_WINDOWS} that an interval of net_bps needs"
    return _check("Windows with fills", WINDOWS, filled, MIN_WINDOWS, "SUCCESS" if enough else "WARN", reason)


def parity_check(parity: Mapping[str, Any] | None, why: str = "not measured") -> Check:
    """`parity`: engine.parity.measure_parity, or None where it was not measured; `why` not."""
    if parity is None:
        reason = f"no data: {why}; WARN at best without it"
        return _check("Replay parity", PARITY, None, 0, "NODATA", reason)
    broken = [row["lane"] for row in parity["lanes"] if not row["same"]]
    if not broken:
        reason = "every lane's journalled fills are those of its tape, replayed"
        return _check("Replay parity", PARITY, 0, 0, "SUCCESS", reason)
    names = ", ".join(f"lane {lane}" for lane in broken)
    reason = f"{names}: a replay of the tape gives other fills than the journal"
    return _check("Replay parity", PARITY, len(broken), 0, "WARN", reason)


def with_checks(gate: Mapping[str, Any], checks: Sequence[Check], actions: Actions) -> dict[str, Any]:
    """KPI_GATE.json with `checks` among its checks: the verdict is never better than they allow."""
    verdict: Label = gate["verdict"]
    reason = gate["reason"]
    for check in checks:
        missing = check["label"] == "NODATA" and check["criticality"] == "normal"
        caps_at: Label = "WARN" if missing else check["label"]
        if SEVERITY[caps_at] > SEVERITY[verdict]:
            verdict, reason = caps_at, f"{check['metric']}: {check['reason']}."
        elif caps_at == verdict != "SUCCESS":
            reason = f"{reason.removesuffix('.')}; {check['metric']}: {check['reason']}."
    package = gate["action_package"] if verdict == gate["verdict"] else None
    return {
        **gate,
        "verdict": verdict,
        "reason": reason,
        "action": getattr(actions, verdict),
        "action_package": package,
        "checks": [*gate["checks"], *checks],
    }


def _check(name: str, metric: str, observed: int | None, limit: int, label: Label, reason: str) -> Check:
    return {
        "name": name,
        "metric": metric,
        "unit": "count",
        "limit": limit,
        "criticality": "normal",
        "observed": observed,
        "label": label,
        "reason": reason,
        "bound": "warn",
    }
