"""The kernel's state: plain arrays, so that it can be stopped, copied and continued anywhere.

Notation
    K lanes, S order slots per lane and side, N = 2 K S orders; order index o = (2 k + side) S + slot.
    side 0 = bid (we buy), 1 = ask (we sell). W = width of the price window in ticks.
    A price inside the kernel is a *key*, mirrored for asks so that on both sides a higher key is a better price:
        bid: key = price_ticks - low        ask: key = W - 1 - (price_ticks - low)
    so every rule about queues, fills and bests is written once. A bid key b and an ask key a are at or beyond
    each other (crossed, or touching a trade) exactly when a + b >= W - 1.
    A book is one array of 2 W lots: level (side, key) stands at side * W + key.
    *Exchange* fields (ex_) are what the exchange knows, *local* ones (lo_) what the strategy knows; they differ
    by the latencies. mid2 = best bid + best ask in ticks; 0 = no quotable book.

Both latencies are constants of a run, so requests arrive, and responses return, in the order in which they were
made: two ring buffers shared by all lanes replace a heap.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

NEVER = np.int64(2**62)
NOWHERE = -1

# --- codes that leave the kernel (records, blocks) -------------------------------------------------------------
REC_ORDER, REC_FILL = 1, 2
EVENT_NEW, EVENT_AMEND, EVENT_CANCEL, EVENT_ACK, EVENT_REJECT, EVENT_EXPIRE = 0, 1, 2, 3, 4, 5
EVENT_NAMES = ("new", "amend", "cancel", "ack", "reject", "expire")
(
    REASON_NONE,
    REASON_NEW,
    REASON_AMEND,
    REASON_CANCEL,
    REASON_POST_ONLY,
    REASON_GONE,
    REASON_GAP,
    REASON_RISK,
    REASON_STALE,
    REASON_SIZE,
    REASON_TAIL_AGE,
    REASON_REQUOTE,
    REASON_PAUSED,
    REASON_FLATTEN,
) = range(14)
REASON_NAMES = (
    "", "new", "amend", "cancel", "post_only", "gone", "gap", "risk", "stale", "size", "tail_age", "requote",
    "paused", "flatten",
)  # fmt: skip
MAKER, TAKER = 0, 1  # code of a fill
BLOCK_NAMES = ("min_interval", "throttle", "concurrency", "risk", "stale", "gap")
BLOCK_MIN_INTERVAL, BLOCK_THROTTLE, BLOCK_CONCURRENCY, BLOCK_RISK, BLOCK_STALE, BLOCK_GAP = range(6)

# --- local life of an order slot ---------------------------------------------------------------------------------
FREE, NEW_SENT, LIVE, AMEND_SENT, CANCEL_SENT, ENDED = range(6)  # ENDED: over, but an answer is still under way

# --- requests and responses ----------------------------------------------------------------------------------------
ASK_NEW, ASK_AMEND, ASK_CANCEL, ASK_TAKE = 0, 1, 2, 3
SAY_ACK, SAY_REJECT, SAY_EXPIRE, SAY_FILL, SAY_END = 0, 1, 2, 3, 4  # expire answers a request, end does not

TAKE_LEVELS = 5  # levels that a taker order works through at most
ANSWERS = TAKE_LEVELS + 2  # responses that a request leads to at most, and one to spare

# --- hands on a lane (controls.py), bits of LANE_DTYPE's hold -----------------------------------------------------
PAUSED, FLATTENING = 1, 2

# --- why advance() returned ----------------------------------------------------------------------------------------
DONE, RECORDS_FULL, RING_FULL = 0, 1, 2

# --- scalars: one int64 vector ---------------------------------------------------------------------
(
    EX_PTR, LO_PTR, NOW, WINDOW_LOW, WIDTH,
    EX_BEST, EX_BEST_ASK, EX_BACK, EX_BACK_ASK, EX_GAP, EX_MID2, EX_CROSSED, EX_MOVED,
    LO_BEST, LO_BEST_ASK, LO_BACK, LO_BACK_ASK, LO_GAP, LO_MID2, LO_CROSSED, LO_MOVED,
    LO_TS, LO_LATENCY, LO_VERSION, TOUCH_SINCE, TOUCH_SINCE_ASK, VALID_SINCE, VALID_NS,
    REQ_HEAD, REQ_COUNT, RES_HEAD, RES_COUNT, NEXT_STEP, RECORDS,
    TOP_REST, TOP_REST_ASK, RESTING, RESTING_ASK,
    OUTSIDE, CROSSED_ENDS, GAPS, EVENTS, DEPTH_VERSION, DEPTH_LOTS, DEPTH_LOTS_ASK, SEEN_BID, SEEN_ASK,
    EX_CLOCK, EARLIEST, SLOTS, EX_WORST, EX_WORST_ASK, FREE_PLACES, MARKERS,
    SCALARS,
) = range(55)  # fmt: skip
EX_BOOK, LO_BOOK = EX_BEST, LO_BEST
BEST, BACK, GAP, MID2, CROSSED, MOVED = 0, 2, 4, 5, 6, 7
"""A book's scalars stand at EX_BOOK + x and LO_BOOK + x; fields named ..._ASK follow their bid's.

