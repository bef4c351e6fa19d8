"""Every row of the matrix against a planted KPI slice: exactly the row's change, nothing else."""

from __future__ import annotations

import math

import pytest

from engine.params import NAMES, Params
from engine.tuning.autotune import TuneState, decide
from engine.tuning.rules import load_rules

START = Params()

# rule, planted KPI, threshold, and per depth (just beyond, 1.5 x, 2 x, 5 x) the parameters that follow
ROWS = [
    ("slippage", "slippage_cost_bps", 1.0, [
        {"base_spread_bps_delta": 0.12, "tail_age_ms": 700},
        {"base_spread_bps_delta": 0.135, "tail_age_ms": 725},
        {"base_spread_bps_delta": 0.15, "tail_age_ms": 750},
        {"base_spread_bps_delta": 0.15, "tail_age_ms": 750},
    ]),
    ("adverse", "adverse_bps_p95", 4.0, [
        {"impact_cap_ratio": 0.07, "max_delta_ratio": 0.12},
        {"impact_cap_ratio": 0.06, "max_delta_ratio": 0.11},
        {"impact_cap_ratio": 0.05, "max_delta_ratio": 0.10},
        {"impact_cap_ratio": 0.05, "max_delta_ratio": 0.10},
    ]),
    ("min_interval_blocks", "block_ratios.min_interval", 0.40, [
        {"min_interval_ms": 90},
        {"min_interval_ms": 100},
        {"min_interval_ms": 110},
        {"min_interval_ms": 110},
    ]),
    ("concurrency_blocks", "block_ratios.concurrency", 0.30, [
        {"replace_rate_per_min": 250},
        {"replace_rate_per_min": 235},
        {"replace_rate_per_min": 220},
        {"replace_rate_per_min": 220},
    ]),
    ("cancel_ratio", "cancel_ratio", 0.60, [
        {"replace_rate_per_min": 250},
        {"replace_rate_per_min": 235},
        {"replace_rate_per_min": 220},
        {"replace_rate_per_min": 220},
    ]),
    ("age_relief", "order_age_p95_ms", 330.0, [
        {"min_interval_ms": 60, "replace_rate_per_min": 310},
        {"min_interval_ms": 60, "replace_rate_per_min": 310},
        {"min_interval_ms": 60, "replace_rate_per_min": 310},
        {"min_interval_ms": 60, "replace_rate_per_min": 310},
    ]),
]  # fmt: skip
WIDEN = [{"base_spread_bps_delta": value} for value in (0.12, 0.135, 0.15, 0.15)]
SLOWER = [{"min_interval_ms": value} for value in (90, 100, 110, 110)]
SHIPPED = [
    ("slippage", "slippage_cost_bps", 1.0, WIDEN),
    ("adverse", "adverse_bps_p95", 4.0, WIDEN),
    ("min_interval_blocks", "block_ratios.min_interval", 0.40, SLOWER),
    ("concurrency_blocks", "block_ratios.concurrency", 0.30, SLOWER),
    ("cancel_ratio", "cancel_ratio", 0.60, [{"tail_age_ms": value} for value in (700, 725, 750, 750)]),
    ("age_relief", "order_age_p95_ms", 330.0, [{"min_interval_ms": 60}] * 4),
]
MATRICES = {"": SHIPPED, "seed": ROWS}
DEPTHS = (1.0, 1.5, 2.0, 5.0)


def planted(kpi_slice, metric: str, value: float) -> dict:
    if metric.startswith("block_ratios."):
        return kpi_slice(blocks={metric.removeprefix("block_ratios."): value})
    return kpi_slice(**{metric: value})


def cases():
    for matrix, table in MATRICES.items():
        for rule, metric, threshold, expected in table:
            for depth, changes in zip(DEPTHS, expected, strict=True):
                value = math.nextafter(threshold, math.inf) if depth == 1.0 else threshold * depth
                yield pytest.param(matrix, rule, metric, value, changes, id=f"{matrix or 'shipped'}-{rule}-{depth}x")


@pytest.mark.parametrize(("matrix", "rule", "metric", "value", "expected"), list(cases()))
def test_a_planted_kpi_gives_exactly_the_rows_change(config, kpi_slice, matrix, rule, metric, value, expected) -> None:
    rules = load_rules(config, matrix)
    decision = decide(planted(kpi_slice, metric, value), START, TuneState(), rules)
    assert decision.triggers == (rule,)
    assert dict(decision.params) == {**START, **expected}
    assert {c.parameter: c.after for c in decision.changes} == expected
    assert all(c.rule == rule and c.status == "fired" and metric in c.reason for c in decision.changes)
    assert [type(decision.params[name]) for name in NAMES] == [type(START[name]) for name in NAMES]


