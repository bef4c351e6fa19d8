"""Commands of the warehouse group: ingest, kpis, windows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nightsoak.console import emit_json, hint, say


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    ingest = commands.add_parser("ingest", help="read journals into the warehouse, every line exactly once")
    ingest.add_argument("journals", nargs="+", metavar="JOURNAL", help="a journal file, or a folder of *.jsonl files")
    ingest.add_argument("--json", action="store_true", help="print one JSON object")
    ingest.set_defaults(run=run_ingest)

    kpis = commands.add_parser("kpis", help="the KPIs of a run")
    kpis.add_argument("run_ref", metavar="RUN", help="a run id, a journal, a report folder, or `latest`")
    kpis.add_argument("--json", action="store_true", help="print the whole edge report as one JSON object")
    kpis.set_defaults(run=run_kpis)

    windows = commands.add_parser("windows", help="the KPIs of a run in windows of any length")
    windows.add_argument("run_ref", metavar="RUN", help="a run id, a journal, a report folder, or `latest`")
    windows.add_argument("--seconds", type=int, default=300, help="length of a window (default 300)")
    windows.add_argument("--csv", action="store_true", help="print every KPI as CSV")
    windows.set_defaults(run=run_windows)

    for parser in (ingest, kpis, windows):
        parser.add_argument("--db", type=Path, help="the warehouse file (default: the installation's own)")


def run_ingest(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from engine.warehouse.ingest import ingest

    with _warehouse(args) as wh:
        result = asdict(ingest(wh, args.journals))
    if args.json:
        emit_json(result)
        return 0
    print("{files} files, {lines} new lines".format(**result))
    print(
        "{accepted} accepted + {duplicates} duplicates + {quarantined} in quarantine + {torn} torn = {lines}".format(
            **result
        )
    )
    if result["quarantined"]:
        say("lines in quarantine, with file, line, offset and reason: table raw_quarantine of the warehouse")
    hint("nightsoak kpis latest")
    return 0


def run_kpis(args: argparse.Namespace) -> int:
    from engine.metrics import METRICS
    from engine.warehouse.edge import SCALARS, edge_report
    from engine.warehouse.quality import run_checks
    from engine.warehouse.runs import resolve_run

    with _warehouse(args) as wh:
        run_id = resolve_run(wh, args.run_ref)
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
    for reason, block in (totals["block_reasons"] or {}).items():
        print(f"  blocked: {reason:<15} {100 * block['ratio']:.1f} % of intents ({block['count']})")
    for check in checks:
        if not check.passed:
            say(f"check {check.name} ({check.severity}): {check.offending} rows offend: {check.title}")
    hint(f"nightsoak windows {run_id} --seconds 300 --csv")
    return 0


def run_windows(args: argparse.Namespace) -> int:
    from engine.warehouse.runs import resolve_run
    from engine.warehouse.series import window_table

    with _warehouse(args) as wh:
        rows = window_table(wh, resolve_run(wh, args.run_ref), args.seconds)
    if args.csv:
        _print_csv(rows)
        return 0
    print(f"{'window':>6} {'net_bps':>10} {'net_pnl':>12} {'notional':>14} {'fills':>6}")
    for row in rows:
        net = "no fills" if row["net_bps"] is None and not row["fills"] else _shown(row["net_bps"], ".3f")
        pnl, notional = _shown(row["net_pnl_quote"], ".6g"), _shown(row["notional_quote"], ".6g")
        print(f"{row['window']:>6} {net:>10} {pnl:>12} {notional:>14} {row['fills']:>6}")
    hint("--csv prints every KPI")
    return 0


def _shown(value: float | None, form: str) -> str:
    return "no data" if value is None else format(value, form)


def _print_csv(rows: list[dict[str, Any]]) -> None:
    """Full precision; null is an empty field."""
    import csv
    import sys

    from engine.warehouse.series import WINDOW_COLUMNS

    writer = csv.DictWriter(sys.stdout, WINDOW_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _warehouse(args: argparse.Namespace) -> Any:
    from engine.paths import Paths
    from engine.warehouse.db import Warehouse

    return Warehouse(args.db or Paths.from_environment().warehouse)
