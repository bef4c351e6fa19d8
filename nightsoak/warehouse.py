"""Commands of the warehouse group: ingest, kpis, windows."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightsoak.arguments import count
from nightsoak.console import emit_json, hint, long_work, say

if TYPE_CHECKING:
    from engine.warehouse.db import Warehouse
    from engine.warehouse.outcome import IngestResult

LOCK_WAIT_S = 2.0
"""A process that reads or writes the warehouse holds it for a moment only."""
FORMATS = ("binance", "bybit", "hummingbot", "hyperliquid")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    ingest = commands.add_parser("ingest", help="read journals into the warehouse, every line exactly once")
    ingest.add_argument(
        "journals",
        nargs="*",
        metavar="JOURNAL",
        help="a journal file (gzip too), or a folder of *.jsonl files; default: the installation's own journals",
    )
    ingest.add_argument(
        "--rebuild", action="store_true", help="make the warehouse again from the journals, and compare"
    )
    ingest.add_argument("--json", action="store_true", help="print one JSON object")
    foreign = ingest.add_argument_group("exports of exchanges and other bots, made into a journal first")
    foreign.add_argument("--format", choices=FORMATS, help="what made the file")
    foreign.add_argument("--symbol", help="the symbol whose fills to take")
    foreign.add_argument("--tape", type=Path, metavar="DIR", help="the market at the time: marks and mids come from it")
    foreign.add_argument("--tick", help="price step, of an instrument that is not in config/instruments.json")
    foreign.add_argument("--lot", help="quantity step")
    foreign.add_argument("--contract", choices=("linear", "inverse"), help="kind of contract (default linear)")
    foreign.add_argument("--contract-size", help="size of a contract (default 1)")
    ingest.set_defaults(run=run_ingest)

    kpis = commands.add_parser("kpis", help="the KPIs of a run")
    kpis.add_argument("run_ref", metavar="RUN", help="a run id, a journal, a report folder, or `latest`")
    kpis.add_argument("--json", action="store_true", help="print the whole edge report as one JSON object")
    kpis.set_defaults(run=run_kpis)

    windows = commands.add_parser("windows", help="the KPIs of a run in windows of any length")
    windows.add_argument("run_ref", metavar="RUN", help="a run id, a journal, a report folder, or `latest`")
    windows.add_argument("--seconds", type=count, default=300, help="length of a window (default 300)")
    windows.add_argument("--csv", action="store_true", help="print every KPI as CSV")
    windows.set_defaults(run=run_windows)

    for parser in (ingest, kpis, windows):
        parser.add_argument("--db", type=Path, help="the warehouse file (default: the installation's own)")


def run_ingest(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from engine.champion.ledger import synchronise_all
    from engine.errors import JournalError
    from engine.host import claim_host
    from engine.paths import Paths
    from engine.warehouse.db import Warehouse
    from engine.warehouse.ingest import journal_files
    from engine.warehouse.rebuild import ingest_or_rebuild, rebuild

    paths = Paths.from_environment()
    database = args.db or paths.warehouse
    if args.db is None:
        claim_host(paths)
    own = [paths.journals] if args.db is None and paths.journals.is_dir() else []
    journals = args.journals or own
    extra: dict[str, Any] = {}
    if args.format:
        made_from = [_converted(args, Path(export), paths.journals) for export in args.journals]
        journals = [one.journal for one in made_from]
        extra["exports"] = [asdict(one) | {"journal": str(one.journal)} for one in made_from]
    if not journals:
        raise JournalError("no journals are named", where="ingest", remedy="name journal files or a folder of them")
    with long_work("ingest: reading journals"):
        if args.rebuild:
            made = rebuild(database, journals, wait_s=LOCK_WAIT_S)
            result, aside = made.result, made.set_aside
            extra["differing"] = None if made.differing is None else list(made.differing)
        else:
            result, aside = ingest_or_rebuild(database, journals, own, wait_s=LOCK_WAIT_S)
    if (args.rebuild or aside is not None) and args.db is None:
        with Warehouse(database) as warehouse:
            synchronise_all(warehouse, paths)  # champions and evidence are files of their own
    if aside is not None:
        extra["set_aside"] = str(aside)
        say(f"the warehouse was damaged: it now lies in {aside}, and a new one was made from the journals")
    for alarm in result.alarms:
        say(f"alarm: {alarm}")
    _say_refusals(result)
    if args.json:
        emit_json({**asdict(result), **extra})
        result.require_taken()
        return 0
    for one in extra.get("exports", ()):
        _print_export(one)
    print(f"{result.files} files, {result.lines} new lines")
    print(
        f"{result.accepted} accepted + {result.duplicates} duplicates + {result.quarantined} in quarantine + "
        f"{result.torn} torn = {result.lines}"
    )
    if args.rebuild and extra["differing"] is not None:
        differing = ", ".join(extra["differing"])
        print(f"other than before: {differing}" if differing else "every raw table is equal to what it was")
    result.require_taken()
    hint(_next(database, paths, str(journal_files(journals)[-1]), args.db))
    return 0


def _next(database: Path, paths: Any, journal: str, db: Path | None) -> str:
    """The command that shows the run of `journal`: a report of another bot's, the KPIs of our own, which has one."""
    import shlex

    from engine.errors import JournalError
    from engine.find_report import is_foreign
    from engine.warehouse.db import Warehouse
    from engine.warehouse.runs import resolve_run

    option = [] if db is None else ["--db", str(db)]
    with Warehouse(database, wait_s=LOCK_WAIT_S) as warehouse:
        try:
            run_id = resolve_run(warehouse, journal)
        except JournalError:  # a journal of refused lines only
            return shlex.join(["nightsoak", "kpis", "latest", *option])
    return shlex.join(["nightsoak", "report" if is_foreign(run_id, paths) else "kpis", run_id, *option])


