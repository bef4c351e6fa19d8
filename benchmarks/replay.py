"""The replay engine beside hftbacktest: the rows that benchmarks/run.py prints and keeps.

    python benchmarks/replay.py [--quick] [--tape DIR]

Every decision row of both engines is compared first, on generated tapes and on the real captures where they are
at hand (NIGHTSOAK_DATA, or ../shared/data): the first differing row fails the run and is named. Then CPU seconds,
medians, each measurement in a process of its own, ours and the peer's in turn.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
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


Measured = dict[str, Any]


def rows(quick: bool = False, tape: Path | None = None) -> list[dict[str, Any]]:
    """The replay engine's rows; `quick`: 2 M events only; `tape`: that tape instead of the generated ones."""
    python = peer_environment()
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
    if tape is not None:
        tapes = {tape.name: tape.resolve()}
    else:
        tapes = {f"{m} M events": generated_tape(m * 1_000_000) for m in ((2,) if quick else (2, 10))}
    main_tape = list(tapes.values())[-1]
    found = [
        trace_row(name, path, files["two"], queue, python)
        for name, path in {**tapes, **capture_tapes()}.items()
        for queue in ("risk", "power:1", "power:3")
    ]

    one, peer_one, s1 = in_turn(
        3 if quick else 5,
        lambda: ours(main_tape, files["one"], reps=2),
        lambda: peer(python, main_tape, files["one"]),
        lambda: ours(main_tape, files["s1"], "--rule", "s1", "--records", reps=2),
    )
    grid, peer_grid = in_turn(
        1 if quick else 2,
        lambda: ours(main_tape, files["grid"], reps=3),
        lambda: peer(python, main_tape, files["grid"]),
    )
    s1_grid, s1_single = in_turn(
        1 if quick else 2,
        lambda: ours(main_tape, files["s1_grid"], "--rule", "s1", reps=2),
        lambda: ours(main_tape, files["s1_grid"], "--rule", "s1", "--one-by-one"),
    )
    events, alone, further = one["events"], median(one["cpu_s"]), median(grid["cpu_s"]) - median(one["cpu_s"])
    steps = (grid["end_ns"] - grid["start_ns"]) // 100_000_000 * (len(GRID) - 1)
    print(
        f"peer: hftbacktest {peer_one['version']}\n"
        f"K = 1: {1e9 * alone / events:.1f} ns an event; K = {len(GRID)}: {1e9 * further / steps:.1f} ns a further"
        f" lane's step, {1e9 * further / grid['requests']:.1f} ns a new quote ({steps:,} steps, of which"
        f" {grid['lane_steps']:,} had something to look at, {grid['requests']:,} new quotes)"
    )
    start = one["first_event_s"]
    return [
        *found,
        ratio_row("K = 1, symmetric, power:3: CPU", one, peer_one, "peer at least 3 times", 3.0),
        ratio_row("K = 64, one pass against 64 passes: CPU", grid, peer_grid, "peer at least 40 times", 40.0),
        memory_row(one, peer_one),
        ratio_row("S1 with records against symmetric: CPU", s1, one, "at most 2 times", 0.5),
        ratio_row("S1, K = 64 against 64 single runs: CPU", s1_grid, s1_single, "at least 10 times", 10.0),
        row("first event after process start", start, None, "s", None, "at most 2 s", start <= 2),
    ]


def row(
    name: str, mine: float, other: float | None, unit: str, ratio: float | None, bound: str, holds: bool
) -> dict[str, Any]:
    """One line of the table; `ratio` is what `bound` speaks of, `holds` whether it does."""
    return {"name": name, "ours": mine, "peer": other, "unit": unit, "ratio": ratio, "bound": bound, "holds": holds}


def in_turn(times: int, *measurements: Callable[[], Measured]) -> list[Measured]:
    """Each measurement `times` times, one after the other, so that a busy machine is busy for all of them."""
    done = [[measure() for measure in measurements] for _ in range(times)]
    return [
        runs[0] | {"cpu_s": [second for run in runs for second in run["cpu_s"]]} for runs in zip(*done, strict=True)
    ]


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


def trace_row(name: str, tape: Path, sets: Path, queue: str, python: Path) -> dict[str, Any]:
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
    return row(f"decision rows, {name}, {queue}", 0, count, "differing", None, "0 differing", True)


def ratio_row(name: str, mine: dict[str, Any], other: dict[str, Any], bound: str, least: float) -> dict[str, Any]:
    a, b = median(mine["cpu_s"]), median(other["cpu_s"])
    return row(name, round(a, 4), round(b, 4), "CPU s", round(b / a, 2), bound, b / a >= least)


def memory_row(mine: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    ratio = other["peak_mb"] / mine["peak_mb"]
    return row(
        "peak memory of a process", mine["peak_mb"], other["peak_mb"], "MB", round(ratio, 2), "at most half", ratio >= 2
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 M events only, fewer repetitions")
    parser.add_argument("--tape", type=Path, help="time this tape instead of the generated ones")
    args = parser.parse_args()
    found = rows(args.quick, args.tape)
    print(json.dumps(found, indent=2))
    return 0 if all(one["holds"] for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
