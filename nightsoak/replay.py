"""`nightsoak replay`: parameter sets over a tape, a digest each."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from nightsoak.arguments import count


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    parser = commands.add_parser(
        "replay", help="replay parameter sets over a tape and print a digest of each one's fills"
    )
    parser.add_argument("--tape", type=Path, required=True, metavar="DIR", help="the tape")
    parser.add_argument("--params", type=Path, required=True, metavar="FILE", help="JSON list of parameter sets")
    parser.add_argument("--rule", choices=("s1", "symmetric"), default="s1", help="quoting rule (default s1)")
    parser.add_argument("--profile", default=None, help="profile of sizes, fees and latencies (MM_PROFILE, else S1)")
    parser.add_argument("--queue", default=None, metavar="MODEL", help="risk, optimistic or power:N")
    parser.add_argument("--entry-latency-ms", type=float, metavar="MS", help="instead of the profile's")
    parser.add_argument("--response-latency-ms", type=float, metavar="MS", help="instead of the profile's")
    parser.add_argument("--step-ms", type=float, default=100.0, metavar="MS", help="of the symmetric rule (100)")
    parser.add_argument("--full-fill", action="store_true", help="a touched order fills whole")
    parser.add_argument("--lanes", type=count, default=64, metavar="K", help="parameter sets per pass (default 64)")
    parser.add_argument("--trace", type=Path, metavar="FILE.npz", help="store the decisions of every lane and step")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from engine.files import write_atomic
    from engine.market.tape import Tape
    from engine.paths import Paths
    from engine.profile import default_profile_name, load_profile
    from engine.replay import ReplaySettings, read_parameter_sets, replay
    from nightsoak.console import emit_json, hint, long_work

    profile = load_profile(Paths.from_environment().config, args.profile or default_profile_name())
    lanes = read_parameter_sets(args.params, args.rule, args.step_ms)
    tape = Tape.open(args.tape, verify=True)
    settings = ReplaySettings(
        args.rule, args.queue, args.entry_latency_ms, args.response_latency_ms, args.full_fill, args.lanes
    )  # fmt: skip
    with long_work(f"replay: {tape.meta.count:,} events, parameter sets: {len(lanes)}"):
        results = replay(tape, lanes, profile, settings, trace=args.trace is not None)
    if args.trace is not None:
        names = ("ts", "bid_ticks", "ask_ticks", "position_units", "fills", "live_orders")
        columns = {f"lane{k}_{n}": r.trace[:, i] for k, r in enumerate(results) for i, n in enumerate(names)}
        packed = io.BytesIO()
        np.savez(packed, **columns)
        write_atomic(args.trace, packed.getvalue())
    if args.json:
        emit_json({"tape": tape.meta.digest, "rule": args.rule, "lanes": [r.to_json() for r in results]})
        return 0
    print(f"{'lane':>4} {'fills':>7} {'position':>9} {'cash':>14} {'net_bps':>9} {'net_pnl':>12}  digest")
    for k, r in enumerate(results):
        net = r.kpis["net_bps"]
        shown = "-" if net is None else f"{net:.4f}"
        money = f"{float(r.cash):>14.4f} {shown:>9} {r.kpis['net_pnl_quote']:>12.4f}"
        print(f"{k:>4} {r.fills:>7} {r.position_lots:>9} {money}  {r.digest[:16]}")
    hint(f"profile {profile.name}; --json prints every KPI and the whole digests")
    return 0
