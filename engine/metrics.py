"""METRICS: the KPI contract. docs/metrics_contract.md is generated from this table and checked in the tests.

Notation (reference: the exact PnL identity in docs/metrics_contract.md). Fill i: side s, lots q, value v(p) of one
lot at its price, mids mq when quoted and mf at the fill, fee F (+ rebate, - cost). V = sum q|v(p)|, K = 1e4 / V.
Every bps component is a contribution: + helps net. A ratio is a sum over a sum; no data is null, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """`better`: +1 more is better, -1 less is better, 0 neither. `sql`: the file under sql/kpi that computes it."""

    name: str
    unit: str
    better: int
    formula: str
    sql: str
    note: str = ""


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("net_bps", "bps", +1, "gross_bps + fees_eff_bps + slippage_bps + inventory_bps = K * (cash + I_T v(m_T) - I_0 v(m_0) + sum F)", "edge_bps.sql"),
        Metric("gross_bps", "bps", +1, "K * sum s q (v(mq) - v(p))", "edge_bps.sql", "edge asked for when the quote was sent or last amended"),
        Metric("fees_eff_bps", "bps", +1, "K * sum F", "edge_bps.sql", "+ rebate, - cost"),
        Metric("slippage_bps", "bps", +1, "K * sum s q (v(mf) - v(mq))", "edge_bps.sql", "what the mid did between quoting and filling"),
        Metric("inventory_bps", "bps", +1, "K * (sum I_{i-1} (v(mf_i) - v(mf_{i-1})) + I_n (v(m_T) - v(mf_n)) + funding)", "edge_bps.sql", "what the position earned or lost"),
        Metric("slippage_cost_bps", "bps", -1, "-slippage_bps", "edge_bps.sql", "acted on above +1.0"),
        Metric("adverse_bps", "bps", -1, "-K * sum s q (v(m_{t+5s}) - v(mf)) over fills with a mark 5 s later", "adverse_bps.sql", "informational: already inside inventory_bps, never added"),
        Metric("adverse_bps_p95", "bps", -1, "95th percentile over fills of the 5 s markout cost in bps", "adverse_bps.sql"),
        Metric("slippage_cost_bps_p95", "bps", -1, "95th percentile over fills of -1e4 s (v(mf) - v(mq)) / |v(p)|", "slippage_cost_bps_p95.sql"),
        Metric("maker_share_pct", "%", +1, "maker notional / all notional * 100", "maker_share_pct.sql"),
        Metric("maker_taker_ratio", "ratio", +1, "maker fills / all fills", "maker_taker_ratio.sql", "a post-only bot sits at 1"),
        Metric("cancel_ratio", "ratio", -1, "orders ended by cancel / orders ended", "cancel_ratio.sql"),
        Metric("order_age_p95_ms", "ms", -1, "95th percentile over fills of the time since the quote was last sent or amended", "order_age_p95_ms.sql"),
        Metric("p95_latency_ms", "ms", -1, "95th percentile of exchange to local time of the feed events acted on, clock shift removed", "p95_latency_ms.sql", "modelled in replay of generated tapes"),
        Metric("order_ack_p95_ms", "ms", -1, "95th percentile of the time from request to acknowledgement", "order_ack_p95_ms.sql"),
        Metric("risk_ratio", "ratio", -1, "time-weighted |position| / position cap", "risk_ratio.sql"),
        Metric("block_ratios", "ratio by reason", -1, "blocked intents of a reason / all intents to change a quote", "block_ratios.sql"),
        Metric("net_pnl_quote", "PnL currency", +1, "cash + I_T v(m_T) - I_0 v(m_0) + sum F + funding", "pnl.sql"),
        Metric("realised_pnl_quote", "PnL currency", +1, "sum x (v_close - v_open) over the lots closed, first in first out, + sum F + funding", "realised_pnl_quote.sql", "with unrealised_pnl_quote it is net_pnl_quote"),
        Metric("unrealised_pnl_quote", "PnL currency", +1, "change of I v(m) - what the open lots cost, first in first out", "unrealised_pnl_quote.sql", "a position at the run's start cost the mid there"),
        Metric("max_drawdown_quote", "PnL currency", -1, "largest fall of cumulated PnL, marked at fills and window edges, from its high", "pnl.sql"),
        Metric("fills", "count", 0, "number of fills", "volume.sql"),
        Metric("notional_quote", "PnL currency", 0, "V = sum q |v(p)|", "volume.sql"),
        Metric("coverage_pct", "%", +1, "seconds with a valid book / seconds of the slice * 100", "coverage_pct.sql"),
    )
}  # fmt: skip
MARKOUT_HORIZONS_S = (1, 5, 10, 60)
"""Seconds after a fill at which the mid is looked at again; adverse_bps is the 5 s one."""
COMPONENTS = ("gross_bps", "fees_eff_bps", "slippage_bps", "inventory_bps")
