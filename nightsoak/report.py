"""`nightsoak report RUN`, and the verdict table that ends a soak."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nightsoak.console import emit_json, hint, long_work, near_path, say
from nightsoak.warehouse import LOCK_WAIT_S

_COLOURS = {"SUCCESS": "green", "OK": "green", "WARN": "yellow", "FAIL": "red", "NODATA": "magenta"}


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    report = commands.add_parser(
        "report",
        help="render the report of a run, ladder, tune or rollback again and show its verdict",
        description="Renders SOAK_RESULTS.md, summary.txt and the charts again from the run's JSON files. Of another "
        "bot's run that was ingested the report is made from the warehouse, and anew when more of it was read.",
    )
    report.add_argument(
        "run_name", metavar="RUN", help="an id or folder of reports/index.md, an ingested run or its journal, or latest"
    )
    shown = report.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    shown.add_argument("--markdown", action="store_true", help="print SOAK_RESULTS.md instead of the table")
    report.add_argument("--db", type=Path, help="the warehouse file (default: the installation's own)")
    report.set_defaults(run=_report)


def _report(args: argparse.Namespace) -> int:
    from engine.find_report import find_report
    from engine.paths import Paths
    from engine.report.artefacts import render_again, report_path
    from engine.report.baseline_artefacts import BASELINE, DOCUMENT, render_baseline_again
    from engine.report.rollback_artefacts import DOCUMENT as ROLLBACK
    from engine.report.rollback_artefacts import REPORT as ROLLBACK_REPORT
    from engine.report.rollback_artefacts import render_rollback_again
    from engine.report.tune_artefacts import DOCUMENT as TUNE_DOCUMENT
    from engine.report.tune_artefacts import TUNE, render_tune_again
    from nightsoak.baseline import print_decision
    from nightsoak.tune import print_tune

    paths = Paths.from_environment()
    with long_work(f"report: {args.run_name}"):
        folder = find_report(args.run_name, paths, args.db or paths.warehouse, wait_s=LOCK_WAIT_S)
    if (folder / BASELINE).is_file():
        render, document, show = render_baseline_again, folder / DOCUMENT, print_decision
    elif (folder / TUNE).is_file():
        render, document, show = render_tune_again, folder / TUNE_DOCUMENT, print_tune
    elif (folder / ROLLBACK).is_file():
        render, document, show = render_rollback_again, folder / ROLLBACK_REPORT, print_rollback
    else:
        render, document, show = render_again, report_path(folder), print_verdict
    changed = render(folder)
    if changed:
        say(f"rendered anew by another version than the one that wrote them: {', '.join(changed)}")
    if args.json:
        emit_json({"folder": str(folder), "report": str(document), "changed": changed})
    elif args.markdown:
        sys.stdout.write(document.read_text(encoding="utf-8"))
    else:
        show(folder)
    return 0


def print_rollback(folder: Path) -> None:
    """Print a rollback's notice and the path of its report."""
    from engine.report.render import SUMMARY
    from engine.report.rollback_artefacts import REPORT

    *lines, _ = (folder / SUMMARY).read_text(encoding="utf-8").splitlines()
    print("\n".join(lines))
    print(f"report: {near_path(folder / REPORT)}", flush=True)
    hint("nightsoak champion history")


def print_verdict(folder: Path) -> None:
    """Print a run's verdict table, reasons and report path on stdout and the next command as a hint on stderr.

    Everything is read from the folder's JSON. Colour only repeats what the words say, and is left out in a pipe and
    under NO_COLOR.

    Raises:
        InputError: the folder holds no report.
    """
    from rich.box import ASCII2, SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from engine.report.artefacts import load_view, report_path

    view = load_view(folder)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    colour = _COLOURS.get(view.verdict, "")
    utf8 = (console.encoding or "").lower().replace("-", "") == "utf8"

    with console.capture() as captured:
        verdict = view.verdict + (" (partial)" if view.partial else "")
        console.print(Text.assemble((verdict, f"bold {colour}"), f"  {view.symbol}  {view.headline}"))
        for warning in filter(None, (view.partial, view.origin and view.origin.text)):
            console.print(Text(f"note: {warning}", style="yellow"))
        table = Table(box=SIMPLE_HEAD if utf8 else ASCII2, pad_edge=False)
        for header, side in zip(view.checks.table.headers, view.checks.table.align, strict=True):
            table.add_column(header, justify="right" if side == "r" else "left", overflow="fold")
        for row, label in zip(view.checks.rows, view.checks.labels, strict=True):
            status_colour = _status_colour(label, unresolved=row[0] in view.checks.unresolved)
            table.add_row(*(Text(cell) for cell in row[:-1]), Text(row[-1], style=status_colour))
        console.print(table)
        for word, text in (
            ("checks", view.checks.title),
            ("why", view.why),
            ("changed", view.changed),
            ("against control", view.tuning.control_text),
            ("decide", view.decision),
        ):
            if not text:
                continue
            console.print(Text.assemble((f"{word}: ", "bold"), text))
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))  # a table pads its lines with blanks
    console.print(Text(f"report: {near_path(report_path(folder))}"), soft_wrap=True)
    sys.stdout.flush()  # the hint goes to stderr and comes last
    hint(view.next.replace("`", "").replace("\u00a0", " "))


def _status_colour(label: str, *, unresolved: bool) -> str:
    """Of a check. OK is a value that is not ideal."""
    if unresolved:
        return _COLOURS["WARN"]
    return "" if label == "OK" else _COLOURS.get(label, "")
