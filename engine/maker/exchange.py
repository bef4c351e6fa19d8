"""The exchange's side: its book, our resting orders in its queues, requests that arrive, fills that leave.

No market impact: displayed sizes are the tape's. An order joins behind the quantity displayed at its arrival.
It is filled when trades have consumed its front, when a trade goes through its price, or when the opposite best
reaches it; in full-fill mode whole, else by what really was there: the part of a trade that reached us, never
more than the trade's size for all of a lane's orders together, and at a crossing the size of the level that
crossed. Across a gap or a clear every resting order ends (`expire`, reason gap).

Orders of all lanes rest in the places of resting.py, and no key above the best resting one of each side needs a look:
an event that no order of ours can feel costs one comparison, however many lanes there are.
"""

from __future__ import annotations

from engine.jit import compiled, inlined
from engine.maker.book import clear, judge, next_level, set_level
from engine.maker.queue import after_depth, fillable_lots
from engine.maker.resting import join, leave, lower_top
from engine.maker.state import (
    ANSWERS,
    ASK_CANCEL,
    ASK_NEW,
    ASK_TAKE,
    EARLIEST,
    EX_BEST,
    EX_BOOK,
    EX_CLOCK,
    EX_GAP,
    EX_MID2,
    EX_MOVED,
    EX_PTR,
    EX_WORST,
    EX_WORST_ASK,
    MAKER,
    NOWHERE,
    OUTSIDE,
    REASON_GAP,
    REASON_GONE,
    REASON_POST_ONLY,
    REASON_SIZE,
    REQ_COUNT,
    REQ_HEAD,
    RES_COUNT,
    RES_HEAD,
    RESTING,
    RESTING_ASK,
    RING_FULL,
    SAY_ACK,
    SAY_END,
    SAY_EXPIRE,
    SAY_FILL,
    SAY_REJECT,
    TAKE_LEVELS,
    TAKER,
    TOP_REST,
    WIDTH,
    WINDOW_LOW,
    Array,
    Config,
    State,
)

_DEPTH, _TRADE = 0, 1
_BUY, _LAST, _GAP, _CLEAR = 1, 2, 4, 8


@inlined
def home_ns(s: Array, cfg: Config, ts_ns: int) -> int:
    """When word of what the exchange did at `ts_ns` comes home."""
    at_ns: int = max(ts_ns + cfg.response_ns, s[EARLIEST])
    s[EARLIEST] = at_ns
    return at_ns


@inlined
def answer(
    st: State, cfg: Config, order: int, what: int, reason: int, ts_ns: int, key: int, lots: int, mid2: int,
    sent_ns: int, over: int,
) -> None:  # fmt: skip
    """Send one response on its way; the ring has room (the caller checked)."""
    s, ring = st.scalars, st.responses
    r = ring[(s[RES_HEAD] + s[RES_COUNT]) & (ring.shape[0] - 1)]
    s[RES_COUNT] += 1
    r["at_ns"] = home_ns(s, cfg, ts_ns)
    r["exch_ts_ns"] = ts_ns
    r["order"] = order
    r["what"] = what
    r["reason"] = reason
    r["key"] = key
    r["over"] = over
    r["lots"] = lots
    r["mid2"] = mid2
    r["fill_mid2"] = s[EX_MID2]
    r["sent_ns"] = sent_ns


@compiled
def fill(st: State, cfg: Config, order: int, side: int, lots: int, ts_ns: int) -> None:
    """Fill `lots` of a resting order at its own price."""
    o = st.orders[order]
    key = o["ex_key"]
    leaves = o["ex_leaves"] - lots
    o["ex_leaves"] = leaves
    if leaves == 0:
        leave(st, order, side)
    mid2 = st.details[order]["ex_mid2"]
    answer(st, cfg, order, SAY_FILL, MAKER, ts_ns, key, lots, mid2, o["ex_sent_ns"], 1 if leaves == 0 else 0)


@inlined
def fill_place(st: State, cfg: Config, place: int, side: int, reached: int, ts_ns: int) -> None:
    """Fill the orders at `place`, each up to `reached` lots and to what the event still has for its lane."""
    count = st.orders.shape[0]
    order = st.order_after[count + place]
    while order < count:
        following = st.order_after[order]
        o = st.orders[order]
        got = o["ex_leaves"] if cfg.full_fill else min(o["ex_leaves"], reached, st.left[o["lane"]])
        if got > 0:
            st.left[o["lane"]] -= got
            fill(st, cfg, order, side, got, ts_ns)
        order = following


