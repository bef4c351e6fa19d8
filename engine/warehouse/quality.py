"""Runs the checks of sql/checks: each returns the rows that offend, and none is a pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.errors import VerificationError
from engine.warehouse.build import build, queries
from engine.warehouse.db import Warehouse

SHOWN_ROWS = 5


@dataclass(frozen=True)
class CheckResult:
    """`severity` is fail or warn; `sample` holds the first offending rows as {column: value}."""

    name: str
    title: str
    severity: str
    offending: int
    sample: tuple[dict[str, Any], ...]

    @property
    def passed(self) -> bool:
        return not self.offending


def run_checks(
    wh: Warehouse, run_id: str, *, seconds: int | None = None, edges_ns: tuple[int, ...] | None = None
) -> list[CheckResult]:
    """Every check on one run, by name; the run is cut as `build` is told to."""
    build(wh, run_id, seconds=seconds, edges_ns=edges_ns)
    results = []
    for table, query in queries().items():
        if not table.startswith("check_"):
            continue
        rows = wh.columns(f"SELECT * FROM {table}")
        sample = tuple(rows.slice(0, SHOWN_ROWS).to_pylist())
        results.append(
            CheckResult(query.path.stem, query.header["Title"], query.header["Severity"], rows.num_rows, sample)
        )
    return results


def require_sound(
    wh: Warehouse, run_id: str, *, seconds: int | None = None, edges_ns: tuple[int, ...] | None = None
) -> list[CheckResult]:
    """All results, if no check of severity fail offends.

    Raises:
        VerificationError: the numbers contradict themselves, so none of them is shown.
    """
    results = run_checks(wh, run_id, seconds=seconds, edges_ns=edges_ns)
    for check in results:
        if check.severity == "fail" and not check.passed:
            raise VerificationError(
                f"check {check.name} fails for {check.offending} rows, first {check.sample[0]}",
                where=f"run {run_id}",
                remedy="the warehouse contradicts itself: ingest the journals into a new file and report this",
            )
    return results


def quarantine_note(wh: Warehouse, run_id: str) -> str:
    """How many lines of the run's files are in quarantine, and the first of them; "" if none is."""
    rows = wh.execute(
        "SELECT count(*) OVER (), path, line, reason FROM raw_quarantine JOIN raw_file USING (file_id) "
        "WHERE run_id = $1 OR file_id IN (SELECT file_id FROM raw_record WHERE run_id = $1) "
        "ORDER BY file_id, line LIMIT 1",
        [run_id],
    )
    if not rows:
        return ""
    count, path, line, reason = rows[0]
    are = "1 line is" if count == 1 else f"{count} lines are"
    return f"{are} in quarantine and in no number of this run, the first: {path}:{line}: {reason}"
