"""Which run a user means: a run id, a journal, a report folder, or `latest`."""

from __future__ import annotations

from pathlib import Path

from engine.errors import JournalError, did_you_mean
from engine.warehouse.db import Warehouse
from engine.warehouse.parse import LineError, read_line

LATEST = "latest"


def run_ids(wh: Warehouse) -> list[str]:
    """Every run in the warehouse, in the order in which their first file was read."""
    rows = wh.execute("SELECT run_id, min(file_id) AS first FROM raw_record GROUP BY run_id ORDER BY first, run_id")
    return [run_id for run_id, _ in rows]


def resolve_run(wh: Warehouse, ref: str) -> str:
    """The run id that `ref` stands for: the id itself, the last one read, or that of a journal or report folder.

    Raises:
        JournalError: no such run in the warehouse.
    """
    known = run_ids(wh)
    if ref == LATEST and known:
        return known[-1]
    path = Path(ref)
    for candidate in (ref, _journal_run(path), path.resolve().name if path.exists() else None):
        if candidate in known:
            return str(candidate)
    named = f"{did_you_mean(ref, [LATEST, *reversed(known)])}; or " if known else ""
    raise JournalError("is not in the warehouse", where=f"run {ref}", remedy=f"{named}ingest its journal first")


def _journal_run(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        line = stream.readline()
    try:
        run_id: str | None = read_line(line).get("run_id")
    except LineError:
        return None
    return run_id
