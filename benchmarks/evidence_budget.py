"""What the evidence budget holds: `python benchmarks/evidence_budget.py` prints the table of docs/champion.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.champion.fdr import load_evidence
from engine.champion.fdr_study import Outcome, Stream, false_per_year, mem_fdr, plain_fdr, power, simulate, spend_all
from engine.paths import CHECKOUT

SEED, SYMBOLS, TESTS, EFFECT = 20261120, 20_000, 50, 2.9
GAPS_DAYS, BETTER_SHARES = (1.0, 3.0, 7.0, 21.0), (0.0, 0.1, 0.3, 0.6)
HEADER = ("days apart", "truly better", "mem-FDR [95 %]", "FDR [95 %]", "promoted of better", "false a year")
SETTINGS = load_evidence(CHECKOUT / "config")


def studies(symbols: int) -> Iterator[tuple[float, float, Stream, Outcome]]:
    """(days between confirmations, share truly better, what came, what was promoted)."""
    for gap_days in GAPS_DAYS:
        for share in BETTER_SHARES:
            rng = np.random.default_rng(SEED)
            stream = simulate(rng, symbols=symbols, tests=TESTS, gap_days=gap_days, better_share=share, effect=EFFECT)
            yield gap_days, share, stream, spend_all(stream, SETTINGS)


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Lines of the bench's table: per gap the worst mem-FDR over the shares; `quick`: a tenth of the symbols."""
    worst: dict[float, float] = {}
    for gap_days, _, stream, outcome in studies(SYMBOLS // 10 if quick else SYMBOLS):
        worst[gap_days] = max(worst.get(gap_days, 0.0), mem_fdr(stream, outcome, SETTINGS).high)
    return [
        {
            "name": f"evidence budget, {gap_days:g} days apart: worst mem-FDR",
            "ours": round(high, 4),
            "peer": None,
            "unit": "share",
            "ratio": round(high / SETTINGS.alpha, 2),
            "bound": f"at most {SETTINGS.alpha:g}",
            "holds": high <= SETTINGS.alpha,
        }
        for gap_days, high in worst.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the symbols")
    symbols = SYMBOLS // 10 if parser.parse_args().quick else SYMBOLS
    print("| " + " | ".join(HEADER) + " |\n| " + " | ".join("---" for _ in HEADER) + " |")
    for gap_days, share, stream, outcome in studies(symbols):
        found = f"{100 * power(stream, outcome):.0f} %" if share else ""
        cells = (f"{gap_days:g}", f"{100 * share:.0f} %", str(mem_fdr(stream, outcome, SETTINGS)))
        cells += (str(plain_fdr(stream, outcome)), found, f"{false_per_year(stream, outcome):.2f}")
        print("| " + " | ".join(cells) + " |")
    print(f"\n{symbols:,} symbols, {TESTS} confirmations each, effect {EFFECT:g} standard errors, seed {SEED}")


if __name__ == "__main__":
    main()
