"""Kernel rows -> journal records. Decimals leave the integer grid here and nowhere else (docs/journal.md).

Notation: mid2 = best bid + best ask in ticks; units = 1e-12 of the PnL currency; times in ns, journalled ms.
A fee is a contribution, + rebate and - cost: fee = |v(price)| * lots * rate, in whole units, half to even.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from engine.instrument import VALUE_SCALE, Instrument
from engine.maker.state import (
    BLOCK_NAMES,
    EVENT_ACK,
    EVENT_AMEND,
    EVENT_CANCEL,
    EVENT_NAMES,
    EVENT_NEW,
    MAKER,
    REASON_NAMES,
    REC_FILL,
    TAKER,
    Array,
)

_SIDES = {1: "buy", -1: "sell"}
_ASKED = (EVENT_NEW, EVENT_AMEND, EVENT_CANCEL)
_NS_PER_MS = 1e6

Record = dict[str, Any]


def decimal_text(value: Decimal) -> str:
    """Plain digits, no exponent: 0.001, 60000.05, -0.0059990 -> -0.005999."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _on_grid(value: Decimal, step: Decimal) -> str:
    """`value` with as many places as its grid has: 0.010 on a grid of 0.001."""
    places = max(0, -int(step.normalize().as_tuple().exponent))
    return f"{value:.{places}f}"


class RecordFormatter:
    """Turns the rows of one run into JSON-ready records.

    Args:
        instrument: the grid and the value function.
        maker_fee_rate: share of notional, + rebate, - cost.
        first_order_ids: by lane, what to add to the kernel's order ids (a resumed kernel counts from 1 again).
        taker_fee_rate: the same where a position was taken out by a taker order; the maker's where it is not given.
    """

    def __init__(
        self,
        instrument: Instrument,
        maker_fee_rate: Decimal,
        first_order_ids: dict[int, int] | None = None,
        taker_fee_rate: Decimal | None = None,
    ) -> None:
        self.instrument = instrument
        taker = maker_fee_rate if taker_fee_rate is None else taker_fee_rate
        self._rates = {MAKER: Fraction(maker_fee_rate), TAKER: Fraction(taker)}
        self._order_base = first_order_ids or {}
        # A run quotes at some thousands of prices and a handful of sizes: each is put into words once.
        self._price = cache(lambda ticks: _on_grid(instrument.price(ticks), instrument.tick))
        self._mid = cache(lambda mid2: _on_grid(instrument.mid(mid2), instrument.tick / 2))
        self._qty = cache(lambda lots: _on_grid(instrument.qty(lots), instrument.lot))
        self._fee = cache(self._fee_text)

    def _fee_text(self, price_ticks: int, qty_lots: int, liquidity: int) -> str:
        value_units = abs(self.instrument.value_units(self.instrument.price(price_ticks))) * qty_lots
        return decimal_text(Decimal(round(value_units * self._rates[liquidity])).scaleb(-VALUE_SCALE))

    def qty(self, lots: int) -> str:
        return self._qty(lots)

    def rows(self, rows: Array) -> Iterator[Record]:
        """The order and fill records of RECORD_DTYPE rows, in their order."""
        for row in rows.tolist():
            yield self._row(*row)

    def _row(
        self, kind: int, lane: int, ts_ns: int, exch_ts_ns: int, order_id: int, side: int, code: int, reason: int,
        price_ticks: int, qty_lots: int, quote_mid2: int, fill_mid2: int, age_ns: int, latency_ns: int,
        position_lots: int, over: int,
    ) -> Record:  # fmt: skip
        record: Record = {
            "type": "order",
            "ts_ns": ts_ns,
            "lane": lane,
            "order_id": order_id + self._order_base.get(lane, 0),
            "side": _SIDES[side],
            "price": self._price(price_ticks),
            "qty": self._qty(qty_lots),
            "price_ticks": price_ticks,
            "qty_lots": qty_lots,
        }
        if exch_ts_ns:
            record["exch_ts_ns"] = exch_ts_ns
        if quote_mid2:
            record["quote_mid"], record["quote_mid2"] = self._mid(quote_mid2), quote_mid2
        if fill_mid2:
            record["fill_mid"], record["fill_mid2"] = self._mid(fill_mid2), fill_mid2
        if kind == REC_FILL:
            record["type"] = "fill"
            record["liquidity"] = "taker" if code == TAKER else "maker"
            record["fee"] = self._fee(price_ticks, qty_lots, code)
            record["fee_currency"] = self.instrument.pnl_currency
            record["order_age_ms"] = age_ns / _NS_PER_MS
            record["position_after"] = self._qty(position_lots)
            record["position_after_lots"] = position_lots
        else:
            record["event"] = EVENT_NAMES[code]
            record["reason"] = REASON_NAMES[reason]
        if kind == REC_FILL or code in _ASKED or code == EVENT_ACK:
            record["latency_ms"] = latency_ns / _NS_PER_MS
        return record

    def mark(self, ts_ns: int, touch: tuple[int, int, int]) -> Record:
        """A mark of the local book; `touch` is (mid2, bid, ask) in ticks of a two-sided book."""
        mid2, bid_ticks, ask_ticks = touch
        return {
            "type": "mark",
            "ts_ns": ts_ns,
            "lane": 0,
            "mid": self._mid(mid2),
            "bid": self._price(bid_ticks),
            "ask": self._price(ask_ticks),
            "mid2": mid2,
            "bid_ticks": bid_ticks,
            "ask_ticks": ask_ticks,
        }

    def blocks(self, ts_ns: int, counts: Array) -> Iterator[Record]:
        """The block records of int64[K, 2, len(BLOCK_NAMES)] counts; zeros are left out."""
        for lane, sides in enumerate(counts.tolist()):
            for side, reasons in zip(("buy", "sell"), sides, strict=True):
                for reason, count in zip(BLOCK_NAMES, reasons, strict=True):
                    if count:
                        yield {
                            "type": "block",
                            "ts_ns": ts_ns,
                            "lane": lane,
                            "reason": reason,
                            "side": side,
                            "count": count,
                        }
