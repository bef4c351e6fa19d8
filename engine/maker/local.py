"""The strategy's side: the local book, responses that come home, requests that leave."""

from __future__ import annotations

from typing import Any

from engine.jit import compiled, inlined
from engine.maker.book import clear, judge, set_level
from engine.maker.state import (
    AMEND_SENT,
    ASK_AMEND,
    ASK_CANCEL,
    ASK_NEW,
    ASK_TAKE,
    CANCEL_SENT,
    ENDED,
    EVENT_ACK,
    EVENT_EXPIRE,
    EVENT_NEW,
    EVENT_REJECT,
    EVENTS,
    FREE,
    GAPS,
    LIVE,
    LO_BEST,
    LO_BEST_ASK,
    LO_BOOK,
    LO_GAP,
    LO_LATENCY,
    LO_MID2,
    LO_MOVED,
    LO_PTR,
    LO_TS,
    LO_VERSION,
    MARKERS,
    NEVER,
    NEW_SENT,
    REC_FILL,
    REC_ORDER,
    RECORDS,
    REQ_COUNT,
    REQ_HEAD,
    RES_COUNT,
    RES_HEAD,
    SAY_ACK,
    SAY_END,
    SAY_FILL,
    SAY_REJECT,
    SEEN_BID,
    STIRRED,
    TOUCH_SINCE,
    VALID_NS,
    VALID_SINCE,
    WIDTH,
    WINDOW_LOW,
    Array,
    Config,
    State,
)

_DEPTH, _MARKER = 0, 2
_BUY, _LAST, _GAP, _CLEAR = 1, 2, 4, 8
_SMOOTHING = 1.0 / 256.0  # weight of a message in the smoothed market spread


@compiled
def touch_moved(s: Array, book: Array, ts: int) -> None:
    """A best moved in the message that ended: judge the book, note since when the touch stands and validity."""
    width = s[WIDTH]
    before = s[LO_MID2]
    judge(book, s, LO_BOOK, width)
    for side in range(2):
        best = s[LO_BEST + side]
        if best != s[SEEN_BID + side]:
            s[SEEN_BID + side] = best
            s[TOUCH_SINCE + side] = ts
    if s[LO_MID2]:
        if not before:
            s[VALID_SINCE] = ts
    elif before:
        s[VALID_NS] += ts - s[VALID_SINCE]


@inlined
def see_events(
    s: Array, floats: Array, book: Array, local_ts_ns: Array, exch_ts_ns: Array, kind: Array, flags: Array,
    price_ticks: Array, qty_lots: Array, count: int, until_ns: int,
) -> None:  # fmt: skip
    """Local events with time <= `until_ns`, in the order of receipt."""
    low, width = s[WINDOW_LOW], s[WIDTH]
    i = s[LO_PTR]
    first = i
    smooth = floats[0]
    while i < count:
        ts = local_ts_ns[i]
        if ts > until_ns:
            break
        flag = flags[i]
        if kind[i] == _DEPTH:
            side = 1 - (flag & _BUY)
            key = price_ticks[i] - low
            if side:
                key = width - 1 - key
            if 0 <= key < width:
                set_level(book, s, LO_BOOK, width, side, key, qty_lots[i])
        elif kind[i] == _MARKER:
            s[MARKERS] += 1
            if flag & _GAP:
                s[LO_GAP] = 1
                s[LO_MOVED] = 1
                s[GAPS] += 1
            if flag & _CLEAR:
                clear(book, s, LO_BOOK)
        if flag & _LAST:
            if s[LO_MOVED]:
                touch_moved(s, book, ts)
            if s[LO_MID2]:
                spread = float(width - 1 - s[LO_BEST] - s[LO_BEST_ASK])
                smooth = spread if smooth == 0.0 else smooth + (spread - smooth) * _SMOOTHING
            s[LO_TS] = ts
            s[LO_LATENCY] = ts - exch_ts_ns[i]
            s[LO_VERSION] += 1
        i += 1
    floats[0] = smooth
    s[LO_PTR] = i
    s[EVENTS] += i - first


@inlined
def price_of(s: Array, side: int, key: int) -> int:
    """Price in ticks of a key."""
    return int(s[WINDOW_LOW] + (s[WIDTH] - 1 - key if side else key))


