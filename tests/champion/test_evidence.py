"""Nights add up: paired windows over every run, and the ledger of what was tried and spent."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import UTC, datetime

import duckdb
import numpy as np
import pytest

from engine.champion import windows
from engine.champion.change import params_sha256
from engine.champion.evidence import champion_windows, last_market, market_of, paired_windows
from engine.champion.fdr import load_evidence
from engine.champion.ledger import read_ledger, record_trial, spend, synchronise, synchronise_all
from engine.champion.market import grid_of
from engine.champion.store import ChampionStore
from engine.errors import InputError, StorageError
from engine.tuning.judge import judge_challenger, load_judge
from engine.warehouse.care import backup, prune, restore
from engine.warehouse.db import Warehouse
from engine.warehouse.ingest import ingest
from engine.warehouse.migrations import migrate, migration_files
from engine.warehouse.parse import instrument_from
from engine.warehouse.rebuild import rebuild


@pytest.fixture
def digests(sets):
    return [params_sha256(params) for params in sets]


@pytest.fixture
def warehouse(paths):
    """Opens the warehouse with all journals read."""

    def opened() -> Warehouse:
        wh = Warehouse(paths.warehouse)
        wh.__enter__()
        ingest(wh, [paths.journals])
        return wh

    return opened


def test_nights_are_joined_in_the_order_in_which_they_began(write_run, warehouse, sets, digests) -> None:
    a, b, _ = sets
    lanes = {0: ("champion", a), 1: ("challenger", b)}
    write_run("20261102T220000", lanes, {0: [1.0, 2.0, None], 1: [3.0, None, None]}, market=2)
    write_run("20261101T220000", lanes, {0: [4.0, 5.0], 1: [6.0, 7.0]}, market=1)
    wh = warehouse()
    paired = paired_windows(wh, "BTCUSDT", *digests[:2])
    assert paired.champion.window.tolist() == [0, 1, 100_000, 100_001, 100_002]
    assert paired.champion.pnl_quote.tolist() == pytest.approx([4, 5, 1, 2, 0])
    assert paired.challenger.pnl_quote.tolist() == pytest.approx([6, 7, 3, 0, 0])
    assert paired.challenger.notional_quote[3] == 0
    assert [(run.pairs, run.first_id) for run in paired.runs] == [(2, 0), (3, 100_000)]
    assert paired.windows_per_night == 2.5
    assert paired.place(100_001) == "window 1 of run 20261102T220000-BTCUSDT-0002"
    assert sum(paired.left_out.values()) == 0
    other = paired_windows(wh, "BTCUSDT", digests[1], digests[0])  # the roles matter
    assert len(other.champion.window) == 0
    assert other.windows_per_night is None
    assert paired_windows(wh, "ETHUSDT", *digests[:2]).runs == ()


def test_a_tuned_lane_0_is_left_for_the_control(write_run, warehouse, sets, digests) -> None:
    a, b, c = sets
    lanes = {0: ("champion", a), 1: ("control", a), 2: ("challenger", b)}
    pnl = {0: [9.0, 9.0, 9.0], 1: [1.0, 2.0, 3.0], 2: [2.0, 3.0, 4.0]}
    write_run("20261101T220000", lanes, pnl, changes=[(0, 300.0, c)])
    wh = warehouse()
    paired = paired_windows(wh, "BTCUSDT", *digests[:2])
    assert paired.runs[0].lanes == (1, 2)
    assert paired.champion.pnl_quote.tolist() == pytest.approx([1, 2, 3])
    assert champion_windows(wh, "BTCUSDT", digests[2]).champion.pnl_quote.tolist() == pytest.approx([9, 9])


def test_windows_with_a_change_inside_or_another_set_are_left_out(write_run, warehouse, sets, digests) -> None:
    a, b, c = sets
    lanes = {0: ("champion", a), 1: ("challenger", b)}
    write_run("20261101T220000", lanes, {0: [1.0] * 4, 1: [2.0] * 4}, changes=[(0, 350.0, c), (0, 900.0, a)])
    paired = paired_windows(warehouse(), "BTCUSDT", *digests[:2])
    assert paired.champion.window.tolist() == [0, 3]
    assert paired.left_out["changed"] == 2


def test_short_windows_old_markets_and_repetitions_are_left_out(write_run, warehouse, sets, digests) -> None:
    a, b, _ = sets
    lanes = {0: ("champion", a), 1: ("challenger", b)}
    pnl = {0: [1.0, 2.0, 3.0], 1: [2.0, 3.0, 5.0]}
    write_run("20261101T220000", lanes, pnl, last_s=100.0)
    write_run("20261102T220000", lanes, pnl)  # the same tape again, to its end
    wh = warehouse()
    paired = paired_windows(wh, "BTCUSDT", *digests[:2])
    assert paired.champion.window.tolist() == [0, 1, 100_002]
    assert (paired.left_out["other_length"], paired.left_out["repeated"]) == (1, 2)
    start_ns = 1_790_000_000_000_000_000
    fresh = paired_windows(wh, "BTCUSDT", *digests[:2], fresh_after_ns=start_ns + 1)
    assert fresh.champion.window.tolist() == [1, 100_002]
    assert fresh.left_out["not_fresh"] == 2
    assert len(paired_windows(wh, "BTCUSDT", *digests[:2], window_seconds=100).champion.window) == 1


def test_since_a_moment_counts_replays_by_their_start_and_live_runs_by_the_market(
    write_run, warehouse, sets, digests
) -> None:
    a, b, _ = sets
    lanes, pnl = {0: ("champion", a), 1: ("challenger", b)}, {0: [1.0, 1.0], 1: [1.0, 1.0]}
    write_run("20261101T220000", lanes, pnl, market=1)
    write_run("20261103T220000", lanes, pnl, market=2)
    moment_ns = 1_793_700_000 * 10**9  # 2026-11-03 10:00
    write_run("20261103T070000", lanes, pnl, market=3, mode="live", start_ns=moment_ns - 300 * 10**9)
    wh = warehouse()
    half = paired_windows(wh, "BTCUSDT", *digests[:2], since_utc="2026-11-03T10:00:00+00:00")
    assert half.champion.window.tolist() == [100_001, 200_000, 200_001]
    paired = paired_windows(wh, "BTCUSDT", *digests[:2], since_utc="2026-11-03T22:00:00.500+00:00")
    assert paired.champion.window.tolist() == [200_000, 200_001]


RECORDED, BYBIT = {"market": "recorded", "generator": None}, {"venue": "bybit-linear"}
START_NS = 1_790_000_000_000_000_000


def test_a_night_and_the_replay_of_its_tape_are_one_market(write_run, warehouse, sets, digests) -> None:
    a, b, _ = sets
    lanes, pnl = {0: ("champion", a), 1: ("challenger", b)}, {0: [1.0] * 3, 1: [2.0] * 3}
    write_run("20261101T220000", lanes, pnl, mode="shadow", said=RECORDED, grid=BYBIT)
    # the replay begins at the tape's first event, before the first whole second, and goes on behind the night's end
    longer = {0: [1.0] * 5, 1: [2.0] * 5}
    write_run("20261102T090000", lanes, longer, market=1, said=RECORDED, grid=BYBIT, start_ns=START_NS - 7_300_000_000)
    wh = warehouse()
    paired = paired_windows(wh, "BTCUSDT", *digests[:2])
    assert paired.champion.window.tolist() == [0, 1, 2, 100_004]
    assert paired.left_out["repeated"] == 4
    assert paired.market.sentence == "bybit-linear, profile S1"
    own = champion_windows(wh, "BTCUSDT", digests[0])
    assert (len(own.champion.window), own.left_out["repeated"]) == (4, 4)
    # what had run before the moment asked for is no new evidence when its tape is replayed after it
    since = paired_windows(wh, "BTCUSDT", *digests[:2], since_utc="2026-11-02T00:00:00+00:00")
    assert since.champion.window.tolist() == [100_004]


OTHERS = {
    "kind": {"market": "endpoint"},
    "unsaid": {"market": ""},
    "venue": {"venue": "binance-usdm"},
    "grid": {"grid": '{"contract": "linear", "tick": "0.02"}'},
    "generator": {"generator": "s2"},
    "profile": {"profile": "S2"},
}


def test_markets_do_not_pool(write_run, warehouse, sets, digests) -> None:
    a, b, _ = sets
    first = write_run("20261101T220000", {0: ("champion", a), 1: ("challenger", b)}, {0: [1.0] * 3, 1: [2.0] * 3})
    wh = warehouse()
    market = last_market(wh, "BTCUSDT", digests[0])
    assert market == market_of(wh, "BTCUSDT", first)
    for number, (name, columns) in enumerate(OTHERS.items()):  # the same run on another market
        said = ", ".join(f"'{value}' AS {column}" for column, value in columns.items())
        wh.execute(f"INSERT INTO evidence_run SELECT * REPLACE ('{name}' AS run_id, begun_ns + 1 + {number} AS "
                   f"begun_ns, {said}) FROM evidence_run WHERE run_id = ?", [first])  # fmt: skip
        wh.execute(f"INSERT INTO evidence_window SELECT * REPLACE ('{name}' AS run_id) FROM evidence_window "
                   "WHERE run_id = ?", [first])  # fmt: skip
    assert last_market(wh, "BTCUSDT", digests[0]) == market_of(wh, "BTCUSDT", "profile")
    for run_id in (first, *OTHERS):
        market = market_of(wh, "BTCUSDT", run_id)
        for found in (
            paired_windows(wh, "BTCUSDT", *digests[:2], market=market),
            champion_windows(wh, "BTCUSDT", digests[0], market=market),
        ):
            assert ([run.run_id for run in found.runs], len(found.champion.window)) == ([run_id], 3)


def test_the_grid_is_the_same_however_its_decimals_are_written() -> None:
    grids = []
    for tick in ("0.01", "0.0100"):
        said = {"tick": tick, "lot": "1e-3", "contract": "linear", "quote_currency": "USDT"}
        grids.append(grid_of(instrument_from(said, "BTCUSDT")))
    assert grids[0] == grids[1]
    assert json.loads(grids[0])["lot"] == "0.001"


def test_of_a_generated_market_the_search_s_tapes_are_not_fresh_and_others_are(
    write_run, warehouse, sets, digests
) -> None:
    a, b, _ = sets
    lanes, pnl = {0: ("champion", a), 1: ("challenger", b)}, {0: [1.0] * 2, 1: [2.0] * 2}
    write_run("20261101T220000", lanes, pnl, market=1)
    write_run("20261102T220000", lanes, pnl, market=2)
    longer = {0: [1.0] * 3, 1: [2.0] * 3}  # the market of the first night again, longer: another tape, the same begin
    write_run("20261103T220000", lanes, longer, market=1, said={"tape_digest": "longer"})
    write_run("20261104T220000", lanes, pnl, market=4, said={"tape_digest": None})
    wh = warehouse()
    seen = {"fresh_after_ns": START_NS + 10**15, "seen_tapes": ["tape 1"]}
    found = paired_windows(wh, "BTCUSDT", *digests[:2], **seen)
    assert found.champion.window.tolist() == [100_000, 100_001, 200_002]
    assert found.left_out["not_fresh"] == 6
    by_time = paired_windows(wh, "BTCUSDT", *digests[:2], fresh_after_ns=START_NS + 10**15)
    assert len(by_time.champion.window) == 0  # who does not know the tapes has the time alone


def test_a_run_that_cannot_be_built_is_looked_at_once_and_any_run_again_with_other_code(
    write_run, warehouse, sets, digests, monkeypatch
) -> None:
    lanes = {0: ("champion", sets[0])}
    write_run("20261101T220000", lanes, {0: [1.0]}, grid={"lot": "7"})  # fills of 10 are no whole lots of 7
    write_run("20261102T220000", lanes, {0: [1.0]}, market=1)
    wh = warehouse()
    built = []
    real = windows.build
    monkeypatch.setattr(windows, "build", lambda wh, run_id: built.append(run_id) or real(wh, run_id))
    for _ in range(2):
        assert len(champion_windows(wh, "BTCUSDT", digests[0]).champion.window) == 1
    assert len(built) == 2
    rows = wh.execute("SELECT run_id, unusable IS NULL FROM evidence_run ORDER BY run_id")
    assert rows == [("20261101T220000-BTCUSDT-0000", False), ("20261102T220000-BTCUSDT-0001", True)]
    monkeypatch.setattr(windows, "code_sha256", lambda: "other code")
    assert len(champion_windows(wh, "BTCUSDT", digests[0]).champion.window) == 1
    assert len(built) == 4


def test_evidence_of_the_schema_before_is_kept(tmp_path) -> None:
    folder = tmp_path / "schema"
    folder.mkdir()
    for file in migration_files()[:3]:
        (folder / file.name).write_text(file.read_text())
    path = tmp_path / "w.duckdb"
    with duckdb.connect(str(path)) as connection:
        migrate(connection, where="w", folder=folder)
        connection.execute(
            "INSERT INTO evidence_window VALUES ('BTCUSDT', 'r', 9, 'replay', 5, 0, 'champion', 0, 0, 300, 'd', 1, 2, "
            "100, 101, TRUE), ('BTCUSDT', 'r', 9, 'replay', 5, 0, 'champion', 1, 300, 600, 'd', 1, 2, 101, 102, TRUE)"
        )
    with Warehouse(path) as wh:
        assert wh.execute("SELECT run_id, records, mode, begun_ns, sound, market FROM evidence_run") == [
            ("r", 9, "replay", 5, True, "")
        ]
        assert wh.execute('SELECT "window", start_ns, net_units FROM evidence_window ORDER BY 1') == [
            (0, 0, 1),
            (1, 300, 1),
        ]


def test_what_was_looked_at_stays_when_its_run_is_pruned(write_run, warehouse, paths, sets, digests) -> None:
    a, b, _ = sets
    lanes, pnl = {0: ("champion", a), 1: ("challenger", b)}, {0: [1.0, 2.0], 1: [3.0, 4.0]}
    run_id = write_run("20261101T220000", lanes, pnl)
    with warehouse() as wh:
        before = paired_windows(wh, "BTCUSDT", *digests[:2])
    os.utime(paths.journals / f"{run_id}.0.jsonl", (1, 1))
    assert prune(paths, paths.warehouse, keep_days=1, now=datetime(2026, 11, 20, tzinfo=UTC)).runs == (run_id,)
    with Warehouse(paths.warehouse) as wh:
        assert wh.execute("SELECT count(*) FROM raw_record") == [(0,)]
        after = paired_windows(wh, "BTCUSDT", *digests[:2])
    assert after.rows() == before.rows()


def test_a_run_that_grows_is_read_anew(write_run, warehouse, sets, digests) -> None:
    a, b, _ = sets
    lanes = {0: ("champion", a), 1: ("challenger", b)}
    write_run("20261101T220000", lanes, {0: [1.0], 1: [3.0]})
    with warehouse() as wh:
        assert len(paired_windows(wh, "BTCUSDT", *digests[:2]).champion.window) == 1
    write_run("20261101T220000", lanes, {0: [1.0, 2.0], 1: [3.0, 4.0]})
    with warehouse() as wh:
        wh.execute("DELETE FROM raw_other")
        wh.execute("DELETE FROM raw_fill")
        wh.execute("DELETE FROM raw_file")
        ingest(wh, [wh.path.parent / "journals"])
        assert len(paired_windows(wh, "BTCUSDT", *digests[:2]).champion.window) == 2


def test_the_verdict_over_nights_says_how_many_are_missing(write_run, warehouse, paths, sets, digests) -> None:
    a, b, _ = sets
    lanes = {0: ("champion", a), 1: ("challenger", b)}
    rng = np.random.default_rng(1)
    settings = load_judge(paths.config)
    verdicts = []
    for night in range(2):
        base = rng.normal(0, 0.4, 12)
        own = {0: base.tolist(), 1: (base + 0.8 + rng.normal(0, 0.2, 12)).tolist()}
        write_run(f"2026110{night + 1}T220000", lanes, own, market=night)
        with warehouse() as wh:
            paired = paired_windows(wh, "BTCUSDT", *digests[:2])
        judgement = judge_challenger(paired.champion, paired.challenger, settings)
        verdicts.append((judgement.verdict, paired.nights_missing(judgement)))
    assert verdicts == [("INCONCLUSIVE", (1, 7)), ("PROMOTE", (0, 0))]


def pay(wh, paths, number, p_value, at_utc, decision="PROMOTE", digest="d"):
    return spend(
        wh, paths, "BTCUSDT", p_value,
        confirmation_id=f"c{number}", challenger_sha256=digest, decision=decision, at_utc=at_utc,
    )  # fmt: skip


def test_the_budget_is_spent_earned_and_replenished(paths, at) -> None:
    with Warehouse(paths.warehouse) as wh:
        first = pay(wh, paths, 1, 0.5, at(0), "HOLD")
        assert (first.level, first.promoted, first.wealth_before) == (pytest.approx(0.05), False, pytest.approx(0.1))
        assert first.wealth_after == pytest.approx(0.05)
        refused = pay(wh, paths, 2, 0.03, at(0))
        assert (refused.promoted, refused.level) == (False, pytest.approx(0.025))
        assert "not covered: p 0.03 is above level 0.025" in refused.reason
        covered = pay(wh, paths, 3, 0.012, at(0))
        assert covered.promoted
        assert covered.wealth_after == pytest.approx(0.025 - 0.0125 + 0.1)
        late = pay(wh, paths, 4, 0.9, at(1000), "REJECT")
        assert late.wealth_before == pytest.approx(0.1)
        rows = wh.execute("SELECT seq, confirmation_id, decision, promoted FROM evidence_confirmation ORDER BY seq")
    assert rows == [(1, "c1", "HOLD", False), (2, "c2", "PROMOTE", False), (3, "c3", "PROMOTE", True),
                    (4, "c4", "REJECT", False)]  # fmt: skip


def test_the_same_confirmation_is_paid_for_once(paths, at) -> None:
    with Warehouse(paths.warehouse) as wh:
        grants = [pay(wh, paths, 1, 0.001, at(day)) for day in (0, 1, 2)]
        assert grants[0] == grants[1] == grants[2]
        assert wh.execute("SELECT count(*) FROM evidence_confirmation") == [(1,)]
        for bad in ({"p_value": 1.1}, {"p_value": float("nan")}, {"p_value": 0.1, "decision": "INCONCLUSIVE"}):
            with pytest.raises(InputError):
                pay(wh, paths, 9, bad["p_value"], at(3), bad.get("decision", "HOLD"))
    assert len(read_ledger(paths, "BTCUSDT").confirmations) == 1


def test_symbols_have_budgets_of_their_own(paths, at) -> None:
    with Warehouse(paths.warehouse) as wh:
        pay(wh, paths, 1, 0.9, at(0), "HOLD")
        other = spend(wh, paths, "ETHUSDT", 0.04, confirmation_id="c1", challenger_sha256="d", decision="PROMOTE",
                      at_utc=at(0))  # fmt: skip
    assert other.promoted


def test_a_resumed_tune_counts_once_with_its_last_number(paths, at) -> None:
    with Warehouse(paths.warehouse) as wh:
        for trials in (16, 16, 64):
            record_trial(wh, paths, "BTCUSDT", tune_id="t1", trials=trials, lanes=16, tape_digests=["b", "a", "a"],
                         seed=1, market_span_ns=(5, 9), at_utc=at(trials))  # fmt: skip
        record_trial(wh, paths, "BTCUSDT", tune_id="t2", trials=8, lanes=8, tape_digests=[], seed=2, at_utc=at(0))
        rows = wh.execute("SELECT tune_id, trials, tape_digests, market_start_ns FROM evidence_trial ORDER BY tune_id")
    assert rows == [("t1", 64, '["a", "b"]', 5), ("t2", 8, "[]", None)]
    lines = (paths.champion("BTCUSDT") / "evidence.jsonl").read_text().splitlines()
    assert len(lines) == 3  # the second 16 said nothing new
    counts = read_ledger(paths, "BTCUSDT").summary(load_evidence(paths.config), at(0))
    assert (counts["trials"], counts["tunes"], counts["confirmations"]) == (72, 2, 0)


def test_a_rebuilt_or_restored_warehouse_has_history_and_ledger_again(paths, write_run, sets, at, tmp_path) -> None:
    store = ChampionStore(paths, "BTCUSDT")
    write_run("20261101T220000", {0: ("champion", sets[0])}, {0: [1.0]})
    store.promote(sets[0], who="t", why="", at_utc=at(0))
    with Warehouse(paths.warehouse) as wh:
        ingest(wh, [paths.journals])
        pay(wh, paths, 1, 0.001, at(0))
        before = {t: wh.execute(f"SELECT * FROM {t}") for t in ("champion_history", "evidence_confirmation")}
    rebuild(paths.warehouse, [paths.journals])
    with Warehouse(paths.warehouse) as wh:
        assert wh.execute("SELECT count(*) FROM champion_history") == [(0,)]
        synchronise_all(wh, paths)
        synchronise(wh, paths, "BTCUSDT")
        assert {t: wh.execute(f"SELECT * FROM {t}") for t in before} == before
    backup(paths, paths.warehouse, tmp_path / "kept")
    store.promote(sets[1], who="t", why="")
    with Warehouse(paths.warehouse) as wh:
        pay(wh, paths, 2, 0.9, at(1), "HOLD")
    restore(paths, paths.warehouse, tmp_path / "kept")
    assert store.current().params == sets[0]
    assert len(read_ledger(paths, "BTCUSDT").confirmations) == 1


def test_a_torn_ledger_line_is_passed_over_and_a_damaged_one_stops(paths, at) -> None:
    with Warehouse(paths.warehouse) as wh:
        pay(wh, paths, 1, 0.9, at(0), "HOLD")
        file = paths.champion("BTCUSDT") / "evidence.jsonl"
        whole = file.read_bytes()
        file.write_bytes(whole + whole[:30])
        assert "torn" in read_ledger(paths, "BTCUSDT").note
        pay(wh, paths, 2, 0.9, at(0), "HOLD")
        assert [json.loads(line)["confirmation_id"] for line in file.read_text().splitlines()] == ["c1", "c2"]
        file.write_bytes(whole[:40] + b"\n" + whole)
        with pytest.raises(StorageError, match="line 1 is damaged, and with it what was spent"):
            pay(wh, paths, 3, 0.001, at(0))


def test_a_grant_is_plain_data(paths, at) -> None:
    with Warehouse(paths.warehouse) as wh:
        grant = pay(wh, paths, 1, 0.001, at(0))
    assert json.loads(json.dumps(dataclasses.asdict(grant)))["promoted"] is True
