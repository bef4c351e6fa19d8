"""`python -m engine.warm`: compile what is compiled and build what is cached, so that a first run starts at once.

Compiling holds Python's lock, so the maker's kernel, more than half of the work, is left to a process of its own.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from engine.market.book_scan import first_mid2, scan_book
from engine.market.events import BUY, CLEAR, DEPTH, LAST, MARKER, Columns
from engine.market.simulator import generate_columns, read_settings
from engine.paths import CHECKOUT
from engine.warehouse.warm import warm as warm_warehouse


def warm_market() -> None:
    """Simulate a second, and scan a tape of one message, a snapshot of one level a side."""
    generate_columns(read_settings(CHECKOUT / "config", "s1").with_run(duration_s=1))
    columns = Columns.empty(3)
    columns.kind[:] = (MARKER, DEPTH, DEPTH)
    columns.flags[:] = (CLEAR, BUY, LAST)
    columns.price_ticks[:] = (0, 9, 11)
    columns.qty_lots[:] = (0, 1, 1)
    for order in (None, np.arange(3)):
        scan_book(columns, order)
    if first_mid2(columns) != 20:
        raise AssertionError("the compiled book scan does not see the book")


def main() -> None:
    with subprocess.Popen([sys.executable, "-m", "engine.maker.warm"]) as maker:
        warm_market()
        warm_warehouse()
        import matplotlib.font_manager  # noqa: F401  (builds its font cache on first import)
    if maker.returncode:
        raise SystemExit(maker.returncode)


if __name__ == "__main__":
    main()