@pytest.mark.parametrize(("rule", "metric", "threshold"), [row[:3] for row in ROWS])
def test_nothing_triggers_at_the_threshold_itself(rules, kpi_slice, rule, metric, threshold) -> None:
    decision = decide(planted(kpi_slice, metric, threshold), START, TuneState(), rules)
    assert decision.triggers == ()
    assert decision.changes == ()
    assert decision.params == START
    assert decision.note == "No change: no rule triggered."


def test_the_table_above_covers_the_whole_matrix(config) -> None:
    for matrix, table in MATRICES.items():
        rows = load_rules(config, matrix).matrix.rows
        assert [(r.name, r.trigger.metric, r.trigger.threshold) for r in rows] == [row[:3] for row in table]


@pytest.mark.parametrize(("rule", "metric", "threshold"), [row[:3] for row in ROWS])
def test_a_worse_kpi_never_moves_a_parameter_less(rules, kpi_slice, rule, metric, threshold) -> None:
    values = [threshold * (1 + step / 40) for step in range(1, 100)]
    runs = [decide(planted(kpi_slice, metric, value), START, TuneState(), rules).params for value in values]
    for name in NAMES:
        moved = [abs(params[name] - START[name]) for params in runs]
        assert moved == sorted(moved)


@pytest.mark.parametrize(
    ("kpi", "value", "words"),
    [
        ("adverse_bps_p95", None, "adverse_bps_p95 has no data (no mark 5 s after a fill)"),
        ("slippage_cost_bps_p95", 3.01, "slippage_cost_bps_p95 3.01 > 3"),
        ("cancel_ratio", 0.61, "cancel_ratio 0.61 > 0.6"),
    ],
)
def test_age_relief_waits_for_healthy_execution(rules, kpi_slice, kpi, value, words) -> None:
    reasons = {"adverse_bps_p95": "no mark 5 s after a fill"}
    decision = decide(
        kpi_slice(order_age_p95_ms=400.0, null_reasons=reasons, **{kpi: value}), START, TuneState(), rules
    )
    relief = [change for change in decision.changes if change.rule == "age_relief"]
    assert [(c.parameter, c.before, c.wanted, c.after, c.status) for c in relief] == [
        ("min_interval_ms", 70, 60, 70, "refused"),
        ("replace_rate_per_min", 280, 310, 280, "refused"),
    ]
    assert all(words in change.reason for change in relief)
    assert "age_relief" not in decision.triggers


@pytest.mark.parametrize(("kpi", "value"), [("adverse_bps_p95", 4.0), ("slippage_cost_bps_p95", 3.0)])
def test_execution_at_its_bounds_is_healthy(rules, kpi_slice, kpi, value) -> None:
    decision = decide(kpi_slice(order_age_p95_ms=400.0, **{kpi: value}), START, TuneState(), rules)
    assert decision.triggers == ("age_relief",)


def test_a_kpi_without_data_moves_nothing_and_is_named(rules, kpi_slice) -> None:
    decision = decide(kpi_slice(adverse_bps_p95=None, slippage_cost_bps=float("nan")), START, TuneState(), rules)
    assert decision.params == START
    assert decision.note == "No change: no rule triggered. Without data: adverse_bps_p95, slippage_cost_bps."
    states = {reading.rule: reading.state for reading in decision.readings}
    assert states["adverse"] == states["slippage"] == "unknown"


def test_without_block_reasons_the_block_rows_are_unknown(rules, kpi_slice) -> None:
    readings = decide(kpi_slice(block_reasons=None), START, TuneState(), rules).readings
    assert [r.rule for r in readings if r.state == "unknown"] == ["min_interval_blocks", "concurrency_blocks"]
    readings = decide({**kpi_slice(), "block_reasons": {}}, START, TuneState(), rules).readings
    assert {r.state for r in readings} == {"quiet"}


def test_a_kpi_of_another_type_is_an_error(rules, kpi_slice) -> None:
    with pytest.raises(TypeError, match=r"cancel_ratio must be a number or null, not '0\.7'"):
        decide(kpi_slice(cancel_ratio="0.7"), START, TuneState(), rules)
