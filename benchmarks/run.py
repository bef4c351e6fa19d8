"""`make bench`: our replay engine beside hftbacktest, in one run, on one machine; prints the table.

Every decision row of both engines is compared first, on generated tapes and on the real captures where they are
at hand (NIGHTSOAK_DATA, or ../shared/data): the first differing row fails the run and is named. Then CPU seconds,
medians, each measurement in a process of its own. Writes benchmarks/results.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEER = HERE / ".peer"
WORK = PEER / "work"
TRACE_FIELDS = ("ts", "bid_ticks", "ask_ticks", "position_units", "fills", "live_orders")
ONE = [{"half_spread_ticks": 1.0, "skew_ticks": 0.25}]
GRID = [
    {"half_spread_ticks": h, "skew_ticks": k}
    for h in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
    for k in (0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0, 1.5)
]
S1_GRID = [
    {"base_spread_bps_delta": round(0.08 * i, 2), "min_interval_ms": 60 + 30 * j} for i in range(8) for j in range(8)
]
EVENTS_PER_S = 230.0
CAPTURES = {
    "usdm": ["usdm_btcusdt_20240808.gz"],
    "coinm": ["cm_ethusd_perp_20240808.gz", "cm_ethusd_perp_20240809.gz"],
    "spot": ["spot_ethusdt_20240808.gz", "spot_ethusdt_20240809.gz"],
}


@dataclass(frozen=True)
class Row:
    """One line of the table; `ratio` is what `bound` speaks of, `holds` whether it does."""

    name: str
    ours: float | None
    peer: float | None
    unit: str
    ratio: float | None
    bound: str
    holds: bool


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 M events only, fewer repetitions")
    parser.add_argument("--tape", type=Path, help="time this tape instead of the generated ones")
    args = parser.parse_args()
    peer_python = peer_environment()
    WORK.mkdir(parents=True, exist_ok=True)
    sets = {
        "one": ONE,
        "grid": GRID,
        "two": [ONE[0], {"half_spread_ticks": 3.0, "skew_ticks": 0.5}],
        "s1": [{}],
        "s1_grid": S1_GRID,
    }
    files = {name: WORK / f"{name}.json" for name in sets}
    for name, value in sets.items():
        files[name].write_text(json.dumps(value))
    if args.tape is not None:
        small, large = args.tape.resolve(), None
    else:
        small, large = generated_tape(2_000_000), None if args.quick else generated_tape(10_000_000)
    tapes = {
        args.tape.name if args.tape else "2 M events": small,
        **({"10 M events": large} if large else {}),
        **capture_tapes(),
    }
    rows = [
        trace_row(name, tape, files["two"], queue, peer_python)
        for name, tape in tapes.items()
        for queue in ("risk", "power:1", "power:3")
    ]
    main_tape = large or small
    reps = 3 if args.quick else 5

    one = ours(main_tape, files["one"], reps=reps)
    peer_one = peer(peer_python, main_tape, files["one"], reps=reps)
    grid = ours(main_tape, files["grid"], reps=3)
    peer_grid = peer(peer_python, main_tape, files["grid"], reps=1)
    s1 = ours(main_tape, files["s1"], "--rule", "s1", "--records", reps=reps)
    s1_grid = ours(main_tape, files["s1_grid"], "--rule", "s1", reps=3)
    s1_single = ours(main_tape, files["s1_grid"], "--rule", "s1", "--one-by-one", reps=1)
    rows += [
        ratio_row("K = 1, symmetric, power:3: CPU", one, peer_one, "peer at least 3 times", 3.0),
        ratio_row("K = 64, one pass against 64 passes: CPU", grid, peer_grid, "peer at least 40 times", 40.0),
        memory_row(one, peer_one),
        ratio_row("S1 with records against symmetric: CPU", s1, one, "at most 2 times", 0.5),
        ratio_row("S1, K = 64 against 64 single runs: CPU", s1_grid, s1_single, "at least 10 times", 10.0),
        Row(
            "first event after process start",
            one["first_event_s"],
            None,
            "s",
            None,
            "at most 2 s",
            one["first_event_s"] <= 2,
        ),
    ]
    print_table(rows, peer_one["version"])
    events, steps = one["events"], grid["lane_steps"]
    alone = median(one["cpu_s"])
    print(f"\ncost per event, K = 1: {1e9 * alone / events:.1f} ns")
    further = 1e9 * (median(grid["cpu_s"]) - alone) / steps
    print(f"cost per lane-step, K = 64: {further:.1f} ns ({steps:,} steps, {grid['requests']:,} quotes sent)")
    (HERE / "results.json").write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0 if all(row.holds for row in rows) else 1


def peer_environment() -> Path:
    """The peer's own virtual environment, made on first use."""
    python = PEER / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        print("installing the peer into benchmarks/.peer ...", file=sys.stderr)
        venv.create(PEER, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "peer-requirements.txt"], check=True)
    return python


