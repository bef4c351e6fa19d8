"""The folder of a run's report, whoever made the run: our own soaks have written theirs, another bot's is made here."""

from __future__ import annotations

from pathlib import Path

from engine.errors import InputError, JournalError
from engine.paths import Paths
from engine.report.index import resolve_run
from engine.report.manifest import read_manifest_json
from engine.report.record import FOREIGN


def find_report(run: str, paths: Paths, database: Path, *, wait_s: float) -> Path:
    """The folder of RUN's report; written first where the warehouse alone knows the run, and anew where it has read
    more of it since.

    Args:
        run: a run id, a path (of a report or a journal), or `latest`.
        wait_s: how long to wait for another process that has the warehouse.

    Raises:
        InputError: there is no such run, or it is a soak of our own that has not come to its report.
        VerificationError: the run's numbers contradict themselves.
        LockHeldError, StorageError: as Warehouse; nothing is half-written.
    """
    folder, manifest = None, {}
    try:
        folder = resolve_run(run, paths.reports)
    except InputError as error:
        if not database.exists():
            raise
        nowhere = error
    else:
        manifest = read_manifest_json(folder)
        if manifest.get("kind") != FOREIGN or not database.exists():
            return folder
    from engine.foreign_report import counts_of, read_run, report_foreign  # heavy; a report that is there needs it not
    from engine.warehouse.db import Warehouse
    from engine.warehouse.runs import resolve_run as ingested_run

    with Warehouse(database, wait_s=wait_s) as wh:
        try:
            run_id = ingested_run(wh, manifest.get("run_id", run))
        except JournalError:
            run_id = ""
        if folder is None and not (run_id and is_foreign(run_id, paths)):
            raise nowhere
        if folder is not None and (not run_id or manifest["rows"]["ingest"] == counts_of(wh, run_id)):
            return folder
        read = read_run(wh, run_id, paths.config)
    return report_foreign(read, paths)


def is_foreign(run_id: str, paths: Paths) -> bool:
    """Whether a run of the warehouse is none of this installation's own soaks."""
    return not (paths.datasets / "runs" / run_id / "plan.json").is_file()
