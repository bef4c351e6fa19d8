from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from engine.instrument import Instrument
from engine.ledger import Valuer, lane_components
from engine.maker.state import REC_FILL, RECORD_DTYPE
from engine.search.window_ledger import window_sums

LINEAR = Instrument("sim", "SIMUSDT", Decimal("0.001"), Decimal("0.1"), "linear", Decimal(1), "USDT", "USDT")
INVERSE = Instrument("sim", "SIMUSD", Decimal("0.05"), Decimal(1), "inverse", Decimal(10), "USD", "SIM")
LANES, WINDOWS = 3, 5
FEES = Fraction(-1, 100_000)


def fills(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random fills of all lanes in order of time, and their windows; a few mids are unknown."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, RECORD_DTYPE)
    rows["kind"] = REC_FILL
    rows["lane"] = rng.integers(0, LANES, count)
    rows["side"] = rng.choice([-1, 1], count)
    rows["qty_lots"] = rng.integers(1, 300, count)
    rows["price_ticks"] = 25_000 + np.cumsum(rng.integers(-3, 4, count))
    for name in ("quote_mid2", "fill_mid2"):
        known = 2 * rows["price_ticks"] + rng.integers(-9, 10, count)
        rows[name] = np.where(rng.random(count) < 0.05, 0, known)
    return rows, np.sort(rng.integers(0, WINDOWS, count))


@pytest.mark.parametrize("instrument", [LINEAR, INVERSE], ids=["linear", "inverse"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_is_the_ledger_window_by_window(instrument: Instrument, seed: int) -> None:
    rows, window = fills(400, seed)
    edges = 50_000 + np.random.default_rng(seed).integers(-40, 40, WINDOWS)
    found = window_sums(rows, window, edges, 50_001, LANES, instrument, FEES)
    value = Valuer(instrument)
    for lane in range(LANES):
        position, mid2 = 0, 50_001
        for w in range(WINDOWS):
            part = rows[window == w]
            known = lane_components(part, lane, value, FEES, mid2, int(edges[w]), position)
            for name, units in (
                ("gross", known.gross_units),
                ("slippage", known.slippage_units),
                ("fees", known.fee_units),
                ("inventory", known.inventory_units),
                ("notional", known.notional_units),
                ("net", known.net_units),
            ):
                size = abs(known.gross_units) + abs(known.inventory_units) + abs(known.slippage_units) + 1
                scale = max(abs(units), size if name == "net" else 1)
                assert abs(getattr(found, name)[lane, w] * 1e12 - units) <= 1e-9 * scale, (name, lane, w)
            assert found.fills[lane, w] == known.fills
            mine = part[part["lane"] == lane]
            position += int((mine["side"] * mine["qty_lots"]).sum())
            mid2 = int(edges[w])


def test_a_lane_without_fills_has_nothing_but_zeros() -> None:
    found = window_sums(np.zeros(0, RECORD_DTYPE), np.zeros(0, np.int64), np.array([4, 6]), 4, 1, LINEAR, FEES)
    assert not found.net.any()
    assert not found.notional.any()
