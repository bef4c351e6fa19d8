"""Series for charts, and windows of any length."""

from __future__ import annotations

import json

import pytest

from engine.errors import InputError
from engine.warehouse.edge import SCALARS, edge_report
from engine.warehouse.ingest import ingest
from engine.warehouse.series import WINDOW_COLUMNS, chart_series, window_table


@pytest.fixture
def run(random_run):
    return random_run(23)


@pytest.fixture
def wh(run, open_warehouse, tmp_path):
    with open_warehouse() as warehouse:
        ingest(warehouse, [run.journal.write(tmp_path / "a.0.jsonl")])
        yield warehouse


def test_windows_of_the_journals_own_length_are_its_windows(run, wh):
    rows = window_table(wh, run.journal.run_id, 60)
    report = edge_report(wh, run.journal.run_id)
    assert [list(row) for row in rows] == [list(WINDOW_COLUMNS)] * run.windows
    names = (*SCALARS, "window", "start_ns", "end_ns")
    assert rows == [{name: w[name] for name in WINDOW_COLUMNS} for w in report["windows"]]
    assert set(names) == set(WINDOW_COLUMNS)


@pytest.mark.parametrize("seconds", [7, 30, 120, 100_000])
def test_pnl_and_volume_are_the_same_in_any_cut(run, wh, seconds):
    rows = window_table(wh, run.journal.run_id, seconds)
    totals = edge_report(wh, run.journal.run_id)["totals"]
    for name in ("net_pnl_quote", "notional_quote", "fills"):
        assert sum(row[name] for row in rows) == pytest.approx(totals[name], abs=1e-9)
    for name in ("gross_bps", "slippage_bps", "fees_eff_bps", "inventory_bps"):
        found = sum((row[name] or 0) * row["notional_quote"] for row in rows if row["fills"])
        if name != "inventory_bps":  # windows without fills have inventory PnL, and no bps
            assert found == pytest.approx(totals[name] * totals["notional_quote"], abs=1e-6)
    assert rows[-1]["end_ns"] == run.edges[run.windows - 1][1]


def test_coverage_is_null_where_a_journalled_window_was_cut(run, wh):
    assert {row["coverage_pct"] for row in window_table(wh, run.journal.run_id, 120)} == {100.0}
    cut = window_table(wh, run.journal.run_id, 45)  # the last one is the journal's own short window
    assert [row["coverage_pct"] for row in cut] == [None] * 4 + [100.0]


@pytest.mark.parametrize("seconds", [0, -5])
def test_a_window_has_a_length(run, wh, seconds):
    with pytest.raises(InputError):
        window_table(wh, run.journal.run_id, seconds)


def test_series_are_the_journals_own(run, wh):
    series = chart_series(wh, run.journal.run_id)
    records = run.journal.records
    marks = [r for r in records if r["type"] == "mark"]
    assert series["marks"]["ts_ns"] == [m["ts_ns"] for m in marks]
    assert series["marks"]["mid"] == [float(m["mid"]) for m in marks]
    fills = sorted((r for r in records if r["type"] == "fill" and r["lane"] == 0), key=lambda r: (r["ts_ns"], r["seq"]))
    assert series["fills"] == {
        "ts_ns": [f["ts_ns"] for f in fills],
        "side": [1 if f["side"] == "buy" else -1 for f in fills],
        "price": [float(f["price"]) for f in fills],
        "qty": [float(f["qty"]) for f in fills],
    }
    start = float(records[0]["position_start"])
    held = [start]
    for f in fills:
        held.append(held[-1] + (1 if f["side"] == "buy" else -1) * float(f["qty"]))
    walked = [
        q
        for q, before in zip(series["position"]["qty"], [None, *series["position"]["qty"]], strict=False)
        if q != before
    ]
    assert walked == pytest.approx(held)
    assert series["position"]["ts_ns"][0] == run.edges[0][0]
    assert series["position"]["ts_ns"][-1] == run.edges[run.windows - 1][1]
    for lane, pnl in enumerate(series["pnl"]):
        assert pnl["lane"] == lane
        assert pnl["pnl_quote"] == pytest.approx(
            [run.expected(lane, 0, last)["net_pnl_quote"] for last in range(run.windows)]
        )
    json.dumps(series, allow_nan=False)


def test_marks_are_thinned_to_the_points_asked_for_and_keep_both_ends(run, wh):
    every = chart_series(wh, run.journal.run_id)["marks"]
    few = chart_series(wh, run.journal.run_id, max_points=10)["marks"]
    assert 5 <= len(few["ts_ns"]) <= 11
    assert (few["ts_ns"][0], few["ts_ns"][-1]) == (every["ts_ns"][0], every["ts_ns"][-1])
    assert set(few["ts_ns"]) <= set(every["ts_ns"])
