"""What a tune costs, and whether it finds what is there and nothing where nothing is.

    python benchmarks/tune.py [--quick] [--only cost|found|null]

cost    64 trials in batches of 16 over 12 hours of the market s1, and 12 more that stay fresh: seconds, and where
        they go
found   tunes from the initial parameters, each on a tape of its own; the candidate's gain beside that of the best of a
        dense grid over the same trust region, both on evaluation tapes that no search saw. The best of 180 noisy sets
        flatters itself as a search does, so for each evaluation tape the grid's best is chosen on the others; beside it
        stands the share of the best chosen on the very tapes. The bound is about tunes on 48 hours; those on 6 hours,
        whose noise is a third of the gain, show what a short tape costs, there and on the search's own windows
null    a champion that a search over the evaluation tapes could not improve; how often a tune on short tapes of other
        seeds promotes something against it

Tapes are generated into a temporary folder (or --work DIR, where they stay).
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from engine.files import write_json
from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape
from engine.params import Params
from engine.paths import CHECKOUT, Paths
from engine.profile import load_profile
from engine.search.ask_tell import Observation, ask, recommend
from engine.search.settings import TuneSettings, load_search
from engine.search.space import params_of, point_of, trust_region
from engine.search.trial_windows import LaneWindows, evaluate, join_lanes
from engine.search.tune import TuneResult, run_tune
from engine.tuning.pairing import differences_bps

CONFIG = CHECKOUT / "config"
WINDOW_S = 300
TRUTH_SEEDS = (901, 902, 903, 904, 905, 906)
FOUND_SEEDS, FOUND_HOURS = (401, 402, 403), 48.0
SHORT_SEEDS, SHORT_HOURS = (301, 303, 305, 307, 309), 6.0
GRID = {
    "base_spread_bps_delta": (0.0, 0.05, 0.10, 0.15, 0.20),
    "min_interval_ms": (50, 70, 100, 150),
    "tail_age_ms": (440, 650, 860),
    "touch_dwell_ms": (0, 25, 60),
}
NULL_START = Params().with_changes({"base_spread_bps_delta": 0.5, "min_interval_ms": 50})
NULL_WINDOW_S, NULL_HOURS, NULL_TRIALS = 100, 2.0, 16


def tape(work: Path, seed: int, hours: float) -> Tape:
    """A tape of the market s1, generated on first use."""
    folder = work / tape_name(seed, hours)
    if not folder.exists():
        settings = read_settings(CONFIG, "s1").with_run(seed=seed, duration_s=round(3600 * hours))
        generate_tape(folder, settings)
    return Tape.open(folder)


def tape_name(seed: int, hours: float) -> str:
    return f"s1-{seed}-{hours:g}h"


def tune(work: Path, tapes: list[Tape], **settings: Any) -> TuneResult:
    paths = Paths(config=CONFIG, datasets=work / "datasets", reports=work / "reports")
    asked = {"tapes": [str(one.path) for one in tapes], "maker_profile": "S1", **settings}
    return run_tune(TuneSettings.model_validate_json(json.dumps(asked)), paths)


def gains(champion: Params, sets: list[Params], tapes: list[Tape]) -> np.ndarray[Any, Any]:
    """Mean d_w of each set against `champion` over all windows of `tapes`."""
    return np.nanmean(window_gains(champion, sets, tapes), axis=1)


def window_gains(champion: Params, sets: list[Params], tapes: list[Tape]) -> np.ndarray[Any, Any]:
    """d_w float64[sets, windows] against `champion`, all windows of `tapes` in order."""
    profile = load_profile(CONFIG, "S1")
    parts: list[LaneWindows] = [
        evaluate(tapes, profile, [champion, *sets[i : i + 15]], WINDOW_S) for i in range(0, len(sets), 15)
    ]
    d = [differences_bps(part.pnl_quote[0], part.notional_quote[0], part.pnl_quote)[1:] for part in parts]
    assert join_lanes(parts).windows == parts[0].windows
    return np.vstack(d)


def unseen_best(by_tape: np.ndarray[Any, Any]) -> float:
    """Of gains float64[sets, tapes]: the mean over tapes of that of the set which is best on all others."""
    others = by_tape.sum(axis=1, keepdims=True) - by_tape
    return float(np.mean([by_tape[int(np.argmax(others[:, i])), i] for i in range(by_tape.shape[1])]))


def cost(work: Path) -> list[dict[str, Any]]:
    tapes = [tape(work, seed, hours) for seed, hours in ((11, 12.0), (12, 12.0))]
    tune(work, tapes, trials=1, lanes=1, seed=99)  # compiles, and reads the tapes once
    wall, cpu = time.perf_counter(), time.process_time()
    result = tune(work, tapes)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    seconds = result.wall_clock["seconds"]
    document = result.document
    print(f"{document['trials']['made']} trials, {document['windows']['selection']} selection windows, "
          f"{sum(t['events'] for t in document['tapes'] if t['part'] == 'selection'):,} events: "
          f"{wall:.1f} s wall, {cpu:.1f} s CPU, {result.verdict}")  # fmt: skip
    for name, value in sorted(seconds.items(), key=lambda row: -row[1]):
        print(f"  {name:<10} {value:>7.2f} s wall {100 * value / wall:>5.1f} %")
    share = seconds["search_s"] / wall
    return [
        row("tune, 64 trials on 12 h: wall", wall, None, "s", None, "at most 120 s", wall <= 120),
        row("tune, 64 trials on 12 h: CPU", cpu, None, "s", None, "-", True),
        row("tune: the search's own arithmetic", share, None, "share", None, "at most half", share <= 0.5),
    ]


def found(work: Path, quick: bool) -> list[dict[str, Any]]:
    truth = [tape(work, seed, 6.0) for seed in TRUTH_SEEDS[: 3 if quick else None]]
    champion = Params()
    names = list(GRID)
    grid = [
        champion.with_changes(dict(zip(names, values, strict=True))) for values in itertools.product(*GRID.values())
    ]
    by_tape = np.nanmean(window_gains(champion, grid, truth).reshape(len(grid), len(truth), -1), axis=2)
    true = by_tape.mean(axis=1)
    flattered, best = float(true.max()), unseen_best(by_tape)
    place = {name: grid[int(true.argmax())][name] for name in names}
    print(f"grid of {len(grid)} sets on {72 * len(truth)} evaluation windows: best {flattered:+.3f} bps at {place}, "
          f"{best:+.3f} where it was not chosen")  # fmt: skip

    def tuned(seed: int, hours: float) -> tuple[Tape, Params, float]:
        """A tune's tape, its candidate, and the candidate's gain on the evaluation tapes as a share of the grid's."""
        searched = tape(work, seed, hours)
        result = tune(work, [searched], seed=seed)
        challenger = result.challenger or champion
        gain = float(gains(champion, [challenger], truth)[0])
        promised = (result.document["candidate"] or {}).get("shrunk_bps", 0.0)
        print(f"  {hours:g} h, seed {seed}: promised {promised:+.3f}, gain {gain:+.3f} on the evaluation tapes, "
              f"{100 * gain / best:.0f} % of the grid's best")  # fmt: skip
        return searched, challenger, gain / best

    name = "tune: its candidate's gain against the grid's best"
    table = []
    if not quick:
        shares = []
        for seed in FOUND_SEEDS:
            searched, _, share = tuned(seed, FOUND_HOURS)
            shares.append(share)
            shutil.rmtree(searched.path)  # over a gigabyte
        least = min(shares)
        table.append(
            row(f"{name}, 48 h, least of {len(shares)}", least, 1.0, "share", least, "at least 0.9", least >= 0.9)
        )
        hard = least * best / flattered
        table.append(row(f"{name} chosen there, 48 h, least", hard, 1.0, "share", hard, "-", True))
    short: list[float] = []
    inside: list[float] = []
    for seed in SHORT_SEEDS[: 1 if quick else None]:
        searched, challenger, share = tuned(seed, SHORT_HOURS)
        short.append(share)
        own = gains(champion, [*grid, challenger], [searched])
        inside.append(float(own[-1] / own[:-1].max()))
        print(f"    on its own windows {own[-1]:+.3f} against the grid's {own[:-1].max():+.3f}")
    for what, value in (("mean", float(np.mean(short))), ("least", min(short)), ("own windows, least", min(inside))):
        table.append(row(f"{name}, 6 h, {what}", value, 1.0, "share", value, "-", True))
    return table


