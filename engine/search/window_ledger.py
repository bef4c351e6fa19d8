"""The PnL identity over fills, per lane and window at once: the vectorised twin of engine.ledger.lane_components.

Notation as in engine/ledger.py. Lot values are the ledger's own integers, so that differences are exact; products and
sums are float64, which agrees with the ledger's integers to some 1e-15 of the sum of the terms' sizes.

A window's end is a row of its own without quantity: the position held is marked there at the edge's mid, and its
gain since the row before belongs to the window that ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.instrument import UNITS_PER_QUOTE, Instrument
from engine.ledger import Valuer
from engine.maker.state import Array

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WindowSums:
    """float64[K, W] in the PnL currency; `fills` int64[K, W]."""

    gross: Floats
    slippage: Floats
    fees: Floats
    inventory: Floats
    notional: Floats
    fills: NDArray[np.int64]

    @property
    def net(self) -> Floats:
        return self.gross + self.slippage + self.fees + self.inventory


def window_sums(
    fills: Array,
    window: NDArray[np.int64],
    edge_mid2: NDArray[np.int64],
    first_mid2: int,
    lanes: int,
    instrument: Instrument,
    fee_rate: Fraction,
) -> WindowSums:
    """Sums by lane and window.

    Args:
        fills: RECORD_DTYPE rows of fills, in order of time; all lanes start flat.
        window: int64[n], the window of each fill, 0 <= window < W.
        edge_mid2: int64[W], the mid at each window's end, known (above 0); a lane's position is marked there.
        first_mid2: the mid at the start.
    """
    windows = len(edge_mid2)
    # Each lane's rows in order of time, its edges after the fills of the window that they end.
    lane = np.concatenate([fills["lane"], np.repeat(np.arange(lanes), windows)])
    when = np.concatenate([window, np.tile(np.arange(windows), lanes)])
    edges = np.zeros(lanes * windows, np.int64)
    lots = np.concatenate([fills["side"] * fills["qty_lots"], edges])
    is_edge = np.concatenate([np.zeros(len(fills), bool), np.ones(lanes * windows, bool)])
    own = 2 * fills["price_ticks"]
    fill_mid2 = np.where(fills["fill_mid2"] > 0, fills["fill_mid2"], own)
    quote_mid2 = np.where(fills["quote_mid2"] > 0, fills["quote_mid2"], fill_mid2)
    mids = np.concatenate([fill_mid2, np.tile(edge_mid2, lanes)])
    order = np.lexsort((np.arange(len(lane)), is_edge, when, lane))
    lane, when, lots, mids = lane[order], when[order], lots[order], mids[order]

    value = _values(instrument, (own, fill_mid2, quote_mid2, edge_mid2, np.array([first_mid2])))
    v_mid = value(mids)
    starts = np.searchsorted(lane, np.arange(lanes))
    before = np.concatenate([[0.0], v_mid[:-1]])
    before[starts] = value(np.array([first_mid2]))[0]
    running = np.cumsum(lots) - lots
    position = running - running[starts][lane]
    cell = lane * windows + when

    def by_window(cells: Array, amounts: Floats) -> Floats:
        sums: Floats = np.bincount(cells, weights=amounts, minlength=lanes * windows) / UNITS_PER_QUOTE
        return sums.reshape(lanes, windows)

    at = fills["lane"] * windows + window
    v_price, v_fill, v_quote = value(own), value(fill_mid2), value(quote_mid2)
    signed = (fills["side"] * fills["qty_lots"]).astype(np.float64)
    amount = fills["qty_lots"] * np.abs(v_price)
    return WindowSums(
        gross=by_window(at, signed * (v_quote - v_price)),
        slippage=by_window(at, signed * (v_fill - v_quote)),
        fees=by_window(at, np.rint(amount * fee_rate.numerator / fee_rate.denominator)),
        inventory=by_window(cell, position * (v_mid - before)),
        notional=by_window(at, amount),
        fills=np.bincount(at, minlength=lanes * windows).reshape(lanes, windows).astype(np.int64),
    )


def _values(instrument: Instrument, mids: tuple[Array, ...]) -> Any:
    """A function from mid2 arrays to lot values, float64 of whole units (below 2^53, so exact)."""
    known = np.unique(np.concatenate(mids))
    valuer = Valuer(instrument)
    table = np.array([valuer(mid2) for mid2 in known.tolist()], np.float64)
    return lambda mid2: table[np.searchsorted(known, mid2)]
