"""Commands that look after the data: backup, restore, prune, export."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nightsoak.arguments import whole_number
from nightsoak.console import emit_json, hint, say
from nightsoak.warehouse import LOCK_WAIT_S, open_warehouse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    backup = commands.add_parser("backup", help="copy the warehouse and the symbols' state into a new folder, checked")
    backup.add_argument("folder", type=Path, metavar="DIR", help="a new folder")
    backup.set_defaults(run=run_backup)

    restore = commands.add_parser("restore", help="put a backup back")
    restore.add_argument("folder", type=Path, metavar="DIR", help="what `backup` made")
    restore.set_defaults(run=run_restore)

    prune = commands.add_parser(
        "prune", help="remove runs whose journals have not been touched for some days, and old generated tapes"
    )
    prune.add_argument("--keep-days", type=whole_number, required=True, metavar="N", help="days that a run is kept for")
    prune.add_argument("--dry-run", action="store_true", help="say what would go, remove nothing")
    prune.set_defaults(run=run_prune)

    export = commands.add_parser("export", help="write every table of the warehouse as Parquet")
    export.add_argument("folder", type=Path, metavar="DIR", help="where the files go")
    export.add_argument("--run", dest="run_ref", metavar="RUN", help="the tables that follow from this run's rows too")
    export.set_defaults(run=run_export)

    for parser in (backup, restore, prune, export):
        parser.add_argument("--db", type=Path, help="the warehouse file (default: the installation's own)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")


def run_backup(args: argparse.Namespace) -> int:
    from engine.warehouse.care import backup

    paths, database = _places(args)
    made = backup(paths, database, args.folder, wait_s=LOCK_WAIT_S)
    if args.json:
        emit_json(asdict(made) | {"folder": str(made.folder)})
        return 0
    print(f"{len(made.files)} files, {sum(made.rows.values())} rows -> {made.folder}")
    hint(f"nightsoak restore {made.folder} puts them back")
    return 0


def run_restore(args: argparse.Namespace) -> int:
    from engine.soak_plan import soak_lock
    from engine.warehouse.care import restore

    paths, database = _places(args)
    with soak_lock(paths):
        made = restore(paths, database, args.folder, wait_s=LOCK_WAIT_S)
    if args.json:
        emit_json(asdict(made) | {"folder": str(made.folder)})
        return 0
    print(f"{len(made.files)} files restored; the warehouse has {sum(made.rows.values())} rows")
    say("the warehouse that stood there is kept beside it; runs after the backup are in that one and in their journals")
    hint("nightsoak ingest reads what the journals have beyond it")
    return 0


def run_prune(args: argparse.Namespace) -> int:
    from engine.soak_plan import soak_lock
    from engine.warehouse.care import prune

    paths, database = _places(args)
    with soak_lock(paths):
        gone = prune(paths, database, keep_days=args.keep_days, dry_run=args.dry_run, wait_s=LOCK_WAIT_S)
    if args.json:
        emit_json(
            asdict(gone)
            | {
                "journals": [str(file) for file in gone.journals],
                "tapes": [str(folder) for folder in gone.tapes],
                "dry_run": args.dry_run,
            }
        )
        return 0
    for name in (*gone.runs, *(folder.name for folder in gone.tapes)):
        print(name)
    said = "would go" if args.dry_run else "removed"
    say(
        f"{len(gone.runs)} runs {said}, {len(gone.journals)} journals of {gone.journal_bytes / 1e6:.1f} MB, "
        f"{len(gone.tapes)} generated tapes of {gone.tape_bytes / 1e6:.1f} MB; "
        f"{gone.kept} runs are kept"
    )
    if args.dry_run and (gone.runs or gone.tapes):
        hint(f"nightsoak backup DIR keeps them, nightsoak prune --keep-days {args.keep_days} removes them")
    else:
        hint("nightsoak status")
    return 0


def run_export(args: argparse.Namespace) -> int:
    from engine.warehouse.export import export_tables
    from engine.warehouse.runs import resolve_run

    with open_warehouse(args) as wh:
        run_id = None if args.run_ref is None else resolve_run(wh, args.run_ref)
        rows = export_tables(wh, args.folder, run_id=run_id)
    if args.json:
        emit_json({"folder": str(args.folder), "rows": rows})
        return 0
    print(f"{len(rows)} tables, {sum(rows.values())} rows -> {args.folder}")
    hint(f"whatever reads Parquet reads {args.folder}; nightsoak export --run RUN adds a run's KPIs and attribution")
    return 0


def _places(args: argparse.Namespace) -> tuple[Any, Path]:
    from engine.paths import Paths

    paths = Paths.from_environment()
    return paths, args.db or paths.warehouse
