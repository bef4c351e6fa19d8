"""Commands of the verify group: verify, explain."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from nightsoak.console import emit_json, hint, long_work, paragraph

if TYPE_CHECKING:
    from engine.verify import Verification

_SHOWN = 10


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    verify = commands.add_parser(
        "verify",
        help="do a run, or a tune, again from its folder and compare every artefact",
        description="Makes the run or the tune again from its folder, in a temporary one, and compares every artefact "
        "but wall_clock.json byte for byte. A generated tape that is not there is generated again.",
        epilog="Exit codes: 0 the same; 1 something differs (it is named, and the input that changed) or is open; "
        "2 no such run or tape.",
    )
    verify.add_argument("run_name", metavar="RUN", help="a run's or a tune's id, the path of its folder, or latest")
    verify.add_argument(
        "--tape", dest="tapes", type=Path, action="append", default=[], metavar="DIR", help="look for the tape here"
    )
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    verify.set_defaults(run=_verify)

    explain = commands.add_parser(
        "explain",
        help="why two runs came out differently: gate, component, parameters, data, code",
        description="Compares the folders of two runs. Differences are RUN - OTHER; the components' differences add up "
        "to that of net_bps.",
    )
    explain.add_argument("run_name", metavar="RUN", help="a run id, the path of a run's folder, or latest")
    explain.add_argument("other_name", metavar="OTHER", help="the run it is held against")
    explain.add_argument("--json", action="store_true", help="print one JSON object")
    explain.set_defaults(run=_explain)


def _verify(args: argparse.Namespace) -> int:
    from engine.paths import Paths
    from engine.report.index import resolve_run
    from engine.report.manifest import read_manifest_json
    from engine.search.verify_tune import KIND, verify_tune
    from engine.verify import verify_run
    from nightsoak.progress import showing_progress

    paths = Paths.from_environment()
    folder = resolve_run(args.run_name, paths.reports)
    with long_work(f"verify: {folder.name}"), showing_progress() as listener:
        if read_manifest_json(folder).get("kind") == KIND:
            result = verify_tune(folder, paths, tapes=args.tapes, tell=listener)
        else:
            result = verify_run(folder, paths, tapes=args.tapes, listen=lambda message: listener(dict(message)))
    if args.json:
        emit_json(result.to_json() | {"folder": str(folder)})
    else:
        _print(result, args.run_name)
    return 0 if result.verified else 1


def _print(result: Verification, run_name: str) -> None:
    if result.verified:
        print(f"verified: {result.run_id} was made again; its {result.compared} artefacts are the same, byte for byte")
    else:
        print(f"NOT verified: {result.run_id}")
    for change in result.changed_inputs:
        print(f"changed input: {change.name}: {change.recorded[:16]} when it ran, {change.now[:16]} now")
    for number, found in enumerate(result.findings[:_SHOWN]):
        word = "differs first" if number == 0 else "differs"
        recorded, again = (text[:16] if "sha256" in found.where else text for text in (found.recorded, found.again))
        print(paragraph(f"{found.file}: {found.where}: {recorded} in the folder, {again} by rights", f"{word}: "))
    if len(result.findings) > _SHOWN:
        print(f"... and {len(result.findings) - _SHOWN} further differences; --json lists all")
    for text in (*result.open, *result.notes):
        print(paragraph(text, "note: "))
    sys.stdout.flush()
    hint(f"nightsoak report {run_name}" if result.verified else f"nightsoak verify {run_name} --json")


def _explain(args: argparse.Namespace) -> int:
    from engine.explain import explain, read_side
    from engine.paths import Paths
    from engine.report.commands import shell_line
    from engine.report.explanation import short_text, tables
    from engine.report.index import resolve_run
    from engine.report.table import markdown_table

    reports = Paths.from_environment().reports
    run, other = (read_side(resolve_run(name, reports)) for name in (args.run_name, args.other_name))
    found = explain(run, other)
    if args.json:
        emit_json(found)
        return 0
    for number, text in enumerate(short_text(found), 1):
        print(textwrap.fill(text, 80, initial_indent=f"{number}. ", subsequent_indent="   ", break_on_hyphens=False))
    for title, table in tables(found):
        print(f"\n{title}\n\n{markdown_table(table)}")
    sys.stdout.flush()
    hint(shell_line(found["next"]))
    return 0
