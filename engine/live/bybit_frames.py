"""What Bybit V5 sends on its public streams, made of a market that plays a tape."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

from engine.live.player import Frame, Market, Message, changes

DEPTHS = (1, 50, 200, 1000)
_TOPIC = re.compile(r"(orderbook\.(?P<depth>[0-9]+)|(?P<trade>publicTrade))\.(?P<symbol>[^.]+)\Z")
_TRADES_AT_ONCE = 1024
_ARGS_CHARS = 21_000
_SPOT_ARGS = 10


def read_topic(topic: str) -> tuple[str, int] | None:
    """(symbol, depth) of a topic, depth 0 for trades; None where the venue has no such topic."""
    found = _TOPIC.match(topic)
    if found is None or (found["depth"] and int(found["depth"]) not in DEPTHS):
        return None
    return found["symbol"], int(found["depth"] or 0)


def refusal(op: Any, topics: list[str], category: str, symbols: Container[str], subscribed: Container[str]) -> str:
    """Why a request is refused as a whole; "" where it is not."""
    if op not in ("subscribe", "unsubscribe"):
        return f"error:unknown op,op:{op}"
    if not topics or sum(map(len, topics)) > _ARGS_CHARS:
        return "error:args length out of range"
    if category == "spot" and len(topics) > _SPOT_ARGS:
        return "args size >10"
    for topic in topics:
        found = read_topic(topic)
        if found is None or found[0] not in symbols:
            return f"error:handler not found,topic:{topic}"
        if op == "subscribe" and topic in subscribed:
            return f"error:already subscribed,topic:{topic}"
    return ""


class BookStream:
    """orderbook.<depth>.<symbol>: snapshots and deltas of the best `depth` levels, u rising by 1 from frame to frame.

    Depth 1 sends snapshots only, and again the same one after three quiet seconds.
    """

    def __init__(self, market: Market, depth: int) -> None:
        self.market, self.depth = market, depth
        self.topic = f"orderbook.{depth}.{market.symbol}"
        self.u = 1000  # any number but 1, which means a restart
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._repeat_at_ms = 0

    def snapshot(self, u: int | None = None) -> Frame:
        market = self.market
        if u is not None:
            self.u = u
        self._bids, self._asks = market.bids.top(self.depth), market.asks.top(self.depth)
        return self._frame("snapshot", self._bids, self._asks)

    def follow(self, message: Message) -> Frame | None:
        """The frame that the tape's message makes, None where it changes nothing within the depth."""
        market = self.market
        bids, asks = market.bids.top(self.depth), market.asks.top(self.depth)
        down, up = changes(self._bids, bids), changes(self._asks, asks)
        if not (down or up or message.clear):
            return None
        self.u += 1
        self._bids, self._asks = bids, asks
        if message.clear or self.depth == 1:
            return self._frame("snapshot", bids, asks)
        return self._frame("delta", down, up)

    def repeat(self) -> Frame | None:
        """Depth 1: the last snapshot again, with the same u, when nothing has changed for three seconds."""
        if self.depth != 1 or self.market.now_ms < self._repeat_at_ms:
            return None
        return self._frame("snapshot", self._bids, self._asks)

    def _frame(self, kind: str, bids: dict[int, int], asks: dict[int, int]) -> Frame:
        market = self.market
        self._repeat_at_ms = market.now_ms + 3000
        data = {
            "s": market.symbol,
            "b": market.levels(bids),
            "a": market.levels(asks),
            "u": self.u,
            "seq": market.seq,
        }
        return {"topic": self.topic, "type": kind, "ts": market.now_ms, "data": data, "cts": market.exch_ms}


def trade_frames(market: Market, message: Message) -> list[Frame]:
    """publicTrade.<symbol> frames of a message's trades, at most 1024 a frame."""
    rows = []
    for is_buy, price, lots in message.trades:
        market.trade_count += 1
        row = {
            "T": market.exch_ms,
            "s": market.symbol,
            "S": "Buy" if is_buy else "Sell",
            "v": market.size(lots),
            "p": market.price(price),
            "L": "PlusTick" if is_buy else "MinusTick",
            "i": f"00000000-0000-5000-8000-{market.trade_count:012x}",
            "BT": False,
            "RPI": False,
            "seq": market.seq,
        }
        rows.append(row)
    topic = f"publicTrade.{market.symbol}"
    return [
        {"topic": topic, "type": "snapshot", "ts": market.now_ms, "data": rows[at : at + _TRADES_AT_ONCE]}
        for at in range(0, len(rows), _TRADES_AT_ONCE)
    ]


def instrument_info(market: Market) -> Frame:
    """The row of /v5/market/instruments-info."""
    one = market.instrument
    step = f"{one.lot:f}"
    return {
        "symbol": market.symbol,
        "contractType": "InversePerpetual" if one.contract == "inverse" else "LinearPerpetual",
        "status": "Trading",
        "quoteCoin": one.quote_currency,
        "settleCoin": one.pnl_currency,
        "priceFilter": {"tickSize": f"{one.tick:f}"},
        "lotSizeFilter": {"qtyStep": step, "minOrderQty": f"{one.lot * one.min_qty_lots:f}"},
    }
