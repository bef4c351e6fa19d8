"""The verdict: bands and bounds at their edges, missing data, action, proposed package, KPI_GATE.json."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.params import Params
from engine.tuning.bands import SEVERITY, Gates
from engine.tuning.gate import judge


@pytest.mark.parametrize(
    ("net_bps", "verdict", "limit"),
    [
        (-1.0, "FAIL", 2.5),
        (2.499, "FAIL", 2.5),
        (2.4999999999, "FAIL", 2.5),
        (2.5, "WARN", 2.8),
        (2.799, "WARN", 2.8),
        (2.7999999999, "WARN", 2.8),
        (2.8, "OK", 3.0),
        (2.999, "OK", 3.0),
        (2.9999999999, "OK", 3.0),
        (3.0, "SUCCESS", 3.0),
        (7.5, "SUCCESS", 3.0),
        (None, "NODATA", 3.0),
        (float("nan"), "NODATA", 3.0),
    ],
)
def test_net_bps_is_judged_unrounded(kpi_slice, gates, net_bps, verdict, limit) -> None:
    result = judge(kpi_slice(net_bps=net_bps), gates)
    assert result.verdict == verdict
    assert result.action == getattr(gates.actions, verdict)
    assert result.passed == (verdict in ("OK", "SUCCESS"))
    check = result.checks[0]
    assert (check.metric, check.label, check.limit) == ("net_bps", verdict, limit)
    assert all(other.label == "SUCCESS" for other in result.checks[1:])


def test_every_verdict_has_its_own_action(gates) -> None:
    sentences = [getattr(gates.actions, verdict) for verdict in SEVERITY]
    assert len(set(sentences)) == 5
    for verdict, words in {
        "SUCCESS": "24-hour",
        "OK": "one or two adjustments",
        "WARN": "targeted package",
        "FAIL": "block reasons",
        "NODATA": "missing",
    }.items():
        assert words in getattr(gates.actions, verdict)


@pytest.mark.parametrize(
    ("metric", "value", "label", "limit"),
    [
        ("cancel_ratio", 0.6500001, "FAIL", 0.65),
        ("cancel_ratio", 0.65, "WARN", 0.60),
        ("cancel_ratio", 0.6000001, "WARN", 0.60),
        ("cancel_ratio", 0.60, "OK", 0.55),
        ("cancel_ratio", 0.5500001, "OK", 0.55),
        ("cancel_ratio", 0.55, "SUCCESS", 0.55),
        ("maker_share_pct", 79.999, "FAIL", 80.0),
        ("maker_share_pct", 80.0, "WARN", 85.0),
        ("maker_share_pct", 84.999, "WARN", 85.0),
        ("maker_share_pct", 85.0, "OK", 90.0),
        ("maker_share_pct", 89.999, "OK", 90.0),
        ("maker_share_pct", 90.0, "SUCCESS", 90.0),
        ("adverse_bps_p95", 4.0001, "OK", 4.0),
        ("adverse_bps_p95", 4.0, "SUCCESS", 4.0),
        ("slippage_cost_bps_p95", 3.0001, "OK", 3.0),
        ("slippage_cost_bps_p95", 3.0, "SUCCESS", 3.0),
        ("order_age_p95_ms", 330.01, "OK", 330.0),
        ("order_age_p95_ms", 330.0, "SUCCESS", 330.0),
    ],
)
def test_the_other_gates_at_their_bounds(kpi_slice, gates, metric, value, label, limit) -> None:
    result = judge(kpi_slice(**{metric: value}), gates)
    check = next(check for check in result.checks if check.metric == metric)
    assert (check.label, check.observed, check.limit) == (label, value, limit)
    assert result.verdict == label
    assert f"{limit:g}" in check.reason
    if label != "SUCCESS":
        assert result.reason.startswith(f"{metric}: {value:g}")


@pytest.mark.parametrize(
    ("metric", "verdict"),
    [
        ("net_bps", "NODATA"),
        ("cancel_ratio", "NODATA"),
        ("maker_share_pct", "NODATA"),
        ("adverse_bps_p95", "WARN"),
        ("slippage_cost_bps_p95", "WARN"),
        ("order_age_p95_ms", "WARN"),
    ],
)
@pytest.mark.parametrize("how", ["null", "absent"])
def test_missing_data_is_never_a_pass(kpi_slice, gates, packages, metric, verdict, how) -> None:
    kpis = kpi_slice(neg_edge_drivers=["slippage_bps"], null_reasons={metric: "no order has ended"}, **{metric: None})
    if how == "absent":
        del kpis[metric]
    result = judge(kpis, gates, packages=packages)
    assert result.verdict == verdict
    assert not result.passed
    check = next(check for check in result.checks if check.metric == metric)
    assert check.label == "NODATA"
    assert check.observed is None
    assert "no data: no order has ended" in check.reason
    assert check.reason in result.reason
    if verdict == "WARN":
        assert "WARN at best" in check.reason
        assert result.proposal is None  # what warns is missing data, not a driver


def test_an_empty_report_has_no_verdict(gates) -> None:
    result = judge({}, gates)
    assert result.verdict == "NODATA"
    assert {check.label for check in result.checks} == {"NODATA"}


def test_nodata_does_not_hide_a_failure(kpi_slice, gates) -> None:
    result = judge(kpi_slice(net_bps=1.0, cancel_ratio=None), gates)
    assert result.verdict == "NODATA"
    assert "cancel_ratio: no data" in result.reason
    assert "net_bps: 1 is below the fail bound 2.5" in result.reason


def test_a_warning_beside_missing_data_stays_a_failure_where_one_is(kpi_slice, gates) -> None:
    assert judge(kpi_slice(adverse_bps_p95=None, cancel_ratio=0.7), gates).verdict == "FAIL"


def with_gate(gates: Gates, metric: str, **changes) -> Gates:
    value = gates.model_dump(exclude_none=True)
    value["gates"] = [{**gate, **changes} if gate["metric"] == metric else gate for gate in value["gates"]]
    return Gates.model_validate_json(json.dumps(value))


def test_criticality_decides_what_absence_means(kpi_slice, gates) -> None:
    kpis = kpi_slice(order_age_p95_ms=None)
    assert judge(kpis, with_gate(gates, "order_age_p95_ms", criticality="critical")).verdict == "NODATA"
    assert judge(kpis, with_gate(gates, "order_age_p95_ms", criticality="report-only")).verdict == "SUCCESS"
    failing = kpi_slice(cancel_ratio=0.9)
    report_only = judge(failing, with_gate(gates, "cancel_ratio", criticality="report-only"))
    assert report_only.verdict == "SUCCESS"
    check = next(check for check in report_only.checks if check.metric == "cancel_ratio")
    assert check.label == "FAIL"
    assert "report only" in check.reason


def test_the_note_of_a_gate_stands_beside_it(kpi_slice, gates) -> None:
    check = next(c for c in judge(kpi_slice(), gates).checks if c.metric == "maker_share_pct")
    assert check.reason == "meets 90 (a post-only bot sits at 100 by construction)"


@pytest.mark.parametrize(
    ("kpis", "package", "driver"),
    [
        ({"net_bps": 2.6, "neg_edge_drivers": ["slippage_bps", "gross_bps"]}, "slippage_cover", "slippage_bps"),
        ({"net_bps": 2.6, "neg_edge_drivers": ["inventory_bps"]}, "inventory_relief", "inventory_bps"),
        ({"net_bps": 2.6, "neg_edge_drivers": ["fees_eff_bps"]}, "wider_quotes", "fees_eff_bps"),
        ({"net_bps": 2.6, "neg_edge_drivers": ["gross_bps"]}, "wider_quotes", "gross_bps"),
        ({"net_bps": 2.6, "cancel_ratio": 0.62, "neg_edge_drivers": ["gross_bps"]}, "wider_quotes", "gross_bps"),
        ({"net_bps": 2.6, "cancel_ratio": 0.62}, "fewer_replacements", "cancel_ratio"),
        ({"cancel_ratio": 0.62, "neg_edge_drivers": ["gross_bps"]}, "fewer_replacements", "cancel_ratio"),
        ({"maker_share_pct": 83.0}, "fewer_replacements", "maker_share_pct"),
    ],
)
def test_a_warning_proposes_the_worst_drivers_package(kpi_slice, gates, packages, kpis, package, driver) -> None:
    result = judge(kpi_slice(**kpis), gates, packages=packages)
    assert result.verdict == "WARN"
    assert (result.proposal.package, result.proposal.driver) == (package, driver)
    assert result.proposal.changes == ()


def test_every_component_and_gate_has_a_package(gates, packages) -> None:
    for driver in ("gross_bps", "fees_eff_bps", "slippage_bps", "inventory_bps", *(g.metric for g in gates.gates)):
        assert packages.for_driver(driver) is not None, driver


def test_a_proposal_shows_the_clamped_values_and_is_not_applied(kpi_slice, gates, packages) -> None:
    params = Params(tail_age_ms=950)
    kpis = kpi_slice(net_bps=2.6, neg_edge_drivers=["slippage_bps"])
    proposal = judge(kpis, gates, packages=packages, params=params).proposal
    assert [(c.parameter, c.before, c.after, c.status) for c in proposal.changes] == [
        ("base_spread_bps_delta", 0.10, 0.15, "fired"),
        ("tail_age_ms", 950, 1000, "clamped"),
    ]
    assert proposal.to_json()["applied"] is False


@pytest.mark.parametrize("net_bps", [2.0, 2.9, 3.1, None])
def test_only_a_warning_proposes(kpi_slice, gates, packages, net_bps) -> None:
    kpis = kpi_slice(net_bps=net_bps, neg_edge_drivers=["slippage_bps"])
    assert judge(kpis, gates, packages=packages).proposal is None


def planted_windows(n: int, mean_bps: float, seed: int = 5) -> list[dict[str, float]]:
    noise = np.random.default_rng(seed).normal(0, 2.0, n)
    return [{"net_pnl_quote": 0.1 * (mean_bps + x), "notional_quote": 1000.0} for x in noise.tolist()]


def test_kpi_gate_json(kpi_slice, gates, packages) -> None:
    windows = planted_windows(36, 2.6)
    kpis = kpi_slice(net_bps=2.6, neg_edge_drivers=["slippage_bps"])
    result = judge(kpis, gates, windows=windows, packages=packages, params=Params())
    value = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert value["verdict"] == "WARN"
    assert value["action"] == gates.actions.WARN
    assert value["action_package"]["package"] == "slippage_cover"
    for check in value["checks"]:
        assert set(check) >= {"name", "metric", "observed", "limit", "label", "reason"}
    assert [check["metric"] for check in value["checks"]] == ["net_bps", *(g.metric for g in gates.gates)]
    interval = value["net_bps"]["interval"]
    assert interval["low"] < interval["mean"] < interval["high"]
    assert interval["n_windows"] == 36
    assert sum(interval["bands"].values()) == pytest.approx(1.0, abs=1e-12)
    assert value["net_bps"]["interval_note"] == ""


def test_too_few_windows_give_no_interval_and_say_so(kpi_slice, gates) -> None:
    windows = [*planted_windows(11, 3.0), {"net_pnl_quote": None, "notional_quote": None}]
    value = judge(kpi_slice(), gates, windows=windows).to_json()["net_bps"]
    assert value["interval"] is None
    assert value["interval_note"] == "no interval: 11 windows with fills, at least 12 are needed"


def test_windows_that_are_too_short_are_warned_of(kpi_slice, gates) -> None:
    pnl = np.repeat([0.1, 0.5, 0.2, 0.6], 12).tolist()
    windows = [{"net_pnl_quote": value, "notional_quote": 1000.0} for value in pnl]
    assert "windows are too short" in judge(kpi_slice(), gates, windows=windows).interval_note


BETTER = {"net_bps": 1, "maker_share_pct": 1, "cancel_ratio": -1, "adverse_bps_p95": -1, "order_age_p95_ms": -1}


@given(
    st.fixed_dictionaries(
        {
            "net_bps": st.floats(1, 4),
            "maker_share_pct": st.floats(70, 100),
            "cancel_ratio": st.floats(0.4, 0.8),
            "adverse_bps_p95": st.floats(2, 6),
            "order_age_p95_ms": st.floats(200, 500),
        }
    ),
    st.sampled_from(sorted(BETTER)),
    st.floats(0, 1),
)
def test_a_better_kpi_never_worsens_the_verdict(kpi_slice, gates, kpis, metric, step) -> None:
    worse = judge(kpi_slice(**kpis), gates)
    better = judge(kpi_slice(**{**kpis, metric: kpis[metric] + BETTER[metric] * step}), gates)
    assert SEVERITY[better.verdict] <= SEVERITY[worse.verdict]
