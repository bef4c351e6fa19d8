"""Quoting rules: what a lane wants at its step, and the limits between wanting and sending.

symmetric   every interval: bid = min(floor(mid - h - skew*u), best bid), ask likewise, u = position in order
            sizes; an order already at the wanted tick is kept, others are cancelled, missing ones sent.
s1          one amendable quote a side. Half-spread h = (1 + delta) * max(base half-spread, share of the
            market's smoothed half-spread); reservation price shifted against the position. Then the limits, in
            this order: gap, stale, risk (position cap), size, requests in flight (concurrency), the venue's own
            spacing (min_interval), the budget of new and amended quotes a minute and side (throttle).
"""

from __future__ import annotations

import math

from engine.jit import compiled, inlined
from engine.maker.local import send, settle
from engine.maker.state import (
    ASK_AMEND,
    ASK_CANCEL,
    ASK_NEW,
    BLOCK_CONCURRENCY,
    BLOCK_GAP,
    BLOCK_MIN_INTERVAL,
    BLOCK_RISK,
    BLOCK_STALE,
    BLOCK_THROTTLE,
    CANCEL_SENT,
    DEPTH_LOTS,
    DEPTH_VERSION,
    ENDED,
    FREE,
    LIVE,
    LO_BEST,
    LO_BEST_ASK,
    LO_MID2,
    LO_TS,
    LO_VERSION,
    NEW_SENT,
    REASON_GAP,
    REASON_NONE,
    REASON_REQUOTE,
    REASON_RISK,
    REASON_SIZE,
    REASON_STALE,
    REASON_TAIL_AGE,
    SLOTS,
    STIRRED,
    TOUCH_SINCE,
    WIDTH,
    WINDOW_LOW,
    Array,
    Config,
    State,
)

_BPS = 1e-4


@inlined
def note_step(st: State, trace: Array, k: int, now: int, bid_ticks: int, ask_ticks: int, units: int, live: int) -> None:
    """Count the step and, where traces are asked for, keep what it wanted."""
    lane = st.lanes[k]
    step = lane["steps"]
    if step < trace.shape[0]:
        row = trace[step, k]
        row[0] = now
        row[1] = bid_ticks
        row[2] = ask_ticks
        row[3] = units
        row[4] = lane["fills"]
        row[5] = live
    lane["steps"] = step + 1


@inlined
def symmetric(st: State, cfg: Config, out: Array, trace: Array, k: int, now: int) -> None:
    """One step of the symmetric rule for lane k; a row of `trace` [steps, K, 6] where it is asked for."""
    s = st.scalars
    best_bid, best_ask = s[LO_BEST], s[LO_BEST_ASK]
    if best_bid < 0 or best_ask < 0:
        return
    lane = st.lanes[k]
    low, width = s[WINDOW_LOW], s[WIDTH]
    touch = best_bid * width + best_ask
    if lane["seen_touch"] == touch and trace.shape[0] == 0:
        return  # all that it wanted then stands or is under way, and it wants the same
    lane["seen_touch"] = touch
    slots = s[SLOTS]
    units = int(round(lane["position_lots"] / cfg.order_lots))
    mid = 0.5 * (best_bid + low + (width - 1 - best_ask) + low)
    lean = lane["skew_ticks"] * units
    bid = min(int(math.floor(mid - lane["half_spread_ticks"] - lean)) - low, best_bid)
    ask = min(width - 1 + low - int(math.ceil(mid + lane["half_spread_ticks"] - lean)), best_ask)
    live = 0
    for side in range(2):
        wanted = bid if side == 0 else ask
        need = (units < cfg.cap_lots) if side == 0 else (units > -cfg.cap_lots)
        first = (2 * k + side) * slots
        free = -1
        for order in range(first, first + slots):
            o = st.orders[order]
            settle(o, now)
            state = o["lo_state"]
            if state == FREE:
                free = order
            elif state != ENDED:
                live += 1
                if need and o["asked_key"] == wanted:
                    need = False
                    if state == CANCEL_SENT:
                        lane["seen_touch"] = STIRRED  # to be replaced when it has gone
                elif state == LIVE:
                    send(st, cfg, out, order, ASK_CANCEL, o["asked_key"], 0, REASON_REQUOTE, now)
                elif state == NEW_SENT:
                    lane["seen_touch"] = STIRRED  # to be cancelled when it is live
        if need and free < 0:
            lane["seen_touch"] = STIRRED
        elif need and 0 <= wanted < width:
            send(st, cfg, out, free, ASK_NEW, wanted, cfg.order_lots, REASON_NONE, now)
    note_step(st, trace, k, now, bid + low, width - 1 - ask + low, units, live)


@compiled
def depth_near_touch(st: State, cfg: Config) -> None:
    """Displayed lots within the band behind each best price; computed once per local message for all lanes."""
    s = st.scalars
    if s[DEPTH_VERSION] == s[LO_VERSION]:
        return
    s[DEPTH_VERSION] = s[LO_VERSION]
    band = max(1, int(math.floor(0.5 * s[LO_MID2] * cfg.depth_band_bps * _BPS)))
    for side in range(2):
        best, base = s[LO_BEST + side], side * s[WIDTH]
        lots = 0
        for key in range(max(0, best - band), best + 1):
            lots += st.lo_book[base + key]
        s[DEPTH_LOTS + side] = lots


