"""`nightsoak init` and `nightsoak doctor`: configuration with comments, and a preflight."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nightsoak.console import emit_json, hint, say

if TYPE_CHECKING:
    from engine.preflight import Check


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    init = commands.add_parser("init", help="write the commented configuration where it is missing")
    init.set_defaults(run=_init)

    doctor = commands.add_parser("doctor", help="check configuration, tape, disk, clock, lock and pins")
    doctor.add_argument("--tape", type=Path, metavar="DIR", help="also open this tape and compare its sha256")
    doctor.add_argument("--feed", choices=("bybit", "binance"), help="also connect there and wait for a book")
    doctor.add_argument("--endpoint", default="", metavar="URL", help="ws://host:port instead of the venue's own")
    doctor.add_argument("--symbols", nargs="+", default=["BTCUSDT"], metavar="SYMBOL", help="books to wait for there")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    doctor.set_defaults(run=_doctor)


def _init(args: argparse.Namespace) -> int:
    from engine.paths import CHECKOUT, Paths
    from engine.preflight import write_missing_config

    target = Paths.from_environment().config
    written = write_missing_config(CHECKOUT / "config", target)
    for path in written:
        print(path)
    say(f"{len(written)} files written to {target}" if written else f"{target} is complete; nothing was written")
    hint("nightsoak doctor")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from engine.paths import Paths
    from engine.preflight import preflight

    checks = [*preflight(Paths.from_environment(), tape=args.tape, more=_feeds(args)), *_database()]
    failed = [check for check in checks if not check.ok]
    if args.json:
        rows = [{"name": c.name, "ok": c.ok, "found": c.found, "remedy": c.remedy} for c in checks]
        emit_json({"ok": not failed, "checks": rows})
        return 1 if failed else 0
    for check in checks:
        print(f"{'OK   ' if check.ok else 'ERROR'} {check.name}: {check.found}")
        if not check.ok:
            print(f"      remedy: {check.remedy}")
    print(f"{len(checks) - len(failed)} checks passed, {len(failed)} failed")
    hint("nightsoak soak" if not failed else "follow the remedies, then nightsoak doctor again")
    return 1 if failed else 0


def _feeds(args: argparse.Namespace) -> list[tuple[str, Callable[[], str]]]:
    """The venue's live feed, where one is named."""
    if not args.feed:
        return []
    from engine.live.reach import reach_feed

    return [(f"feed {symbol}", partial(reach_feed, args.feed, symbol, args.endpoint)) for symbol in args.symbols]


def _database() -> list[Check]:
    """Where one is named for Prefect's server: that it answers."""
    from engine.errors import NightsoakError
    from engine.preflight import Check
    from flows.database import URL, check_database

    try:
        found = check_database()
    except NightsoakError as error:
        return [Check("database", False, f"{URL}: {error.what}", error.remedy)]
    return [Check("database", True, found)] if found else []
