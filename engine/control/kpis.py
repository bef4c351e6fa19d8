"""KPIs and live metrics from measures: engine.metrics names for the gate, engine.live_metrics names for /metrics."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.control.measures import Measures
from engine.control.samples import Recent, inliers
from engine.instrument import UNITS_PER_QUOTE
from engine.live_metrics import LIVE_METRICS
from engine.maker.state import BLOCK_NAMES, BLOCK_RISK
from engine.metrics import METRICS
from engine.tuning.bands import Gates
from engine.tuning.gate import GateResult, judge

_SPANS = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_NO_DATA = "no data yet"
_FROM_JOURNAL = "computed from the journal only"


def live_kpis(measures: Measures) -> dict[str, Any]:
    """The measurement so far as a slice of the edge report: number or null, with `null_reasons`."""
    components = measures.pnl.total[0].to_json()
    fills, notional_units = measures.own_fills, measures.pnl.total[0].notional_units
    elapsed_ns = measures.now_ns - measures.since_ns
    ended = measures.orders_ended
    slippage = components["slippage_bps"]
    values: dict[str, Any] = {
        **{name: components[name] for name in components if name in METRICS},
        "slippage_cost_bps": None if slippage is None else -slippage,
        "adverse_bps": measures.markouts.adverse_bps(),
        "adverse_bps_p95": measures.markouts.cost_bps.quantile(0.95),
        "slippage_cost_bps_p95": measures.slippage_cost.quantile(0.95),
        "maker_share_pct": 100 * measures.maker_units / notional_units if fills else None,
        "maker_taker_ratio": measures.maker_fills / fills if fills else None,
        "cancel_ratio": measures.orders_cancelled / ended if ended else None,
        "order_age_p95_ms": measures.order_age.quantile(0.95),
        "p95_latency_ms": measures.feed_latency.quantile(0.95),
        "order_ack_p95_ms": measures.ack.quantile(0.95),
        "fills": fills,
        "coverage_pct": 100 * measures.valid_ns / elapsed_ns if elapsed_ns else None,
    }
    reasons = {name: _NO_DATA if name in values else _FROM_JOURNAL for name in METRICS if values.get(name) is None}
    return {**dict.fromkeys(METRICS), **values, "null_reasons": reasons}


def live_gate(measures: Measures, gates: Gates) -> GateResult:
    """The verdict if the measurement ended now."""
    return judge(live_kpis(measures), gates)


def live_metrics(measures: Measures, gate: GateResult, window: int, *, paused: bool) -> dict[str, Any]:
    """Every live metric: a number, {label value: number}, or None where it is not known."""
    blocked = measures.window_blocked
    asked = int(blocked.sum()) + measures.window_intents
    markouts = measures.markouts
    pnl = markouts.pnl_bps.values()
    kept = inliers(pnl, measures.toxicity.outlier_mads)
    net_p50 = markouts.net_units.quantile(0.5)
    net_p50_quote = None if net_p50 is None else net_p50 / UNITS_PER_QUOTE
    failing = {check.metric: 1 for check in gate.checks if check.label != "SUCCESS"}
    seconds = (measures.now_ns - measures.since_ns) / 1e9
    messages = measures.messages
    feed = measures.feed_known
    values: dict[str, Any] = {
        "quote_block_ratio": int(blocked.sum()) / asked if asked else None,
        "policy_block_ratio": int(blocked[BLOCK_RISK:].sum()) / asked if asked else None,
        "window_id": window,
        "window_shots": measures.window_shots,
        "window_outcomes": measures.window_outcomes,
        "gate_ready": int(gate.verdict != "NODATA"),
        "gate_fail_reasons": failing,
        "data_valid_ratio": measures.valid_ns / 1e9 / seconds if seconds else None,
        "seq_gap_rate": measures.gaps / messages if messages else None,
        "ts_inversion_rate": measures.inversions / messages if messages else None,
        "stale_tick_drop_ratio": measures.dropped / (messages + measures.dropped) if feed and messages else None,
        **_quantiles("tick_to_decision", measures.tick_to_decision),
        **_quantiles("ack_only", measures.ack_only),
        "tick_to_ack_p99_ms": measures.tick_to_ack.quantile(0.99),
        "decision_queue_wait_p99_ms": measures.tick_to_decision.quantile(0.99),
        "decision_compute_p99_ms": measures.compute.quantile(0.99),
        "source_latency_p99_ms": measures.source_latency.quantile(0.99),
        "local_backlog_p99_ms": measures.backlog.quantile(0.99),
        "pnl_10s_p50_bps_raw": markouts.pnl_bps.quantile(0.5),
        "pnl_10s_p50_bps_robust": float(np.median(pnl[kept])) if pnl.size else None,
        "net_markout_10s_quote_p50": net_p50_quote,
        "net_markout_10s_usdc_p50": net_p50_quote if measures.pnl_currency == "USDC" else None,
        "roi_notional_10s_bps_p50": markouts.net_bps.quantile(0.5),
        "pnl_10s_sample_count": len(pnl),
        "pnl_10s_outlier_ratio": float((~kept).mean()) if pnl.size else None,
        "queue_depth_p99": measures.queue_depth.quantile(0.99),
        "event_backlog_p99": measures.event_backlog.quantile(0.99),
        "blocked_intents_total": dict(zip(BLOCK_NAMES, measures.blocked.tolist(), strict=True)),
        "intents_total": measures.intents,
        "fills_total": measures.fills,
        "position_lots": {str(lane): lots for lane, lots in enumerate(measures.pnl.positions_lots)},
        "net_pnl_quote": {str(lane): part.net_units / UNITS_PER_QUOTE for lane, part in enumerate(measures.pnl.total)},
        "paused": int(paused),
        "market_timestamp_seconds": measures.now_ns / 1e9,
    }
    assert values.keys() == LIVE_METRICS.keys()
    return values


def _quantiles(name: str, samples: Recent) -> dict[str, float | None]:
    return {f"{name}_{span}_ms": samples.quantile(share) for span, share in _SPANS.items()}
