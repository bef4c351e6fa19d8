"""First in first out: the compiled matcher against single lots in a list and against SQL without a queue."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import JournalError, VerificationError
from engine.warehouse.build import build, queries
from engine.warehouse.edge import edge_report
from engine.warehouse.fifo import FEW_FILLS, START, compiled_matcher, match_lots, matcher
from engine.warehouse.ingest import ingest
from engine.warehouse.quality import require_sound, run_checks

UNITS = 10**12


def one_lot_at_a_time(signed_lots, start_lots):
    """The same matches, lot by lot: (opening fill, closing fill, sign) of every lot closed."""
    open_lots = deque([(START, 1 if start_lots > 0 else -1)] * abs(start_lots))
    closed = []
    for index, lots in enumerate(signed_lots):
        sign = 1 if lots > 0 else -1
        for _ in range(abs(lots)):
            if open_lots and open_lots[0][1] != sign:
                opener, position_sign = open_lots.popleft()
                closed.append((opener, index, position_sign))
            else:
                open_lots.append((index, sign))
    return closed


@given(lots=st.lists(st.integers(-9, 9), max_size=40), start=st.integers(-9, 9))
def test_matches_are_those_of_single_lots(lots, start):
    matches = compiled_matcher()(np.array(lots, np.int64), start)
    spread = [(opener, closer, 1 if x > 0 else -1) for opener, closer, x in matches.tolist() for _ in range(abs(x))]
    assert spread == one_lot_at_a_time(lots, start)
    assert match_lots(np.array(lots, np.int64), start).tolist() == matches.tolist()


@pytest.mark.parametrize("match", [match_lots, compiled_matcher()])
def test_lots_beyond_32_bits_are_exact(match):
    big = 3 * 10**18
    assert match(np.array([big, -big - 1, 1], np.int64), 0).tolist() == [[0, 1, big], [1, 2, -1]]


def test_many_fills_are_matched_by_the_compiled_function():
    assert matcher(FEW_FILLS) is match_lots
    assert matcher(FEW_FILLS + 1) is compiled_matcher()


def fifo_by_hand(run, lane):
    """(realised, unrealised at the end) by window, in units, from the ledger's own points."""
    points = run.points[lane]
    layers = deque([(run.position_start, points[0].v)] if run.position_start else [])
    realised = dict.fromkeys(range(run.windows), 0)
    unrealised = {}
    for point in points[1:]:
        rest = point.signed_lots
        while rest and layers and (layers[0][0] > 0) != (rest > 0):
            lots, cost = layers.popleft()
            size = min(abs(lots), abs(rest))
            sign = 1 if lots > 0 else -1
            realised[point.window] += sign * size * (point.v_price - cost)
            rest += sign * size
            if abs(lots) > size:
                layers.appendleft((lots - sign * size, cost))
        if rest:
            layers.append((rest, point.v_price))
        if point.is_edge:
            unrealised[point.window] = sum(lots * (point.v - cost) for lots, cost in layers)
    return realised, unrealised


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 60_000), kind=st.sampled_from(["linear", "inverse"]))
def test_realised_and_unrealised_add_up_to_net_exactly(random_run, instruments, open_warehouse, tmp_path, seed, kind):
    run = random_run(seed, instruments[kind])
    run_id = run.journal.run_id
    with open_warehouse(f"{kind}-{seed}") as wh:
        ingest(wh, [run.journal.write(tmp_path / f"{run_id}-{kind}.0.jsonl")])
        report = edge_report(wh, run_id)
        assert [check.name for check in run_checks(wh, run_id) if not check.passed] == []
        rows = wh.execute(
            "SELECT f.lane, f.window_id, f.realised, f.unrealised_end, f.unrealised, w.fees, w.funding, n.net "
            "FROM attr_fifo AS f JOIN attr_window AS w USING (lane, window_id) "
            "JOIN attr_ledger AS n USING (lane, window_id) ORDER BY ALL"
        )
        slices = wh.execute("SELECT realised + unrealised + fees + funding, net FROM attr_slice")
        matched = wh.execute("SELECT count(*) FROM core_fifo_match")[0][0]
    assert matched > 0
    assert len(rows) == 2 * run.windows
    for lane in (0, 1):
        realised, unrealised = fifo_by_hand(run, lane)
        before = 0
        for _, window, r, at_end, moved, fees, funding, net in rows[lane * run.windows : (lane + 1) * run.windows]:
            assert (r, at_end, moved) == (realised[window], unrealised[window], unrealised[window] - before)
            assert r + moved + fees + funding == net
            before = at_end
    assert all(fifo == net for fifo, net in slices)
    for slice_ in (report["totals"], *report["windows"], *report["iterations"], *report["lanes"]):
        both = slice_["realised_pnl_quote"] + slice_["unrealised_pnl_quote"]
        assert both == pytest.approx(slice_["net_pnl_quote"], rel=1e-12, abs=1e-12)


