"""Bybit trade history, CSV: derivatives (Market, Filled Type) and spot (Spot Pairs).

Times are to the minute in most exports. Fees are costs above 0. Derivatives: `Filled Type` Funding is a payment, Trade
and Liquidation are fills. Not said: whether the fill was a maker's. A spot fee without `feeCoin` is left out.
"""

from __future__ import annotations

from engine.warehouse.foreign.fills import (
    Export,
    ForeignFill,
    ForeignFunding,
    amount,
    csv_rows,
    plain_symbol,
    positive,
    side_of,
)

_TIMES = (
    *("Transaction Time(UTC+0)", "Transaction Time(UTC)", "Transaction Time"),
    *("Timestamp (UTC)", "Timestamp (UTC+0)", "Timestamp(UTC)"),
)
_SYMBOLS = ("Market", "Contracts", "Spot Pairs")
_NEEDED = [_TIMES, _SYMBOLS, ("Direction",), ("Filled Price",), ("Filled Quantity",)]
_FILLS = ("trade", "liquidation", "adl", "bustrade", "adltrade")


def read(data: bytes, where: str) -> Export:
    export = Export(("bybit-linear", "bybit-inverse"))
    for row in csv_rows(data, where, _NEEDED):
        ts_ns = export.time_ns(row.need(*_TIMES), row.where)
        symbol = plain_symbol(row.need(*_SYMBOLS))
        is_spot = "spot pairs" in row.values
        if is_spot:
            export.venues = ("bybit-spot",)
        kind = (row.get("Filled Type") or "trade").lower()
        currency = row.get("feeCoin")
        said = (row.get("ExecFeeV2") if currency else None) or row.get("Trading Fee", "Fees", "Fee")
        fee = None if said is None else -amount(said, row.where)[0]
        if kind == "funding":
            if fee is None:
                export.passed_over["funding without an amount"] += 1
            else:
                export.funding.append(ForeignFunding(ts_ns, symbol, fee))
            continue
        if kind not in _FILLS:
            export.passed_over[f"rows of type {kind}"] += 1
            continue
        export.fills.append(
            ForeignFill(
                ts_ns=ts_ns,
                symbol=symbol,
                side=side_of(row.need("Direction"), row.where),
                price=positive(row.need("Filled Price"), row.where),
                qty=positive(row.need("Filled Quantity"), row.where),
                fee=fee if currency or not is_spot or not fee else None,
                fee_currency=currency,
                order_id=row.get("Order No."),
            )
        )
    return export.sorted()
