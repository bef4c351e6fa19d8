"""Markouts by horizon and side against fractions, and what becomes of fills without a later mid."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from engine.metrics import MARKOUT_HORIZONS_S
from engine.warehouse.edge import edge_report
from engine.warehouse.ingest import ingest
from engine.warehouse.markouts import markouts


@pytest.fixture
def rows_of(open_warehouse, tmp_path):
    def made(journal, lane=0):
        with open_warehouse() as wh:
            ingest(wh, [journal.write(tmp_path / "a.0.jsonl")])
            return {(row["horizon_s"], row["side"]): row for row in markouts(wh, journal.run_id, lane)}

    return made


def test_by_hand(new_journal, rows_of):
    j = new_journal().start(lanes=1).mark(0, "60000.0")
    j.fill(10, "buy", "0.010", "60000.0", quote_mid="60000.0", fill_mid="60000.0")
    j.mark(11, "60006.0")  # at 1 s: for us
    j.fill(12, "sell", "0.030", "60000.0", quote_mid="60000.0", fill_mid="60000.0")
    j.mark(13.5, "60012.0")  # 1.5 s after: in time for 1 s, and against us
    j.mark(15.5, "59994.0").mark(20, "60000.0").mark(72, "60060.0")
    rows = rows_of(j)
    assert sorted(rows) == [(h, side) for h in MARKOUT_HORIZONS_S for side in ("both", "buy", "sell")]
    assert rows[1, "buy"] == {
        "horizon_s": 1, "side": "buy", "n": 1, "missing": 0, "markout_bps": pytest.approx(-1.0), "stderr_bps": None,
    }  # fmt: skip
    assert rows[1, "sell"]["markout_bps"] == pytest.approx(2.0)
    assert rows[1, "both"]["markout_bps"] == pytest.approx((-1.0 + 3 * 2.0) / 4)
    assert rows[5, "buy"]["markout_bps"] == pytest.approx(1.0)
    # the sell's 5 s mid would come 3 s late, the buy's 60 s mid 2 s late, the sell's 60 s mid is there to the point
    assert (rows[5, "sell"]["n"], rows[5, "sell"]["missing"], rows[5, "sell"]["markout_bps"]) == (0, 1, None)
    assert (rows[5, "both"]["n"], rows[5, "both"]["missing"]) == (1, 1)
    assert (rows[60, "both"]["n"], rows[60, "buy"]["markout_bps"]) == (2, pytest.approx(-10.0))
    assert rows[60, "sell"]["markout_bps"] == pytest.approx(10.0)


@pytest.mark.parametrize("kind", ["linear", "inverse"])
@pytest.mark.parametrize("lane", [0, 1])
def test_against_fractions(random_run, instruments, lot_value, rows_of, kind, lane):
    run = random_run(31, instruments[kind])
    rows = rows_of(run.journal, lane)
    marks = [(r["ts_ns"], r["mid"]) for r in run.journal.records if r["type"] == "mark"]
    fills = [r for r in run.journal.records if r["type"] == "fill" and r["lane"] == lane]
    assert len(fills) > 30

    def v(price):
        return lot_value(instruments[kind], Fraction(price))

    for (horizon, side), row in rows.items():
        mine = [f for f in fills if side in ("both", f["side"])]
        counted = []
        for f in mine:
            at = f["ts_ns"] + horizon * 10**9
            later = next(((ts, mid) for ts, mid in marks if ts >= at), None)
            if later and later[0] - at <= 2 * 10**9:
                sign = 1 if f["side"] == "buy" else -1
                lots = round(Fraction(f["qty"]) / Fraction(instruments[kind]["lot"]))
                counted.append((sign * lots * (v(later[1]) - v(f["fill_mid"])), lots * abs(v(f["price"]))))
        gained, notional = (sum(x) for x in zip(*counted, strict=True))
        assert (row["n"], row["missing"]) == (len(counted), len(mine) - len(counted))
        assert row["markout_bps"] == float(Fraction(-10_000 * gained, notional))
        ratio = Fraction(gained, notional)
        squares = sum((g - ratio * w) ** 2 for g, w in counted) * Fraction(len(counted), len(counted) - 1)
        assert row["stderr_bps"] == pytest.approx(1e4 * math.sqrt(squares) / notional, rel=1e-9)


def test_the_five_second_row_is_adverse_bps_and_stands_in_the_report(random_run, open_warehouse, tmp_path):
    run = random_run(32)
    with open_warehouse() as wh:
        ingest(wh, [run.journal.write(tmp_path / "a.0.jsonl")])
        report = edge_report(wh, run.journal.run_id)
        assert report["markouts"] == markouts(wh, run.journal.run_id)
    [row] = [row for row in report["markouts"] if (row["horizon_s"], row["side"]) == (5, "both")]
    assert row["markout_bps"] == report["totals"]["adverse_bps"]
    assert row["n"] == report["totals"]["n"]["adverse_bps"]
    assert row["n"] + row["missing"] == report["totals"]["fills"]


def test_without_marks_every_fill_is_missing(new_journal, rows_of):
    j = new_journal().start(lanes=1).fill(1, "buy", "0.010", "60000.0", fill_mid="60000.0").add("heartbeat", 90)
    rows = rows_of(j)
    assert {(row["n"], row["missing"], row["markout_bps"]) for row in rows.values()} == {(0, 1, None)}
    assert sorted(rows) == [(h, side) for h in MARKOUT_HORIZONS_S for side in ("both", "buy")]
