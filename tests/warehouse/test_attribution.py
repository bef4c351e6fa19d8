"""The identity against a ledger in fractions, for every slice, linear and inverse, funding and fees included."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import VerificationError
from engine.metrics import COMPONENTS
from engine.warehouse.edge import edge_report
from engine.warehouse.ingest import ingest
from engine.warehouse.quality import require_sound, run_checks

LANE_WINDOW = ("net_bps", "net_pnl_quote", "notional_quote", "fills")


def close(found, wanted):
    return found is wanted is None or found == pytest.approx(wanted, rel=1e-12, abs=1e-9)


def assert_slice(found, expected, names=None):
    for name in names or expected:
        assert close(found[name], expected[name]), (name, found[name], expected[name])


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 60_000), kind=st.sampled_from(["linear", "inverse"]))
def test_components_equal_the_ledger_in_every_slice(random_run, instruments, open_warehouse, tmp_path, seed, kind):
    run = random_run(seed, instruments[kind])
    path = run.journal.write(tmp_path / f"{run.journal.run_id}-{kind}.0.jsonl")
    with open_warehouse(f"{kind}-{seed}") as wh:
        ingest(wh, [path])
        report = edge_report(wh, run.journal.run_id)
        assert all(check.passed for check in run_checks(wh, run.journal.run_id))
    last = run.windows - 1
    whole = run.expected(0, 0, last)
    for slice_ in (report["totals"], report["symbols"]["BTCUSDT"], report["lanes"][0]):
        assert_slice(slice_, whole)
    assert_slice(report["lanes"][1], run.expected(1, 0, last))
    assert [w["window"] for w in report["windows"]] == list(range(run.windows))
    for window in report["windows"]:
        number = window["window"]
        assert (window["start_ns"], window["end_ns"]) == run.edges[number]
        assert_slice(window, run.expected(0, number, number))
        assert_slice(report["lanes"][1]["windows"][number], run.expected(1, number, number), LANE_WINDOW)
        assert_slice(report["lanes"][0]["windows"][number], run.expected(0, number, number), LANE_WINDOW)
    for iteration, (first, final) in zip(report["iterations"], ((0, 1), (2, 3)), strict=True):
        assert_slice(iteration, run.expected(0, first, final))
    for slice_ in [report["totals"], *report["windows"], *report["iterations"], *report["lanes"]]:
        if slice_["net_bps"] is None:
            assert slice_["fills"] == 0
            assert slice_["null_reasons"]["net_bps"] == "no fills"
            assert slice_["net_pnl_quote"] is not None
        else:
            assert abs(slice_["net_bps"] - sum(slice_[name] for name in COMPONENTS)) <= 1e-9


def test_the_window_without_fills_still_has_pnl(random_run, open_warehouse, tmp_path):
    run = random_run(3)
    with open_warehouse() as wh:
        ingest(wh, [run.journal.write(tmp_path / "a.0.jsonl")])
        quiet = edge_report(wh, run.journal.run_id)["windows"][1]
    assert quiet["fills"] == 0
    assert quiet["net_bps"] is None
    assert quiet["net_pnl_quote"] != 0


def test_the_check_finds_a_component_that_was_tampered_with(random_run, open_warehouse, tmp_path):
    run = random_run(5)
    with open_warehouse() as wh:
        ingest(wh, [run.journal.write(tmp_path / "a.0.jsonl")])
        edge_report(wh, run.journal.run_id)
        wh.execute("UPDATE attr_window SET gross = gross + 1 WHERE lane = 1 AND window_id = 2")
        check = next(c for c in _rerun(wh) if c[0] == "attribution_sums_to_pnl")
        assert check[1] == [(1, 2)]
        wh.execute("CREATE OR REPLACE TEMP TABLE check_attribution_sums_to_pnl AS SELECT 1 AS lane, 2 AS window_id")
        with pytest.raises(VerificationError, match="attribution_sums_to_pnl"):
            require_sound(wh, run.journal.run_id)


def _rerun(wh):
    from engine.warehouse.build import queries

    query = queries()["check_attribution_sums_to_pnl"]
    return [(query.path.stem, [(row[0], row[1]) for row in wh.execute(query.sql)])]


def test_a_lost_fill_is_seen_by_the_position_and_the_seq(random_run, open_warehouse, tmp_path):
    run = random_run(7)
    lines = run.journal.lines()
    lost = next(i for i, r in enumerate(run.journal.records) if r["type"] == "fill")
    with open_warehouse() as wh:
        ingest(wh, [run.journal.write(tmp_path / "a.0.jsonl", lines[:lost] + lines[lost + 1 :])])
        checks = {c.name: c for c in run_checks(wh, run.journal.run_id)}
    assert checks["seq_complete"].sample == ({"after_seq": lost - 1, "missing": 1},)
    assert checks["position_follows_fills"].offending > 0
    assert checks["attribution_sums_to_pnl"].passed