@inlined
def s1_side(st: State, cfg: Config, out: Array, k: int, side: int, want: int, half: float, now: int) -> None:
    """One side of one S1 step: `want` is the wanted key, `half` the half-spread in ticks."""
    s = st.scalars
    lane = st.lanes[k]
    order = (2 * k + side) * s[SLOTS]
    o = st.orders[order]
    limits = st.sides[2 * k + side]
    blocks = st.blocks[k, side]
    settle(o, now)
    state = o["lo_state"]

    # may we quote at all, and how much?
    pull, block, lots = REASON_NONE, -1, 0
    if s[LO_MID2] == 0:
        pull, block = REASON_GAP, BLOCK_GAP
    elif now - s[LO_TS] > cfg.stale_ns:
        pull, block = REASON_STALE, BLOCK_STALE
    else:
        least = lane["min_lots"] * cfg.venue_min_lots
        room = cfg.cap_lots - lane["position_lots"] if side == 0 else cfg.cap_lots + lane["position_lots"]
        lots = min(cfg.order_lots, int(math.floor(lane["impact_cap_ratio"] * s[DEPTH_LOTS + side])))
        if room < least:
            pull, block = REASON_RISK, BLOCK_RISK
        elif lots < least:
            pull = REASON_SIZE
        lots = min(lots, room)
    if pull != REASON_NONE:
        if state == LIVE:
            send(st, cfg, out, order, ASK_CANCEL, o["asked_key"], 0, pull, now)
            limits["last_request_ns"] = now
        elif state == FREE:
            if block >= 0:
                blocks[block] += 1
        else:
            blocks[BLOCK_CONCURRENCY] += 1
        return

    # at which price?
    touch = s[LO_BEST + side]
    if want >= touch:
        want = touch if now - s[TOUCH_SINCE + side] >= lane["dwell_ns"] else touch - 1
    if want < 0 or want >= s[WIDTH]:
        return
    threshold = max(1, int(math.floor(0.5 * s[LO_MID2] * cfg.requote_threshold_bps * _BPS)))
    due = False
    if state == LIVE:
        standing = o["asked_key"]
        due = now - o["asked_ns"] >= lane["tail_age_ns"]
        if abs(want - standing) < threshold and not due:
            return
        want = min(want, standing + max(1, int(math.floor(lane["max_delta_ratio"] * 2.0 * half))))
        if want == standing:
            lots = o["asked_lots"]  # a refresh keeps size and place in the queue
    elif state != FREE:
        if abs(want - o["asked_key"]) >= threshold:
            blocks[BLOCK_CONCURRENCY] += 1
        return

    # may it be sent now?
    if now - limits["last_request_ns"] < cfg.spacing_ns:
        blocks[BLOCK_MIN_INTERVAL] += 1
        return
    if limits["tat_ns"] - now > (cfg.burst - 1) * lane["token_ns"]:
        blocks[BLOCK_THROTTLE] += 1
        if due:
            send(st, cfg, out, order, ASK_CANCEL, o["asked_key"], 0, REASON_TAIL_AGE, now)
            limits["last_request_ns"] = now
        return
    limits["tat_ns"] = max(limits["tat_ns"], now) + lane["token_ns"]
    limits["last_request_ns"] = now
    if state == FREE:
        send(st, cfg, out, order, ASK_NEW, want, lots, REASON_NONE, now)
    else:
        send(st, cfg, out, order, ASK_AMEND, want, lots, REASON_TAIL_AGE if due else REASON_REQUOTE, now)


@inlined
def s1(st: State, cfg: Config, out: Array, trace: Array, k: int, now: int) -> None:
    """One step of the S1 rule for lane k; a row of `trace` [steps, K, 6] where it is asked for.

    Traced prices are what the half-spread asks for, 0 without a book, before the touch and the limits are looked at.
    """
    s = st.scalars
    lane = st.lanes[k]
    half, bid, ask, low, last = 0.0, 0, 0, s[WINDOW_LOW], s[WIDTH] - 1
    bid_ticks, ask_ticks, live = 0, 0, 0
    if s[LO_MID2]:
        depth_near_touch(st, cfg)
        mid = 0.5 * s[LO_MID2]
        base = max(cfg.base_half_spread_bps * _BPS * mid, cfg.market_half_spread_share * 0.5 * st.floats[0])
        half = base * (1.0 + lane["spread_delta"])
        shift = -cfg.skew_bps_at_cap * _BPS * mid * (lane["position_lots"] / cfg.cap_lots)
        middle = 0.5 * (s[LO_BEST] + (last - s[LO_BEST_ASK]))
        bid = int(math.floor(middle - half + shift))
        ask = last - int(math.ceil(middle + half + shift))
        bid_ticks, ask_ticks = low + bid, low + last - ask
    if trace.shape[0]:
        for order in range(2 * k * s[SLOTS], 2 * (k + 1) * s[SLOTS]):
            settle(st.orders[order], now)
            state = st.orders[order]["lo_state"]
            live += 1 if state != FREE and state != ENDED else 0
    s1_side(st, cfg, out, k, 0, bid, half, now)
    s1_side(st, cfg, out, k, 1, ask, half, now)
    units = int(round(lane["position_lots"] / cfg.order_lots))
    note_step(st, trace, k, now, bid_ticks, ask_ticks, units, live)
