"""Hyperliquid fills, JSON: the answer of its `userFills` and `userFillsByTime` requests, a list of fills.

`crossed` says whether the fill took; `startPosition` what was held before; fees are costs above 0. The web page's CSV
is not read: its dates depend on the reader's language.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from engine.errors import JournalError
from engine.warehouse.foreign.fills import Export, ForeignFill, amount, plain_symbol, positive, side_of


def read(data: bytes, where: str) -> Export:
    try:
        found = json.loads(data, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise JournalError("is not JSON", where=where, remedy="store the answer of userFills") from error
    fills = found.get("fills") if isinstance(found, dict) else found
    if not isinstance(fills, list) or not all(isinstance(fill, dict) for fill in fills):
        raise JournalError("is no list of fills", where=where, remedy="store the answer of userFills")
    export = Export(("hyperliquid",), quote_currency="USDC")
    for number, fill in enumerate(fills):
        at = f"{where}[{number}]"
        crossed, fee, token = fill.get("crossed"), fill.get("fee"), fill.get("feeToken")
        before = fill.get("startPosition")
        export.fills.append(
            ForeignFill(
                ts_ns=export.time_ns(_need(fill, "time", at), at),
                symbol=plain_symbol(_need(fill, "coin", at)),
                side=side_of(_need(fill, "side", at), at),
                price=positive(_need(fill, "px", at), at),
                qty=positive(_need(fill, "sz", at), at),
                fee=None if fee is None else -amount(str(fee), at)[0],
                fee_currency=token if isinstance(token, str) else None,
                liquidity=None if not isinstance(crossed, bool) else "taker" if crossed else "maker",
                order_id=None if fill.get("oid") is None else str(fill["oid"]),
                position_before=None if before is None else amount(str(before), at)[0],
            )
        )
    return export.sorted()


def _need(fill: dict[str, Any], name: str, where: str) -> str:
    value = fill.get(name)
    if value is None or isinstance(value, bool | dict | list):
        raise JournalError(f"has no {name}", where=where, remedy="store the answer of userFills")
    return str(value)
