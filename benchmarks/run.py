"""`make bench`: our figures beside the peers', in one run, on one machine; prints the table.

    python benchmarks/run.py [--quick] [--tape DIR] [--only NAME ...]

Every module of MODULES has `rows(quick=False) -> list[dict]` of {name, ours, peer, unit, ratio, bound, holds}; all of
them go into benchmarks/results.json, which is written when all modules ran in full. Some twenty minutes on two quiet
cores, with --quick a few. Exit 1 if a bound does not hold.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MODULES = ("replay", "ingest", "feed", "search", "tune", "evidence_budget")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the short form of every module; nothing is written")
    parser.add_argument("--tape", type=Path, help="replay: time this tape instead of the generated ones")
    parser.add_argument("--only", nargs="+", choices=MODULES, default=MODULES, help="only these modules")
    args = parser.parse_args()
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    options: dict[str, dict[str, Any]] = {"replay": {"tape": args.tape}}
    print(f"{cpu_name()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}", flush=True)
    found = []
    for name in args.only:
        began = time.perf_counter()
        rows = importlib.import_module(name).rows(quick=args.quick, **options.get(name, {}))
        print_table(rows)
        print(f"{name}: {time.perf_counter() - began:.0f} s\n", flush=True)
        found += rows
    if set(args.only) == set(MODULES) and not args.quick:
        (HERE / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(row["holds"] for row in found) else 1


def cpu_name() -> str:
    """The processor's name, where the system tells it."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def print_table(rows: list[dict[str, Any]]) -> None:
    print(f"{'measurement':<52} {'ours':>10} {'peer':>12} {'unit':<10} {'ratio':>7}  {'bound':<24} holds")
    for row in rows:
        mine, other = (("-" if value is None else f"{value:,}") for value in (row["ours"], row["peer"]))
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        holds = "yes" if row["holds"] else "NO"
        print(f"{row['name']:<52} {mine:>10} {other:>12} {row['unit']:<10} {ratio:>7}  {row['bound']:<24} {holds}")
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
