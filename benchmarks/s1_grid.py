"""Where better parameter sets of the default market are: a dense grid replayed on its tape, printed as tables.

    python benchmarks/s1_grid.py [--seeds 2,8,11] [--profile S1]

The tape is generated into a temporary folder (or taken from --tape). Rows: base_spread_bps_delta; columns:
min_interval_ms; a cell is net_bps and, below it, PnL in quote currency. Then each other parameter alone, from
its lowest to its highest value, at the initial values of the rest. One tape is one draw: with --seeds the same
grid row (min_interval_ms at its initial value) is printed for other seeds of the same market.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape
from engine.params import PARAMETERS, Params
from engine.paths import Paths
from engine.profile import Profile, load_profile
from engine.replay import LaneResult, ReplaySettings, replay

DELTAS = (0.0, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.40, 0.50, 0.60)
INTERVALS_MS = (50, 70, 100, 150, 200, 300)
STEPS = 5
INITIAL = Params()


def _replay(tape: Tape, profile: Profile, changes: list[dict[str, float]]) -> list[LaneResult]:
    return replay(tape, [dict(INITIAL.with_changes(change)) for change in changes], profile, ReplaySettings())


def _net(result: LaneResult) -> float:
    return float(result.kpis["net_bps"])


def _grid(tape: Tape, profile: Profile) -> None:
    cells = [{"base_spread_bps_delta": d, "min_interval_ms": i} for d in DELTAS for i in INTERVALS_MS]
    results = iter(_replay(tape, profile, cells))
    print("net_bps and PnL by base_spread_bps_delta (down) and min_interval_ms (across)\n")
    print("| delta | " + " | ".join(f"{i} ms" for i in INTERVALS_MS) + " |\n|---:|" + "---:|" * len(INTERVALS_MS))
    for delta in DELTAS:
        row = [next(results) for _ in INTERVALS_MS]
        print(f"| {delta:.2f} | " + " | ".join(f"{_net(r):.2f} ({r.kpis['net_pnl_quote']:.0f})" for r in row) + " |")


def _one_at_a_time(tape: Tape, profile: Profile) -> None:
    changes = []
    for name, row in PARAMETERS.items():
        values = [row.low + (row.high - row.low) * n / (STEPS - 1) for n in range(STEPS)]
        changes += [{name: row.clamp(value)} for value in values]
    print("\nEach parameter alone, the rest at their initial values\n")
    print("| parameter | value | net_bps | gross | slippage | inventory | PnL | notional | fills |")
    print("|---|" + "---:|" * 8)
    for change, result in zip(changes, _replay(tape, profile, changes), strict=True):
        (name, value), k = *change.items(), result.kpis
        print(
            f"| {name} | {value:g} | {_net(result):.2f} | {k['gross_bps']:.2f} | {k['slippage_bps']:.2f} | "
            f"{k['inventory_bps']:.2f} | {k['net_pnl_quote']:.0f} | {k['notional_quote']:.0f} | {result.fills} |"
        )


def _row_of(tape: Tape, profile: Profile, label: str) -> None:
    results = _replay(tape, profile, [{"base_spread_bps_delta": d} for d in DELTAS])
    start = results[DELTAS.index(INITIAL.base_spread_bps_delta)]
    nets = " | ".join(f"{_net(r):.2f} ({r.kpis['net_pnl_quote']:.0f})" for r in results)
    print(f"| {label} | {tape.meta.count} | {start.fills} | {nets} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--tape", type=Path, help="a tape to use instead of the market's default one")
    parser.add_argument("--market", default="s1")
    parser.add_argument("--profile", default="S1")
    parser.add_argument("--seeds", help="other seeds to print the row of deltas for, comma-separated")
    args = parser.parse_args()
    config = Paths.from_environment().config
    settings, profile = read_settings(config, args.market), load_profile(config, args.profile)
    with tempfile.TemporaryDirectory() as folder:
        tape = Tape.open(args.tape) if args.tape else generate_tape(Path(folder) / "tape", settings)
        _grid(tape, profile)
        _one_at_a_time(tape, profile)
        if args.seeds:
            print("\nnet_bps and PnL by seed and base_spread_bps_delta\n")
            print("| seed | events | fills | " + " | ".join(f"{d:.2f}" for d in DELTAS) + " |")
            print("|---:|---:|---:|" + "---:|" * len(DELTAS))
            for seed in map(int, args.seeds.split(",")):
                _row_of(generate_tape(Path(folder) / f"seed{seed}", settings.with_run(seed=seed)), profile, str(seed))


if __name__ == "__main__":
    main()