@compiled
def reach(st: State, cfg: Config, side: int, key: int, lots: int, is_trade: int, ts_ns: int) -> None:
    """`lots` on the other side reach our orders of `side` down to `key`, best priced first.

    A trade goes through the better prices and works off the queue at its own; a level that crosses reaches
    every order at or beyond it.
    """
    s, count = st.scalars, st.orders.shape[0]
    top = lower_top(st, side)
    if top < key:
        return
    base = count + side * s[WIDTH]
    st.left[:] = lots
    through = max(key + 1 if is_trade else key, 0)
    for level in range(top, through - 1, -1):
        place = st.place_after[base + level]
        while place < count:
            following = st.place_after[place]  # a place that empties is gone
            fill_place(st, cfg, place, side, lots, ts_ns)
            place = following
    if not is_trade or key < 0:
        return
    place = st.place_after[base + key]
    while place < count:
        following = st.place_after[place]
        p = st.places[place]
        p["front"] -= lots
        p["traded"] += lots
        reached = fillable_lots(p["front"])
        if reached > 0:
            p["front"] = 0.0
            fill_place(st, cfg, place, side, reached, ts_ns)
        place = following


@compiled
def end_all(st: State, cfg: Config, ts_ns: int) -> None:
    """Every resting order ends: the book they stood in is gone."""
    for order in range(st.orders.shape[0]):
        o = st.orders[order]
        key = o["ex_key"]
        if key != NOWHERE:
            leave(st, order, o["side"])
            answer(st, cfg, order, SAY_END, REASON_GAP, ts_ns, key, 0, st.details[order]["ex_mid2"], o["ex_sent_ns"], 1)


@inlined
def note_depth(s: Array, book: Array, width: int, side: int, key: int, lots: int) -> None:
    """Keep the worst displayed level of the side, after (side, key) became `lots`."""
    worst = s[EX_WORST + side]
    if lots > 0:
        if key < worst:
            s[EX_WORST + side] = key
    elif key == worst:
        base = side * width
        while key < width and book[base + key] == 0:
            key += 1
        s[EX_WORST + side] = key


@compiled
def take_liquidity(st: State, cfg: Config, order: int, side: int, lots: int, ts_ns: int) -> None:
    """A taker order arrives: it fills against what the other side displays, level by level; the rest expires."""
    s, o, mid2 = st.scalars, st.orders[order], st.details[order]["asked_mid2"]
    width, other = s[WIDTH], 1 - side
    level = NOWHERE if s[EX_GAP] else s[EX_BEST + other]
    for _ in range(TAKE_LEVELS):
        if level < 0 or lots == 0:
            break
        got = min(lots, st.ex_book[other * width + level])
        lots -= got
        over = 1 if lots == 0 else 0
        answer(st, cfg, order, SAY_FILL, TAKER, ts_ns, width - 1 - level, got, mid2, o["asked_ns"], over)
        level = next_level(st.ex_book, other * width, level - 1)
    if lots:
        why = REASON_GAP if s[EX_GAP] else REASON_SIZE
        answer(st, cfg, order, SAY_EXPIRE, why, ts_ns, o["asked_key"], lots, mid2, o["asked_ns"], 1)


@inlined
def take_request(st: State, cfg: Config, out: Array) -> None:
    """The oldest request arrives: accept, refuse or end the order, and send the answer.

    An acceptance that nobody records does not travel: the order notes when the strategy knows (local.settle).
    """
    s = st.scalars
    i = s[REQ_HEAD]
    r = st.requests[i]
    order, now = r["order"], r["at_ns"]
    s[REQ_HEAD] = (i + 1) & (st.requests.shape[0] - 1)
    s[REQ_COUNT] -= 1
    o = st.orders[order]
    what, key, lots = o["asked"], o["asked_key"], o["asked_lots"]
    width = s[WIDTH]
    side = o["side"]
    standing = o["ex_key"]
    would_cross = s[EX_BEST + 1 - side] + key >= width - 1 and s[EX_BEST + 1 - side] >= 0
    say, reason, over = SAY_ACK, 0, 0
    if what == ASK_NEW:
        if s[EX_GAP]:
            say, reason, over = SAY_EXPIRE, REASON_GAP, 1
        elif would_cross:
            say, reason, over = SAY_EXPIRE, REASON_POST_ONLY, 1
        else:
            o["ex_leaves"] = lots
            o["ex_sent_ns"] = o["asked_ns"]
            join(st, cfg, order, side, key)
    elif standing == NOWHERE:
        if what == ASK_TAKE:
            take_liquidity(st, cfg, order, side, lots, now)
            return
        say, reason = SAY_REJECT, REASON_GONE
    elif what == ASK_CANCEL:
        leave(st, order, side)
        over = 1
    else:
        lots -= st.details[order]["asked_leaves"] - o["ex_leaves"]  # what was filled meanwhile
        if would_cross or lots <= 0:
            leave(st, order, side)
            say, reason, over = SAY_EXPIRE, REASON_POST_ONLY if would_cross else REASON_GONE, 1
            lots = max(lots, 0)
        else:
            if key != standing or lots > o["ex_leaves"]:  # priority is lost; kept by shrinking or refreshing
                leave(st, order, side)
                join(st, cfg, order, side, key)
            o["ex_leaves"] = lots
            o["ex_sent_ns"] = o["asked_ns"]
    if say == SAY_ACK:
        o["asked_lots"] = lots
        if out.shape[0] == 0:
            o["known_ns"] = home_ns(s, cfg, now)
            return
        st.details[order]["ex_mid2"] = st.details[order]["asked_mid2"]
    answer(st, cfg, order, say, reason, now, key, lots, st.details[order]["asked_mid2"], o["asked_ns"], over)


