"""The same Python, compiled or not, gives the same records: coverage and debuggers see what really runs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = """
import hashlib, importlib.util, sys
spec = importlib.util.spec_from_file_location("maker_conftest", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)
import numba
assert numba.config.DISABLE_JIT
for line in sys.argv[2].split(","):
    seed, rule, arrival = (int(word) for word in line.split(":"))
    case = module.random_case(seed, rule, messages=60, arrival=bool(arrival), leftovers=True)
    session = case.session()
    records = session.advance(case.columns, case.end_ns, case.order)
    print(hashlib.sha256(records.tobytes()).hexdigest(), session.lane_sums(), session.take_blocks().sum())
"""


def test_interpreted_equals_compiled(make_case: Any) -> None:
    """Warnings are errors there too: numpy's integers overflow aloud where machine integers would wrap."""
    cases = [(seed, rule, arrival) for seed in (1, 2, 3) for rule in (0, 1) for arrival in (0, 1)]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _SCRIPT, str(Path(__file__).with_name("conftest.py")),
         ",".join(f"{seed}:{rule}:{arrival}" for seed, rule, arrival in cases)],
        cwd=root, env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(root)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = []
    for seed, rule, arrival in cases:
        case = make_case(seed, rule, messages=60, arrival=bool(arrival), leftovers=True)
        session = case.session()
        records = session.advance(case.columns, case.end_ns, case.order)
        digest = hashlib.sha256(records.tobytes()).hexdigest()
        expected.append(f"{digest} {session.lane_sums()} {session.take_blocks().sum()}")
    assert done.stdout.splitlines() == expected
    assert len(set(expected)) == len(cases)


@pytest.mark.parametrize("start_ns", [1_723_161_600_000_000_000])
def test_times_of_today_fit(start_ns: int, micro: Any) -> None:
    """Nothing about times is float: at ns since 1970 the records are those of a small clock, shifted."""
    small = micro().at(60, ("sell", 9989, 3)).at(200, ("sell", 9989, 3))
    small.run(400)
    large = micro().at(60, ("sell", 9989, 3)).at(200, ("sell", 9989, 3))
    shift = start_ns - large.START_NS
    large.tape.messages = [(exch + shift, local + shift, rows) for exch, local, rows in large.tape.messages]
    large.START_NS = start_ns
    large.run(400)
    for name in ("ts_ns", "exch_ts_ns"):
        moved = large.records[name] - shift * (large.records[name] > 0)
        assert moved.tolist() == small.records[name].tolist()
    for name in ("age_ns", "latency_ns", "price_ticks", "qty_lots", "position_lots"):
        assert large.records[name].tolist() == small.records[name].tolist()
