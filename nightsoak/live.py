"""`nightsoak record` and `nightsoak venue`: tapes from a live feed, and a local venue that plays them."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nightsoak.arguments import port, positive
from nightsoak.console import hint, say

if TYPE_CHECKING:
    from engine.live.health import Health
    from engine.live.runner import LiveSource
    from engine.market.tape import Tape

_HEALTH_EVERY_S = 60.0
_POLL_S = 0.2


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    one = commands.add_parser(
        "record",
        help="write tapes from a live feed",
        description="Records until Ctrl-C, or for --hours; every tape is sealed then. Exit codes: 0 done, 2 bad input, "
        "3 nothing received, feed lost for good or disk full (what was received is kept), 130 interrupted before "
        "--hours were over.",
    )
    one.add_argument("--feed", choices=("bybit", "binance"), default="bybit", help="default: bybit")
    one.add_argument("--symbols", nargs="+", required=True, metavar="SYMBOL", help="what to record, a tape each")
    one.add_argument("--endpoint", default="", metavar="URL", help="ws://host:port instead of the venue's own")
    one.add_argument("--hours", type=positive, help="how long (default: until Ctrl-C)")
    one.add_argument("--rotate-minutes", type=positive, default=60.0, metavar="M", help="length of a tape (default 60)")
    one.add_argument("--out", type=Path, metavar="DIR", help="folder of tapes (default: datasets/tapes)")
    one.set_defaults(run=_record)

    one = commands.add_parser(
        "venue",
        help="a local venue that plays tapes over a real websocket",
        description="Speaks Bybit V5 public frames (or Binance USD-M) on 127.0.0.1; ends with its tapes, or on Ctrl-C.",
    )
    one.add_argument("--tape", nargs="+", type=Path, required=True, metavar="DIR", help="a tape per symbol")
    one.add_argument("--symbols", nargs="+", default=(), metavar="SYMBOL", help="other names for them, in that order")
    one.add_argument("--port", type=port, default=8765, help="default 8765; 0: any free one")
    one.add_argument("--speed", type=_speed, default=1.0, metavar="X", help="x times real time, or max (default 1)")
    one.add_argument("--loop", action="store_true", help="begin again at the end")
    one.add_argument("--mode", choices=("bybit", "binance"), default="bybit", help="whose frames (default: bybit)")
    one.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="SPEC",
        help="KIND@TIME[:AMOUNT], like silence@30s:15s; repeatable",
    )
    one.set_defaults(run=_venue)


def _speed(text: str) -> float:
    return 0.0 if text == "max" else positive(text)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does: with sealed tapes."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# --- record ----------------------------------------------------------------------------------------------------------
def _record(args: argparse.Namespace) -> int:
    from engine.errors import FeedError
    from engine.live.growing import recover_all
    from engine.live.lookup import find_instruments
    from engine.live.recorder import RECORDING
    from engine.live.runner import LiveSource
    from engine.live.settings import FeedSettings
    from engine.live.venues import read_venues
    from engine.paths import Paths

    venues = read_venues()
    symbols = [symbol for word in args.symbols for symbol in word.split(",") if symbol]
    instruments = find_instruments(args.feed, symbols, args.endpoint, venues)
    tapes = args.out or Paths.from_environment().tapes
    recovered, failed = recover_all(tapes / RECORDING, tapes)
    for tape in recovered:
        say(f"recovered what a recorder that was killed left: {tape.path} ({tape.meta.count:,} events)")
    for line in failed:
        say(f"warning: {line}")
    settings = FeedSettings(args.feed, instruments, endpoint=args.endpoint, seed=time.time_ns())
    source = LiveSource(settings, tapes, rotate_s=args.rotate_minutes * 60, venues=venues)
    interrupted = False
    with _terminable():
        try:
            source.start()
            say(
                f"recording {', '.join(symbols)} from {source.health().endpoint}; Ctrl-C or SIGTERM seals what there is"
            )
            _watch(source, None if args.hours is None else time.monotonic() + args.hours * 3600)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sealed = source.stop()
    for tape in sealed:
        print(_line(tape))
    if source.error is not None:
        raise source.error
    if sealed:
        last = sealed[-1].path
        hint(f"check it with: nightsoak tape verify {last}, or soak on it: nightsoak soak --tape {last}")
    elif not interrupted:
        why = source.session.last_trouble or "no data"
        remedy = f"nightsoak doctor --feed {args.feed} --symbols {' '.join(symbols)} looks again"
        raise FeedError(f"nothing was received ({why})", where=source.health().endpoint, remedy=remedy)
    else:
        say("nothing was received, so there is no tape")
    return 130 if interrupted and args.hours is not None else 0


def _watch(source: LiveSource, until_s: float | None) -> None:
    """Until the time is up or the feed is over; health every minute, on a terminal only."""
    told_s = time.monotonic()
    while source.error is None and (until_s is None or time.monotonic() < until_s):
        time.sleep(_POLL_S)
        if sys.stderr.isatty() and time.monotonic() - told_s >= _HEALTH_EVERY_S:
            told_s = time.monotonic()
            say(_health_line(source.health()))


def _health_line(health: Health) -> str:
    counters = health.counters
    latencies = [one.latency_p50_ms for one in health.symbols if one.latency_p50_ms is not None]
    latency = f"{max(latencies):.1f} ms" if latencies else "-"
    at = time.strftime("%H:%M:%S", time.gmtime(health.now_ns / 1e9))
    return (
        f"{at} {health.state}: {counters.messages:,} messages, {counters.rows:,} events, latency {latency}, "
        f"gaps {counters.gaps}, reconnects {counters.reconnects}, dropped {counters.dropped}, "
        f"garbage {counters.garbage}"
    )


def _line(tape: Tape) -> str:
    meta = tape.meta
    seconds = (meta.last_local_ts_ns - meta.first_local_ts_ns) / 1e9
    return (
        f"{tape.path}  {meta.symbol}  {seconds:,.1f} s  {meta.count:,} events  {meta.trade_count:,} trades  "
        f"gaps {len(meta.gaps)}  coverage {meta.coverage_pct:.2f} %"
    )


# --- venue -----------------------------------------------------------------------------------------------------------
def _venue(args: argparse.Namespace) -> int:
    import asyncio

    from engine.errors import ConfigError
    from engine.live.faults import parse_fault
    from engine.live.venue import Venue
    from engine.market.tape import Tape

    tapes = [Tape.open(path) for path in args.tape]
    symbols = [symbol for word in args.symbols for symbol in word.split(",") if symbol]
    names = symbols or [tape.meta.symbol for tape in tapes]
    if len(names) != len(tapes) or len(set(names)) != len(names):
        raise ConfigError(
            f"{len(tapes)} tapes and the symbols {', '.join(names)}",
            where="--symbols",
            remedy="name each tape's symbol once, all different",
        )
    faults = [parse_fault(text) for text in args.fault]
    options = {"mode": args.mode, "speed": args.speed, "loop": args.loop, "port": args.port}

    async def serve() -> None:
        async with Venue(tapes, faults=faults, symbols=names, **options) as venue:
            say(f"{args.mode} frames of {', '.join(names)} at {venue.endpoint}; plays from the first subscription on")
            market = f"--feed {args.mode} --endpoint {venue.endpoint} --symbols {' '.join(names)}"
            hint(f"in another shell: nightsoak soak {market}, or: nightsoak record {market}")
            await venue.play()
        say("the tapes are over")

    with _terminable():
        try:
            asyncio.run(serve())
        except KeyboardInterrupt:
            say("stopped")
    return 0
