"""What `engine.warm` compiles is what a first import, soak and replay need: nothing is left for them to compile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.paths import CHECKOUT

# In a process of its own: in this one other tests have compiled things already.
_SCRIPT = """
import sys
from decimal import Decimal
from pathlib import Path
import numpy as np
from engine.maker.warm import warm as warm_maker
from engine.market.importer import import_capture
from engine.market.instruments import InstrumentFlags
from engine.market.simulator import generate_tape, read_settings
from engine.params import Params
from engine.profile import load_profile
from engine.replay import ReplaySettings, replay
from engine.warehouse.warm import warm as warm_warehouse
from engine.warm import warm_market
from numba.core.dispatcher import Dispatcher

def compiled():
    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith("engine.")]
    return {(d.__module__, d.__name__, str(s)) for m in modules for d in vars(m).values()
            if isinstance(d, Dispatcher) for s in d.signatures}

config, folder = Path(sys.argv[1]), Path(sys.argv[2])
for warm in (warm_maker, warm_market, warm_warehouse):
    warm()
before = compiled()
tape = generate_tape(folder / "generated", read_settings(config, "s1").with_run(duration_s=60))
columns = tape.columns
np.savez(folder / "a.npz", exch_ts=columns.exch_ts_ns[::-1], local_ts=columns.local_ts_ns,
         kind=np.minimum(columns.kind, 1), side=np.where(columns.flags & 1, 1, -1),
         price_ticks=np.maximum(columns.price_ticks, 1), qty_lots=np.maximum(columns.qty_lots, 1))
flags = InstrumentFlags("X", Decimal(1), Decimal(1))
imported = import_capture([folder / "a.npz"], folder / "imported", flags=flags, known=())
assert imported.exch_order is not None and tape.exch_order is None
for each, rule in ((tape, "s1"), (tape, "symmetric")):
    sets = [Params()] if rule == "s1" else [{"half_spread_ticks": 1.0, "skew_ticks": 0.0, "min_interval_ms": 100.0}]
    replay(each, sets, load_profile(config, "S1"), ReplaySettings(rule=rule), trace=rule == "s1")
print(sorted(compiled() - before))
"""


def test_nothing_is_left_to_compile(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(CHECKOUT / "config"), str(tmp_path)],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr + done.stdout