def _say_refusals(result: IngestResult) -> None:
    """Why lines are in quarantine; and the refused files but the first, which ends the command."""
    for one in result.reasons:
        say(f"in quarantine: {one.count} x {one.reason}; the first at {one.first}")
    others = result.quarantined - sum(one.count for one in result.reasons)
    if others:
        say(f"in quarantine: {others} more; table raw_quarantine of the warehouse has every line")
    for file in result.refused[1:]:
        say(f"refused: {file.path}: {file.what}")


def _converted(args: argparse.Namespace, export: Path, folder: Path) -> Any:
    from decimal import Decimal, InvalidOperation

    from engine.errors import ConfigError
    from engine.market.instruments import InstrumentFlags
    from engine.warehouse.foreign.convert import convert

    def number(name: str) -> Decimal | None:
        text = getattr(args, name)
        try:
            return None if text is None else Decimal(text)
        except InvalidOperation as error:
            option = "--" + name.replace("_", "-")
            raise ConfigError(f"{option} {text} is no number", remedy="give a decimal, such as 0.1") from error

    if not args.symbol:
        raise ConfigError("--format needs --symbol", remedy="name the symbol whose fills to take")
    flags = InstrumentFlags(args.symbol, number("tick"), number("lot"), args.contract, number("contract_size"))
    return convert(args.format, export, folder, symbol=args.symbol, tape=args.tape, flags=flags)


def _print_export(one: dict[str, Any]) -> None:
    print(f"{one['fills']} fills, {one['funding']} funding payments, {one['marks']} marks -> {one['journal']}")
    for what, number in one["passed_over"].items():
        print(f"  passed over: {number} {what}")
    if one["missing"]:
        print("  not said: " + ", ".join(f"{name} ({number})" for name, number in one["missing"].items()))
    print(f"  mids joined from the tape: {one['mids_joined']} of {one['fills']}")
    if one["time_step_ns"] >= 10**9:
        print(f"  times are to {one['time_step_ns'] // 10**9} s only")


