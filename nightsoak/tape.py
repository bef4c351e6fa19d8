"""`nightsoak tape import | generate | info | verify`: market data on disk."""

from __future__ import annotations

import argparse
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightsoak.arguments import whole_number
from nightsoak.console import emit_json, hint, long_work, say

if TYPE_CHECKING:
    from engine.market.tape import Tape


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    tape = commands.add_parser("tape", help="market data on disk: import, generate, info, verify")
    actions = tape.add_subparsers(dest="action", metavar="ACTION", required=True)

    one = actions.add_parser("import", help="make a tape of a raw capture")
    one.add_argument("files", metavar="FILE", nargs="+", type=Path, help="one capture, cut into files in order of time")
    one.add_argument("--out", required=True, type=Path, metavar="DIR", help="the tape's folder")
    one.add_argument("--format", choices=("binance", "bybit", "neutral"), help="told from the contents if not given")
    one.add_argument("--symbol", help="the symbol expected, or chosen among several")
    one.add_argument("--tick", type=_decimal, help="price step, for a symbol that config/instruments.json lacks")
    one.add_argument("--lot", type=_decimal, help="size step")
    one.add_argument("--contract", choices=("linear", "inverse"), help="how the contract pays")
    one.add_argument("--contract-size", type=_decimal, help="base units a contract (inverse: quote units)")
    one.add_argument("--force", action="store_true", help="replace a tape that is there")
    one.set_defaults(run=_import)

    one = actions.add_parser("generate", help="make a tape with the seeded market simulator")
    one.add_argument("--out", required=True, type=Path, metavar="DIR", help="the tape's folder")
    one.add_argument("--market", default="s1", metavar="NAME", help="config/simulator/NAME.json (default s1)")
    one.add_argument("--seed", type=whole_number, help="default: the market's own")
    one.add_argument("--hours", type=_hours, help="default: the market's own")
    one.add_argument("--force", action="store_true", help="replace a tape that is there")
    one.set_defaults(run=_generate)

    one = actions.add_parser("info", help="what a tape holds")
    one.add_argument("dir", metavar="DIR", type=Path, help="the tape's folder")
    one.add_argument("--json", action="store_true", help="print meta.json as one object")
    one.set_defaults(run=_info)

    one = actions.add_parser("verify", help="check files, order, gaps, crossed books and sha256; exit 1 on a failure")
    one.add_argument("dir", metavar="DIR", type=Path, help="the tape's folder")
    one.add_argument("--json", action="store_true", help="print one JSON object")
    one.set_defaults(run=_verify)


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not (value.is_finite() and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive decimal")
    return value


def _hours(text: str) -> float:
    hours = float(_decimal(text))
    if not 1 <= hours * 3600 <= 366 * 86_400:
        raise argparse.ArgumentTypeError(f"{text} hours is not between a second and a year")
    return hours


def _import(args: argparse.Namespace) -> int:
    from engine.market.importer import import_capture
    from engine.market.instruments import InstrumentFlags

    flags = InstrumentFlags(args.symbol, args.tick, args.lot, args.contract, args.contract_size)
    with long_work(f"tape import: {len(args.files)} file{'s' if len(args.files) > 1 else ''}"):
        tape = import_capture(args.files, args.out, format_name=args.format, flags=flags, force=args.force)
    _print_table(_rows(tape))
    for warning in _warnings(tape):
        say(f"warning: {warning}")
    hint(f"check it with: nightsoak tape verify {args.out}, or soak on it: nightsoak soak --tape {args.out}")
    return 0


def _generate(args: argparse.Namespace) -> int:
    import shutil

    from engine.market.simulator import generate_tape, read_settings
    from engine.market.tape import Tape, put_in_place, refuse_overwrite
    from engine.paths import Paths

    refuse_overwrite(args.out, force=args.force)
    settings = read_settings(Paths.from_environment().config, args.market)
    duration_s = None if args.hours is None else round(args.hours * 3600)
    fresh = args.out.with_name(f".{args.out.name}.new")  # an old tape stays until the new one is whole
    shutil.rmtree(fresh, ignore_errors=True)
    market = settings.with_run(seed=args.seed, duration_s=duration_s)
    with long_work(f"tape generate: {market.duration_s / 3600:g} h of market {args.market}"):
        generate_tape(fresh, market)
    put_in_place(fresh, args.out)
    _print_table(_rows(Tape.open(args.out)))
    hint(f"soak on it: nightsoak soak --tape {args.out}")
    return 0


def _info(args: argparse.Namespace) -> int:
    from engine.market.tape import Tape

    tape = Tape.open(args.dir)
    if args.json:
        emit_json(tape.meta.model_dump(mode="json"))
        return 0
    _print_table(_rows(tape))
    hint(f"check it with: nightsoak tape verify {args.dir}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from engine.market.tape import verify_tape

    verification = verify_tape(args.dir)
    if args.json:
        emit_json({"ok": verification.ok, "findings": [vars(finding) for finding in verification.findings]})
        return 0 if verification.ok else 1
    print(f"{'':4}  {'check':<76}  first event")
    for finding in verification.findings:
        print(f"{finding.label:4}  {finding.what:<76}  {'' if finding.row is None else finding.row}".rstrip())
    if verification.ok:
        hint(f"soak on it: nightsoak soak --tape {args.dir}")
        return 0
    hint(f"a failed tape is not soaked on: import or generate {args.dir} again")
    return 1


def _rows(tape: Tape) -> list[tuple[str, Any]]:
    """What a person wants to know of a tape, label and value."""
    from datetime import UTC, datetime

    meta, instrument = tape.meta, tape.meta.instrument()
    seconds = (meta.last_exch_ts_ns - meta.first_exch_ts_ns) / 1e9
    start = datetime.fromtimestamp(meta.first_exch_ts_ns // 10**9, UTC)
    window = (instrument.price(meta.price_low_ticks), instrument.price(meta.price_high_ticks))
    rows: list[tuple[str, Any]] = [
        ("tape", tape.path),
        ("market", f"{meta.symbol} at {meta.venue}, {meta.contract}, contract size {meta.contract_size}"),
        ("grid", f"tick {meta.tick} {meta.quote_currency}, lot {meta.lot}, PnL in {meta.pnl_currency}"),
        ("starts", f"{start:%Y-%m-%d %H:%M:%S} UTC"),
        ("span", f"{seconds:,.1f} s, valid book {meta.coverage_pct:.2f} % of it"),
        ("events", f"{meta.count:,} ({meta.depth_count:,} depth rows, {meta.trade_count:,} trades)"),
        ("messages", f"{meta.message_count:,}, crossed at their end: {meta.crossed_message_ends}"),
        ("gaps", len(meta.gaps)),
        ("price window", f"{window[0]} to {window[1]}"),
        ("replayed", "as it arrived" if meta.order == "arrival" else "by exchange time"),
        ("clock shift", f"{meta.clock_shift_ns / 1e6:.3f} ms"),
    ]
    if meta.generated is not None:
        rows.append(("generated", f"yes, seed {meta.generated.get('seed')}"))
    if meta.source is not None:
        rows.append(("source", f"{meta.source.format}: {', '.join(file.name for file in meta.source.files)}"))
        rows.extend((f"  {name.replace('_', ' ')}", f"{count:,}") for name, count in sorted(meta.source.counts.items()))
        if meta.source.local_clock == "venue":
            rows.append(("local time", "the venue's push time; the capture has no times of receipt"))
    rows.append(("digest", meta.digest))
    return rows


def _warnings(tape: Tape) -> list[str]:
    meta = tape.meta
    counts = meta.source.counts if meta.source else {}
    found = [f"gap at local time {gap.local_ts_ns}: {gap.reason}" for gap in meta.gaps[:5]]
    if len(meta.gaps) > 5:
        found.append(f"{len(meta.gaps) - 5} more gaps; nothing quotes across a gap")
    if meta.crossed_message_ends:
        found.append(f"{meta.crossed_message_ends} messages leave a crossed book; tape verify names the first")
    differ = counts.get("book_tickers_compared", 0) - counts.get("book_tickers_equal", 0)
    if differ:
        found.append(f"the rebuilt touch differs from bookTicker {differ} times")
    if counts.get("torn_lines"):
        found.append(f"{counts['torn_lines']} torn last lines were left out")
    return found


def _print_table(rows: list[tuple[str, Any]]) -> None:
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        print(f"{label:<{width}}  {value}")
