"""Hours over any span: sums over runs of sums, against the runs' own totals."""

from __future__ import annotations

from fractions import Fraction

import pytest

from engine.errors import InputError
from engine.warehouse.edge import edge_report
from engine.warehouse.hourly import HOUR_COLUMNS, HOUR_NS, hourly, recorded_span
from engine.warehouse.ingest import ingest

START_S = 1_723_161_600  # as conftest: midnight of 9 August 2024, a full hour
HOUR_S = 3600


def at(seconds: float) -> int:
    return (START_S + round(seconds)) * 10**9


def trading(journal, fills, end_s):
    """A run that buys 10 lots at `price` and sells them 4 later, at each of `fills` (seconds, price)."""
    j = journal.start(lanes=1).mark(0, "60000.0")
    for seconds, price in fills:
        mid = f"{price:.1f}"
        j.mark(seconds, mid)
        j.fill(seconds, "buy", "0.010", mid, fee="-0.1", quote_mid=mid, fill_mid=mid)
        j.fill(seconds + 1, "sell", "0.010", f"{price + 4:.1f}", quote_mid=mid, fill_mid=mid).mark(seconds + 1, mid)
    return j.mark(end_s, "60000.0").add("heartbeat", end_s)


def later(journal, seconds):
    """The journal, so much later."""
    for record in journal.records:
        for name in ("ts_ns", "exch_ts_ns", "start_ns"):
            if name in record:
                record[name] += round(seconds * 10**9)
    return journal


@pytest.fixture
def wh(new_journal, open_warehouse, tmp_path):
    """Two runs of BTCUSDT, the second begins in the hour in which the first ends, and one of ETHUSDT."""
    one = trading(new_journal("one"), [(100, 60000), (4000, 61000), (8000, 62000)], 9000)
    two = later(trading(new_journal("two"), [(200, 60000)], 1000), 9500)
    three = trading(new_journal("three"), [(3700, 2000)], 4000)
    for record in three.records:
        record["symbol"] = "ETHUSDT"
    with open_warehouse() as warehouse:
        for journal in (one, two, three):
            ingest(warehouse, [journal.write(tmp_path / f"{journal.run_id}.0.jsonl")])
        yield warehouse


