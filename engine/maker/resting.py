"""Our resting orders, as the exchange's queues hold them: levels of places, places of orders.

There is no market impact, so what happens to an order in its queue depends on where it stands alone, not on whose
it is: orders that join a level while nothing there has changed share one *place*, with one number of lots ahead. With
many lanes that is most orders, and an event at the level is worked out once for all of them. A level's places form a
ring in order of arrival, and so do a place's orders. A ring runs through a node that stands for its owner, so that
nothing has a first or a last element to be treated apart.
"""

from __future__ import annotations

from engine.jit import inlined
from engine.maker.state import (
    EX_WORST,
    FREE_PLACES,
    NOWHERE,
    RESTING,
    TOP_REST,
    WIDTH,
    Array,
    Config,
    State,
)

_OUT_OF_REACH = 1e15  # lots ahead of an order in a queue that is not displayed


@inlined
def append(after: Array, before: Array, owner: int, node: int) -> None:
    """`node` becomes the last of the ring of `owner`."""
    last = before[owner]
    after[node] = owner
    before[node] = last
    after[last] = node
    before[owner] = node


@inlined
def remove(after: Array, before: Array, node: int) -> None:
    """`node` leaves its ring."""
    following, preceding = after[node], before[node]
    after[preceding] = following
    before[following] = preceding


@inlined
def join(st: State, cfg: Config, order: int, side: int, key: int) -> None:
    """`order` joins the queue at (side, key), behind what is displayed there.

    Beyond the displayed depth nobody knows what stands there: until the level shows, only a trade through the price
    reaches it. In full-fill mode an undisplayed level is taken for an empty one.
    """
    s, count = st.scalars, st.orders.shape[0]
    level = side * s[WIDTH] + key
    unseen = key < s[EX_WORST + side] and not cfg.full_fill
    front = _OUT_OF_REACH if unseen else float(st.ex_book[level])
    place = st.place_before[count + level]
    if place >= count or st.places[place]["front"] != front or st.places[place]["traded"] != 0.0:
        s[FREE_PLACES] -= 1
        place = st.free_places[s[FREE_PLACES]]
        st.places[place]["front"] = front
        st.places[place]["traded"] = 0.0
        append(st.place_after, st.place_before, count + level, place)
    append(st.order_after, st.order_before, count + place, order)
    st.orders[order]["ex_key"] = key
    st.orders[order]["place"] = place
    s[RESTING + side] += 1
    if key > s[TOP_REST + side]:
        s[TOP_REST + side] = key


@inlined
def leave(st: State, order: int, side: int) -> None:
    """`order` leaves its queue; a place that is empty then is given back."""
    s, count = st.scalars, st.orders.shape[0]
    o = st.orders[order]
    place = o["place"]
    remove(st.order_after, st.order_before, order)
    if st.order_after[count + place] >= count:
        remove(st.place_after, st.place_before, place)
        st.free_places[s[FREE_PLACES]] = place
        s[FREE_PLACES] += 1
    o["ex_key"] = NOWHERE
    s[RESTING + side] -= 1


@inlined
def lower_top(st: State, side: int) -> int:
    """The highest key at which an order of `side` rests, or NOWHERE; notes it."""
    s, count = st.scalars, st.orders.shape[0]
    key = s[TOP_REST + side] if s[RESTING + side] else NOWHERE
    base = count + side * s[WIDTH]
    while key >= 0 and st.place_after[base + key] >= count:
        key -= 1
    s[TOP_REST + side] = key
    return key
