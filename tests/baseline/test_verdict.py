from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.baseline.presets import Presets
from engine.baseline.verdict import Verdict, judge_attempt, symbol_result, together

EdgeOf = Callable[..., dict[str, Any]]
GOOD = (3.0, 10_000.0, 6, 12.0, 0.2)
CALM = (0.5, 1_000.0, 2, 14.0, 0.1)
EMPTY = (0.0, 0.0, 0, 12.0, 0.0)


def judge(presets: Presets, *edges: dict[str, Any]) -> Verdict:
    return judge_attempt([symbol_result(edge) for edge in edges], presets)


def test_over_windows_ratios_are_sums_over_sums_and_latency_is_their_mean(edge_of: EdgeOf) -> None:
    kpis = symbol_result(edge_of("BTCUSDT", GOOD, CALM)).kpis
    assert kpis["net_bps"] == pytest.approx(1e4 * 3.5 / 11_000)
    assert kpis["p95_latency_ms"] == 13.0
    assert kpis["risk_ratio"] == pytest.approx(0.15)
    assert kpis["maker_taker_ratio"] == 1.0


def test_over_symbols_ratios_are_sums_over_sums_and_the_worst_latency_and_risk_count(edge_of: EdgeOf) -> None:
    one = edge_of("BTCUSDT", GOOD, GOOD)
    other = edge_of("ETHUSDT", (-1.0, 1_000.0, 4, 20.0, 0.5), (-1.0, 1_000.0, 4, 40.0, 0.5), maker_taker_ratio=0.5)
    values, reasons = together([symbol_result(one), symbol_result(other)])
    assert reasons == {}
    assert values["net_bps"] == pytest.approx(1e4 * 4.0 / 22_000)
    assert values["maker_taker_ratio"] == pytest.approx((12 + 4) / 20)
    assert values["p95_latency_ms"] == 30.0
    assert values["risk_ratio"] == 0.5


def test_go_takes_every_threshold(edge_of: EdgeOf, presets: Presets) -> None:
    verdict = judge(presets, edge_of("BTCUSDT", GOOD, GOOD))
    assert verdict.decision == "GO"
    assert [check.label for check in verdict.checks] == ["PASS"] * 4


@pytest.mark.parametrize(
    ("totals", "metric"),
    [
        ({"maker_taker_ratio": 0.82, "fills": 100}, "maker_taker_ratio"),
        ({"net_bps": 2.4999999, "net_pnl_quote": 2.4999999 * 2}, "net_bps"),
        ({"risk_ratio": 0.4000001}, "risk_ratio"),
    ],
)
def test_a_threshold_missed_by_a_hair_is_missed(
    edge_of: EdgeOf, presets: Presets, totals: dict[str, float], metric: str
) -> None:
    verdict = judge(presets, edge_of("BTCUSDT", GOOD, GOOD, **totals))
    assert verdict.decision == "NO-GO"
    assert [check.metric for check in verdict.checks if check.label == "FAIL"] == [metric]


def test_a_threshold_met_exactly_is_met(edge_of: EdgeOf, presets: Presets) -> None:
    at_the_bound = (2.5, 10_000.0, 6, 350.0, 0.2)
    totals = {"maker_taker_ratio": 0.83, "fills": 100, "risk_ratio": 0.40}
    verdict = judge(presets, edge_of("BTCUSDT", at_the_bound, at_the_bound, **totals))
    assert verdict.decision == "GO"


def test_a_late_window_counts_through_the_mean(edge_of: EdgeOf, presets: Presets) -> None:
    late = (3.0, 10_000.0, 6, 700.0, 0.2)
    verdict = judge(presets, edge_of("BTCUSDT", GOOD, late))
    (check,) = [check for check in verdict.checks if check.label == "FAIL"]
    assert (check.metric, check.observed) == ("p95_latency_ms", 356.0)


def test_a_feed_without_fills_is_no_go_with_null_kpis(edge_of: EdgeOf, presets: Presets) -> None:
    verdict = judge(presets, edge_of("BTCUSDT", EMPTY, EMPTY))
    observed = {check.metric: (check.observed, check.label) for check in verdict.checks}
    assert verdict.decision == "NO-GO"
    assert observed["maker_taker_ratio"] == observed["net_bps"] == observed["risk_ratio"] == (None, "NODATA")
    assert observed["p95_latency_ms"] == (12.0, "PASS")


def test_a_symbol_without_fills_leaves_no_pass_to_the_others(edge_of: EdgeOf, presets: Presets) -> None:
    verdict = judge(presets, edge_of("BTCUSDT", GOOD, GOOD), edge_of("ETHUSDT", EMPTY, EMPTY))
    assert verdict.decision == "NO-GO"
    assert {check.metric: check.reason for check in verdict.checks}["net_bps"] == "ETHUSDT: no fills"


def test_a_latency_nobody_measured_is_no_pass(edge_of: EdgeOf, presets: Presets) -> None:
    mute = edge_of("BTCUSDT", (3.0, 10_000.0, 6, None, 0.2))
    assert judge(presets, mute).decision == "NO-GO"


def test_currencies_are_not_added(edge_of: EdgeOf, presets: Presets) -> None:
    inverse = edge_of("BTCUSD", GOOD, GOOD) | {"pnl_currency": "BTC"}
    verdict = judge(presets, edge_of("BTCUSDT", GOOD, GOOD), inverse)
    assert verdict.decision == "NO-GO"
    assert {check.metric: check.reason for check in verdict.checks}["net_bps"] == "BTC and USDT cannot be added"


@pytest.mark.parametrize("coverage", [94.9, None])
def test_a_book_that_was_not_there_is_no_pass(edge_of: EdgeOf, presets: Presets, coverage: float | None) -> None:
    verdict = judge(presets, edge_of("BTCUSDT", GOOD, GOOD, coverage_pct=coverage))
    assert verdict.decision == "NO-GO"
    assert verdict.data and presets.data_recommendations.coverage in verdict.recommendations


def test_recommendations_follow_from_what_failed_and_by_how_much(edge_of: EdgeOf, presets: Presets) -> None:
    texts = {(row.metric, row.miss_from_pct): row.text for row in presets.recommendations}
    for net, row in ((2.49, 0), (2.2, 10), (0.5, 60), (-9.0, 60)):
        window = (net, 10_000.0, 6, 12.0, 0.2)
        verdict = judge(presets, edge_of("BTCUSDT", window, window))
        assert verdict.recommendations[0] == texts["net_bps", row]
    few = presets.data_recommendations.few_windows
    assert verdict.recommendations[1:] == [few]
    assert few not in judge(presets, edge_of("BTCUSDT", *[GOOD] * presets.few_windows)).recommendations