def generated_tape(events: int) -> Path:
    """A tape of the `tight` market with about so many events, made once per market and length."""
    from engine.market.simulator import generate_tape, read_settings

    settings = read_settings(ROOT / "config", "tight")
    settings = settings.with_run(seed=7, duration_s=round(events / EVENTS_PER_S))
    digest = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:8]
    path = WORK / f"tight_{events}_{digest}"
    if not path.exists():
        generate_tape(path, settings)
    return path


def capture_tapes() -> dict[str, Path]:
    """The real captures as tapes; none where the folder is absent."""
    folder = Path(os.environ.get("NIGHTSOAK_DATA", ROOT.parent / "shared" / "data")) / "binance"
    tapes = {}
    for name, files in CAPTURES.items():
        out = WORK / name
        if not all((folder / file).exists() for file in files):
            print(f"skipped: capture {name} is not at hand", file=sys.stderr)
            continue
        if not out.exists():
            command = [sys.executable, "-m", "nightsoak", "tape", "import", *(folder / f for f in files), "--out", out]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
        tapes[f"capture {name}"] = out
    return tapes


def run_json(command: list[Any]) -> dict[str, Any]:
    done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, cwd=ROOT)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def ours(tape: Path, sets: Path, *extra: Any, reps: int = 1, queue: str = "power:3") -> dict[str, Any]:
    command = [sys.executable, HERE / "our_replay.py", "--tape", tape, "--queue", queue, "--sets", sets]
    return run_json([*command, "--reps", reps, *extra])


def peer(python: Path, tape: Path, sets: Path, *extra: Any, reps: int = 1, queue: str = "power:3") -> dict[str, Any]:
    command = [python, HERE / "peer_replay.py", "--tape", tape, "--queue", queue, "--sets", sets]
    return run_json([*command, "--reps", reps, *extra])


def trace_row(name: str, tape: Path, sets: Path, queue: str, python: Path) -> Row:
    """Decision rows of both engines, compared one by one.

    Raises:
        SystemExit: naming the first row that differs.
    """
    mine, theirs = WORK / "ours.npz", WORK / "peer.npz"
    ours(tape, sets, "--trace", mine, queue=queue)
    peer(python, tape, sets, "--trace", theirs, queue=queue)
    count = 0
    with np.load(mine) as a, np.load(theirs) as b:
        for lane in a.files:
            rows = min(len(a[lane]), len(b[lane]))
            differing = np.flatnonzero((a[lane][:rows] != b[lane][:rows]).any(axis=1))
            if len(differing) or len(a[lane]) != len(b[lane]):
                at = int(differing[0]) if len(differing) else rows
                raise SystemExit(
                    f"{name}, {queue}, {lane}: row {at} of {len(a[lane])} (ours) and {len(b[lane])} (peer) differs\n"
                    f"  {TRACE_FIELDS}\n  ours {a[lane][at : at + 1].tolist()}\n  peer {b[lane][at : at + 1].tolist()}"
                )
            count += rows
    return Row(f"decision rows, {name}, {queue}", 0, count, "differing", None, "0 differing", True)


def ratio_row(name: str, mine: dict[str, Any], other: dict[str, Any], bound: str, least: float) -> Row:
    a, b = median(mine["cpu_s"]), median(other["cpu_s"])
    return Row(name, round(a, 4), round(b, 4), "CPU s", round(b / a, 2), bound, b / a >= least)


def memory_row(mine: dict[str, Any], other: dict[str, Any]) -> Row:
    ratio = other["peak_mb"] / mine["peak_mb"]
    return Row(
        "peak memory of a process", mine["peak_mb"], other["peak_mb"], "MB", round(ratio, 2), "at most half", ratio >= 2
    )


def print_table(rows: list[Row], version: str) -> None:
    machine = (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    print(f"peer: hftbacktest {version}; {machine}")
    print(f"{'measurement':<44} {'ours':>10} {'peer':>12} {'unit':<10} {'ratio':>7}  {'bound':<24} holds")
    for row in rows:
        mine, other = (("-" if v is None else f"{v:,}") for v in (row.ours, row.peer))
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        holds = "yes" if row.holds else "NO"
        print(f"{row.name:<44} {mine:>10} {other:>12} {row.unit:<10} {ratio:>7}  {row.bound:<24} {holds}")


if __name__ == "__main__":
    sys.exit(main())