@inlined
def take_events(
    st: State, cfg: Config, exch_ts_ns: Array, local_ts_ns: Array, kind: Array, flags: Array, price_ticks: Array,
    qty_lots: Array, exch_order: Array, count: int, until_ns: int, out: Array,
) -> tuple[int, int]:  # fmt: skip
    """Exchange events with time <= `until_ns`, stopping early where a response to them comes back sooner.

    In order of receipt an event acts when it arrives, at the latest exchange time met so far; requests that
    reached the exchange before that time go first.

    Returns (0 or RING_FULL, the time up to which the exchange has really advanced).
    """
    s, book = st.scalars, st.ex_book
    orders = st.orders.shape[0]
    low, width = s[WINDOW_LOW], s[WIDTH]
    permuted = exch_order.shape[0] > 0
    room = st.responses.shape[0] - orders - 1
    i = s[EX_PTR]
    while i < count:
        e = exch_order[i] if permuted else i
        ts = exch_ts_ns[e]
        if cfg.arrival:
            if local_ts_ns[e] > until_ns:
                break
            s[EARLIEST] = max(s[EARLIEST], local_ts_ns[e])
            ts = max(ts, s[EX_CLOCK])
            s[EX_CLOCK] = ts
            while s[REQ_COUNT] and st.requests[s[REQ_HEAD]]["at_ns"] < ts:
                if st.responses.shape[0] - s[RES_COUNT] < ANSWERS:
                    s[EX_PTR] = i
                    return RING_FULL, ts
                take_request(st, cfg, out)
                if s[RES_COUNT] and st.responses[s[RES_HEAD]]["at_ns"] < until_ns:
                    until_ns = st.responses[s[RES_HEAD]]["at_ns"]
        elif ts > until_ns:
            break
        flag = flags[e]
        side = 1 - (flag & _BUY)
        key = price_ticks[e] - low
        if side:
            key = width - 1 - key
        lots = qty_lots[e]
        if s[RES_COUNT] > room and s[RESTING] + s[RESTING_ASK] > 0:
            s[EX_PTR] = i
            return RING_FULL, ts
        slow: bool = False
        if kind[e] == _DEPTH:
            if key < 0 or key >= width:
                s[OUTSIDE] += 1
            else:
                level = side * width + key
                old = book[level]
                rose = set_level(book, s, EX_BOOK, width, side, key, lots)
                note_depth(s, book, width, side, key, lots)
                place = st.place_after[orders + level]
                while place < orders:
                    p = st.places[place]
                    p["front"] = after_depth(cfg.queue, cfg.power, p["front"], p["traded"], float(old), float(lots))
                    p["traded"] = 0.0
                    place = st.place_after[place]
                slow = rose == 1 and s[TOP_REST + 1 - side] + key >= width - 1 and s[TOP_REST + 1 - side] >= 0
        elif kind[e] == _TRADE:  # a buying aggressor reaches asks: the mirrored key on the other side
            slow = s[TOP_REST + 1 - side] + key >= width - 1 and s[TOP_REST + 1 - side] >= 0
        else:
            slow = True
        if slow:
            if kind[e] == _DEPTH:
                reach(st, cfg, 1 - side, width - 1 - key, lots, 0, ts)
            elif kind[e] == _TRADE:
                reach(st, cfg, 1 - side, width - 1 - key, lots, 1, ts)
            else:
                end_all(st, cfg, ts)
                if flag & _GAP:
                    s[EX_GAP] = 1
                    s[EX_MOVED] = 1
                if flag & _CLEAR:
                    clear(book, s, EX_BOOK)
                    s[EX_WORST] = width
                    s[EX_WORST_ASK] = width
            if s[RES_COUNT] and st.responses[s[RES_HEAD]]["at_ns"] < until_ns:
                until_ns = st.responses[s[RES_HEAD]]["at_ns"]
        if flag & _LAST and s[EX_MOVED]:
            judge(book, s, EX_BOOK, width)
        i += 1
    s[EX_PTR] = i
    return 0, until_ns
