"""The book as the feed sees it: refuses what would cross it, and tells the events that rebuild it."""

from __future__ import annotations

import numpy as np

from engine.errors import CaptureError
from engine.market.events import BUY, CLEAR, DEPTH, LAST, MARKER, Columns


class CrossedBookError(CaptureError):
    """A message would leave a crossed book: messages before it must have been lost."""


class LiveBook:
    """Price in ticks -> size in lots a side. `best_bid` and `best_ask` are 0 for an empty side."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.best_bid = self.best_ask = 0

    def apply(
        self, clear: bool, bid_prices: list[int], bid_lots: list[int], ask_prices: list[int], ask_lots: list[int]
    ) -> None:
        """One depth message: new absolute sizes, 0 deletes; `clear` empties the book first.

        Raises:
            CrossedBookError: the message leaves a crossed book, which is then worth nothing.
        """
        if clear:
            self.bids.clear()
            self.asks.clear()
            self.best_bid = self.best_ask = 0
        best = self.best_bid
        for price, lots in zip(bid_prices, bid_lots, strict=True):
            if lots:
                self.bids[price] = lots
                best = max(best, price)
            else:
                self.bids.pop(price, None)
        if best not in self.bids:
            best = max(self.bids, default=0)
        self.best_bid = best
        best = self.best_ask
        for price, lots in zip(ask_prices, ask_lots, strict=True):
            if lots:
                self.asks[price] = lots
                if price < best or not best:
                    best = price
            else:
                self.asks.pop(price, None)
        if best not in self.asks:
            best = min(self.asks, default=0)
        self.best_ask = best
        if best and self.best_bid >= best:
            raise CrossedBookError(f"book crossed: bid {self.best_bid}, ask {best} ticks")

    @property
    def mid2(self) -> int:
        """Best bid + best ask in ticks; 0 where the book is not two-sided."""
        return self.best_bid + self.best_ask if self.best_bid and self.best_ask else 0

    def snapshot(self, exch_ts_ns: int, local_ts_ns: int) -> Columns:
        """One message that rebuilds this book: a clear marker, bids from the best down, asks from the best up."""
        bids, asks = sorted(self.bids.items(), reverse=True), sorted(self.asks.items())
        columns = Columns.empty(1 + len(bids) + len(asks))
        columns.exch_ts_ns[:], columns.local_ts_ns[:] = exch_ts_ns, local_ts_ns
        columns.kind[:] = DEPTH
        columns.kind[0], columns.flags[0] = MARKER, CLEAR
        columns.flags[1 : 1 + len(bids)] = BUY
        columns.flags[-1] |= LAST
        levels = np.array([*bids, *asks], np.int64).reshape(-1, 2)
        columns.price_ticks[1:], columns.qty_lots[1:] = levels[:, 0], levels[:, 1]
        return columns
