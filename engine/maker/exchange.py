"""The exchange's side: its book, our resting orders in its queues, requests that arrive, fills that leave.

No market impact: displayed sizes are the tape's. An order joins behind the quantity displayed at its arrival.
It is filled when trades have consumed its front, when a trade goes through its price, or when the opposite best
reaches it; in full-fill mode whole, else by what really was there: the part of a trade that reached us, never
more than the trade's size for all of a lane's orders together, and at a crossing the size of the level that
crossed. Across a gap or a clear every resting order ends (`expire`, reason gap).
"""

from __future__ import annotations

from numba import njit

from engine.maker.book import clear, judge, set_ask, set_bid
from engine.maker.queue import after_depth, fillable_lots
from engine.maker.state import (
    ASK_CANCEL,
    ASK_NEW,
    EX_ASK,
    EX_BID,
    EX_GAP,
    EX_MID2,
    EX_PTR,
    LOW_REST_ASK,
    NO_PRICE,
    OUTSIDE,
    REASON_GAP,
    REASON_GONE,
    REASON_POST_ONLY,
    REQ_COUNT,
    REQ_HEAD,
    RES_COUNT,
    RES_HEAD,
    REST_ASKS,
    REST_BIDS,
    RING_FULL,
    SAY_ACK,
    SAY_EXPIRE,
    SAY_FILL,
    SAY_REJECT,
    TOP_REST_BID,
    WINDOW_LOW,
    Array,
    Config,
    State,
)

_DEPTH, _TRADE = 0, 1
_BUY, _LAST, _GAP, _CLEAR = 1, 2, 4, 8


@njit(cache=True)
def rest(st: State, order: int, side: int, price: int) -> None:
    """Note that `order` rests at the offset `price`, and keep the extremes that let most events pass untouched."""
    s = st.scalars
    st.ex_price[order] = price
    if side == 0:
        st.rest_bid[price] += 1
        s[REST_BIDS] += 1
        if price > s[TOP_REST_BID]:
            s[TOP_REST_BID] = price
    else:
        st.rest_ask[price] += 1
        s[REST_ASKS] += 1
        if price < s[LOW_REST_ASK]:
            s[LOW_REST_ASK] = price


@njit(cache=True)
def unrest(st: State, order: int, side: int) -> None:
    """Take `order` off its price."""
    s = st.scalars
    price = st.ex_price[order]
    st.ex_price[order] = NO_PRICE
    if side == 0:
        st.rest_bid[price] -= 1
        s[REST_BIDS] -= 1
        if price == s[TOP_REST_BID]:
            if s[REST_BIDS] == 0:
                price = NO_PRICE
            else:
                while st.rest_bid[price] == 0:
                    price -= 1
            s[TOP_REST_BID] = price
    else:
        st.rest_ask[price] -= 1
        s[REST_ASKS] -= 1
        if price == s[LOW_REST_ASK]:
            if s[REST_ASKS] == 0:
                price = st.rest_ask.shape[0]
            else:
                while st.rest_ask[price] == 0:
                    price += 1
            s[LOW_REST_ASK] = price


@njit(cache=True)
def answer(
    st: State, order: int, what: int, request: int, reason: int, at_ns: int, exch_ts_ns: int, sent_ns: int,
    price: int, lots: int, leaves: int, mid2: int, over: int,
) -> None:  # fmt: skip
    """Send one response on its way; the ring has room (the caller checked)."""
    s, ring = st.scalars, st.responses
    i = (s[RES_HEAD] + s[RES_COUNT]) & (ring.shape[0] - 1)
    s[RES_COUNT] += 1
    r = ring[i]
    r["at_ns"] = at_ns
    r["order"] = order
    r["what"] = what
    r["request"] = request
    r["price"] = price
    r["lots"] = lots
    r["leaves"] = leaves
    r["mid2"] = mid2
    r["fill_mid2"] = s[EX_MID2]
    r["exch_ts_ns"] = exch_ts_ns
    r["sent_ns"] = sent_ns
    r["reason"] = reason
    r["over"] = over


@njit(cache=True)
def fill(st: State, cfg: Config, order: int, side: int, lots: int, ts_ns: int) -> None:
    """Fill `lots` of a resting order at its own price."""
    o = st.orders[order]
    price = st.ex_price[order]
    leaves = o["ex_leaves"] - lots
    o["ex_leaves"] = leaves
    if leaves == 0:
        unrest(st, order, side)
    answer(
        st, order, SAY_FILL, -1, 0, ts_ns + cfg.response_ns, ts_ns, o["ex_sent_ns"],
        price, lots, leaves, o["ex_mid2"], 1 if leaves == 0 else 0,
    )  # fmt: skip


