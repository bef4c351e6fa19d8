"""Compiled: is a scanned order or fill surely a journal record? What record_reason.sql then need not be asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import inlined
from engine.warehouse.fields import COMMON
from engine.warehouse.keys import bits_of, slots_of
from engine.warehouse.words import load_word

Array = NDArray[Any]

_U0, _U1 = np.uint64(0), np.uint64(1)
_NEEDED = bits_of(*COMMON, "type", "side")
_PRICED = bits_of("price", "qty")
_EVENT_BIT, _LIQUIDITY_BIT = bits_of("event"), bits_of("liquidity")
_V, _SEQ, _TS_NS, _LANE = slots_of("v", "seq", "ts_ns", "lane")
_RUN_ID, _SYMBOL, _SIDE, _EVENT, _LIQUIDITY = slots_of("run_id", "symbol", "side", "event", "liquidity")
_PRICE, _QTY = slots_of("price", "qty")
_BUY, _SELL, _MAKER, _TAKER, *_EVENT_WORDS = (
    np.uint64(int.from_bytes(word.encode(), "little"))
    for word in ("buy", "sell", "maker", "taker", "new", "ack", "amend", "cancel", "reject", "expire")
)
_EVENTS = np.array(_EVENT_WORDS)


@inlined
def _short_text(data: Array, start: int, size: int) -> Any:
    """A text of up to eight bytes as a word; 0 for a longer one."""
    if size > 8:
        return _U0
    word = load_word(data, start)
    return word if size == 8 else word & ((_U1 << np.uint64(8 * size)) - _U1)


@inlined
def is_record(
    data: Array,
    row: int,
    part: int,
    values: Any,
    integers: Array,
    decimals: Array,
    text_start: Array,
    text_length: Array,
) -> bool:
    """Does an order or fill break no rule of record_reason.sql? `values` is the set of its fields."""
    if (
        values & _NEEDED != _NEEDED
        or integers[_V, row] < 1
        or integers[_SEQ, row] < 0
        or integers[_TS_NS, row] < 0
        or integers[_LANE, row] < 0
        or text_length[_RUN_ID, row] == 0
        or text_length[_SYMBOL, row] == 0
    ):
        return False
    side = _short_text(data, text_start[_SIDE, row], text_length[_SIDE, row])
    if side != _BUY and side != _SELL:
        return False
    if part == 1:
        if not values & _EVENT_BIT:
            return False
        event = _short_text(data, text_start[_EVENT, row], text_length[_EVENT, row])
        known = False
        for i in range(_EVENTS.size):
            known |= event == _EVENTS[i]
        return known
    if values & _PRICED != _PRICED:
        return False
    for slot in (_PRICE, _QTY):
        low, high = decimals[slot, row, 0], decimals[slot, row, 1]
        if np.int64(high) < 0 or (low | high) == _U0:
            return False
    if values & _LIQUIDITY_BIT:
        liquidity = _short_text(data, text_start[_LIQUIDITY, row], text_length[_LIQUIDITY, row])
        return bool(liquidity == _MAKER) | bool(liquidity == _TAKER)
    return True