def test_hours_are_sums_over_the_runs_in_them(wh):
    found = hourly(wh, at(-HOUR_S), at(4 * HOUR_S))
    assert found.left_out == {}
    assert {tuple(row) for row in found.rows} == {HOUR_COLUMNS}
    rows = {(row["symbol"], (row["start_ns"] - at(0)) // HOUR_NS): row for row in found.rows}
    assert sorted(rows) == [(symbol, hour) for symbol in ("BTCUSDT", "ETHUSDT") for hour in (-1, 0, 1, 2, 3)]
    shared = rows["BTCUSDT", 2]
    notional = 600 + Fraction("600.04") + 620 + Fraction("620.04")
    assert (shared["runs"], shared["run_ids"], shared["fills"]) == (2, "one two", 4)
    assert shared["seconds"] == 9000 - 2 * HOUR_S + 1000
    assert shared["hour"] == "2024-08-09T02:00:00Z"
    assert shared["notional_quote"] == float(notional)
    assert shared["net_pnl_quote"] == pytest.approx(2 * (0.04 - 0.1), abs=1e-12)
    assert shared["net_bps"] == pytest.approx(float(1e4 * Fraction("-0.12") / notional), rel=1e-12)
    assert shared["realised_pnl_quote"] == pytest.approx(-0.12)
    assert shared["unrealised_pnl_quote"] == 0
    assert shared["maker_taker_ratio"] == 1.0
    assert [rows["BTCUSDT", hour]["runs"] for hour in (0, 1)] == [1, 1]
    assert rows["ETHUSDT", 1]["net_pnl_quote"] == pytest.approx(-0.06)


def test_hours_without_data_say_so(wh):
    rows = hourly(wh, at(-HOUR_S), at(4 * HOUR_S), "ETHUSDT").rows
    assert [row["runs"] for row in rows] == [0, 1, 1, 0, 0]
    empty, quiet = rows[0], rows[1]
    assert empty["seconds"] == 0
    assert {empty[name] for name in HOUR_COLUMNS[8:]} == {None}
    assert (quiet["fills"], quiet["net_pnl_quote"], quiet["net_bps"]) == (0, 0.0, None)
    with pytest.raises(InputError, match="no run of 'BTCUSD'; did you mean 'BTCUSDT'"):
        hourly(wh, at(0), at(2 * HOUR_S), "BTCUSD")


def test_no_market_time_counts_twice(new_journal, open_warehouse, tmp_path):
    """A replay of an hour and a half, the same again, and a part of it: in each hour one of them counts."""
    whole, again = (trading(new_journal(name), [(100, 60000), (4000, 61000)], 5400) for name in ("whole", "again"))
    part = later(trading(new_journal("part"), [(10, 60000)], 60), 100)
    with open_warehouse() as wh:
        for journal in (whole, again, part):
            ingest(wh, [journal.write(tmp_path / f"{journal.run_id}.0.jsonl")])
        found = hourly(wh, *recorded_span(wh))
        alone = edge_report(wh, "again")["totals"]
    assert [(row["run_ids"], row["fills"]) for row in found.rows] == [("again", 2), ("again", 2)]
    assert sum(row["net_pnl_quote"] for row in found.rows) == pytest.approx(alone["net_pnl_quote"], abs=1e-12)
    assert sorted(found.left_out) == ["part", "whole"]
    assert found.left_out["whole"] == "2 hours of it: the same market time is counted in again"
    assert found.left_out["part"] == "1 hour of it: the same market time is counted in again"


@pytest.mark.parametrize("beside_s", [1e-6, -1e-6])
def test_a_run_that_ends_beside_the_full_hour_has_no_hour_of_that(new_journal, open_warehouse, tmp_path, beside_s):
    run = later(trading(new_journal("run"), [(100, 60000), (4000, 61000)], 2 * HOUR_S), beside_s)
    with open_warehouse() as wh:
        ingest(wh, [run.write(tmp_path / "run.0.jsonl")])
        total = edge_report(wh, "run")["totals"]["net_pnl_quote"]
        for span in (recorded_span(wh), (at(0), at(2 * HOUR_S))):
            rows = hourly(wh, *span).rows
            assert [(row["hour"][11:], row["fills"]) for row in rows] == [("00:00:00Z", 2), ("01:00:00Z", 2)]
            assert sum(row["net_pnl_quote"] for row in rows) == pytest.approx(total, abs=1e-12)
        assert [row["runs"] for row in hourly(wh, at(2 * HOUR_S), at(3 * HOUR_S)).rows] == [0]
        assert [row["runs"] for row in hourly(wh, at(-HOUR_S), at(0)).rows] == [0]


def test_the_span_cuts_within_an_hour(wh):
    rows = hourly(wh, at(50), at(HOUR_S + 450), "BTCUSDT").rows
    assert [(row["start_ns"], row["end_ns"]) for row in rows] == [(at(50), at(HOUR_S)), (at(HOUR_S), at(HOUR_S + 450))]
    assert [row["fills"] for row in rows] == [2, 2]
    assert [row["seconds"] for row in rows] == [3550, 450]


@pytest.mark.parametrize("kind", ["linear", "inverse"])
def test_any_span_adds_up_to_the_runs_totals(random_run, instruments, open_warehouse, tmp_path, kind):
    runs = [random_run(seed, instruments[kind]) for seed in (41, 42)]
    later(runs[1].journal, 1500)
    with open_warehouse() as wh:
        for run in runs:
            ingest(wh, [run.journal.write(tmp_path / f"{run.journal.run_id}.0.jsonl")])
        [row] = hourly(wh, *recorded_span(wh)).rows
        totals = [edge_report(wh, run.journal.run_id)["totals"] for run in runs]
    for name in ("net_pnl_quote", "realised_pnl_quote", "unrealised_pnl_quote", "notional_quote", "fills"):
        assert row[name] == pytest.approx(sum(t[name] for t in totals), abs=1e-11)
    for name in ("net_bps", "gross_bps", "fees_eff_bps", "slippage_bps", "inventory_bps"):
        wanted = sum(t[name] * t["notional_quote"] for t in totals) / row["notional_quote"]
        assert row[name] == pytest.approx(wanted, abs=1e-9)
    adverse = [t["adverse_bps"] for t in totals]
    assert min(adverse) < row["adverse_bps"] < max(adverse)
    assert row["coverage_pct"] == pytest.approx(100.0)
    assert row["risk_ratio"] is not None


def test_what_one_run_does_not_know_the_hour_does_not_know(new_journal, open_warehouse, tmp_path):
    known = trading(new_journal("known"), [(100, 60000)], 200)
    unknown = later(trading(new_journal("unknown"), [(100, 60000)], 200), 300)
    fee = next(record for record in unknown.records if record["type"] == "fill")
    fee["fee_currency"] = "BNB"
    headless = new_journal("headless").mark(5, "60000.0")
    with open_warehouse() as wh:
        for journal in (known, unknown, headless):
            ingest(wh, [journal.write(tmp_path / f"{journal.run_id}.0.jsonl")])
        found = hourly(wh, at(0), at(HOUR_S))
    [row] = found.rows
    assert row["fills"] == 4
    assert row["net_bps"] is row["net_pnl_quote"] is row["fees_eff_bps"] is row["realised_pnl_quote"] is None
    assert row["gross_bps"] is not None
    assert list(found.left_out) == ["headless"]
    assert "no run_start" in found.left_out["headless"]


def test_a_share_that_one_run_does_not_tell_is_no_lower_share(new_journal, open_warehouse, tmp_path):
    """Two runs of 200 s on end; one says that its book was valid for 150 of them, the other says nothing."""
    told = trading(new_journal("told"), [(100, 60000)], 200).window_end(200, 0, 0, valid_book_ms=150_000)
    untold = later(trading(new_journal("untold"), [(100, 60000)], 200), 200)
    found = {}
    with open_warehouse() as wh:
        for journal in (told, untold):
            ingest(wh, [journal.write(tmp_path / f"{journal.run_id}.0.jsonl")])
            [row] = hourly(wh, at(0), at(400)).rows
            found[row["runs"]] = row
    assert found[1]["coverage_pct"] == pytest.approx(75.0)
    assert found[2]["coverage_pct"] is None
    assert found[2]["maker_taker_ratio"] == 1.0


def test_bad_spans_are_refused(wh, open_warehouse):
    with pytest.raises(InputError, match="the span is empty"):
        hourly(wh, at(1), at(1))
    with pytest.raises(InputError, match="more than 100000 hours"):
        hourly(wh, 0, at(0))
    with open_warehouse("empty") as empty, pytest.raises(InputError, match="no records"):
        recorded_span(empty)
