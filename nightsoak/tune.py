"""`nightsoak tune`: a search for better parameters on tapes, up to a verdict."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nightsoak.arguments import count, positive, whole_number
from nightsoak.console import emit_json, hint, near_path, paragraph, say
from nightsoak.running import run_flow

if TYPE_CHECKING:
    from pathlib import Path

    from engine.search.settings import TuneSettings
    from tasks.tune_report import TuneReport


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    tune = commands.add_parser(
        "tune",
        help="search for better parameters on tapes and confirm them on windows the search never saw",
        description="Without --tape: the newest recorded tapes, else two generated ones. The last tapes are kept from "
        "the search for the confirmation. A tune that was killed goes on with the same command. Exit codes: 0 done, "
        "1 with --gate and no PROMOTE, 2 bad input, 3 could not run or finish, 130 interrupted.",
    )
    tune.add_argument("--tape", nargs="+", default=(), metavar="DIR", help="tapes of one instrument; two at least")
    tune.add_argument("--symbol", default="", help="of the recorded tapes (default: the newest one's)")
    tune.add_argument("--venue", default="", help="of the recorded tapes (default: the newest one's)")
    tune.add_argument("--trials", type=count, help="parameter sets to try (default: the profile's)")
    tune.add_argument("--lanes", type=count, help="parameter sets in a batch (default: the profile's)")
    tune.add_argument("--seed", type=whole_number, default=0, help="seed of the search (default 0)")
    tune.add_argument("--profile", choices=("quick", "standard", "deep"), default="standard", help="the effort")
    tune.add_argument("--selection-mode", choices=("robust", "best"), default="robust", help="default: robust")
    tune.add_argument(
        "--walkforward-windows", type=count, metavar="N", help="folds that score (default: the profile's)"
    )
    tune.add_argument("--top-k-consensus", type=count, metavar="K", help="trials in the consensus")
    tune.add_argument("--window-seconds", type=count, default=300, help="length of a scoring window (default 300)")
    tune.add_argument("--max-runtime-sec", type=positive, metavar="S", help="stop searching after so long")
    tune.add_argument("--max-estimated-sec", type=positive, metavar="S", help="refuse if the estimate is above")
    tune.add_argument("--maker-profile", default="", help="a profile of config/profiles/ (MM_PROFILE, else S1)")
    tune.add_argument("--overrides", metavar="F", default="", help="take these parameters for the champion")
    where = tune.add_mutually_exclusive_group()
    where.add_argument("--workers", type=count, metavar="N", help="replay the lanes in N processes, with dask")
    where.add_argument("--dask-address", metavar="URL", default="", help="on the workers of this dask scheduler")
    tune.add_argument("--json", action="store_true", help="print the tune's record as one JSON object")
    tune.add_argument("--gate", action="store_true", help="exit 1 unless the verdict is PROMOTE")
    tune.set_defaults(run=_tune)


def _tune(args: argparse.Namespace) -> int:
    from engine.paths import Paths

    settings, executor = _settings(args), _executor(args)
    from engine.search.tune_plan import check_inputs  # imports for a second, and the settings are right

    # What will fail is refused here, before seconds go into starting Prefect; the flow checks it all again.
    check_inputs(settings, Paths.from_environment())
    what = f"tune: effort {settings.profile}, seed {settings.seed}"
    report = run_flow(lambda: _flow(settings, executor), what=what, debug=args.debug)
    if args.json:
        from engine.report.tune_artefacts import read_tune

        emit_json(read_tune(report.folder) | {"folder": str(report.folder)})
    else:
        print_tune(report.folder)
    return 1 if args.gate and report.verdict != "PROMOTE" else 0


def _flow(settings: TuneSettings, executor: dict[str, Any]) -> Callable[[], TuneReport]:
    from flows.tune import tune
    from tasks.dask_lanes import Executor

    return lambda: tune(settings, Executor.model_validate(executor))


def _executor(args: argparse.Namespace) -> dict[str, Any]:
    """What tasks.dask_lanes.Executor is made of, once Prefect is imported; refused before where it cannot be had."""
    from importlib.util import find_spec

    from engine.errors import InputError

    if not args.workers and not args.dask_address:
        return {}
    option = "--workers" if args.workers else "--dask-address"
    if find_spec("prefect_dask") is None:
        remedy = "pip install -r requirements-dask.lock"
        raise InputError("prefect-dask is not installed", where=option, remedy=remedy)
    if args.workers:
        return {"executor": "dask", "workers": args.workers}
    return {"executor": "dask", "dask_address": args.dask_address}


def _settings(args: argparse.Namespace) -> TuneSettings:
    import json

    from engine.config import parse_config
    from engine.search.settings import TuneSettings

    names = [name for name in TuneSettings.model_fields if name not in ("comment", "tapes")]
    given = {name: getattr(args, name) for name in names}
    return parse_config(json.dumps(given | {"tapes": list(args.tape)}), TuneSettings, where="tune")


def print_tune(folder: Path) -> None:
    """Print a tune's verdict, effect, parameters and report path on stdout, the next command as a hint on stderr.

    Raises:
        InputError: the folder holds no tune.
    """
    from engine.report.format import NO_DATA
    from engine.report.table import Table, markdown_table
    from engine.report.tune_artefacts import DOCUMENT, tune_view

    view = tune_view(folder)
    print(paragraph(view.verdict_text))
    for note in view.notes:
        print(paragraph(note, "note: "))
    known = tuple(row for row in view.effects.rows if row[1] != NO_DATA)
    # Units are on the page; without them every name has room. Without a challenger nothing is told in either table.
    headers, *params = ((name, *rest) for name, _, *rest in (view.params.headers, *view.params.rows))
    challenged = any(row[2] != "-" for row in params)
    for table in (
        Table(view.effects.headers, view.effects.align, known),
        Table(headers, "lrrr", tuple(params) if challenged else ()),
    ):
        if table.rows:
            print(f"\n{markdown_table(table)}")
    print()
    for fact in (view.reason, *view.facts, view.confirm_text, *view.luck):
        print(paragraph(fact, "- "))
    print(f"report: {near_path(folder / DOCUMENT)}", flush=True)
    say(f"next: {view.next.removeprefix('Next: ')}")
    hint(view.next_command)
