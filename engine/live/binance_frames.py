"""What Binance USD-M futures sends on its combined streams and over REST, made of a market that plays a tape."""

from __future__ import annotations

from engine.live.player import Frame, Market, Message


class DiffStream:
    """<symbol>@depth@100ms: every change of the book, chained by U, u and pu. One frame per message of the tape."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.name = f"{market.symbol.lower()}@depth@100ms"
        self.u = 1000

    def follow(self, message: Message) -> Frame | None:
        market = self.market
        bids, asks = dict(message.bids), dict(message.asks)
        rows = len(bids) + len(asks)
        if not rows:
            return None
        before, self.u = self.u, self.u + rows
        return {
            "stream": self.name,
            "data": {
                "e": "depthUpdate",
                "E": market.now_ms,
                "T": market.exch_ms,
                "s": market.symbol,
                "U": before + 1,
                "u": self.u,
                "pu": before,
                "b": market.levels(bids),
                "a": market.levels(asks),
            },
        }

    def snapshot(self, levels: int) -> Frame:
        """The answer of /fapi/v1/depth."""
        market = self.market
        return {
            "lastUpdateId": self.u,
            "E": market.now_ms,
            "T": market.exch_ms,
            "bids": market.levels(market.bids.top(levels)),
            "asks": market.levels(market.asks.top(levels)),
        }


def agg_trade_frames(market: Market, message: Message) -> list[Frame]:
    """<symbol>@aggTrade frames of a message's trades."""
    frames = []
    for is_buy, price, lots in message.trades:
        market.trade_count += 1
        data = {
            "e": "aggTrade",
            "E": market.now_ms,
            "s": market.symbol,
            "a": market.trade_count,
            "p": market.price(price),
            "q": market.size(lots),
            "f": market.trade_count,
            "l": market.trade_count,
            "T": market.exch_ms,
            "m": not is_buy,
        }
        frames.append({"stream": f"{market.symbol.lower()}@aggTrade", "data": data})
    return frames


def exchange_info(markets: list[Market]) -> Frame:
    """The answer of /fapi/v1/exchangeInfo, as far as a grid needs it."""
    symbols = []
    for market in markets:
        one = market.instrument
        filters = [
            {"filterType": "PRICE_FILTER", "tickSize": f"{one.tick:f}"},
            {"filterType": "LOT_SIZE", "stepSize": f"{one.lot:f}", "minQty": f"{one.lot * one.min_qty_lots:f}"},
        ]
        row = {"symbol": market.symbol, "quoteAsset": one.quote_currency, "marginAsset": one.pnl_currency}
        symbols.append({**row, "filters": filters})
    return {"symbols": symbols}
