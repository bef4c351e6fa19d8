"""The warehouse's schema, in numbered steps: sql/schema/NNN_name.sql, each applied once, in order, whole."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from engine.errors import ConfigError

SCHEMA = Path(__file__).parent / "sql" / "schema"
_NAME = re.compile(r"(\d{3})_\w+\.sql\Z")


def migration_files(folder: Path = SCHEMA) -> list[Path]:
    """The steps in order; the n-th one is version n."""
    files = sorted(folder.glob("*.sql"))
    for version, path in enumerate(files, 1):
        match = _NAME.match(path.name)
        if match is None or int(match[1]) != version:
            raise ConfigError(
                f"is not migration {version:03d}", where=str(path), remedy="number migrations 001, 002, ..."
            )
    return files


def schema_version(connection: duckdb.DuckDBPyConnection) -> int:
    """The version a file stands at; 0 for a new one."""
    rows = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'schema_version' AND NOT temporary"
    ).fetchall()
    if not rows[0][0]:
        return 0
    return int(connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchall()[0][0])


def migrate(connection: duckdb.DuckDBPyConnection, *, where: str, folder: Path = SCHEMA) -> int:
    """Bring a file to the newest version; each step and its row in schema_version commit together.

    Raises:
        ConfigError: the file was written by a newer Nightsoak.
    """
    files = migration_files(folder)
    found = schema_version(connection)
    if found > len(files):
        raise ConfigError(
            f"the warehouse is of schema version {found}, this Nightsoak knows up to {len(files)}",
            where=where,
            remedy="upgrade Nightsoak, or name another file",
        )
    for version, path in enumerate(files[found:], found + 1):
        connection.execute("BEGIN")
        try:
            if version == 1:
                connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL, name VARCHAR NOT NULL)")
            connection.execute(path.read_text(encoding="utf-8"))
            connection.execute("INSERT INTO schema_version VALUES (?, ?)", [version, path.stem])
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    return len(files)