def run_kpis(args: argparse.Namespace) -> int:
    from engine.metrics import METRICS
    from engine.warehouse.edge import SCALARS, edge_report
    from engine.warehouse.quality import run_checks
    from engine.warehouse.runs import resolve_run

    with open_warehouse(args) as wh:
        run_id = resolve_run(wh, args.run_ref)
        _say_quarantine(wh, run_id)
        report = edge_report(wh, run_id)
        checks = run_checks(wh, run_id)
    if args.json:
        emit_json(report)
        return 0
    totals = report["totals"]
    print(f"{run_id} {report['symbol']}, lane 0")
    for name in SCALARS:
        unit = report["pnl_currency"] if METRICS[name].unit == "PnL currency" else METRICS[name].unit
        shown = f"no data: {totals['null_reasons'][name]}" if totals[name] is None else f"{totals[name]:.6g} {unit}"
        print(f"  {name:<24} {shown:<32} n {totals['n'][name]}")
    for row in report["markouts"]:
        if row["side"] == "both":
            error = "" if row["stderr_bps"] is None else f" +- {row['stderr_bps']:.2g}"
            cost = "no data" if row["markout_bps"] is None else f"{row['markout_bps']:.6g}{error} bps"
            print(f"  {'markout cost ' + str(row['horizon_s']) + ' s':<24} {cost:<32} n {row['n']}")
    for reason, block in (totals["block_reasons"] or {}).items():
        print(f"  blocked: {reason:<15} {100 * block['ratio']:.1f} % of intents ({block['count']})")
    for check in checks:
        if not check.passed:
            say(f"check {check.name} ({check.severity}): {check.offending} rows offend: {check.title}")
    hint(f"nightsoak windows {run_id} --seconds 300 --csv")
    return 0


def run_windows(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from engine.warehouse.runs import resolve_run
    from engine.warehouse.scope import load_run
    from engine.warehouse.series import WINDOW_COLUMNS, window_table

    with open_warehouse(args) as wh:
        run = load_run(wh, resolve_run(wh, args.run_ref))
        _say_quarantine(wh, run.run_id)
        rows = window_table(wh, run.run_id, args.seconds)
    for row in rows:
        seconds, ns = divmod(row["start_ns"], 10**9)
        start_utc = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns // 1000:06}Z"
        row |= {"run_id": run.run_id, "symbol": run.symbol, "start_utc": start_utc}
    if args.csv:
        print_csv(("run_id", "symbol", "start_utc", *WINDOW_COLUMNS), rows)
        return 0
    print(f"{run.run_id} {run.symbol}, lane 0")
    print(f"{'window':>6} {'start UTC':<19} {'net_bps':>10} {'net_pnl':>12} {'notional':>14} {'fills':>6}")
    for row in rows:
        net = "no fills" if row["net_bps"] is None and not row["fills"] else shown(row["net_bps"], ".3f")
        pnl, notional = shown(row["net_pnl_quote"], ".6g"), shown(row["notional_quote"], ".6g")
        start_utc = row["start_utc"][:19].replace("T", " ")
        print(f"{row['window']:>6} {start_utc} {net:>10} {pnl:>12} {notional:>14} {row['fills']:>6}")
    hint("--csv prints every KPI")
    return 0


def _say_quarantine(wh: Warehouse, run_id: str) -> None:
    from engine.warehouse.quality import quarantine_note

    note = quarantine_note(wh, run_id)
    if note:
        say(f"note: {note}")


def shown(value: float | None, form: str, unknown: str = "no data") -> str:
    """A number for a reader."""
    return unknown if value is None else format(value, form)


def print_csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Full precision; null is an empty field."""
    import csv
    import sys

    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def open_warehouse(args: argparse.Namespace) -> Any:
    """The warehouse of --db or of the installation, waited for a moment.

    Raises:
        InputError: there is none; reading makes none.
    """
    from engine.errors import InputError
    from engine.paths import Paths
    from engine.warehouse.db import Warehouse

    path = args.db or Paths.from_environment().warehouse
    if not path.exists():
        raise InputError("there is no warehouse yet", where=str(path), remedy="a soak or nightsoak ingest makes it")
    return Warehouse(path, wait_s=LOCK_WAIT_S)