BEST: key of the best level, -1 = none. BACK: the highest key from which this side has stepped back because the
other side crossed it, -1 = none since the book was last uncrossed. MOVED: a best has changed since the last
message end. EX_CLOCK: in order of receipt, the latest exchange time met; EARLIEST: when an answer can come home
at the soonest, as nothing is known of an event before it arrived.
EX_WORST: lowest key with size at the exchange, WIDTH = none: beyond it nothing is displayed.
TOP_REST: no order of ours rests at a higher key (lowered when it is next looked at), -1 = none; RESTING: how many.
MARKERS: gaps and clears that the strategy has met.
"""

LANE_DTYPE = np.dtype(
    [
        # what every step looks at: one cache line
        ("seen_touch", "<i8"), ("hold", "<i8"), ("position_lots", "<i8"), ("interval_ns", "<i8"),
        ("half_spread_ticks", "<f8"), ("skew_ticks", "<f8"), ("next_id", "<i8"), ("steps", "<i8"),
        ("fills", "<i8"), ("cash_tick_lots", "<i8"), ("filled_lots", "<i8"), ("hold_marker", "<i8"),
        # more of the lane's parameters, in the kernel's units
        ("token_ns", "<i8"), ("tail_age_ns", "<i8"), ("dwell_ns", "<i8"), ("min_lots", "<i8"),
        ("spread_delta", "<f8"), ("impact_cap_ratio", "<f8"), ("max_delta_ratio", "<f8"),
    ]
)  # fmt: skip
"""One row per lane. seen_touch: the touch its last step settled with, STIRRED when something has happened to the lane
since or is still to be done. hold: bits PAUSED and FLATTENING; hold_marker: MARKERS when the flattening began.
cash_tick_lots = sum of -side * qty_lots * price_ticks, exact for linear contracts."""

STIRRED = -1

SIDE_DTYPE = np.dtype([("tat_ns", "<i8"), ("last_request_ns", "<i8")])
"""One row per lane and side: GCRA theoretical arrival time of the request budget, time of the last request."""

ORDER_DTYPE = np.dtype(
    [
        ("lane", "<u4"), ("side", "<i2"), ("lo_state", "i1"), ("asked", "i1"), ("asked_key", "<i4"), ("ex_key", "<i4"),
        ("place", "<u4"), ("asked_lots", "<i8"), ("asked_ns", "<i8"), ("known_ns", "<i8"), ("ex_leaves", "<i8"),
        ("ex_sent_ns", "<i8"),
    ],
    align=True,
)  # fmt: skip
assert ORDER_DTYPE.itemsize == 64  # a cache line
"""lane and side of the slot never change. lo_state: as last acknowledged or filled. asked_: the last request, of which
an order has one under way at most; while the order is LIVE that request is the one that stands, and asked_lots is what
the strategy knows to be left. known_ns: when the strategy knows that the request was accepted (local.settle), NEVER
while there is no such word. ex_: as it stands at the exchange; ex_key -1 = nowhere, else `place` is where."""

DETAIL_DTYPE = np.dtype([("id", "<i8"), ("asked_leaves", "<i8"), ("asked_mid2", "<i8"), ("ex_mid2", "<i8")])
"""What is seldom looked at of an order. asked_leaves: what the strategy knew to be left when it asked for an amend.
id and mids are kept for records only."""

PLACE_DTYPE = np.dtype([("front", "<f8"), ("traded", "<f8")])
"""A place in a level's queue (resting.py). front: lots ahead of it; traded: lots traded at its price since the level's
last depth update."""

REQUEST_DTYPE = np.dtype([("at_ns", "<i8"), ("order", "<u8")])
"""An order's request (its asked_ fields say what) and when it arrives at the exchange."""

