"""`nightsoak soak`: the main job, from market data to a verdict."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nightsoak.arguments import count, positive, whole_number
from nightsoak.console import say
from nightsoak.running import run_flow

if TYPE_CHECKING:
    from engine.soak import SoakSettings
    from engine.soak_steps import Report

_PASSES = ("SUCCESS", "OK")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    soak = commands.add_parser(
        "soak",
        help="the main job: run the bot over a market, tune it between iterations, judge it, report",
        description="Without --tape the market is generated (seeded, and marked as such in the report). Exit codes: "
        "0 done, 1 with --gate and no pass, 2 bad input, 3 could not run or finish, 130 interrupted.",
    )
    soak.add_argument("--hours", type=positive, default=3.0, help="at most so much market time (default 3)")
    soak.add_argument("--iterations", type=count, default=6, help="equal parts of the run (default 6)")
    soak.add_argument("--auto-tune", action="store_true", help="let the rules change parameters between iterations")
    soak.add_argument("--tape", metavar="DIR", default="", help="replay this tape")
    soak.add_argument(
        "--feed",
        choices=("replay", "bybit", "binance"),
        default="replay",
        help="default: replay; else the venue's live feed, on paper",
    )
    soak.add_argument("--endpoint", metavar="URL", default="", help="ws://host:port instead of the venue's own")
    soak.add_argument(
        "--symbols",
        nargs="+",
        default=(),
        metavar="SYMBOL",
        help="the one expected on the tape, or those of the live feed: a run each, side by side",
    )
    soak.add_argument("--profile", default="", help="a profile of config/profiles/ (default: MM_PROFILE, else S1)")
    soak.add_argument("--matrix", metavar="NAME", default="", help="driver matrix; seed: the one first proposed")
    soak.add_argument("--overrides", metavar="F", default="", help="start from these parameters, not the champion's")
    soak.add_argument("--seed", type=whole_number, help="seed of the generated market (default: the market's own)")
    soak.add_argument("--window-seconds", type=count, default=300, help="length of a scoring window (default 300)")
    soak.add_argument("--export-json", type=Path, metavar="F", help="copy soak_metrics.json there")
    soak.add_argument("--export-md", type=Path, metavar="F", help="copy SOAK_RESULTS.md there")
    soak.add_argument("--gate", action="store_true", help="exit 1 unless the verdict is SUCCESS or OK")
    soak.set_defaults(run=_soak)


def _soak(args: argparse.Namespace) -> int:
    from engine.errors import InputError
    from engine.paths import Paths
    from nightsoak.report import print_verdict

    settings = _settings(args)
    from engine.soak_plan import check_inputs, soak_lock  # imports for a second, and the settings are right

    for export in filter(None, (args.export_json, args.export_md)):
        if export.is_dir():
            raise InputError("is a folder", where=str(export), remedy="name a file")
        if len(settings.one_each()) > 1:
            raise InputError("one file for several symbols", where=str(export), remedy="copy from their report folders")
    # What will fail is refused here, before seconds go into starting Prefect; the flow checks it all again.
    paths = Paths.from_environment()
    check_inputs(settings, paths)
    with soak_lock(paths):
        pass
    if settings.live:
        from engine.soak_market import live_instrument

        for one in settings.one_each():
            live_instrument(one)
    what = f"soak: up to {settings.hours:g} h of market time in {settings.iterations} iterations"
    reports = run_flow(lambda: _flow(settings), what=what, debug=args.debug)
    _export(reports[0], args.export_json, args.export_md)
    for report in reports:
        print_verdict(report.folder)
    return 1 if args.gate and any(report.verdict not in _PASSES for report in reports) else 0


def _settings(args: argparse.Namespace) -> SoakSettings:
    import json

    from engine.config import parse_config
    from engine.soak import SoakSettings

    names = [name for name in SoakSettings.model_fields if name != "comment"]
    given = {name: getattr(args, name) for name in names}
    given["symbols"] = [symbol for word in args.symbols for symbol in word.split(",") if symbol]
    return parse_config(json.dumps(given), SoakSettings, where="soak")


def _flow(settings: SoakSettings) -> Callable[[], Sequence[Report]]:
    from flows.soak import soak

    return lambda: soak(settings)


def _export(report: Report, json_file: Path | None, markdown_file: Path | None) -> None:
    from engine.files import write_atomic

    for name, target in (("soak_metrics.json", json_file), ("SOAK_RESULTS.md", markdown_file)):
        if target is not None:
            write_atomic(target, (report.folder / name).read_bytes())
            say(f"{name} copied to {target}")