@njit(cache=True)
def trade_reaches(st: State, cfg: Config, side: int, price: int, lots: int, ts_ns: int) -> None:
    """A trade of `lots` at `price` reaches our resting orders of `side` (an aggressor of the other side)."""
    count = st.lanes.shape[0]
    slots = st.ex_price.shape[0] // (2 * count)
    for lane in range(count):
        first = (2 * lane + side) * slots
        left = lots
        for order in range(first, first + slots):  # better priced than the trade: matched before it got here
            p = st.ex_price[order]
            if p != NO_PRICE and ((p < price) if side == 1 else (p > price)):
                leaves = st.orders[order]["ex_leaves"]
                got = leaves if cfg.full_fill else min(leaves, left)
                if got > 0:
                    left -= got
                    fill(st, cfg, order, side, got, ts_ns)
        for order in range(first, first + slots):
            if st.ex_price[order] != price:
                continue
            o = st.orders[order]
            o["ex_front"] -= lots
            o["ex_traded"] += lots
            reached = fillable_lots(o["ex_front"])
            if reached > 0:
                leaves = o["ex_leaves"]
                got = leaves if cfg.full_fill else min(leaves, reached, max(left, 0))
                o["ex_front"] = 0.0
                if got > 0:
                    left -= got
                    fill(st, cfg, order, side, got, ts_ns)


@njit(cache=True)
def level_changed(st: State, cfg: Config, side: int, price: int, old: int, new: int) -> None:
    """The displayed size at a price where orders of ours rest changed."""
    count = st.lanes.shape[0]
    slots = st.ex_price.shape[0] // (2 * count)
    for lane in range(count):
        first = (2 * lane + side) * slots
        for order in range(first, first + slots):
            if st.ex_price[order] == price:
                o = st.orders[order]
                o["ex_front"] = after_depth(cfg.queue, cfg.power, o["ex_front"], o["ex_traded"], float(old), float(new))
                o["ex_traded"] = 0.0


@njit(cache=True)
def best_reaches(st: State, cfg: Config, side: int, best: int, lots: int, ts_ns: int) -> None:
    """The opposite best moved to `best`, a level of `lots`: it reaches our orders of `side` at or beyond it."""
    count = st.lanes.shape[0]
    slots = st.ex_price.shape[0] // (2 * count)
    for lane in range(count):
        first = (2 * lane + side) * slots
        left = lots
        for order in range(first, first + slots):
            p = st.ex_price[order]
            if p != NO_PRICE and ((p <= best) if side == 1 else (p >= best)):
                leaves = st.orders[order]["ex_leaves"]
                got = leaves if cfg.full_fill else min(leaves, left)
                if got > 0:
                    left -= got
                    fill(st, cfg, order, side, got, ts_ns)