def best_champion(work: Path, truth: list[Tape]) -> tuple[Params, float]:
    """A set that a search over the evaluation tapes cannot improve, and the gain of the last attempt to."""
    search, champion, gain = load_search(CONFIG), NULL_START, 0.0
    for _ in range(6):
        space = trust_region(champion, search.trust_radius)
        seen = [Observation(point_of(champion), 0.0, 0)]
        for batch in (1, 2, 3):
            points = ask(space, seen, seed=5, batch=batch, count=15, sobol=search.sobol, kappa=search.kappa)
            values = gains(champion, [params_of(point) for point in points], truth)
            seen += [Observation(point, float(value), batch) for point, value in zip(points, values, strict=True)]
        index, gain, _ = recommend(space, seen)[0]
        if index == 0 or gain <= 0.01:
            break
        champion = params_of(seen[index].point)
    return champion, gain


def null(work: Path, quick: bool) -> list[dict[str, Any]]:
    truth = [tape(work, seed, 6.0) for seed in TRUTH_SEEDS[: 3 if quick else None]]
    champion, left = best_champion(work, truth)
    print(f"champion {dict(champion)}; a further search finds {left:+.3f} bps on the evaluation tapes")
    file = work / "null_champion.json"
    write_json(file, dict(champion))
    count = 20 if quick else 100
    verdicts: dict[str, int] = {}
    screened = 0
    for number in range(count):
        tapes = [tape(work, 5000 + 2 * number + k, NULL_HOURS) for k in (0, 1)]
        result = tune(
            work, tapes, seed=number, overrides=str(file), window_seconds=NULL_WINDOW_S, trials=NULL_TRIALS, lanes=8
        )
        verdicts[result.verdict] = verdicts.get(result.verdict, 0) + 1
        screened += result.document["judgement"] is not None
    promoted = verdicts.get("PROMOTE", 0)
    print(f"{count} seeds, two tapes of {NULL_HOURS:g} h, windows of {NULL_WINDOW_S} s: {screened} passed the screen, "
          f"{dict(sorted(verdicts.items()))}")  # fmt: skip
    held = (count - promoted) / count
    return [
        row("tune where the champion is best: not promoted", held, None, "share", None, "at least 0.94", held >= 0.94)
    ]


