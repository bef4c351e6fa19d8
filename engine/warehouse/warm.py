"""`python -m engine.warehouse.warm`: compile the line scanner into its cache, so that a first ingest starts at once."""

from __future__ import annotations

from engine.warehouse.columns import Scanner


def warm() -> None:
    """Scan a line with a value of every kind."""
    Scanner().scan(b'{"v":1,"type":"order","price":"1.5","iteration_end":true,"order_id":7,"mine":null}\n', 1)


if __name__ == "__main__":
    warm()
