"""The strategy's side: the local book, responses that come home, requests that leave."""

from __future__ import annotations

from numba import njit

from engine.maker.book import clear, judge, set_ask, set_bid
from engine.maker.state import (
    AMEND_SENT,
    ASK_AMEND,
    ASK_CANCEL,
    ASK_NEW,
    ASK_SINCE,
    BID_SINCE,
    BOOK_FIELDS,
    CANCEL_SENT,
    ENDED,
    EVENT_ACK,
    EVENT_EXPIRE,
    EVENT_REJECT,
    EVENTS,
    FREE,
    GAPS,
    LAST_ASK,
    LAST_BID,
    LIVE,
    LO_ASK,
    LO_BID,
    LO_GAP,
    LO_LATENCY,
    LO_MID2,
    LO_PTR,
    LO_TS,
    LO_VERSION,
    NEW_SENT,
    REC_FILL,
    REC_ORDER,
    RECORDS,
    REQ_COUNT,
    REQ_HEAD,
    RES_COUNT,
    RES_HEAD,
    SAY_ACK,
    SAY_FILL,
    SAY_REJECT,
    VALID_NS,
    VALID_SINCE,
    WINDOW_LOW,
    Array,
    Config,
    State,
)

_DEPTH, _MARKER = 0, 2
_BUY, _LAST, _GAP, _CLEAR = 1, 2, 4, 8
_SMOOTHING = 1.0 / 256.0  # weight of a message in the smoothed market spread


@njit(cache=True)
def message_ended(st: State, ts: int, latency: int) -> None:
    """Judge the local book and note what the rules look at: mid, touch times, smoothed spread, validity."""
    s = st.scalars
    before = s[LO_MID2]
    judge(st.lo_bid, st.lo_ask, s, BOOK_FIELDS)
    s[LO_TS] = ts
    s[LO_LATENCY] = latency
    s[LO_VERSION] += 1
    bid, ask = s[LO_BID], s[LO_ASK]
    if bid != s[LAST_BID]:
        s[LAST_BID], s[BID_SINCE] = bid, ts
    if ask != s[LAST_ASK]:
        s[LAST_ASK], s[ASK_SINCE] = ask, ts
    if s[LO_MID2]:
        spread = float(ask - bid)
        smooth = st.floats[0]
        st.floats[0] = spread if smooth == 0.0 else smooth + (spread - smooth) * _SMOOTHING
        if not before:
            s[VALID_SINCE] = ts
    elif before:
        s[VALID_NS] += ts - s[VALID_SINCE]


@njit(cache=True)
def see_events(
    st: State, local_ts_ns: Array, exch_ts_ns: Array, kind: Array, flags: Array, price_ticks: Array,
    qty_lots: Array, count: int, until_ns: int,
) -> None:  # fmt: skip
    """Local events with time <= `until_ns`, in the order of receipt."""
    s = st.scalars
    low, width = s[WINDOW_LOW], st.lo_bid.shape[0]
    i = s[LO_PTR]
    first = i
    while i < count:
        ts = local_ts_ns[i]
        if ts > until_ns:
            break
        flag = flags[i]
        if kind[i] == _DEPTH:
            price = price_ticks[i] - low
            if 0 <= price < width:
                if flag & _BUY:
                    set_bid(st.lo_bid, st.lo_ask, s, BOOK_FIELDS, price, qty_lots[i])
                else:
                    set_ask(st.lo_bid, st.lo_ask, s, BOOK_FIELDS, price, qty_lots[i])
        elif kind[i] == _MARKER:
            if flag & _CLEAR:
                before = s[LO_MID2]
                clear(st.lo_bid, st.lo_ask, s, BOOK_FIELDS)
                s[LO_MID2] = before  # judged, as ever, at the message's end
            if flag & _GAP:
                s[LO_GAP] = 1
                s[GAPS] += 1
        if flag & _LAST:
            message_ended(st, ts, ts - exch_ts_ns[i])
        i += 1
    s[LO_PTR] = i
    s[EVENTS] += i - first