def test_by_hand(new_journal, open_warehouse, tmp_path):
    """Long 2 at 60000 (the start's mid); sell 1, buy 2 dearer, sell 4: one lot short at the end."""
    j = new_journal().start(lanes=1, position_start="0.002").mark(0, "60000.0")
    j.fill(1, "sell", "0.001", "60010.0", fee="-0.5", fill_mid="60000.0", quote_mid="60000.0")
    j.fill(2, "buy", "0.002", "60040.0", fill_mid="60000.0", quote_mid="60000.0")
    j.mark(300, "60030.0").window_end(300, 0, 0)
    j.fill(310, "sell", "0.004", "60050.0", fill_mid="60000.0", quote_mid="60000.0")
    j.add("funding", 400, amount="0.25").mark(600, "60070.0").window_end(600, 1, 300)
    with open_warehouse() as wh:
        ingest(wh, [j.write(tmp_path / "a.0.jsonl")])
        report = edge_report(wh, j.run_id)
    first, second = report["windows"]
    assert first["realised_pnl_quote"] == pytest.approx(0.010 - 0.5)
    assert first["unrealised_pnl_quote"] == pytest.approx(0.030 - 2 * 0.010)
    assert second["realised_pnl_quote"] == pytest.approx(0.050 + 2 * 0.010 + 0.25)
    assert second["unrealised_pnl_quote"] == pytest.approx(-0.020 - 0.010)
    assert report["totals"]["unrealised_pnl_quote"] == pytest.approx(-0.020)


def test_what_is_not_known_is_null_with_its_reason(new_journal, open_warehouse, tmp_path):
    j = new_journal().start(lanes=1, position_start="0.002").fill(1, "sell", "0.001", "60010.0").mark(200, "60000.0")
    j.fill(210, "sell", "0.001", "60010.0", fee="-1", fee_currency="BNB").mark(300, "60000.0")
    with open_warehouse() as wh:
        ingest(wh, [j.write(tmp_path / "a.0.jsonl")])
        totals = edge_report(wh, j.run_id)["totals"]
    assert totals["realised_pnl_quote"] is totals["unrealised_pnl_quote"] is None
    assert totals["null_reasons"]["realised_pnl_quote"] == "fee unknown for 1 of 2 fills"
    assert "at the start of the run" in totals["null_reasons"]["unrealised_pnl_quote"]


@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        # newest first: sums as well, closes others
        ("UPDATE attr_fifo SET realised = realised + 1, unrealised = unrealised - 1 WHERE window_id = 2 AND lane = 0",
         {"fifo_by_intervals"}),
        ("UPDATE attr_fifo SET unrealised = unrealised - 1 WHERE window_id = 2 AND lane = 1", {"fifo_sums_to_pnl"}),
        ("UPDATE attr_side SET gross = gross + 1, inventory = inventory - 1 WHERE side = 'buy' AND window_id = 0",
         {"side_sums_to_pnl"}),
        ("UPDATE attr_side SET net = net + 1 WHERE side = 'carried' AND window_id = 0", {"side_sums_to_pnl"}),
        ("UPDATE attr_slice SET net = net + 1 WHERE slice_id = 0", {"slice_sums_to_pnl"}),
        ("UPDATE attr_slice SET unrealised = unrealised + 1 WHERE slice_id = 3", {"slice_sums_to_pnl"}),
    ],
)  # fmt: skip
def test_a_check_finds_what_was_tampered_with(random_run, open_warehouse, tmp_path, spoil, names):
    run = random_run(11)
    with open_warehouse() as wh:
        ingest(wh, [run.journal.write(tmp_path / "a.0.jsonl")])
        build(wh, run.journal.run_id)
        wh.execute(spoil)
        checks = {table: query for table, query in queries().items() if table.startswith("check_")}
        for table, query in checks.items():
            wh.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {query.sql}")
        found = {check.name for check in run_checks(wh, run.journal.run_id) if not check.passed}
        assert found == names
        with pytest.raises(VerificationError, match=names.pop()):
            require_sound(wh, run.journal.run_id)


def test_sides_hold_what_their_fills_earned(new_journal, open_warehouse, tmp_path):
    j = new_journal().start(lanes=1).mark(0, "60000.0")
    j.fill(1, "buy", "0.010", "59990.0", fee="-0.1", quote_mid="60000.0", fill_mid="59995.0")
    j.fill(2, "sell", "0.010", "60010.0", fee="-0.2", quote_mid="60000.0", fill_mid="60005.0")
    j.add("funding", 3, amount="0.5").mark(300, "60100.0").window_end(300, 0, 0)
    with open_warehouse() as wh:
        ingest(wh, [j.write(tmp_path / "a.0.jsonl")])
        build(wh, j.run_id)
        rows = wh.execute("SELECT side, gross, slippage, fees, inventory, net FROM attr_side ORDER BY side")
    found = {side: [x / UNITS for x in rest] for side, *rest in rows}
    assert found == {
        "buy": pytest.approx([0.10, -0.05, -0.1, 1.05, 1.0]),
        "sell": pytest.approx([0.10, -0.05, -0.2, -0.95, -1.1]),
        "carried": pytest.approx([0, 0, 0, 0.5, 0.5]),
    }


def test_a_quantity_beyond_all_bounds_is_refused(new_journal, open_warehouse, tmp_path):
    j = new_journal().start(lanes=1).mark(0, "60000.0").fill(1, "buy", "9" * 18, "60000.0").mark(2, "60000.0")
    with open_warehouse() as wh:
        ingest(wh, [j.write(tmp_path / "a.0.jsonl")])
        with pytest.raises(JournalError, match="lane 0 began with 0 lots and traded 999"):
            edge_report(wh, j.run_id)
