"""Backup and its way back, what is old, and the tables for other tools."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from engine.champion.store import ChampionStore
from engine.errors import ConfigError, StorageError, VerificationError
from engine.files import write_json
from engine.market.simulator import generate_tape, read_settings
from engine.params import Params
from engine.paths import CHECKOUT, Paths
from engine.warehouse.care import backup, prune, restore
from engine.warehouse.db import Warehouse
from engine.warehouse.edge import edge_report
from engine.warehouse.export import export_tables
from engine.warehouse.ingest import ingest
from engine.warehouse.rebuild import RAW_TABLES

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def paths(tmp_path):
    return Paths(config=tmp_path / "config", datasets=tmp_path / "datasets", reports=tmp_path / "reports")


@pytest.fixture
def runs(paths, random_run):
    """Two runs, one rotated, in journals and warehouse, and a champion."""
    old, new = random_run(1, windows=2).journal, random_run(2, windows=2).journal
    lines = old.lines()
    old.write(paths.journals / f"{old.run_id}.0.jsonl", [*lines[:30], b"junk\n"])
    old.write(paths.journals / f"{old.run_id}.1.jsonl", lines[30:])
    new.write(paths.journals / f"{new.run_id}.0.jsonl")
    with Warehouse(paths.warehouse) as wh:
        ingest(wh, [paths.journals])
    ChampionStore(paths, "BTCUSDT").promote(Params(min_interval_ms=80), who="test", why="slower")
    return old.run_id, new.run_id


def tables(path):
    with Warehouse(path) as wh:
        return {name: wh.execute(f"SELECT * FROM {name} ORDER BY ALL") for name in RAW_TABLES}


def test_a_backup_is_put_back_as_it_was(paths, runs, tmp_path):
    before = tables(paths.warehouse)
    made = backup(paths, paths.warehouse, tmp_path / "kept")
    assert set(made.files) == {
        "warehouse.duckdb",
        "champion/BTCUSDT/champion_state.json",
        "champion/BTCUSDT/history.jsonl",
    }
    with Warehouse(paths.warehouse) as wh:
        wh.execute("DELETE FROM raw_fill")
    champion = ChampionStore(paths, "BTCUSDT")
    kept = champion.history()
    champion.promote(Params(min_interval_ms=300), who="test", why="slowest")
    restore(paths, paths.warehouse, tmp_path / "kept")
    assert tables(paths.warehouse) == before
    assert (champion.current().params, champion.current().note) == (Params(min_interval_ms=80), "")
    assert champion.history() == kept
    replaced = paths.warehouse.with_name("warehouse.duckdb.replaced-1")
    assert tables(replaced)["raw_fill"] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["datasets", "kept"]


def test_a_backup_overwrites_nothing(paths, runs, tmp_path):
    backup(paths, paths.warehouse, tmp_path / "kept")
    with pytest.raises(ConfigError, match="kept: is not empty"):
        backup(paths, paths.warehouse, tmp_path / "kept")
    with pytest.raises(ConfigError, match="is not there"):
        backup(paths, tmp_path / "nowhere.duckdb", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_an_altered_backup_is_refused_and_changes_nothing(paths, runs, tmp_path):
    before = tables(paths.warehouse)
    backup(paths, paths.warehouse, tmp_path / "kept")
    copy = tmp_path / "kept" / "warehouse.duckdb"
    raw = bytearray(copy.read_bytes())
    raw[len(raw) // 2] ^= 1
    copy.write_bytes(raw)
    with pytest.raises(VerificationError, match=r"warehouse\.duckdb: is missing or altered"):
        restore(paths, paths.warehouse, tmp_path / "kept")
    manifest = tmp_path / "kept" / "backup.json"
    said = json.loads(manifest.read_text())
    write_json(manifest, said | {"files": {"champion/../../x.json": "0"}})
    with pytest.raises(VerificationError, match="which is of no backup"):
        restore(paths, paths.warehouse, tmp_path / "kept")
    with pytest.raises(ConfigError, match="is no backup"):
        restore(paths, paths.warehouse, tmp_path)
    assert tables(paths.warehouse) == before


def test_a_backup_that_cannot_be_copied_leaves_all_as_it_was(paths, runs, tmp_path):
    backup(paths, paths.warehouse, tmp_path / "kept")
    with Warehouse(paths.warehouse) as wh:
        wh.execute("DELETE FROM raw_fill")
    before = tables(paths.warehouse)
    (paths.datasets / "champion" / "BTCUSDT" / ".history.jsonl.restore").mkdir()  # stands in the copy's way
    with pytest.raises(StorageError, match="kept: cannot be restored"):
        restore(paths, paths.warehouse, tmp_path / "kept")
    assert tables(paths.warehouse) == before
    assert not list(paths.datasets.glob("*replaced*")) and not list(paths.datasets.glob(".*.restore"))


def test_old_runs_go_with_rows_and_journals_and_young_ones_stay(paths, runs):
    old, new = runs
    (paths.datasets / "runs" / old).mkdir(parents=True)
    month_ago = (NOW - timedelta(days=30)).timestamp()
    yesterday = (NOW - timedelta(days=1)).timestamp()
    for file in paths.journals.iterdir():
        age = month_ago if old in file.name else yesterday
        os.utime(file, (age, age))
    with Warehouse(paths.warehouse) as wh:
        kept = edge_report(wh, new)
        bad = wh.execute("SELECT count(*) FROM raw_quarantine")
    assert bad == [(1,)]
    dry = prune(paths, paths.warehouse, keep_days=7, now=NOW, dry_run=True)
    assert (dry.runs, len(dry.journals), dry.kept) == ((old,), 2, 1)
    assert len(list(paths.journals.iterdir())) == 3
    gone = prune(paths, paths.warehouse, keep_days=7, now=NOW)
    assert gone == dry
    assert [file.name for file in paths.journals.iterdir()] == [f"{new}.0.jsonl"]
    assert not (paths.datasets / "runs" / old).exists()
    with Warehouse(paths.warehouse) as wh:
        assert wh.execute("SELECT DISTINCT run_id FROM raw_record") == [(new,)]
        assert wh.execute("SELECT count(*) FROM raw_quarantine") == [(0,)]
        assert edge_report(wh, new) == kept
        assert ingest(wh, [paths.journals]).lines == 0
    assert prune(paths, paths.warehouse, keep_days=7, now=NOW).runs == ()


def test_old_generated_tapes_go_unless_a_kept_run_was_on_them(paths):
    market = read_settings(CHECKOUT / "config", "s1")
    made = [market.with_run(seed=seed, duration_s=1) for seed in (1, 2, 3)]
    old, replayed, young = (generate_tape(paths.tapes / one.tape_name, one).path for one in made)
    mine = shutil.copytree(old, paths.tapes / "generated-by-hand")
    write_json(paths.datasets / "runs" / "R" / "plan.json", {"tape": str(replayed)})
    write_json(paths.datasets / "runs" / "Q" / "plan.json", {})  # of another version
    for folder in (old, replayed, mine):
        os.utime(folder / "meta.json", ((NOW - timedelta(days=30)).timestamp(),) * 2)
    os.utime(young / "meta.json", (NOW.timestamp(),) * 2)
    dry = prune(paths, paths.warehouse, keep_days=7, now=NOW, dry_run=True)
    assert dry.tapes == (old,) and dry.tape_bytes > 1000 and old.is_dir()
    assert prune(paths, paths.warehouse, keep_days=7, now=NOW) == dry
    assert sorted(paths.tapes.iterdir()) == sorted([replayed, young, mine])
    generate_tape(old, made[0])


@pytest.mark.parametrize("name", ["..", ".", "{home}"])
def test_only_working_folders_go_whatever_a_journal_calls_its_run(paths, tmp_path, new_journal, name):
    home = tmp_path / "home"
    (paths.datasets / "runs" / "other").mkdir(parents=True)
    home.mkdir()
    file = new_journal(name.format(home=home)).start().write(paths.journals / "foreign.0.jsonl")
    os.utime(file, (0, 0))
    assert prune(paths, paths.warehouse, keep_days=7, now=NOW).runs == (name.format(home=home),)
    assert not file.exists()
    assert home.is_dir() and (paths.datasets / "runs" / "other").is_dir()


def test_a_run_is_as_young_as_its_youngest_journal(paths, runs):
    month_ago = (NOW - timedelta(days=30)).timestamp()
    for file in paths.journals.iterdir():
        age = NOW.timestamp() if file.name.endswith(".1.jsonl") else month_ago
        os.utime(file, (age, age))
    assert prune(paths, paths.warehouse, keep_days=7, now=NOW).runs == (runs[1],)


def test_days_to_keep_are_one_at_least(paths, runs):
    with pytest.raises(ConfigError, match="below 1"):
        prune(paths, paths.warehouse, keep_days=0)


def test_every_table_is_written_as_parquet(paths, runs, tmp_path):
    with Warehouse(paths.warehouse) as wh:
        rows = export_tables(wh, tmp_path / "out", run_id=runs[0])
        assert {*RAW_TABLES, "raw_record", "schema_version", "core_fill", "attr_window", "kpi_pnl"} <= set(rows)
        for name, count in rows.items():
            table = pq.read_table(tmp_path / "out" / f"{name}.parquet")
            assert table.num_rows == count
            wanted = wh.columns(f'SELECT * FROM "{name}"')
            assert table.equals(wanted.cast(table.schema)), name
        with pytest.raises(ConfigError, match="is not empty"):
            export_tables(wh, tmp_path / "out")
        assert set(export_tables(wh, tmp_path / "again")) >= set(RAW_TABLES)
