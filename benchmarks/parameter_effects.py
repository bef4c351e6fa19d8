"""`python benchmarks/parameter_effects.py`: what each parameter does on the default market, one at a time."""

from __future__ import annotations

import tempfile
from pathlib import Path

from engine.market.simulator import generate_tape, read_settings
from engine.params import PARAMETERS
from engine.paths import CHECKOUT
from engine.profile import load_profile
from engine.sweep import sweep, sweep_values

SHOWN = (
    "net_bps", "gross_bps", "slippage_bps", "inventory_bps", "net_pnl_quote", "notional_quote", "fills",
    "adverse_bps_p95", "order_age_p95_ms", "quote_lots_mean", "changes", "cancels",
    "blocked.min_interval", "blocked.throttle", "blocked.concurrency",
)  # fmt: skip


def main() -> None:
    config = CHECKOUT / "config"
    profile, settings = load_profile(config, "S1"), read_settings(config, "s1")
    with tempfile.TemporaryDirectory() as folder:
        tapes = [
            generate_tape(Path(folder) / str(seed), settings.with_run(seed=seed, duration_s=3600))
            for seed in range(40, 46)
        ]
        print(f"market s1, seeds 40 to 45, an hour each; profile S1; columns: {', '.join(SHOWN)}")
        for name in PARAMETERS:
            values = sweep_values(name)
            for value, row in zip(values, sweep(tapes, profile, name, values), strict=True):
                print(f"{name:<24} {value:>8g} " + " ".join(f"{row[key]:>9.3f}" for key in SHOWN))
            print()


if __name__ == "__main__":
    main()
