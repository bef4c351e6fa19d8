"""`python -m engine.warehouse.warm`: compile the line scanner and the FIFO into their cache, so that a first use starts
at once."""

from __future__ import annotations

import numpy as np

from engine.warehouse.columns import Scanner
from engine.warehouse.fifo import compiled_matcher


def warm() -> None:
    """Scan a line with a value of every kind, and match a fill."""
    compiled_matcher()(np.ones(1, np.int64), 0)
    Scanner().scan(b'{"v":1,"type":"order","price":"1.5","iteration_end":true,"order_id":7,"mine":null}\n', 1)


if __name__ == "__main__":
    warm()
