"""The command drill: an emergency played through the real path, in a folder of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nightsoak.console import emit_json, hint, long_work, near_path, say


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's command."""
    drill = commands.add_parser(
        "drill",
        help="play an emergency through the real path, in a folder of its own",
        description="rollback: promotes a bad set over a good one in a temporary home, runs a bot with both on a "
        "generated market, and prints the seconds from detection to restored parameters. Your own champion is not "
        "touched. It takes about half a minute.",
        epilog="Exit code: 0 when everything was restored, 1 when something was not.",
    )
    drill.add_argument("what", choices=["rollback"], help="the emergency")
    drill.add_argument(
        "--home", type=Path, metavar="DIR", help="play it here and keep it (default: in a temporary folder, removed)"
    )
    drill.add_argument("--json", action="store_true", help="print one JSON object")
    drill.set_defaults(run=run_drill)


def run_drill(args: argparse.Namespace) -> int:
    import shutil
    import tempfile

    from engine.champion.drill import drill_rollback
    from engine.errors import InputError
    from engine.paths import Paths

    home = args.home
    if home is not None and home.exists() and any(home.iterdir()):
        raise InputError("is not empty", where=str(home), remedy="name a new folder")
    home = home or Path(tempfile.mkdtemp(prefix="nightsoak-drill-"))
    tell = say if sys.stderr.isatty() else (lambda text: None)
    with long_work("drill: a rollback"):
        drill = drill_rollback(home, Paths.from_environment().config, tell=tell)
    kept = args.home is not None or not drill.restored
    if not kept:
        shutil.rmtree(home)
    if args.json:
        emit_json(drill.to_json() | ({} if kept else {"report": None}))
        return 0 if drill.restored else 1
    print(f"detected after {drill.windows_to_detection} windows: {'; '.join(drill.reasons)}")
    print(f"files restored {drill.files_restored_s:.2f} s after detection")
    if drill.bot_restored_s is not None:
        print(f"running bot restored {drill.bot_restored_s:.2f} s after detection")
    for name, holds in drill.checks.items():
        print(f"{'OK    ' if holds else 'FAILED'} {name}")
    if kept:
        print(f"report: {near_path(drill.report)}", flush=True)
        hint(f"read the report, then remove {home}")
    else:
        hint("nightsoak drill rollback --home DIR keeps its journal, warehouse and report")
    return 0 if drill.restored else 1