def row(
    name: str, ours: float, peer: float | None, unit: str, ratio: float | None, bound: str, holds: bool
) -> dict[str, Any]:
    numbers = {"ours": round(ours, 3), "peer": peer, "ratio": None if ratio is None else round(ratio, 3)}
    return {"name": name, **numbers, "unit": unit, "bound": bound, "holds": bool(holds)}


def rows(quick: bool = False, work: Path | None = None, only: str = "") -> list[dict[str, Any]]:
    """Lines of the bench's table; `quick`: fewer seeds and evaluation tapes. `work`: where tapes are made and stay."""
    if work is None:
        with tempfile.TemporaryDirectory() as folder:
            return rows(quick, Path(folder), only)
    out: list[dict[str, Any]] = []
    if only in ("", "cost"):
        out += cost(work)
    if only in ("", "found"):
        out += found(work, quick)
    if only in ("", "null"):
        out += null(work, quick)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description="what a tune costs and finds")
    parser.add_argument("--quick", action="store_true", help="fewer seeds and evaluation tapes")
    parser.add_argument("--only", choices=("cost", "found", "null"), default="")
    parser.add_argument("--work", type=Path, help="folder for tapes; kept")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON after the text")
    args = parser.parse_args()
    table = rows(args.quick, args.work, args.only)
    for one in table:
        print(f"{one['name']}: {one['ours']} {one['unit']}, {one['bound']}, {'holds' if one['holds'] else 'MISSED'}")
    if args.json:
        print(json.dumps(table))
    return 0 if all(one["holds"] for one in table) else 1


if __name__ == "__main__":
    sys.exit(main())