RESPONSE_DTYPE = np.dtype(
    [
        ("at_ns", "<i8"), ("exch_ts_ns", "<i8"), ("order", "<u4"), ("what", "<i2"), ("reason", "<i2"), ("key", "<i4"),
        ("over", "<i4"), ("lots", "<i8"), ("mid2", "<i8"), ("fill_mid2", "<i8"), ("sent_ns", "<i8"),
    ]
)  # fmt: skip
assert RESPONSE_DTYPE.itemsize == 64  # a cache line

RECORD_DTYPE = np.dtype(
    [
        (name, "<i8")
        for name in (
            "kind", "lane", "ts_ns", "exch_ts_ns", "order_id", "side", "code", "reason", "price_ticks", "qty_lots",
            "quote_mid2", "fill_mid2", "age_ns", "latency_ns", "position_lots", "over",
        )
    ]
)  # fmt: skip
"""What happened, in time order. side: +1 buy, -1 sell. `over` = 1 where the order ended with this record.
code: an order's event, or a fill's MAKER or TAKER."""


class Config(NamedTuple):
    """Constants of a run that all lanes share, in the kernel's units."""

    rule: int  # RULE_SYMMETRIC or RULE_S1
    queue: int  # QUEUE_RISK, QUEUE_POWER or QUEUE_OPTIMISTIC
    power: int  # n of the power queue
    full_fill: int  # 1: a touched order fills whole; 0: partial fills
    entry_ns: int
    response_ns: int
    order_lots: int
    cap_lots: int
    venue_min_lots: int
    spacing_ns: int
    stale_ns: int
    burst: int
    base_half_spread_bps: float
    market_half_spread_share: float
    skew_bps_at_cap: float
    requote_threshold_bps: float
    depth_band_bps: float
    arrival: int = 0  # 1: the exchange's book follows the order of receipt (our own recordings); 0: exchange time


RULE_SYMMETRIC, RULE_S1 = 0, 1
QUEUE_RISK, QUEUE_POWER, QUEUE_OPTIMISTIC = 0, 1, 2


class State(NamedTuple):
    """Everything that advance() changes."""

    scalars: Array  # int64[SCALARS]
    floats: Array  # float64[1]: smoothed market spread in ticks
    ex_book: Array  # int64[2 W] displayed lots by side and key
    lo_book: Array
    order_after: Array  # uint32[2 N]: rings of the orders at a place, through the place's node, N + place
    order_before: Array  # uint32[2 N]: the same rings backwards
    place_after: Array  # uint32[N + 2 W]: rings of the places at a level, through the level's node, N + level
    place_before: Array  # uint32[N + 2 W]
    places: Array  # PLACE_DTYPE[N]
    free_places: Array  # uint32[N]: a stack, of FREE_PLACES
    left: Array  # int64[K]: what the event at hand still has for the lane
    orders: Array  # ORDER_DTYPE[N]
    details: Array  # DETAIL_DTYPE[N]
    lanes: Array  # LANE_DTYPE[K]
    next_step_ns: Array  # int64[K]
    sides: Array  # SIDE_DTYPE[2 K]
    blocks: Array  # int64[K, 2, len(BLOCK_NAMES)] counted since they were last read
    requests: Array  # REQUEST_DTYPE ring, length a power of two
    responses: Array  # RESPONSE_DTYPE ring, length a power of two
