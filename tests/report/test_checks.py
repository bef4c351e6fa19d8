"""The checks table says what KPI_GATE.json says."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.metrics import COMPONENTS
from engine.report.artefacts import build_artefacts
from engine.report.checks import build_checks
from engine.report.format import beside_limit, money, money_digits, number, plain, span
from engine.report.intervals import kpi_intervals
from engine.report.record import RunRecord


def with_check(record: RunRecord, metric: str, **changes: Any) -> RunRecord:
    checks = [{**check, **(changes if check["metric"] == metric else {})} for check in record.gate["checks"]]
    return replace(record, gate={**record.gate, "checks": checks})


def test_every_number_of_the_table_is_the_one_in_the_json(normal: RunRecord) -> None:
    files = build_artefacts(normal)
    gate = json.loads(files["KPI_GATE.json"])
    edge = json.loads(files["EDGE_REPORT.json"])
    text = files["SOAK_RESULTS.md"].decode()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.split("## Checks")[1].split("## Where")[0].splitlines()
        if line.startswith("| ")
    ][1:]
    checks = {check["metric"]: check for check in gate["checks"]}
    assert rows[0][0] == "adverse_bps_p95"  # what was breached stands first
    assert sorted(row[0] for row in rows) == sorted(checks)
    for row, check in [(row, checks[row[0]]) for row in rows]:
        shown, *ends = re.findall(r"-?\d+(?:\.\d+)?", row[1])
        assert float(shown) == round(check["observed"], len(shown.partition(".")[2]))
        if check["metric"] == "net_bps":
            assert [float(end) for end in ends] == [
                round(gate["net_bps"]["interval"][end], 2) for end in ("low", "high")
            ]
        assert int(row[2]) == edge["totals"]["n"][check["metric"]]
        bound, _, limit = row[3].split()
        assert (bound, float(limit)) == (check["bound"], check["limit"])


@given(
    st.floats(-1e4, 1e4, allow_nan=False),
    st.sampled_from([0.0, 0.55, 2.5, 2.8, 3.0, 4.0, 330.0]),
    st.floats(-0.02, 0.02),
    st.integers(0, 3),
)
def test_a_rounded_value_stays_on_its_side_of_the_limit(far: float, limit: float, near: float, digits: int) -> None:
    for value in (far, limit + near):
        shown = float(beside_limit(value, limit, digits))
        assert (shown < limit, shown > limit) == (value < limit, value > limit)


@pytest.mark.parametrize(
    ("value", "shown"), [(2.9996, "2.9996"), (3.0, "3.00"), (2.499, "2.499"), (3.004, "3.004"), (None, "no data")]
)
def test_bps_beside_their_limit(value: float | None, shown: str) -> None:
    limit = 2.5 if value == 2.499 else 3.0
    assert beside_limit(value, limit, 2) == shown


def test_unresolved_only_where_the_interval_has_the_limit_inside(normal: RunRecord) -> None:
    assert build_checks(normal).unresolved == ("net_bps",)
    clear = with_check(normal, "net_bps", limit=2.5)
    assert build_checks(clear).unresolved == ()
    at_the_end = with_check(normal, "net_bps", limit=normal.gate["net_bps"]["interval"]["low"])
    assert build_checks(at_the_end).unresolved == ()


@pytest.mark.parametrize(
    ("label", "status", "title"),
    [
        ("SUCCESS", "met", "0 breached, 0 without data, 0 not ideal, 6 met"),
        ("OK", "not ideal", "0 breached, 0 without data, 1 not ideal, 5 met"),
        ("WARN", "breached", "1 breached, 0 without data, 0 not ideal, 5 met"),
        ("FAIL", "breached", "1 breached, 0 without data, 0 not ideal, 5 met"),
        ("NODATA", "no data", "0 breached, 1 without data, 0 not ideal, 5 met"),
    ],
)
def test_each_label_in_words_and_counted(normal: RunRecord, label: str, status: str, title: str) -> None:
    observed = None if label == "NODATA" else 4.62
    bound = {"WARN": "warn", "FAIL": "fail"}.get(label, "ideal")
    checks = build_checks(with_check(normal, "adverse_bps_p95", label=label, observed=observed, bound=bound))
    row = next(row for row in checks.rows if row[0] == "adverse_bps_p95")
    assert row[4] == status
    assert checks.title == f"{title}; unresolved: net_bps"
    assert (checks.without_data == ("adverse_bps_p95",)) == (label == "NODATA")
    words = {"FAIL": ("adverse_bps_p95 4.62 (fails above 4)",), "WARN": ("adverse_bps_p95 4.62 (warns above 4)",)}
    assert checks.breached == words.get(label, ())


def test_the_rule_that_made_the_verdict_is_breached_whether_resolved_or_not(normal: RunRecord) -> None:
    """net_bps below its fail bound with an interval across it: FAIL is made by a breached rule, named and counted."""
    low, high = (normal.gate["net_bps"]["interval"][end] for end in ("low", "high"))
    failed = with_check(normal, "net_bps", observed=low + 0.1, limit=(low + high) / 2, label="FAIL", bound="fail")
    checks = build_checks(failed)
    assert checks.rows[0][0] == "net_bps"
    assert checks.rows[0][3].startswith("fail < ")
    assert checks.rows[0][4] == "breached?"
    assert checks.title.startswith("2 breached, ")
    assert checks.breached[0].startswith("net_bps ") and "fails below" in checks.breached[0]
    assert checks.passed == 4


def test_data_that_rules_a_verdict_out_breaks_its_rule_and_a_report_only_rule_breaks_nothing(
    normal: RunRecord,
) -> None:
    broken = build_checks(with_check(normal, "cancel_ratio", label="NODATA"))
    assert broken.without_data == ()
    assert "cancel_ratio" in broken.breached[0] + broken.breached[1]
    watched = build_checks(with_check(normal, "cancel_ratio", label="FAIL", criticality="report-only"))
    assert watched.title.startswith("1 breached, 0 without data, 0 not ideal, 4 met, 1 reported only")


def test_intervals_come_from_windows_where_a_kpi_is_a_ratio(normal: RunRecord) -> None:
    edge = json.loads(json.dumps(normal.edge))
    for window in edge["windows"]:
        if window["cancel_ratio"] is not None:
            window["cancel_ratio"] = 0.45 + 0.01 * (window["window"] % 13)
    checks = build_checks(replace(normal, edge=edge).completed())
    row = next(row for row in checks.rows if row[0] == "cancel_ratio")
    low, high = (float(end) for end in re.findall(r"[\d.]+", row[1])[1:])
    assert 0.45 < low < 0.51 < high < 0.57
    assert "[" not in next(row for row in checks.rows if row[0] == "adverse_bps_p95")[1]


def test_the_interval_of_each_component_is_centred_on_the_run(normal: RunRecord) -> None:
    """Windows without fills included: a position held through one earns inventory PnL there."""
    edge = json.loads(json.dumps(normal.edge))
    empty = [window for window in edge["windows"] if window["fills"] == 0]
    assert len(empty) == 3
    for window in empty:
        window["net_pnl_quote"] = 7.5
    totals = edge["totals"]
    totals["inventory_bps"] += 1e4 * 22.5 / totals["notional_quote"]
    intervals = kpi_intervals(edge)
    for name in COMPONENTS:
        assert (intervals[name]["low"] + intervals[name]["high"]) / 2 == pytest.approx(totals[name], abs=1e-9)
        assert intervals[name]["low"] < intervals[name]["high"]


def test_numbers_in_words() -> None:
    assert number(-0.0004, 2) == "0.00"
    assert number(-0.0004, 2, sign=True) == "0.00"
    assert number(1.5, 2, sign=True) == "+1.50"
    assert plain(0.1) == "0.1"
    assert plain(650.0) == "650"
    assert money(41.2, "USDT") == "+41.20 USDT"
    assert money(-0.000123456, "BTC") == "-0.0001235 BTC"
    assert money_digits([None, 0.0]) == 2
    start = 1_723_161_600_000_000_000
    assert span(start, start + 3 * 3600 * 10**9) == "2024-08-09 00:00-03:00 UTC"
    assert span(start, start + 40 * 10**9) == "2024-08-09 00:00:00-00:00:40 UTC"
    assert span(start, start + 86_400 * 10**9) == "2024-08-09 00:00 to 2024-08-10 00:00 UTC"
