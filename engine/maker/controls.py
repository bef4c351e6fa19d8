"""Hands on a lane: pausing it, and taking its position out. Looked at by a lane's step before its rule.

A lane that is paused or flattening pulls its quotes at its next step and sends none. Flattening, once nothing of the
lane rests or is under way any more, it sends one taker order a step for its whole position until that is flat or too
small for the venue. A gap or a clear in between ends the flattening: prices beyond it are for a person to look at.
"""

from __future__ import annotations

from engine.jit import compiled
from engine.maker.local import send, settle
from engine.maker.state import (
    ASK_CANCEL,
    ASK_TAKE,
    FLATTENING,
    FREE,
    LIVE,
    LO_BEST,
    LO_MID2,
    MARKERS,
    REASON_FLATTEN,
    REASON_PAUSED,
    SLOTS,
    STIRRED,
    WIDTH,
    Array,
    Config,
    State,
)


@compiled
def held_step(st: State, cfg: Config, out: Array, k: int, now: int) -> None:
    """The step of a lane that is paused or flattening."""
    s = st.scalars
    lane = st.lanes[k]
    lane["seen_touch"] = STIRRED  # its rule starts afresh when it is let go
    flattening = lane["hold"] & FLATTENING
    if flattening and lane["hold_marker"] != s[MARKERS]:
        lane["hold"] &= ~FLATTENING
        flattening = 0
    busy = False
    for order in range(2 * k * s[SLOTS], 2 * (k + 1) * s[SLOTS]):
        o = st.orders[order]
        settle(o, now)
        if o["lo_state"] == LIVE:
            why = REASON_FLATTEN if flattening else REASON_PAUSED
            send(st, cfg, out, order, ASK_CANCEL, o["asked_key"], 0, why, now)
            st.sides[2 * k + o["side"]]["last_request_ns"] = now
        if o["lo_state"] != FREE:
            busy = True
    if flattening == 0 or busy:
        return
    lots = abs(lane["position_lots"])
    if lots < cfg.venue_min_lots:
        lane["hold"] &= ~FLATTENING
    elif s[LO_MID2]:
        side = 1 if lane["position_lots"] > 0 else 0
        touch = s[WIDTH] - 1 - s[LO_BEST + 1 - side]
        send(st, cfg, out, (2 * k + side) * s[SLOTS], ASK_TAKE, touch, lots, REASON_FLATTEN, now)
        st.sides[2 * k + side]["last_request_ns"] = now
