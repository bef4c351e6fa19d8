"""advance(): the one loop that merges market data, requests, responses and strategy steps in time.

The exchange's data and the strategy's data never touch each other directly, only through requests and
responses. So instead of merging five streams event by event, the loop finds the next moment at which anything
but data happens, lets the exchange's book run to it, then the local book, and then handles that moment, in the
order: data, responses, requests, steps. A fill inside the exchange's run may bring a response home sooner: the
moment moves forward to it.
"""

from __future__ import annotations

from engine.jit import compiled
from engine.maker.controls import held_step
from engine.maker.exchange import take_events, take_request
from engine.maker.local import hear_response, see_events
from engine.maker.rules import s1, symmetric
from engine.maker.state import (
    ANSWERS,
    DONE,
    NEVER,
    NEXT_STEP,
    NOW,
    RECORDS,
    RECORDS_FULL,
    REQ_COUNT,
    REQ_HEAD,
    RES_COUNT,
    RES_HEAD,
    RING_FULL,
    RULE_S1,
    Array,
    Config,
    State,
)


@compiled
def advance(
    st: State, cfg: Config, exch_ts_ns: Array, local_ts_ns: Array, kind: Array, flags: Array, price_ticks: Array,
    qty_lots: Array, exch_order: Array, count: int, until_ns: int, out: Array, trace: Array,
) -> int:  # fmt: skip
    """Advance to just before `until_ns`: every event, request, response and step with time < until_ns.

    Args:
        st, cfg: the state (changed) and the run's constants.
        exch_ts_ns ... qty_lots: the event columns; `count` events are there.
        exch_order: indices of the events in exchange order, or empty where the columns are in that order.
        out: RECORD_DTYPE buffer, filled from scalars[RECORDS]; empty: no records.
        trace: int64 [steps, K, 6], or empty.

    Returns:
        DONE; or RECORDS_FULL (drain `out`, call again) or RING_FULL (grow the rings, call again). Whatever the
        cutting into calls, the result is the same.
    """
    s = st.scalars
    end = until_ns - 1
    lanes = st.lanes.shape[0]
    orders = st.orders.shape[0]
    while True:
        if out.shape[0] and out.shape[0] - s[RECORDS] < 2 * orders + 2:
            return RECORDS_FULL
        if st.requests.shape[0] - s[REQ_COUNT] < orders + 1:
            return RING_FULL
        moment = min(end, s[NEXT_STEP])
        if s[REQ_COUNT] and not cfg.arrival:
            moment = min(moment, st.requests[s[REQ_HEAD]]["at_ns"])
        if s[RES_COUNT]:
            moment = min(moment, st.responses[s[RES_HEAD]]["at_ns"])
        full, moment = take_events(
            st, cfg, exch_ts_ns, local_ts_ns, kind, flags, price_ticks, qty_lots, exch_order, count, moment, out
        )  # fmt: skip
        if full:
            return RING_FULL
        see_events(s, st.floats, st.lo_book, local_ts_ns, exch_ts_ns, kind, flags, price_ticks, qty_lots, count, moment)
        s[NOW] = moment
        busy = False
        while s[RES_COUNT] and st.responses[s[RES_HEAD]]["at_ns"] <= moment:
            if out.shape[0] and out.shape[0] - s[RECORDS] < 2:
                return RECORDS_FULL
            hear_response(st, out)
            busy = True
        while not cfg.arrival and s[REQ_COUNT] and st.requests[s[REQ_HEAD]]["at_ns"] <= moment:
            if st.responses.shape[0] - s[RES_COUNT] < ANSWERS:
                return RING_FULL
            take_request(st, cfg, out)
            busy = True
        if busy:
            continue  # an answer may be due at this very moment, before the step
        if s[NEXT_STEP] <= moment:
            soonest = NEVER
            for k in range(lanes):
                if st.next_step_ns[k] <= moment:
                    if st.lanes[k]["hold"]:
                        held_step(st, cfg, out, k, moment)
                    elif cfg.rule == RULE_S1:
                        s1(st, cfg, out, trace, k, moment)
                    else:
                        symmetric(st, cfg, out, trace, k, moment)
                    st.next_step_ns[k] += st.lanes[k]["interval_ns"]
                if st.next_step_ns[k] < soonest:
                    soonest = st.next_step_ns[k]
            s[NEXT_STEP] = soonest
            continue
        if moment >= end:
            return DONE
