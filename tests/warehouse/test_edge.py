"""EDGE_REPORT.json: its shape, and a journal of version 1 kept for ever with the report it must give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.files import to_json
from engine.metrics import COMPONENTS, METRICS
from engine.params import Params
from engine.paths import CHECKOUT
from engine.tuning.bands import load_gates
from engine.tuning.gate import judge
from engine.tuning.rules import load_packages
from engine.warehouse.edge import edge_report
from engine.warehouse.ingest import ingest
from engine.warehouse.targets import load_targets

GOLDEN = Path(__file__).parent / "golden"
SLICE = {*METRICS} - {"block_ratios"} | {"n", "null_reasons", "block_reasons", "edge_drivers", "neg_edge_drivers"}


def golden_report(open_warehouse):
    with open_warehouse() as wh:
        result = ingest(wh, [GOLDEN / "journal_v1.jsonl"])
        assert result.accepted == result.lines
        [(run_id,)] = wh.execute("SELECT DISTINCT run_id FROM raw_record")
        return edge_report(wh, run_id)


def test_a_journal_of_version_1_gives_the_report_it_always_gave(open_warehouse):
    assert to_json(golden_report(open_warehouse)) == (GOLDEN / "edge_v1.json").read_text(encoding="utf-8")


def test_shape_is_that_of_the_design_page(open_warehouse):
    report = golden_report(open_warehouse)
    assert list(report) == [
        "run_id", "symbol", "pnl_currency", "totals", "windows", "iterations", "symbols", "markouts", "lanes",
    ]  # fmt: skip
    assert set(report["totals"]) == SLICE
    assert list(report["symbols"]) == [report["symbol"]]
    assert report["symbols"][report["symbol"]] == report["totals"]
    for window in report["windows"]:
        assert set(window) == SLICE | {"window", "iteration", "start_ns", "end_ns"}
    for iteration in report["iterations"]:
        assert set(iteration) == SLICE | {"iteration", "start_ns", "end_ns"}
    for lane in report["lanes"]:
        assert set(lane) == SLICE | {"lane", "role", "windows"}
        for window in lane["windows"]:
            assert set(window) == {"window", "net_pnl_quote", "notional_quote", "net_bps", "fills"}
    for slice_ in (report["totals"], *report["windows"], *report["iterations"], *report["lanes"]):
        nulls = {name for name in METRICS if name in slice_ and slice_[name] is None}
        assert set(slice_["null_reasons"]) == nulls
        assert set(slice_["n"]) == {*METRICS} - {"block_ratios"}
    assert [lane["role"] for lane in report["lanes"]] == ["champion", "control"]
    json.dumps(report, allow_nan=False)


def test_drivers_are_ranked_by_what_they_lack(open_warehouse, tmp_path):
    with open_warehouse() as wh:
        ingest(wh, [GOLDEN / "journal_v1.jsonl"])
        [(run_id,)] = wh.execute("SELECT DISTINCT run_id FROM raw_record")
        targets = dict.fromkeys(COMPONENTS, 0.0)
        totals = edge_report(wh, run_id, targets=targets)["totals"]
    drivers = totals["edge_drivers"]
    assert sorted(driver["bps"] for driver in drivers) == [driver["bps"] for driver in drivers]
    assert totals["neg_edge_drivers"] == [driver["name"] for driver in drivers if driver["bps"] < 0]
    assert totals["neg_edge_drivers"]


@pytest.mark.parametrize("lines", [1, 2])
def test_an_empty_run_gets_no_verdict(new_journal, open_warehouse, tmp_path, lines):
    """A run_start alone, or an end as well: every KPI is null, and null never passes."""
    journal = new_journal().start(lanes=1).add("run_end", 0, reason="complete")
    config = CHECKOUT / "config"
    with open_warehouse() as wh:
        ingest(wh, [journal.write(tmp_path / "a.0.jsonl", journal.lines()[:lines])])
        report = edge_report(wh, journal.run_id)
    gate = judge(
        report["totals"], load_gates(config), windows=report["windows"], packages=load_packages(config), params=Params()
    )
    assert gate.verdict == "NODATA"
    assert report["markouts"] == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"gross_bps": 8.0}',
        '{"gross_bps": 8, "fees_eff_bps": -0.1, "slippage_bps": -2, "inventory_bps": NaN}',
        '{"gross_bps": 8, "fees_eff_bps": true, "slippage_bps": -2, "inventory_bps": -0.2}',
        '{"gross_bps": 8, "fees_eff_bps": -0.1, "slippage_bps": -2, "inventory_bps": -0.2, "mine": 1}',
    ],
)
def test_targets_are_refused_as_a_whole(tmp_path, text):
    path = tmp_path / "edge_targets.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="edge_targets"):
        load_targets(path)


def test_the_shipped_targets_name_every_component():
    assert load_targets() == {"gross_bps": 8.0, "fees_eff_bps": -0.1, "slippage_bps": -2.0, "inventory_bps": -0.2}