@njit(cache=True)
def record(
    st: State, out: Array, kind: int, order: int, ts_ns: int, exch_ts_ns: int, code: int, reason: int,
    price: int, lots: int, mid2: int, fill_mid2: int, age_ns: int, latency_ns: int, over: int,
) -> None:  # fmt: skip
    """Append one record (room was checked); nothing where records are not asked for."""
    if out.shape[0] == 0:
        return
    s = st.scalars
    count = st.lanes.shape[0]
    place = order // (st.ex_price.shape[0] // (2 * count))
    lane = place >> 1
    r = out[s[RECORDS]]
    s[RECORDS] += 1
    r["kind"] = kind
    r["lane"] = lane
    r["ts_ns"] = ts_ns
    r["exch_ts_ns"] = exch_ts_ns
    r["order_id"] = st.orders[order]["id"]
    r["side"] = 1 - 2 * (place & 1)
    r["code"] = code
    r["reason"] = reason
    r["price_ticks"] = price + s[WINDOW_LOW]
    r["qty_lots"] = lots
    r["quote_mid2"] = mid2
    r["fill_mid2"] = fill_mid2
    r["age_ns"] = age_ns
    r["latency_ns"] = latency_ns
    r["position_lots"] = st.lanes[lane]["position_lots"]
    r["over"] = over


@njit(cache=True)
def send(
    st: State, cfg: Config, out: Array, order: int, what: int, price: int, lots: int, reason: int, now: int
) -> None:
    """Send a request of the strategy; the ring has room (the caller checked)."""
    s, ring = st.scalars, st.requests
    o = st.orders[order]
    i = (s[REQ_HEAD] + s[REQ_COUNT]) & (ring.shape[0] - 1)
    s[REQ_COUNT] += 1
    q = ring[i]
    q["at_ns"] = now + cfg.entry_ns
    q["order"] = order
    q["what"] = what
    q["price"] = price
    q["lots"] = lots
    q["leaves_then"] = o["lo_leaves"]
    q["mid2"] = s[LO_MID2]
    q["sent_ns"] = now
    q["reason"] = reason
    o["lo_asked"] = price
    if what == ASK_NEW:
        lane = order // (st.ex_price.shape[0] // st.lanes.shape[0])
        st.lanes[lane]["next_id"] += 1
        st.lanes[lane]["ordered"] += 1
        o["id"] = st.lanes[lane]["next_id"]
        o["lo_state"] = NEW_SENT
        o["lo_price"] = price
        o["lo_leaves"] = lots
        o["lo_sent_ns"] = now
    elif what == ASK_AMEND:
        o["lo_state"] = AMEND_SENT
    else:
        o["lo_state"] = CANCEL_SENT
    record(
        st, out, REC_ORDER, order, now, 0, what, reason, price, lots, s[LO_MID2], 0, 0, s[LO_LATENCY], 0,
    )  # fmt: skip


@njit(cache=True)
def hear_response(st: State, out: Array) -> None:
    """The oldest response comes home: the strategy's view of order and position changes."""
    s = st.scalars
    i = s[RES_HEAD]
    r = st.responses[i]
    s[RES_HEAD] = (i + 1) & (st.responses.shape[0] - 1)
    s[RES_COUNT] -= 1
    order, what, request, now = r["order"], r["what"], r["request"], r["at_ns"]
    o = st.orders[order]
    place = order // (st.ex_price.shape[0] // (2 * st.lanes.shape[0]))
    if what == SAY_FILL:
        side = 1 - 2 * (place & 1)
        lane = st.lanes[place >> 1]
        lane["position_lots"] += side * r["lots"]
        lane["cash_tick_lots"] -= side * r["lots"] * (r["price"] + s[WINDOW_LOW])
        lane["filled_lots"] += r["lots"]
        lane["fills"] += 1
        o["lo_leaves"] -= r["lots"]
        if r["over"]:
            waiting = o["lo_state"] == AMEND_SENT or o["lo_state"] == CANCEL_SENT
            o["lo_state"] = ENDED if waiting else FREE
        record(
            st, out, REC_FILL, order, now, r["exch_ts_ns"], 0, 0, r["price"], r["lots"], r["mid2"],
            r["fill_mid2"], r["exch_ts_ns"] - r["sent_ns"], now - r["exch_ts_ns"], r["over"],
        )  # fmt: skip
        return
    code = EVENT_ACK
    if what == SAY_ACK:
        if request == ASK_CANCEL:
            o["lo_state"] = FREE
        else:
            o["lo_state"] = LIVE
            o["lo_price"] = r["price"]
            o["lo_leaves"] = r["leaves"]
            o["lo_sent_ns"] = r["sent_ns"]
    elif what == SAY_REJECT:
        code = EVENT_REJECT
        o["lo_state"] = FREE
    else:
        code = EVENT_EXPIRE
        waiting = request < 0 and (o["lo_state"] == AMEND_SENT or o["lo_state"] == CANCEL_SENT)
        o["lo_state"] = ENDED if waiting else FREE
    reason = r["reason"] if what != SAY_ACK else request + 1
    record(
        st, out, REC_ORDER, order, now, r["exch_ts_ns"], code, reason, r["price"], r["lots"], r["mid2"], 0, 0,
        now - r["sent_ns"], r["over"],
    )  # fmt: skip
