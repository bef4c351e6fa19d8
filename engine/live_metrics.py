"""LIVE_METRICS: what a running bot says of itself on /metrics, one row a metric; docs/live_metrics.md is made from it.

A metric is exposed as `nightsoak_<name>`. One that cannot be known is left out of the exposition, never 0: `absent` says
in which modes and why. Percentiles are over the last SAMPLES observations. Times are market time (the tape's or the
feed's clock) unless the row says wall time; *modelled* values come from the fill model's constants.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "nightsoak_"
SAMPLES = 4096
_LIVE_ONLY = "replay: a tape is read, not received: there is no queue that could fill"


@dataclass(frozen=True)
class LiveMetric:
    """`kind`: gauge or counter. `label`: the label that tells the samples of one metric apart, if there are several.

    `source`: what of the loop's data it is computed from. `absent`: when it is not exposed although the bot is well.
    """

    name: str
    unit: str
    meaning: str
    source: str
    absent: str = ""
    kind: str = "gauge"
    label: str = ""


_SPANS = (("p50", "median"), ("p90", "90th percentile"), ("p99", "99th percentile"))
_NO_INTENT = "until the bot has wanted to change a quote in the window"
_NO_REQUEST = "until a request was sent"
_NO_ACK = "until a request was acknowledged"
_NO_MARKOUT = "until a fill is 10 s old"


def _tick_to_decision(span: str, words: str) -> LiveMetric:
    return LiveMetric(f"tick_to_decision_{span}_ms", "ms", f"{words} of: receipt of the newest message to the request decided on it", "order records new, amend, cancel; receipt times of messages", _NO_REQUEST)  # fmt: skip


def _ack_only(span: str, words: str) -> LiveMetric:
    return LiveMetric(f"ack_only_{span}_ms", "ms", f"{words} of: request to acknowledgement; modelled for paper orders", "order records ack", _NO_ACK)  # fmt: skip


LIVE_METRICS: dict[str, LiveMetric] = {
    m.name: m
    for m in (
        LiveMetric("quote_block_ratio", "ratio", "blocked intents / all intents to change a quote, current window", "kernel block counts; order records new, amend, cancel", _NO_INTENT),
        LiveMetric("policy_block_ratio", "ratio", "the same for the bot's own guards alone (risk, stale, gap), without the limits on requests", "kernel block counts; order records new, amend, cancel", _NO_INTENT),
        LiveMetric("window_id", "index", "the current window, from 0", "schedule"),
        LiveMetric("window_shots", "orders", "orders sent in the current window (amendments are none)", "order records new"),
        LiveMetric("window_outcomes", "orders", "orders that ended in the current window, by fill, cancel or expiry", "fill and order records that end an order"),
        LiveMetric("gate_ready", "0 or 1", "1 when a verdict on the measurement so far would not be NODATA", "config/gates.json on the KPIs so far"),
        LiveMetric("gate_fail_reasons", "0 or 1", "1 for each KPI that keeps the verdict from SUCCESS: it fails, warns, misses its ideal or has no data", "config/gates.json on the KPIs so far", "for a KPI that meets its ideal", label="metric"),
        LiveMetric("data_valid_ratio", "ratio", "time with a two-sided, uncrossed book / time of the measurement so far", "kernel", "until a second has passed"),
        LiveMetric("seq_gap_rate", "ratio", "gaps of the feed / messages received, measurement so far", "kernel gap count; messages", "until a message was received"),
        LiveMetric("ts_inversion_rate", "ratio", "messages whose exchange time is below that of an earlier one / messages received, measurement so far", "exchange times of messages in order of receipt", "until a message was received"),
        LiveMetric("stale_tick_drop_ratio", "ratio", "messages dropped because the bot was behind / messages received", "feed session", _LIVE_ONLY),
        *(_tick_to_decision(span, words) for span, words in _SPANS),
        *(_ack_only(span, words) for span, words in _SPANS),
        LiveMetric("tick_to_ack_p99_ms", "ms", "99th percentile of: receipt of the newest message to the acknowledgement of the request decided on it", "order records; receipt times of messages", _NO_ACK),
        LiveMetric("decision_queue_wait_p99_ms", "ms", "99th percentile of: receipt of the newest message to the quoting step that decided; the step takes no market time, so it is the part of tick_to_decision that the cadence costs: all of it", "order records new, amend, cancel; receipt times of messages", _NO_REQUEST),
        LiveMetric("decision_compute_p99_ms", "ms", "99th percentile of: wall time of a kernel call / quoting steps in it, books and fills of all lanes included", "wall clock around the kernel", "until a step was made"),
        LiveMetric("source_latency_p99_ms", "ms", "99th percentile of: exchange time to receipt of a message; a tape's clock shift is removed, on a live feed the difference of the two clocks is part of it", "times of messages", "until a message was received"),
        LiveMetric("local_backlog_p99_ms", "ms", "99th percentile of: receipt of a message to its entry into the kernel, by the wall clock; the bot takes a second at a time, so up to 1000 ms are its rhythm", "feed session", _LIVE_ONLY),
        LiveMetric("pnl_10s_p50_bps_raw", "bps", "median over fills of 1e4 s (v(m_{t+10s}) - v(p)) / |v(p)|, fees left out", "fills and marks 10 to 12 s later", _NO_MARKOUT),
        LiveMetric("pnl_10s_p50_bps_robust", "bps", "the same without outliers: fills further from the median than `outlier_mads` scaled median deviations", "fills and marks 10 to 12 s later", _NO_MARKOUT),
        LiveMetric("net_markout_10s_quote_p50", "PnL currency", "median over fills of s q (v(m_{t+10s}) - v(p)) + fee", "fills and marks 10 to 12 s later", _NO_MARKOUT),
        LiveMetric("net_markout_10s_usdc_p50", "USDC", "the same where the PnL currency is USDC, under the name that dashboards of such markets expect", "fills and marks 10 to 12 s later", f"where the PnL currency is another; {_NO_MARKOUT}"),
        LiveMetric("roi_notional_10s_bps_p50", "bps", "median over fills of that net amount / notional", "fills and marks 10 to 12 s later", _NO_MARKOUT),
        LiveMetric("pnl_10s_sample_count", "fills", "fills behind the four figures above", "fills and marks 10 to 12 s later"),
        LiveMetric("pnl_10s_outlier_ratio", "ratio", "share of these fills that are outliers", "fills and marks 10 to 12 s later", _NO_MARKOUT),
        LiveMetric("queue_depth_p99", "messages", "99th percentile of the messages waiting in the feed's queue when one is taken", "feed session", _LIVE_ONLY),
        LiveMetric("event_backlog_p99", "events", "99th percentile of the events received and not yet in the kernel, at a kernel call", "feed session", _LIVE_ONLY),
        # beyond the list that dashboards expect
        LiveMetric("blocked_intents_total", "intents", "blocked intents by reason, since the bot's start", "kernel block counts", label="reason", kind="counter"),
        LiveMetric("intents_total", "intents", "allowed intents: requests sent", "order records new, amend, cancel", kind="counter"),
        LiveMetric("fills_total", "fills", "fills of lane 0, since the bot's start", "fill records", kind="counter"),
        LiveMetric("position_lots", "lots", "position by lane", "kernel", label="lane"),
        LiveMetric("net_pnl_quote", "PnL currency", "net PnL by lane, measurement so far, marked at the mid", "fills and marks; components as in docs/metrics_contract.md", label="lane"),
        LiveMetric("paused", "0 or 1", "1 while quoting is paused", "control actions"),
        LiveMetric("market_timestamp_seconds", "s", "the bot's market time, UTC", "loop"),
    )
}  # fmt: skip
"""All rows, in order of the exposition."""
