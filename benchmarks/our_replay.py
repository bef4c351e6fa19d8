"""Our side of the comparison: one measurement a process, one JSON line.

python benchmarks/our_replay.py --tape DIR --queue power:3 --sets SETS.json [--rule s1] [--records] [--reps 5]
"""

from __future__ import annotations

import argparse
import json
import time

START = time.perf_counter()

from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

from engine.maker.session import MakerSession  # noqa: E402
from engine.market.tape import Tape  # noqa: E402
from engine.paths import CHECKOUT  # noqa: E402
from engine.profile import load_profile  # noqa: E402
from engine.replay import ReplaySettings, kernel_config, read_parameter_sets, run_session, slots_needed  # noqa: E402


def peak_mb() -> float:
    """This process's own peak (getrusage would start from that of the process that started it)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024, 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tape", type=Path, required=True)
    parser.add_argument("--queue", required=True)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--rule", choices=("symmetric", "s1"), default="symmetric")
    parser.add_argument("--records", action="store_true")
    parser.add_argument("--one-by-one", action="store_true")
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--reps", type=int, default=1)
    args = parser.parse_args()

    tape = Tape.open(args.tape)
    symmetric = args.rule == "symmetric"
    settings = ReplaySettings(
        rule=args.rule, queue=args.queue, full_fill=symmetric,
        entry_latency_ms=5.0 if symmetric else None, response_latency_ms=5.0 if symmetric else None,
    )  # fmt: skip
    config = kernel_config(tape, load_profile(CHECKOUT / "config", "moderate"), settings)
    sets = read_parameter_sets(args.sets, args.rule)
    meta = tape.meta
    start, end = meta.first_exch_ts_ns, meta.last_local_ts_ns + 1
    steps = int((end - start) / 1e8) + 1 if args.trace else 0

    def session(lanes: list[dict[str, float]]) -> MakerSession:
        window = (meta.price_low_ticks, meta.price_high_ticks + 1)
        return MakerSession(
            config, lanes, window, start, records=args.records, slots=slots_needed(config, lanes), trace_steps=steps
        )

    first = session(sets[:1])
    first.advance(tape.columns.part(0, 1), int(tape.columns.local_ts_ns[0]) + 1)
    first_event_s = time.perf_counter() - START
    seconds: list[float] = []
    groups = [[one] for one in sets] if args.one_by_one else [sets]
    for _ in range(args.reps):
        begin = time.process_time()
        done = []
        for lanes in groups:
            one = session(lanes)
            run_session(one, tape, end)
            done.append(one)
        seconds.append(time.process_time() - begin)
    if args.trace:
        np.savez(
            args.trace, **{f"lane{k}": done[0].trace[: done[0].state.lanes[k]["steps"], k] for k in range(len(sets))}
        )
    sums = [lane for one in done for lane in one.lane_sums()]
    print(json.dumps({
        "cpu_s": seconds, "peak_mb": peak_mb(),
        "fills": [lane["fills"] for lane in sums], "events": meta.count, "first_event_s": round(first_event_s, 3),
        "start_ns": start, "end_ns": end, "lane_steps": int(sum(one.state.lanes["steps"].sum() for one in done)),
        "requests": sum(lane["ordered"] for lane in sums),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
