"""What the evidence budget holds: python benchmarks/evidence_budget.py prints the table of docs/champion.md."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.champion.fdr import load_evidence
from engine.champion.fdr_study import false_per_year, mem_fdr, plain_fdr, power, simulate, spend_all
from engine.paths import CHECKOUT

SEED, SYMBOLS, TESTS, EFFECT = 20261120, 20_000, 50, 2.9
HEADER = ("days apart", "truly better", "mem-FDR [95 %]", "FDR [95 %]", "promoted of better", "false a year")


def main() -> None:
    settings = load_evidence(CHECKOUT / "config")
    rows = []
    for gap_days in (1.0, 3.0, 7.0, 21.0):
        for share in (0.0, 0.1, 0.3, 0.6):
            rng = np.random.default_rng(SEED)
            stream = simulate(rng, symbols=SYMBOLS, tests=TESTS, gap_days=gap_days, better_share=share, effect=EFFECT)
            outcome = spend_all(stream, settings)
            found = f"{100 * power(stream, outcome):.0f} %" if share else ""
            rows.append(
                (
                    f"{gap_days:g}",
                    f"{100 * share:.0f} %",
                    str(mem_fdr(stream, outcome, settings)),
                    str(plain_fdr(stream, outcome)),
                    found,
                    f"{false_per_year(stream, outcome):.2f}",
                )
            )
    for row in (HEADER, tuple("---" for _ in HEADER), *rows):
        print("| " + " | ".join(row) + " |")
    print(f"\n{SYMBOLS:,} symbols, {TESTS} confirmations each, effect {EFFECT:g} standard errors, seed {SEED}")


if __name__ == "__main__":
    main()