@njit(cache=True)
def end_all(st: State, cfg: Config, ts_ns: int) -> None:
    """Every resting order ends: the book they stood in is gone."""
    count = st.lanes.shape[0]
    slots = st.ex_price.shape[0] // (2 * count)
    for order in range(st.ex_price.shape[0]):
        if st.ex_price[order] != NO_PRICE:
            side = (order // slots) & 1
            o = st.orders[order]
            price = st.ex_price[order]
            unrest(st, order, side)
            answer(
                st, order, SAY_EXPIRE, -1, REASON_GAP, ts_ns + cfg.response_ns, ts_ns, o["ex_sent_ns"],
                price, 0, 0, o["ex_mid2"], 1,
            )  # fmt: skip


@njit(cache=True)
def take_events(
    st: State, cfg: Config, exch_ts_ns: Array, kind: Array, flags: Array, price_ticks: Array, qty_lots: Array,
    exch_order: Array, count: int, until_ns: int,
) -> tuple[int, int]:  # fmt: skip
    """Exchange events with time <= `until_ns`, stopping early where a response to them comes back sooner.

    Returns (DONE or RING_FULL, the time up to which the exchange has really advanced).
    """
    s = st.scalars
    low, width = s[WINDOW_LOW], st.ex_bid.shape[0]
    permuted = exch_order.shape[0] > 0
    room = st.responses.shape[0] - st.ex_price.shape[0] - 1
    i = s[EX_PTR]
    while i < count:
        e = exch_order[i] if permuted else i
        ts = exch_ts_ns[e]
        if ts > until_ns:
            break
        flag = flags[e]
        if kind[e] == _DEPTH:
            price = price_ticks[e] - low
            if price < 0 or price >= width:
                s[OUTSIDE] += 1
            else:
                lots = qty_lots[e]
                touched = st.rest_bid[price] + st.rest_ask[price]
                resting = s[REST_BIDS] + s[REST_ASKS]
                if resting and s[RES_COUNT] > room:
                    s[EX_PTR] = i
                    return RING_FULL, ts
                if flag & _BUY:
                    best = s[EX_BID]
                    old = set_bid(st.ex_bid, st.ex_ask, s, 0, price, lots)
                    if touched and st.rest_bid[price]:
                        level_changed(st, cfg, 0, price, old, lots)
                    if s[EX_BID] > best and s[LOW_REST_ASK] <= s[EX_BID]:
                        best_reaches(st, cfg, 1, s[EX_BID], lots, ts)
                else:
                    best = s[EX_ASK]
                    old = set_ask(st.ex_bid, st.ex_ask, s, 0, price, lots)
                    if touched and st.rest_ask[price]:
                        level_changed(st, cfg, 1, price, old, lots)
                    if s[EX_ASK] < best and s[TOP_REST_BID] >= s[EX_ASK]:
                        best_reaches(st, cfg, 0, s[EX_ASK], lots, ts)
        elif kind[e] == _TRADE:
            price = price_ticks[e] - low
            if flag & _BUY:
                if s[LOW_REST_ASK] <= price:
                    if s[RES_COUNT] > room:
                        s[EX_PTR] = i
                        return RING_FULL, ts
                    trade_reaches(st, cfg, 1, price, qty_lots[e], ts)
            elif s[TOP_REST_BID] >= price:
                if s[RES_COUNT] > room:
                    s[EX_PTR] = i
                    return RING_FULL, ts
                trade_reaches(st, cfg, 0, price, qty_lots[e], ts)
        else:
            if s[RES_COUNT] > room:
                s[EX_PTR] = i
                return RING_FULL, ts
            end_all(st, cfg, ts)
            if flag & _CLEAR:
                clear(st.ex_bid, st.ex_ask, s, 0)
            if flag & _GAP:
                s[EX_GAP] = 1
        if flag & _LAST:
            judge(st.ex_bid, st.ex_ask, s, 0)
        i += 1
        if s[RES_COUNT] and st.responses[s[RES_HEAD]]["at_ns"] < until_ns:
            until_ns = st.responses[s[RES_HEAD]]["at_ns"]
    s[EX_PTR] = i
    return 0, until_ns


@njit(cache=True)
def take_request(st: State, cfg: Config) -> None:
    """The oldest request arrives: accept, refuse or end the order, and send the answer."""
    s = st.scalars
    i = s[REQ_HEAD]
    q = st.requests[i]
    s[REQ_HEAD] = (i + 1) & (st.requests.shape[0] - 1)
    s[REQ_COUNT] -= 1
    order, what, price, lots, now = q["order"], q["what"], q["price"], q["lots"], q["at_ns"]
    count = st.lanes.shape[0]
    side = (order // (st.ex_price.shape[0] // (2 * count))) & 1
    o = st.orders[order]
    standing = st.ex_price[order]
    say, reason, over = SAY_ACK, 0, 0
    if what == ASK_NEW:
        if s[EX_GAP]:
            say, reason, over = SAY_EXPIRE, REASON_GAP, 1
        elif (price >= s[EX_ASK]) if side == 0 else (price <= s[EX_BID]):
            say, reason, over = SAY_EXPIRE, REASON_POST_ONLY, 1
        else:
            o["ex_leaves"] = lots
            o["ex_front"] = float(st.ex_bid[price] if side == 0 else st.ex_ask[price])
            o["ex_traded"] = 0.0
            o["ex_mid2"] = q["mid2"]
            o["ex_sent_ns"] = q["sent_ns"]
            rest(st, order, side, price)
    elif standing == NO_PRICE:
        say, reason = SAY_REJECT, REASON_GONE
    elif what == ASK_CANCEL:
        unrest(st, order, side)
        over = 1
    else:
        filled_meanwhile = q["leaves_then"] - o["ex_leaves"]
        lots -= filled_meanwhile
        if (price >= s[EX_ASK]) if side == 0 else (price <= s[EX_BID]):
            unrest(st, order, side)
            say, reason, over = SAY_EXPIRE, REASON_POST_ONLY, 1
        elif lots <= 0:
            unrest(st, order, side)
            say, reason, over = SAY_EXPIRE, REASON_GONE, 1
        else:
            if price != standing or lots > o["ex_leaves"]:  # priority is lost; kept by shrinking or refreshing
                o["ex_front"] = float(st.ex_bid[price] if side == 0 else st.ex_ask[price])
                o["ex_traded"] = 0.0
            if price != standing:
                unrest(st, order, side)
                rest(st, order, side, price)
            o["ex_leaves"] = lots
            o["ex_mid2"] = q["mid2"]
            o["ex_sent_ns"] = q["sent_ns"]
    answer(
        st, order, say, what, reason, now + cfg.response_ns, now, q["sent_ns"],
        price, lots, lots, q["mid2"], over,
    )  # fmt: skip
