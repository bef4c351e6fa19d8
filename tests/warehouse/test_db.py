"""Opening: locks, versions, damage."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal

import duckdb
import pytest

from engine.errors import ConfigError, LockHeldError, StorageError
from engine.warehouse.db import Warehouse
from engine.warehouse.fields import KINDS, PARTS
from engine.warehouse.migrations import migrate, migration_files, schema_version

ONE_FILE = (
    "INSERT INTO raw_file (file_id, identity, path, offset_bytes, lines, accepted, duplicates, quarantined) "
    "VALUES (1, 'r#0', 'a.jsonl', 10, 1, 1, 0, 0)"
)
HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"


def test_a_second_process_is_told_who_holds_the_file(tmp_path):
    path = tmp_path / "w.duckdb"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(LockHeldError) as caught, Warehouse(path):
                pass
            assert str(path) in str(caught.value)
            assert f"pid {holder.pid}" in str(caught.value)
            assert caught.value.exit_code == 3
        finally:
            holder.communicate("\n")
    with Warehouse(path) as wh:
        assert wh.execute("SELECT count(*) FROM raw_record") == [(0,)]


def test_a_new_file_gets_every_migration_and_a_second_open_none(tmp_path):
    path = tmp_path / "deeper" / "w.duckdb"
    for _ in range(2):
        with Warehouse(path) as wh:
            rows = wh.execute("SELECT version, name FROM schema_version ORDER BY version")
            assert rows == [(n, file.stem) for n, file in enumerate(migration_files(), 1)]


def test_a_file_of_version_1_keeps_its_rows_through_the_next_migration(tmp_path):
    folder = tmp_path / "schema"
    folder.mkdir()
    first = migration_files()[0]
    (folder / first.name).write_text(first.read_text())
    path = tmp_path / "w.duckdb"
    with duckdb.connect(str(path)) as connection:
        assert migrate(connection, where="w", folder=folder) == 1
        connection.execute(ONE_FILE)
    (folder / "002_note.sql").write_text("ALTER TABLE raw_file ADD COLUMN note VARCHAR DEFAULT 'none';")
    with duckdb.connect(str(path)) as connection:
        assert migrate(connection, where="w", folder=folder) == 2
        assert connection.execute("SELECT identity, note FROM raw_file").fetchall() == [("r#0", "none")]


def test_a_file_of_version_1_is_brought_up_to_date_with_its_content(tmp_path):
    """Orders and fills that version 1 kept with everything else are seen where they were; their quarantine too."""
    folder = tmp_path / "schema"
    folder.mkdir()
    first = migration_files()[0]
    (folder / first.name).write_text(first.read_text())
    path = tmp_path / "w.duckdb"
    with duckdb.connect(str(path)) as connection:
        migrate(connection, where="w", folder=folder)
        connection.execute(
            "INSERT INTO raw_record (file_id, line, v, seq, ts_ns, lane, type, run_id, symbol, price) "
            "VALUES (1, 1, 1, 0, 5, 0, 'fill', 'r', 'S', 1.5), (1, 2, 1, 1, 5, 0, 'mark', 'r', 'S', NULL)"
        )
        connection.execute("INSERT INTO raw_quarantine VALUES (1, 3, 90, 4, 'not JSON', 'junk')")
        connection.execute(ONE_FILE)
    with Warehouse(path) as wh:
        assert wh.execute("SELECT line, seq, type, price FROM raw_record ORDER BY seq") == [
            (1, 0, "fill", Decimal("1.5")),
            (2, 1, "mark", None),
        ]
        assert wh.execute("SELECT * FROM raw_quarantine") == [(1, 3, 90, 4, "not JSON", "junk")]
        assert wh.execute("SELECT offset_bytes, tail_sha256, former_lines FROM raw_file") == [(10, None, 0)]


def test_the_tables_of_orders_and_fills_have_the_fields_they_are_said_to_have(tmp_path):
    with Warehouse(tmp_path / "w.duckdb") as wh:
        for part, fields in PARTS.items():
            names = {name for (name,) in wh.execute(f"SELECT column_name FROM (DESCRIBE raw_{part})")}
            assert names == {"file_id", "line", *fields}
        names = {name for (name,) in wh.execute("SELECT column_name FROM (DESCRIBE raw_other)")}
        assert names == {"file_id", "line", *KINDS}


def test_a_migration_that_fails_leaves_the_version_before(tmp_path):
    folder = tmp_path / "schema"
    folder.mkdir()
    (folder / "001_a.sql").write_text("CREATE TABLE a (x INTEGER);")
    (folder / "002_b.sql").write_text("CREATE TABLE b (x INTEGER); INSERT INTO nowhere VALUES (1);")
    with duckdb.connect(str(tmp_path / "w.duckdb")) as connection:
        with pytest.raises(duckdb.CatalogException):
            migrate(connection, where="w", folder=folder)
        assert schema_version(connection) == 1
        assert connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall() == [
            ("a",),
            ("schema_version",),
        ]


def test_migrations_are_numbered_without_a_hole(tmp_path):
    (tmp_path / "002_b.sql").touch()
    with pytest.raises(ConfigError, match="migration 001"):
        migration_files(tmp_path)


def test_a_file_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "w.duckdb"
    with Warehouse(path) as wh:
        wh.execute("INSERT INTO schema_version VALUES (99, 'later')")
    known = len(migration_files())
    with pytest.raises(ConfigError, match=f"schema version 99, this Nightsoak knows up to {known};"), Warehouse(path):
        pass


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 1000])
def test_a_damaged_file_is_named_and_left_alone(tmp_path, damage):
    path = tmp_path / "w.duckdb"
    path.write_bytes(damage)
    with pytest.raises(StorageError, match=r"w\.duckdb"), Warehouse(path):
        pass
    assert path.read_bytes() == damage


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file"), Warehouse(tmp_path / "file" / "w.duckdb"):
        pass


def test_a_transaction_is_all_or_nothing(tmp_path):
    with Warehouse(tmp_path / "w.duckdb") as wh:
        with pytest.raises(KeyboardInterrupt), wh.transaction():
            wh.execute(ONE_FILE)
            raise KeyboardInterrupt
        assert wh.execute("SELECT count(*) FROM raw_file") == [(0,)]


def test_sql_opens_no_files_of_its_own(tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with Warehouse(tmp_path / "w.duckdb") as wh, pytest.raises(duckdb.Error, match=r"(?i)disabled|permission"):
        wh.execute(f"SELECT * FROM read_csv('{os.fspath(secret)}')")
