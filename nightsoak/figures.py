"""Commands of the figures group: hourly, fees."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nightsoak.console import emit_json, hint, say
from nightsoak.warehouse import open_warehouse, print_csv, shown


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    hourly = commands.add_parser("hourly", help="hour by hour over any span (default: the hours with runs), summed")
    hourly.add_argument("--from", dest="from_utc", metavar="UTC", help="such as 2026-11-20 or 2026-11-20T06:00")
    hourly.add_argument("--to", dest="to_utc", metavar="UTC", help="end of the span, exclusive (default: all there is)")
    hourly.add_argument("--symbol", help="this symbol only")
    output = hourly.add_mutually_exclusive_group()
    output.add_argument("--csv", action="store_true", help="print every column as CSV")
    output.add_argument("--json", action="store_true", help="print one JSON object")
    hourly.set_defaults(run=run_hourly)

    fees = commands.add_parser("fees", help="what net_bps would be at another fee tier")
    fees.add_argument("run_ref", metavar="RUN", help="a run id, a journal, a report folder, or `latest`")
    fees.add_argument("--maker-bps", metavar="BPS", help="maker fee in bps of the notional, + rebate, - cost")
    fees.add_argument("--taker-bps", metavar="BPS", help="taker fee; without both, the tiers of config/profiles")
    fees.add_argument("--json", action="store_true", help="print one JSON object, windows included")
    fees.set_defaults(run=run_fees)

    for parser in (hourly, fees):
        parser.add_argument("--db", type=Path, help="the warehouse file (default: the installation's own)")


def run_hourly(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from engine.warehouse.hourly import HOUR_COLUMNS, hourly, recorded_span

    given = [_ns(args.from_utc, "--from"), _ns(args.to_utc, "--to")]
    with open_warehouse(args) as wh:
        span = recorded_span(wh) if None in given else (0, 0)
        from_ns, to_ns = (whole if ns is None else ns for ns, whole in zip(given, span, strict=True))
        found = hourly(wh, from_ns, to_ns, args.symbol)
    if args.from_utc is None and args.to_utc is None:  # nobody asked for the nights between the runs
        found = replace(found, rows=[row for row in found.rows if row["runs"]])
    for run_id, reason in found.left_out.items():
        say(f"left out: {run_id}: {reason}")
    if args.json:
        emit_json({"from_ns": from_ns, "to_ns": to_ns, "rows": found.rows, "left_out": found.left_out})
        return 0
    if args.csv:
        print_csv(HOUR_COLUMNS, found.rows)
        return 0
    print(f"{'hour UTC':<20} {'symbol':<11} {'runs':>4} {'net_bps':>10} {'net_pnl':>11} {'notional':>12} {'fills':>6}")
    for row in found.rows:
        net = "no fills" if row["fills"] == 0 else shown(row["net_bps"], ".3f")
        pnl, notional = shown(row["net_pnl_quote"], ".6g"), shown(row["notional_quote"], ".6g")
        fills = shown(row["fills"], "d", "-")
        print(f"{row['hour']:<20} {row['symbol']:<11} {row['runs']:>4} {net:>10} {pnl:>11} {notional:>12} {fills:>6}")
    hint("--csv prints every column")
    return 0


def run_fees(args: argparse.Namespace) -> int:
    from engine.errors import InputError
    from engine.paths import Paths
    from engine.warehouse.fees import Tier, profile_tiers, simulate_fees
    from engine.warehouse.runs import resolve_run

    if (args.maker_bps is None) != (args.taker_bps is None):
        raise InputError("one fee of two", where="fees", remedy="give both --maker-bps and --taker-bps, or neither")
    if args.maker_bps is None:
        tiers = profile_tiers(Paths.from_environment().config)
    else:
        tiers = [Tier("asked for", _bps(args.maker_bps, "--maker-bps"), _bps(args.taker_bps, "--taker-bps"))]
    with open_warehouse(args) as wh:
        found = simulate_fees(wh, resolve_run(wh, args.run_ref), tiers)
    if args.json:
        emit_json(found)
        return 0
    print(f"{found['run_id']} {found['symbol']}, lane 0, money in {found['pnl_currency']}")
    print(f"{'tier':<20} {'maker':>8} {'taker':>8} {'fees_eff_bps':>13} {'net_bps':>10} {'net_pnl':>12}")
    print(f"{'as journalled':<20} {'':>8} {'':>8} {_fee_cells(found['paid']['totals'])}")
    for tier in found["tiers"]:
        print(f"{tier['name']:<20} {tier['maker_bps']:>8g} {tier['taker_bps']:>8g} {_fee_cells(tier['totals'])}")
    if args.maker_bps is not None:
        print(f"\n{'window':>6} {'net_bps':>10} {'then':>10}")
        for was, then in zip(found["paid"]["windows"], found["tiers"][0]["windows"], strict=True):
            cells = ("no fills" if not was["fills"] else shown(row["net_bps"], ".3f") for row in (was, then))
            print(f"{was['window']:>6} " + " ".join(f"{cell:>10}" for cell in cells))
    else:
        hint(f"nightsoak fees {found['run_id']} --maker-bps 0.5 --taker-bps -3 tries one of your own, by window")
    return 0


def _fee_cells(row: dict[str, Any]) -> str:
    fees, net = (shown(row[name], ".4f") for name in ("fees_eff_bps", "net_bps"))
    return f"{fees:>13} {net:>10} {shown(row['net_pnl_quote'], '.6g'):>12}"


def _ns(text: str | None, option: str) -> int | None:
    """A time in UTC as ns; text without a zone is UTC."""
    from datetime import UTC, datetime, timedelta

    from engine.errors import InputError

    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{option} {text} is no time", remedy="give a date, or a date and time: 2026-11-20T06:00"
        ) from error
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def _bps(text: str, option: str) -> Any:
    from decimal import Decimal, InvalidOperation

    from engine.errors import InputError

    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise InputError(f"{option} {text} is no number", remedy="give a decimal, such as -0.2") from error
