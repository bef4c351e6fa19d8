"""EDGE_REPORT.json: a run's KPIs by slice, each with the count of data it rests on or the reason why it is null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.metrics import COMPONENTS, METRICS
from engine.warehouse.build import Built, build, queries
from engine.warehouse.db import Warehouse
from engine.warehouse.markouts import markouts
from engine.warehouse.quality import require_sound
from engine.warehouse.scope import Slice
from engine.warehouse.targets import load_targets

SCALARS = tuple(name for name in METRICS if name != "block_ratios")
_LANE_WINDOW = ("net_pnl_quote", "notional_quote", "net_bps", "fills")


def edge_report(wh: Warehouse, run_id: str, *, targets: Mapping[str, float] | None = None) -> dict[str, Any]:
    """The EDGE_REPORT.json object of docs/design.md, JSON values only.

    Args:
        targets: bps by component for the drivers; config/edge_targets.json by default.

    Raises:
        JournalError: the run is unknown or cannot be told in lots.
        VerificationError: the components do not sum to the cash ledger.
    """
    built = build(wh, run_id)
    require_sound(wh, run_id)
    values = slice_values(wh, built, load_targets() if targets is None else targets)
    run = built.run
    of = {grain: [s for s in built.slices if s.grain == grain] for grain in ("run", "symbol", "iteration", "lane")}
    windows: dict[int, list[Slice]] = {lane: [] for lane, _ in run.lanes}
    for slice_ in built.slices:
        if slice_.grain == "window":
            windows[slice_.lane].append(slice_)

    def span(slice_: Slice) -> dict[str, Any]:
        return {"iteration": slice_.iteration, "start_ns": slice_.start_ns, "end_ns": slice_.end_ns}

    return {
        "run_id": run.run_id,
        "symbol": run.symbol,
        "pnl_currency": run.instrument.pnl_currency,
        "totals": values[of["run"][0].slice_id],
        "windows": [values[s.slice_id] | {"window": s.first_window} | span(s) for s in windows.get(0, [])],
        "iterations": [values[s.slice_id] | span(s) for s in of["iteration"]],
        "symbols": {run.symbol: values[of["symbol"][0].slice_id]},
        "markouts": markouts(wh, run_id),
        "lanes": [
            values[s.slice_id]
            | {
                "lane": s.lane,
                "role": role,
                "windows": [
                    {"window": w.first_window} | {name: values[w.slice_id][name] for name in _LANE_WINDOW}
                    for w in windows[s.lane]
                ],
            }
            for s, (_, role) in zip(of["lane"], run.lanes, strict=True)
        ],
    }


def slice_values(wh: Warehouse, built: Built, targets: Mapping[str, float]) -> dict[int, dict[str, Any]]:
    """slice_id -> SLICE object, from the kpi_ tables. Ratios are integers divided once, here."""
    result: dict[int, dict[str, Any]] = {
        s.slice_id: {**dict.fromkeys(SCALARS), "n": {}, "null_reasons": {}, "block_reasons": {}} for s in built.slices
    }
    for table in sorted(t for t in queries() if t.startswith("kpi_") and t != "kpi_block_ratios"):
        rows = wh.execute(f"SELECT slice_id, metric, numerator, denominator, value, n, null_reason FROM {table}")
        for slice_id, metric, numerator, denominator, value, n, reason in rows:
            slice_ = result[slice_id]
            slice_[metric] = _number(metric, numerator, denominator, value)
            slice_["n"][metric] = int(n)
            if slice_[metric] is None:
                slice_["null_reasons"][metric] = reason
    _add_blocks(wh, result)
    for slice_ in result.values():
        slice_["n"] = dict(sorted(slice_["n"].items()))
        slice_["null_reasons"] = dict(sorted(slice_["null_reasons"].items()))
        slice_["edge_drivers"] = edge_drivers(slice_, targets)
        slice_["neg_edge_drivers"] = [d["name"] for d in slice_["edge_drivers"] if d["shortfall_bps"] > 0]
    return result


def edge_drivers(slice_: Mapping[str, float | None], targets: Mapping[str, float]) -> list[dict[str, Any]]:
    """The components that are known, by shortfall (target - bps), worst first."""
    drivers = []
    for name in COMPONENTS:
        bps = slice_[name]
        if bps is not None:
            drivers.append(
                {"name": name, "bps": bps, "target_bps": targets[name], "shortfall_bps": targets[name] - bps}
            )
    return sorted(drivers, key=lambda driver: -float(driver["shortfall_bps"]))


def _number(metric: str, numerator: int | None, denominator: int | None, value: float | None) -> float | int | None:
    if value is not None:
        return value
    if numerator is None or not denominator:
        return None
    return numerator if METRICS[metric].unit == "count" else numerator / denominator


def _add_blocks(wh: Warehouse, result: dict[int, dict[str, Any]]) -> None:
    """block_reasons by reason; null in a run whose bot journals neither orders nor blocks."""
    journalled = wh.execute("SELECT (SELECT count(*) FROM core_order) + (SELECT count(*) FROM core_block)")[0][0]
    rows = wh.execute("SELECT slice_id, reason, numerator, denominator FROM kpi_block_ratios ORDER BY slice_id, reason")
    for slice_id, reason, count, intents in rows:
        result[slice_id]["block_reasons"][reason] = {"count": int(count), "ratio": count / intents}
    for slice_ in result.values():
        if not journalled:
            slice_["block_reasons"] = None
            slice_["null_reasons"]["block_ratios"] = "no order and no block record"
