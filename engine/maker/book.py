"""A price-level book over a window of ticks: two arrays of displayed lots and the best offsets.

One message may cross the book inside itself (real venues do). As it happens, the newer side wins: the other
side's best steps back behind it. Whether levels are truly crossed is judged at message ends only (`judge`).
Scalars of the exchange's book start at EX_BID; the same fields of the local book at EX_BID + BOOK_FIELDS.
"""

from __future__ import annotations

from numba import njit

from engine.maker.state import (
    CROSSED_ENDS,
    EX_ASK,
    EX_BID,
    EX_CROSS_HIGH,
    EX_CROSS_LOW,
    EX_CROSSED,
    EX_GAP,
    EX_MID2,
    NO_PRICE,
    WINDOW_LOW,
    Array,
)


@njit(cache=True)
def set_bid(bid: Array, ask: Array, s: Array, at: int, price: int, lots: int) -> int:
    """Set a bid level; returns what stood there before. `at`: 0 exchange's book, BOOK_FIELDS the local one."""
    old = bid[price]
    bid[price] = lots
    best = s[at + EX_BID]
    if lots > 0:
        if price > best:
            s[at + EX_BID] = price
            other = s[at + EX_ASK]
            if other <= price:
                if other < s[at + EX_CROSS_LOW]:
                    s[at + EX_CROSS_LOW] = other
                if price > s[at + EX_CROSS_HIGH]:
                    s[at + EX_CROSS_HIGH] = price
                other = price + 1
                width = ask.shape[0]
                while other < width and ask[other] == 0:
                    other += 1
                s[at + EX_ASK] = other
    elif price == best:
        price -= 1
        while price >= 0 and bid[price] == 0:
            price -= 1
        s[at + EX_BID] = price
    return int(old)


@njit(cache=True)
def set_ask(bid: Array, ask: Array, s: Array, at: int, price: int, lots: int) -> int:
    """Set an ask level; returns what stood there before."""
    old = ask[price]
    ask[price] = lots
    best = s[at + EX_ASK]
    if lots > 0:
        if price < best:
            s[at + EX_ASK] = price
            other = s[at + EX_BID]
            if other >= price:
                if price < s[at + EX_CROSS_LOW]:
                    s[at + EX_CROSS_LOW] = price
                if other > s[at + EX_CROSS_HIGH]:
                    s[at + EX_CROSS_HIGH] = other
                other = price - 1
                while other >= 0 and bid[other] == 0:
                    other -= 1
                s[at + EX_BID] = other
    elif price == best:
        price += 1
        width = ask.shape[0]
        while price < width and ask[price] == 0:
            price += 1
        s[at + EX_ASK] = price
    return int(old)


@njit(cache=True)
def judge(bid: Array, ask: Array, s: Array, at: int) -> None:
    """At a message's end: is the book two-sided and uncrossed? Sets mid2 (0 when not) and the crossed mark.

    Levels can only be crossed inside [EX_CROSS_LOW, EX_CROSS_HIGH], the span in which a side stepped back.
    """
    best_bid, best_ask = s[at + EX_BID], s[at + EX_ASK]
    width = bid.shape[0]
    s[at + EX_CROSSED] = 0
    if s[at + EX_CROSS_LOW] <= s[at + EX_CROSS_HIGH]:
        low, high = s[at + EX_CROSS_LOW], s[at + EX_CROSS_HIGH]
        lowest_ask, highest_bid = width, NO_PRICE
        for price in range(low, high + 1):
            if ask[price] > 0 and price < lowest_ask:
                lowest_ask = price
            if bid[price] > 0:
                highest_bid = price
        if max(best_bid, highest_bid) >= min(best_ask, lowest_ask):
            s[at + EX_CROSSED] = 1
            s[CROSSED_ENDS] += 1 if at > 0 else 0
        else:
            s[at + EX_CROSS_LOW], s[at + EX_CROSS_HIGH] = width, NO_PRICE
    if best_bid >= 0 and best_ask < width and s[at + EX_GAP] == 0 and s[at + EX_CROSSED] == 0:
        s[at + EX_MID2] = best_bid + best_ask + 2 * s[WINDOW_LOW]
    else:
        s[at + EX_MID2] = 0


@njit(cache=True)
def clear(bid: Array, ask: Array, s: Array, at: int) -> None:
    """Empty the book: what follows is a snapshot."""
    bid[:] = 0
    ask[:] = 0
    s[at + EX_BID] = NO_PRICE
    s[at + EX_ASK] = bid.shape[0]
    s[at + EX_CROSS_LOW], s[at + EX_CROSS_HIGH] = bid.shape[0], NO_PRICE
    s[at + EX_GAP] = 0
    s[at + EX_MID2] = 0
