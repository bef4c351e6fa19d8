"""The table of live metrics, its page, and the exposition of a real bot."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.control.exposition import registry_of, render
from engine.live_metrics import LIVE_METRICS, PREFIX
from engine.live_metrics_doc import PATH
from engine.live_metrics_doc import render as render_page

EXPECTED = (
    "quote_block_ratio",
    "policy_block_ratio",
    "window_id",
    "window_shots",
    "window_outcomes",
    "gate_ready",
    "gate_fail_reasons",
    "data_valid_ratio",
    "seq_gap_rate",
    "ts_inversion_rate",
    "stale_tick_drop_ratio",
    "tick_to_decision_p50_ms",
    "tick_to_decision_p90_ms",
    "tick_to_decision_p99_ms",
    "ack_only_p50_ms",
    "ack_only_p90_ms",
    "ack_only_p99_ms",
    "tick_to_ack_p99_ms",
    "decision_queue_wait_p99_ms",
    "decision_compute_p99_ms",
    "source_latency_p99_ms",
    "local_backlog_p99_ms",
    "pnl_10s_p50_bps_raw",
    "pnl_10s_p50_bps_robust",
    "net_markout_10s_usdc_p50",
    "roi_notional_10s_bps_p50",
    "pnl_10s_sample_count",
    "pnl_10s_outlier_ratio",
    "queue_depth_p99",
    "event_backlog_p99",
)
"""What dashboards of such bots expect."""


def test_every_expected_metric_has_a_row_with_its_unit() -> None:
    assert [name for name in EXPECTED if name not in LIVE_METRICS] == []
    for name in EXPECTED:
        row = LIVE_METRICS[name]
        assert row.unit and row.meaning and row.source
        for ending, unit in (("_ms", "ms"), ("_ratio", "ratio"), ("_bps_p50", "bps")):
            assert not name.endswith(ending) or row.unit == unit


def test_names_are_those_that_prometheus_allows() -> None:
    for row in LIVE_METRICS.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", row.name)
        assert row.kind in ("gauge", "counter")
        assert row.name.endswith("_total") == (row.kind == "counter")


def test_the_page_is_fresh() -> None:
    assert PATH.read_text(encoding="utf-8") == render_page(), "run python -m engine.live_metrics_doc"


def families(text: str) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_what_is_not_known_is_left_out_and_never_0() -> None:
    assert render(registry_of(lambda: dict.fromkeys(LIVE_METRICS))) == b""
    text = render(registry_of(lambda: {"window_id": 3, "gate_fail_reasons": {'a"\n': 1}, "paused": None})).decode()
    found = families(text)
    assert found.keys() == {PREFIX + "window_id", PREFIX + "gate_fail_reasons"}
    (sample,) = found[PREFIX + "gate_fail_reasons"].samples
    assert sample.labels == {"metric": 'a"\n'}


def test_a_bots_exposition(served_at_edge: Any) -> None:
    answer = served_at_edge.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.endswith("\n")
    found = families(answer.text)
    names = {name.removeprefix(PREFIX) for name in found}
    live = served_at_edge.get("/report/shadow/live")
    assert names == {name.removesuffix("_total") for name, value in live["metrics"].items() if value is not None}
    assert set(live["absent"]) == {row.name for row in LIVE_METRICS.values()} - {
        name if name in LIVE_METRICS else f"{name}_total" for name in names
    }
    by_name = {row.name.removesuffix("_total"): row for row in LIVE_METRICS.values()}
    for name, family in found.items():
        row = by_name[name.removeprefix(PREFIX)]
        assert family.type == row.kind
        assert family.documentation.endswith(f"[{row.unit}]")
        wanted = live["metrics"][row.name]
        if row.label:
            assert {s.labels[row.label]: s.value for s in family.samples} == wanted
        else:
            (sample,) = family.samples
            assert sample.value == pytest.approx(wanted)
