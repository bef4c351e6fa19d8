"""The search beside optuna's TPE and CMA-ES: mean regret on ten seeded noisy functions at 40 evaluations.

    python benchmarks/search.py [--repetitions 5]

All three get the value at the start, free of noise, and 40 noisy ones; a regret is the truth at what a method
recommends. Ours asks in batches of 8 as a tune does (the peers choose one point at a time, or a generation) and is
the same code: engine.search.ask_tell. The peers are installed into benchmarks/.peer/search on first use.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from search_functions import COUNT, EVALUATIONS, Function  # noqa: E402

from engine.paths import CHECKOUT  # noqa: E402
from engine.search.ask_tell import Observation, ask, recommend  # noqa: E402
from engine.search.settings import load_search  # noqa: E402
from engine.search.space import Axis, SearchSpace  # noqa: E402

PEER = HERE / ".peer" / "search"
BATCH = 8
REPETITIONS = 5


def ours(function: Function) -> float:
    """Regret of the search's recommendation, with the shipped settings."""
    settings = load_search(CHECKOUT / "config")
    space = SearchSpace(tuple(Axis(f"x{i}", 0.0, 1.0) for i in range(function.d)))
    seen = [Observation(tuple(function.start.tolist()), function.value(function.start), 0)]
    seed = 100 * function.repetition + function.number
    batch = 0
    while (done := len(seen) - 1) < EVALUATIONS:
        batch += 1
        count = min(BATCH, EVALUATIONS - done)
        points = ask(
            space, seen, seed=seed, batch=batch, count=count, sobol=settings.sobol, kappa=settings.kappa
        )  # fmt: skip
        seen += [Observation(p, function.observe(np.array(p), done + i), batch) for i, p in enumerate(points)]
    return function.regret(np.array(seen[recommend(space, seen)[0][0]].point))


def peers(repetitions: int) -> dict[str, Any]:
    """The peers' regrets, {tpe: [function][repetition], cma_es: ..., optuna: version, cma: version}."""
    python = PEER / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        print("installing the search's peers into benchmarks/.peer/search ...", file=sys.stderr)
        venv.create(PEER, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "search-requirements.txt"], check=True)
    command = [str(python), "-W", "ignore", str(HERE / "search_peer.py"), str(repetitions)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(repetitions: int) -> dict[str, Any]:
    """Regrets float[functions, repetitions] by method, and CPU seconds a run."""
    result = peers(repetitions)
    began = time.process_time()
    mine = [[ours(Function(n, r)) for r in range(repetitions)] for n in range(COUNT)]
    runs = COUNT * repetitions
    return {
        "ours": np.array(mine),
        "ours_cpu_s": (time.process_time() - began) / runs,
        "tpe": np.array(result["tpe"]),
        "tpe_cpu_s": result["tpe_cpu_s"] / runs,
        "cma_es": np.array(result["cma_es"]),
        "cma_es_cpu_s": result["cma_es_cpu_s"] / runs,
        "versions": f"optuna {result['optuna']}, cma {result['cma']}",
    }


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Lines of the bench's table; `quick`: one draw of the noise instead of five."""
    return table(measure(1 if quick else REPETITIONS))


def table(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """The same of what was measured."""
    mine = float(measured["ours"].mean())
    out = []
    for key, name in (("tpe", "optuna TPE"), ("cma_es", "CMA-ES")):
        other = float(measured[key].mean())
        out.append(
            {
                "name": f"search, mean regret at {EVALUATIONS} evaluations, against {name}",
                "ours": round(mine, 3),
                "peer": round(other, 3),
                "unit": "bps",
                "ratio": round(other / mine, 2),
                "bound": "no worse than the peer",
                "holds": mine <= other,
            }
        )
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description="regret of the search and of its peers")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="noise draws per function (default 5)")
    parser.add_argument("--json", action="store_true", help="print the rows alone, as JSON")
    args = parser.parse_args()
    measured = measure(args.repetitions)
    lines = table(measured)
    if args.json:
        print(json.dumps(lines))
        return 0 if all(row["holds"] for row in lines) else 1
    print(f"{measured['versions']}; {args.repetitions} repetitions; regret at the start 2.00\n")
    print(f"{'method':<12} {'mean':>6} {'se':>6} {'worst function':>15} {'CPU s a run':>12}")
    for key in ("ours", "tpe", "cma_es"):
        regret = measured[key]
        error = regret.std(ddof=1) / np.sqrt(regret.size)
        worst = regret.mean(axis=1).max()
        print(f"{key:<12} {regret.mean():>6.3f} {error:>6.3f} {worst:>15.3f} {measured[key + '_cpu_s']:>12.3f}")
    print("\nby function: " + "; ".join(f"{key} {measured[key].mean(axis=1).round(2).tolist()}" for key in ("ours",)))
    for row in lines:
        print(f"{row['name']}: {row['ours']} against {row['peer']}, {'holds' if row['holds'] else 'MISSED'}")
    return 0 if all(row["holds"] for row in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
