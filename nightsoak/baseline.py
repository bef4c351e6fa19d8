"""`nightsoak baseline`: the preset ladder, from the first preset to the first GO."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from nightsoak.arguments import count, whole_number
from nightsoak.console import emit_json, hint, near_path, paragraph, say
from nightsoak.running import run_flow

if TYPE_CHECKING:
    from pathlib import Path

    from engine.baseline.ladder import BaselineSettings
    from tasks.baseline_report import BaselineReport


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    baseline = commands.add_parser(
        "baseline",
        help="try the presets Baseline, A, B, C in order, stop at the first GO",
        description="Each attempt is a run of the bot on every symbol; without --mock and --tape it is on the live "
        "feed, in real time. Exit codes: 0 GO, 1 NO-GO, 2 bad input, 3 could not run or finish, 130 interrupted.",
    )
    baseline.add_argument("--exchange", choices=("bybit", "binance"), default="bybit", help="default: bybit")
    baseline.add_argument("--symbols", nargs="+", default=(), metavar="SYMBOL", help="default: the tapes', else two")
    baseline.add_argument("--profile", default="", help="a profile of config/profiles/ (default: MM_PROFILE, else S1)")
    baseline.add_argument("--iterations", type=count, default=6, help="windows an attempt (default 6)")
    baseline.add_argument("--window-seconds", type=count, default=60, help="length of a window (default 60)")
    baseline.add_argument("--mock", action="store_true", help="replay one generated market per symbol")
    baseline.add_argument("--market", default="", help="generated market of --mock (default: the profile's)")
    baseline.add_argument("--seed", type=whole_number, help="seed of the generated markets (default: the market's own)")
    baseline.add_argument("--tape", nargs="+", default=(), metavar="DIR", help="replay these tapes, one per symbol")
    baseline.add_argument("--endpoint", default="", metavar="URL", help="a venue of your own: ws://host:port")
    baseline.add_argument("--json", action="store_true", help="print the ladder's record as one JSON object")
    baseline.set_defaults(run=_baseline)


def _baseline(args: argparse.Namespace) -> int:
    from engine.baseline.ladder import check_baseline, make_ladder
    from engine.paths import Paths
    from engine.soak_plan import soak_lock

    settings = _settings(args)
    paths = Paths.from_environment()
    (make_ladder if settings.live else check_baseline)(settings, paths)  # a live one asks the venue and writes nothing
    with soak_lock(paths):
        pass
    what = f"baseline: {settings.iterations} windows of {settings.window_seconds} s an attempt"
    report = run_flow(lambda: _flow(settings), what=what, debug=args.debug)
    if args.json:
        from engine.report.baseline_artefacts import read_baseline

        emit_json(read_baseline(report.folder) | {"folder": str(report.folder)})
    else:
        print_decision(report.folder)
    return 0 if report.decision == "GO" else 1


def _flow(settings: BaselineSettings) -> Callable[[], BaselineReport]:
    from flows.baseline import baseline

    return lambda: baseline(settings)


def _settings(args: argparse.Namespace) -> BaselineSettings:
    import json

    from engine.baseline.ladder import BaselineSettings
    from engine.config import parse_config

    names = ("exchange", "profile", "iterations", "window_seconds", "mock", "market", "seed", "endpoint")
    given = {name: getattr(args, name) for name in names}
    given["symbols"] = [symbol for word in args.symbols for symbol in word.split(",") if symbol]
    given["tapes"] = list(args.tape)
    return parse_config(json.dumps(given), BaselineSettings, where="baseline")


def print_decision(folder: Path) -> None:
    """Print a ladder's KPIs, attempts, decision and report path on stdout and the next command as a hint on stderr.

    Raises:
        InputError: the folder holds no ladder.
    """
    from engine.report.baseline_artefacts import DOCUMENT, baseline_view
    from engine.report.table import markdown_table

    view = baseline_view(folder)
    print(paragraph(f"{view.decision}  {', '.join(text for _, text in view.head[2:5])}"))
    for note in view.notes:
        print(paragraph(note, "note: "))
    for table in (view.kpis, view.presets, view.results):
        print(f"\n{markdown_table(table)}")
    print()
    for reason in view.reasons:
        print(paragraph(reason, "- "))
    for number, recommendation in enumerate(view.recommendations, 1):
        print(paragraph(recommendation, f"{number}. "))
    print(f"report: {near_path(folder / DOCUMENT)}", flush=True)
    say(f"next: {view.next[0].lower()}{view.next[1:]}")
    hint(view.next_command)