@compiled
def record(
    st: State, out: Array, kind: int, order: int, ts_ns: int, exch_ts_ns: int, code: int, reason: int,
    key: int, lots: int, mid2: int, fill_mid2: int, age_ns: int, latency_ns: int, over: int,
) -> None:  # fmt: skip
    """Append one record (room was checked)."""
    s = st.scalars
    o = st.orders[order]
    lane, side = o["lane"], o["side"]
    r = out[s[RECORDS]]
    s[RECORDS] += 1
    r["kind"] = kind
    r["lane"] = lane
    r["ts_ns"] = ts_ns
    r["exch_ts_ns"] = exch_ts_ns
    r["order_id"] = st.details[order]["id"]
    r["side"] = 1 - 2 * side
    r["code"] = code
    r["reason"] = reason
    r["price_ticks"] = price_of(s, side, key)
    r["qty_lots"] = lots
    r["quote_mid2"] = mid2
    r["fill_mid2"] = fill_mid2
    r["age_ns"] = age_ns
    r["latency_ns"] = latency_ns
    r["position_lots"] = st.lanes[lane]["position_lots"]
    r["over"] = over


@inlined
def send(st: State, cfg: Config, out: Array, order: int, what: int, key: int, lots: int, reason: int, now: int) -> None:
    """Send a request of the strategy; the ring has room (the caller checked)."""
    s, ring = st.scalars, st.requests
    o = st.orders[order]
    lane = st.lanes[o["lane"]]
    r = ring[(s[REQ_HEAD] + s[REQ_COUNT]) & (ring.shape[0] - 1)]
    r["at_ns"] = now + cfg.entry_ns
    r["order"] = order
    s[REQ_COUNT] += 1
    if what in (ASK_NEW, ASK_TAKE):
        lane["next_id"] += 1
    elif what == ASK_AMEND:
        st.details[order]["asked_leaves"] = o["asked_lots"]
    o["lo_state"] = AMEND_SENT if what == ASK_AMEND else CANCEL_SENT if what == ASK_CANCEL else NEW_SENT
    o["asked"] = what
    o["asked_key"] = key
    o["asked_lots"] = lots
    o["asked_ns"] = now
    if out.shape[0]:
        detail = st.details[order]
        if what in (ASK_NEW, ASK_TAKE):
            detail["id"] = lane["next_id"]
        detail["asked_mid2"] = s[LO_MID2]
        code = EVENT_NEW if what == ASK_TAKE else what
        record(st, out, REC_ORDER, order, now, 0, code, reason, key, lots, s[LO_MID2], 0, 0, s[LO_LATENCY], 0)


@inlined
def settle(o: Any, now: int) -> None:
    """The strategy knows of an acceptance from `known_ns` on: what it thinks of order `o` catches up."""
    if o["known_ns"] > now:
        return
    o["known_ns"] = NEVER
    o["lo_state"] = FREE if o["asked"] == ASK_CANCEL else LIVE


@inlined
def hear_response(st: State, out: Array) -> None:
    """The oldest response comes home: the strategy's view of order and position changes."""
    s = st.scalars
    i = s[RES_HEAD]
    r = st.responses[i]
    s[RES_HEAD] = (i + 1) & (st.responses.shape[0] - 1)
    s[RES_COUNT] -= 1
    order, what, now = r["order"], r["what"], r["at_ns"]
    o = st.orders[order]
    lane = st.lanes[o["lane"]]
    if what == SAY_ACK:
        o["known_ns"] = now
    else:
        lane["seen_touch"] = STIRRED
    if r["sent_ns"] == o["asked_ns"]:
        settle(o, now)  # what the exchange did to the order came after it accepted that request
    waiting = o["lo_state"] == AMEND_SENT or o["lo_state"] == CANCEL_SENT
    if what == SAY_FILL:
        side = 1 - 2 * o["side"]
        lane["position_lots"] += side * r["lots"]
        lane["cash_tick_lots"] -= side * r["lots"] * price_of(s, o["side"], r["key"])
        lane["filled_lots"] += r["lots"]
        lane["fills"] += 1
        if o["lo_state"] == LIVE:
            o["asked_lots"] -= r["lots"]
        if r["over"]:
            o["lo_state"] = ENDED if waiting else FREE
        if out.shape[0]:
            record(
                st, out, REC_FILL, order, now, r["exch_ts_ns"], r["reason"], 0, r["key"], r["lots"], r["mid2"],
                r["fill_mid2"], r["exch_ts_ns"] - r["sent_ns"], now - r["exch_ts_ns"], r["over"],
            )  # fmt: skip
        return
    code, reason = EVENT_ACK, r["reason"]
    if what == SAY_ACK:
        reason = o["asked"] + 1
    elif what == SAY_REJECT:
        code = EVENT_REJECT
        o["lo_state"] = FREE
    else:
        code = EVENT_EXPIRE
        o["lo_state"] = ENDED if waiting and what == SAY_END else FREE
    if out.shape[0]:
        record(
            st, out, REC_ORDER, order, now, r["exch_ts_ns"], code, reason, r["key"], r["lots"], r["mid2"], 0, 0,
            now - r["sent_ns"], r["over"],
        )  # fmt: skip
