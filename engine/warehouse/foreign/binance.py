"""Binance trade history, CSV: spot and margin (Pair, Executed), futures and newer spot (Symbol, Quantity).

Not said: whether the fill was a maker's, and the order. Fees are costs above 0; their currency stands behind the number
or in `Fee Coin`; a spot fee whose currency is not said is left out.
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

_NEEDED = [
    ("Date(UTC)", "Time(UTC)", "Time"),
    ("Pair", "Symbol"),
    ("Side",),
    ("Price",),
    ("Executed", "Quantity"),
    ("Fee",),
]


def read(data: bytes, where: str) -> Export:
    export = Export(("binance-usdm", "binance-coinm", "binance-spot"))
    for row in csv_rows(data, where, _NEEDED):
        is_futures = "realized profit" in row.values
        fee, unit = amount(row.need("Fee"), row.where)
        currency = row.get("Fee Coin") or unit
        fill = ForeignFill(
            ts_ns=export.time_ns(row.need(*_NEEDED[0]), row.where),
            symbol=plain_symbol(row.need("Pair", "Symbol")),
            side=side_of(row.need("Side"), row.where),
            price=positive(row.need("Price"), row.where),
            qty=positive(row.need("Executed", "Quantity"), row.where),
            fee=-fee if currency or is_futures or not fee else None,
            fee_currency=currency,
        )
        export.fills.append(fill)
        if not is_futures:
            export.venues = ("binance-spot",)
    return export.sorted()
