"""Hummingbot trades, CSV, as its data folder keeps them (trades_<config>.csv: the columns of its TradeFill table).

Not said: whether the fill was a maker's. The fee is `trade_fee_in_quote`, a cost above 0; where it is empty, the fee is
left out.
"""

from __future__ import annotations

from engine.warehouse.foreign.fills import (
    Export,
    ForeignFill,
    amount,
    csv_rows,
    plain_symbol,
    positive,
    side_of,
)

_NEEDED = [("timestamp",), ("symbol", "trading_pair"), ("trade_type",), ("price",), ("amount",), ("market",)]

_VENUES = {"binance_perpetual": "binance-usdm", "binance": "binance-spot", "bybit_perpetual": "bybit-linear"}


def read(data: bytes, where: str) -> Export:
    export = Export(())
    for row in csv_rows(data, where, _NEEDED):
        quote, fee = row.get("quote_asset"), row.get("trade_fee_in_quote")
        export.fills.append(
            ForeignFill(
                ts_ns=export.time_ns(row.need("timestamp"), row.where),
                symbol=plain_symbol(row.need("symbol", "trading_pair")),
                side=side_of(row.need("trade_type"), row.where),
                price=positive(row.need("price"), row.where),
                qty=positive(row.need("amount"), row.where),
                fee=None if fee is None else -amount(fee, row.where)[0],
                fee_currency=quote if fee is not None else None,
                order_id=row.get("order_id"),
            )
        )
        market = row.need("market").lower()
        venue = _VENUES.get(market, market)
        if venue not in export.venues:
            export.venues = (*export.venues, venue)
        export.quote_currency = quote
    return export.sorted()
