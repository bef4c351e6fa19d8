"""The maker kernel a second time: slow, obvious, written from docs/fill-model.md alone.

Everything that will happen stands in one sorted list of (time, class, number, what, payload); the first is taken,
handled, and may put new things into the list. Books are dicts of displayed lots by price in ticks, orders are
objects, an order is found by looking at all of them. Floats appear where the model has them (queue fronts, half
spreads), in the same expressions, so that results are equal to the last bit.

`Reference` offers what MakerSession does: advance, take_blocks, take_valid_ns, touch, lane_sums, counters.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.maker.state import BLOCK_NAMES, EVENT_NAMES, REASON_NAMES, RECORD_DTYPE, Config

DEPTH, TRADE, MARKER = 0, 1, 2
BUY, LAST, GAP, CLEAR = 1, 2, 4, 8
BID, ASK = 0, 1
RISK_QUEUE, POWER_QUEUE = 0, 1
S1 = 1
LOCAL, RESPONSE, EXCHANGE, REQUEST, STEP = range(5)  # the order of things that happen at one time
MINUTE_NS = 60_000_000_000
BPS = 1e-4


@dataclass
class Book:
    """Displayed lots by price; the best prices are kept, since stale levels do not count."""

    lots: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    best: list[int | None] = field(default_factory=lambda: [None, None])
    gap: bool = False
    mid2: int = 0
    crossed_ends: int = 0

    def at(self, side: int, price: int) -> int:
        return self.lots[side].get(price, 0)

    def set(self, side: int, price: int, lots: int) -> None:
        mine, theirs = self.lots[side], self.lots[1 - side]
        if lots > 0:
            mine[price] = lots
            if self.best[side] is None or better(side, price, self.best[side]):
                self.best[side] = price
                other = self.best[1 - side]
                if other is not None and reaches(side, price, other):  # the newer side wins
                    beyond = [p for p in theirs if not reaches(side, price, p)]
                    self.best[1 - side] = best_of(1 - side, beyond)
            return
        mine.pop(price, None)
        if price == self.best[side]:
            self.best[side] = best_of(side, [p for p in mine if better(side, price, p)])

    def beyond_depth(self, side: int, price: int) -> bool:
        return all(better(side, level, price) for level in self.lots[side])

    def clear(self) -> None:
        for levels in self.lots:
            levels.clear()
        self.best = [None, None]
        self.gap = False

    def judge(self) -> None:
        bid, ask = self.best
        crossed = all(self.lots) and max(self.lots[BID]) >= min(self.lots[ASK])
        self.crossed_ends += crossed
        quotable = bid is not None and ask is not None and not self.gap and not crossed
        self.mid2 = bid + ask if quotable else 0


def better(side: int, price: int, than: int) -> bool:
    """Is `price` nearer to the other side than `than`?"""
    return price > than if side == BID else price < than


def reaches(side: int, price: int, other: int) -> bool:
    """Does an order of `side` at `price` meet an opposite level at `other`?"""
    return price >= other if side == BID else price <= other


def best_of(side: int, prices: list[int]) -> int | None:
    if not prices:
        return None
    return max(prices) if side == BID else min(prices)


@dataclass
class Order:
    """One slot of a lane and side: what the exchange knows, and what the strategy knows."""

    lane: int
    side: int
    id: int = 0
    # the exchange
    price: int | None = None
    leaves: int = 0
    arrival: int = 0
    front: float = 0.0
    traded: float = 0.0
    mid2: int = 0
    sent_ns: int = 0
    # the strategy: free | new | live | amend | cancel | take | ended
    state: str = "free"
    known_price: int = 0
    asked_price: int = 0
    known_leaves: int = 0
    known_sent_ns: int = 0


@dataclass
class Side:
    """One side of a lane: its request budget and its order slots."""

    orders: list[Order]
    tat_ns: int = 0
    last_request_ns: int = 0
    blocks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BLOCK_NAMES, 0))


@dataclass
class Lane:
    params: Mapping[str, float]
    sides: tuple[Side, Side]
    position: int = 0
    next_step_ns: int = 0
    interval_ns: int = 0
    paused: bool = False
    flattening: bool = False
    markers: int = 0  # gaps and clears met before the flattening began
    sums: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("fills", "cash_tick_lots", "filled_lots", "ordered"), 0)
    )


@dataclass
class Request:
    order: Order
    what: str  # new | amend | cancel | take
    price: int
    lots: int
    known_leaves: int
    mid2: int
    sent_ns: int


class Reference:
    """K lanes over one market; see MakerSession for the arguments."""

    def __init__(
        self,
        config: Config,
        lanes: Sequence[Mapping[str, float]],
        window: tuple[int, int],
        start_ns: int,
        *,
        slots: int = 1,
        positions_lots: Sequence[int] | None = None,
    ) -> None:
        self.config, self.window = config, window
        self.exchange, self.local = Book(), Book()
        self.lanes = [
            Lane(params, tuple(Side([Order(k, side) for _ in range(slots)]) for side in (BID, ASK)))
            for k, params in enumerate(lanes)
        ]
        for k, lane in enumerate(self.lanes):
            self.set_params(k, lane.params)
            lane.next_step_ns = start_ns + lane.interval_ns
            lane.position = positions_lots[k] if positions_lots is not None else 0
            for side in lane.sides:
                side.last_request_ns = start_ns - MINUTE_NS
        self.pending: list[tuple[int, int, int, Callable[..., None], tuple[Any, ...]]] = []
        self.counter = 0
        self.events: list[tuple[int, ...]] = []
        self.records: list[dict[str, int]] = []
        self.message_ns = 0
        self.message_latency_ns = 0
        self.touch_seen: list[int | None] = [None, None]
        self.touch_since = [0, 0]
        self.spread = 0.0
        self.valid_ns, self.valid_since, self.valid_read = 0, 0, 0
        self.seen, self.outside, self.gaps, self.markers = 0, 0, 0, 0
        self.steps_at: set[int] = set()
        # by order of receipt only: the latest exchange time met, the event at hand's local time, requests under way
        self.clock_ns, self.earliest_ns = -(2**62), -(2**62)
        self.waiting: list[tuple[int, Request]] = []
        self.last_answer_ns = -(2**62)
        self.trace: list[list[tuple[int, ...]]] = [[] for _ in lanes]
        for lane in self.lanes:
            self.plan_step(lane.next_step_ns)

    # --- time -----------------------------------------------------------------------------------------------------

    def put(self, at_ns: int, order: int, what: Callable[..., None], *payload: Any) -> None:
        self.counter += 1
        bisect.insort(self.pending, (at_ns, order, self.counter, what, payload), key=lambda entry: entry[:3])

    def plan_step(self, at_ns: int) -> None:
        """All lanes that are due at one time step together, in order of lanes, before what they sent arrives."""
        if at_ns not in self.steps_at:
            self.steps_at.add(at_ns)
            self.put(at_ns, STEP, self.step_all)

    def load(self, columns: Sequence[Any]) -> None:
        """Put events that are not known yet into the list: twice, for the exchange and for the strategy."""
        rows = list(zip(*(column.tolist() for column in columns), strict=True))
        for row in rows[len(self.events) :]:
            exch_ts_ns, local_ts_ns = row[:2]
            self.put(local_ts_ns, LOCAL, self.see, row)
            if self.config.arrival:
                self.put(local_ts_ns, EXCHANGE, self.receive, row)
            else:
                self.put(exch_ts_ns, EXCHANGE, self.happen, row)
            self.events.append(row)

    def advance(self, columns: Sequence[Any], until_ns: int) -> np.ndarray:
        self.load(columns)
        self.records = []
        while self.pending and self.pending[0][0] < until_ns:
            at_ns, _, _, what, payload = self.pending.pop(0)
            what(at_ns, *payload)
        table = np.zeros(len(self.records), RECORD_DTYPE)
        for i, record in enumerate(self.records):
            for name, value in record.items():
                table[name][i] = value
        return table

    def inside(self, price: int) -> bool:
        return self.window[0] <= price < self.window[1]

    # --- the exchange ---------------------------------------------------------------------------------------------

    def receive(self, now: int, row: tuple[int, ...]) -> None:
        """By order of receipt: the event is the exchange's at the latest exchange time met so far."""
        self.earliest_ns = now
        self.clock_ns = max(self.clock_ns, row[0])
        while self.waiting and self.waiting[0][0] < self.clock_ns:
            at_ns, ask = self.waiting.pop(0)
            self.arrive(at_ns, ask)
        self.happen(self.clock_ns, row)

    def say(self, now: int, what: Callable[..., None], *payload: Any) -> None:
        """A response leaves the exchange; responses keep their order."""
        self.last_answer_ns = max(now + self.config.response_ns, self.earliest_ns, self.last_answer_ns)
        self.put(self.last_answer_ns, RESPONSE, what, *payload)

    def happen(self, now: int, row: tuple[int, ...]) -> None:
        _, _, kind, flags, price, lots = row
        side = BID if flags & BUY else ASK
        if kind == MARKER:
            if flags & GAP:
                self.exchange.gap = True
            if flags & CLEAR:
                mid2 = self.exchange.mid2
                self.exchange.clear()
                self.exchange.mid2 = mid2
            for order in self.resting():
                self.end(now, order, "gap")
        elif kind == TRADE:  # even outside the window, where it may trade through orders inside
            self.trade(now, 1 - side, price, lots)
        elif self.inside(price):
            self.depth(now, side, price, lots)
        else:
            self.outside += 1
        if flags & LAST:
            self.exchange.judge()

    def resting(self) -> list[Order]:
        slots = [order for lane in self.lanes for side in lane.sides for order in side.orders]
        return [order for order in slots if order.price is not None]

    def in_turn(self, lane: Lane, side: int) -> list[Order]:
        """A lane's resting orders of one side, best price first, then in order of arrival."""
        orders = [order for order in lane.sides[side].orders if order.price is not None]
        return sorted(orders, key=lambda order: (order.price * (2 * side - 1), order.arrival))

    def fill(self, now: int, order: Order, lots: int) -> None:
        assert order.price is not None
        order.leaves -= lots
        over = order.leaves == 0
        self.say(
            now, self.hear_fill, order, order.price, lots, order.mid2,
            self.exchange.mid2, now, order.sent_ns, over,
        )  # fmt: skip
        if over:
            order.price = None

    def take(self, now: int, order: Order, reached: int, left: int) -> int:
        """Fill up to `reached` lots out of `left`; returns what is left then."""
        lots = min(order.leaves, reached, left)
        if self.config.full_fill:
            if min(order.leaves, reached) >= 1:
                self.fill(now, order, order.leaves)
            return left
        if lots > 0:
            self.fill(now, order, lots)
        return left - lots

    def trade(self, now: int, side: int, price: int, lots: int) -> None:
        """`side` is the resting side that the aggressor meets."""
        for lane in self.lanes:
            left = lots
            for order in self.in_turn(lane, side):
                if better(side, order.price, price):
                    left = self.take(now, order, lots, left)
                elif order.price == price:
                    order.front -= lots
                    order.traded += lots
                    if order.front <= -0.5:
                        reached = math.floor(0.5 - order.front)
                        order.front = 0.0
                        left = self.take(now, order, reached, left)

    def depth(self, now: int, side: int, price: int, new: int) -> None:
        old, best = self.exchange.at(side, price), self.exchange.best[side]
        self.exchange.set(side, price, new)
        for order in self.resting():
            if order.side == side and order.price == price:
                self.queue(order, old, new)
        top = self.exchange.best[side]
        if top is not None and (best is None or better(side, top, best)):
            for lane in self.lanes:
                left = new
                for order in self.in_turn(lane, 1 - side):
                    if reaches(side, top, order.price):
                        left = self.take(now, order, new, left)

    def queue(self, order: Order, old: int, new: int) -> None:
        if self.config.queue == RISK_QUEUE:
            order.front = min(order.front, float(new))
            return
        fallen = old - new - order.traded
        order.traded = 0.0
        front, back = order.front, old - order.front
        if fallen < 0:
            order.front = min(front, float(new))
        elif self.config.queue == POWER_QUEUE:
            front_n = back_n = 1.0
            for _ in range(self.config.power):
                front_n *= front
                back_n *= back
            both = front_n + back_n
            share = back_n / both if both != 0.0 else 1.0
            order.front = min(front - (1.0 - share) * fallen + min(back - share * fallen, 0.0), float(new))
        elif front > 0:
            order.front = min(front - fallen, float(new))

    def end(self, now: int, order: Order, reason: str) -> None:
        """The venue ends a resting order of its own accord."""
        price, order.price = order.price, None
        self.answer(now, order, "expire", reason, None, price, 0, order.mid2, order.sent_ns, over=1)

    def answer(
        self, now: int, order: Order, event: str, reason: str, asked: str | None, price: int | None, lots: int,
        mid2: int, sent_ns: int, *, over: int,
    ) -> None:  # fmt: skip
        self.say(now, self.hear_answer, order, event, reason, asked, price, lots,
            mid2, now, sent_ns, over, order.leaves,
        )  # fmt: skip

    def arrive(self, now: int, ask: Request) -> None:
        order, book = ask.order, self.exchange

        def say(event: str, reason: str, price: int, lots: int, *, over: int = 0) -> None:
            self.answer(now, order, event, reason, ask.what, price, lots, ask.mid2, ask.sent_ns, over=over)

        opposite = book.best[1 - order.side]
        meets = opposite is not None and reaches(order.side, ask.price, opposite)
        if ask.what == "take":
            self.take_liquidity(now, ask)
        elif ask.what == "new":
            if book.gap or meets:
                say("expire", "gap" if book.gap else "post_only", ask.price, ask.lots, over=1)
                return
            self.rest(order, ask, ask.lots)
            say("ack", "new", order.price, order.leaves)
        elif order.price is None:
            say("reject", "gone", ask.price, ask.lots)
        elif ask.what == "cancel":
            order.price = None
            say("ack", "cancel", ask.price, ask.lots, over=1)
        else:
            lots = ask.lots - (ask.known_leaves - order.leaves)
            if meets or lots <= 0:
                order.price = None
                say("expire", "post_only" if meets else "gone", ask.price, max(lots, 0), over=1)
                return
            if ask.price != order.price or lots > order.leaves:
                self.rest(order, ask, lots)
            else:
                order.leaves, order.mid2, order.sent_ns = lots, ask.mid2, ask.sent_ns
            say("ack", "amend", order.price, order.leaves)

    def take_liquidity(self, now: int, ask: Request) -> None:
        """A taker order meets the first five levels of the other side, then what is left of it expires."""
        order, book, lots = ask.order, self.exchange, ask.lots
        side, best = 1 - order.side, self.exchange.best[1 - order.side]
        levels = [] if book.gap or best is None else [p for p in book.lots[side] if not better(side, p, best)]
        for price in sorted(levels, reverse=side == BID)[:5]:
            got = min(lots, book.at(side, price))
            lots -= got
            self.say(
                now, self.hear_fill, order, price, got, ask.mid2, book.mid2, now, ask.sent_ns, lots == 0, "taker",
            )  # fmt: skip
            if lots == 0:
                return
        why = "gap" if book.gap else "size"
        self.answer(now, order, "expire", why, ask.what, ask.price, lots, ask.mid2, ask.sent_ns, over=1)

    def rest(self, order: Order, ask: Request, lots: int) -> None:
        self.counter += 1
        order.arrival = self.counter
        order.price, order.leaves, order.mid2, order.sent_ns = ask.price, lots, ask.mid2, ask.sent_ns
        order.front, order.traded = float(self.exchange.at(order.side, ask.price)), 0.0
        if self.exchange.beyond_depth(order.side, ask.price) and not self.config.full_fill:
            order.front = 1e15  # nobody knows what stands there: only a trade through the price reaches it

    # --- the strategy's ears --------------------------------------------------------------------------------------

    def see(self, now: int, row: tuple[int, ...]) -> None:
        exch_ts_ns, _, kind, flags, price, lots = row
        self.seen += 1
        if kind == MARKER:
            self.markers += 1
            if flags & GAP:
                self.local.gap = True
                self.gaps += 1
            if flags & CLEAR:
                mid2 = self.local.mid2
                self.local.clear()
                self.local.mid2 = mid2
        elif kind == DEPTH and self.inside(price):
            self.local.set(BID if flags & BUY else ASK, price, lots)
        if flags & LAST:
            self.message_ended(now, exch_ts_ns)

    def message_ended(self, now: int, exch_ts_ns: int) -> None:
        before = self.local.mid2
        self.local.judge()
        self.message_ns, self.message_latency_ns = now, now - exch_ts_ns
        for side in (BID, ASK):
            if self.local.best[side] != self.touch_seen[side]:
                self.touch_seen[side], self.touch_since[side] = self.local.best[side], now
        if self.local.mid2:
            spread = float(self.local.best[ASK] - self.local.best[BID])
            self.spread = spread if self.spread == 0.0 else self.spread + (spread - self.spread) * (1 / 256)
            if not before:
                self.valid_since = now
        elif before:
            self.valid_ns += now - self.valid_since

    def hear_fill(
        self, now: int, order: Order, price: int, lots: int, mid2: int, fill_mid2: int, exch_ts_ns: int,
        sent_ns: int, over: bool, liquidity: str = "maker",
    ) -> None:  # fmt: skip
        lane, sign = self.lanes[order.lane], 1 - 2 * order.side
        lane.position += sign * lots
        lane.sums["cash_tick_lots"] -= sign * lots * price
        lane.sums["filled_lots"] += lots
        lane.sums["fills"] += 1
        order.known_leaves -= lots
        if over:
            order.state = "ended" if order.state in ("amend", "cancel") else "free"
        self.record(
            order, kind=2, ts_ns=now, exch_ts_ns=exch_ts_ns, price_ticks=price, qty_lots=lots, quote_mid2=mid2,
            fill_mid2=fill_mid2, age_ns=exch_ts_ns - sent_ns, latency_ns=now - exch_ts_ns, over=int(over),
            code=int(liquidity == "taker"),
        )  # fmt: skip

    def hear_answer(
        self, now: int, order: Order, event: str, reason: str, asked: str | None, price: int, lots: int, mid2: int,
        exch_ts_ns: int, sent_ns: int, over: int, leaves: int,
    ) -> None:  # fmt: skip
        if event == "ack" and asked != "cancel":
            order.state = "live"
            order.known_price, order.known_leaves, order.known_sent_ns = price, leaves, sent_ns
        elif asked is None and order.state in ("amend", "cancel"):
            order.state = "ended"  # over, but the answer to the request is still to come
        else:
            order.state = "free"
        self.record(
            order, kind=1, ts_ns=now, exch_ts_ns=exch_ts_ns, code=EVENT_NAMES.index(event),
            reason=REASON_NAMES.index(reason), price_ticks=price, qty_lots=lots, quote_mid2=mid2,
            latency_ns=now - sent_ns, over=over,
        )  # fmt: skip

    def record(self, order: Order, **values: int) -> None:
        lane = self.lanes[order.lane]
        side = 1 - 2 * order.side
        row = {"lane": order.lane, "order_id": order.id, "side": side, "position_lots": lane.position}
        self.records.append(row | values)

    # --- the strategy ---------------------------------------------------------------------------------------------

    def send(self, now: int, order: Order, what: str, price: int, lots: int, reason: str) -> None:
        ask = Request(order, what, price, lots, order.known_leaves, self.local.mid2, now)
        if self.config.arrival:
            self.waiting.append((now + self.config.entry_ns, ask))
        else:
            self.put(now + self.config.entry_ns, REQUEST, self.arrive, ask)
        order.asked_price, order.state = price, what
        if what in ("new", "take"):
            sums = self.lanes[order.lane].sums
            sums["ordered"] += 1
            order.id = sums["ordered"]
            order.known_price, order.known_leaves, order.known_sent_ns = price, lots, now
        self.record(
            order, kind=1, ts_ns=now, code=EVENT_NAMES.index("new" if what == "take" else what),
            reason=REASON_NAMES.index(reason),
            price_ticks=price, qty_lots=lots, quote_mid2=self.local.mid2, latency_ns=self.message_latency_ns,
        )  # fmt: skip

    def set_params(self, k: int, params: Mapping[str, float]) -> None:
        self.lanes[k].params = params
        self.lanes[k].interval_ns = round(params["min_interval_ms"] * 1_000_000)

    def step_all(self, now: int) -> None:
        self.steps_at.discard(now)
        for lane in self.lanes:
            if lane.next_step_ns == now:
                if lane.paused or lane.flattening:
                    self.held(now, lane)
                elif self.config.rule == S1:
                    self.s1(now, lane)
                else:
                    self.symmetric(now, lane)
                lane.next_step_ns = now + lane.interval_ns
        for lane in self.lanes:
            self.plan_step(lane.next_step_ns)

    def set_paused(self, k: int, paused: bool) -> None:
        self.lanes[k].paused = paused

    def flatten(self, k: int) -> None:
        self.lanes[k].flattening, self.lanes[k].markers = True, self.markers

    def held(self, now: int, lane: Lane) -> None:
        """A lane that is paused or flattening: no quotes; taker orders once nothing else can change its position."""
        if lane.flattening and self.markers > lane.markers:
            lane.flattening = False
        orders = [order for side in lane.sides for order in side.orders]
        for order in orders:
            if order.state == "live":
                self.send(now, order, "cancel", order.known_price, 0, "flatten" if lane.flattening else "paused")
                lane.sides[order.side].last_request_ns = now
        if not lane.flattening or any(order.state != "free" for order in orders):
            return
        if abs(lane.position) < self.config.venue_min_lots:
            lane.flattening = False
        elif self.local.mid2:
            side = lane.sides[ASK if lane.position > 0 else BID]
            touch = self.local.best[1 - side.orders[0].side]
            self.send(now, side.orders[0], "take", touch, abs(lane.position), "flatten")
            side.last_request_ns = now

    def symmetric(self, now: int, lane: Lane) -> None:
        bid, ask = self.local.best
        if bid is None or ask is None:
            return
        units = round(lane.position / self.config.order_lots)
        mid, half, lean = 0.5 * (bid + ask), lane.params["half_spread_ticks"], lane.params["skew_ticks"] * units
        wants = (min(math.floor(mid - half - lean), bid), max(math.ceil(mid + half - lean), ask))
        states = [order.state for side in lane.sides for order in side.orders]
        live = sum(state not in ("free", "ended") for state in states)
        self.trace[self.lanes.index(lane)].append((now, *wants, units, lane.sums["fills"], live))
        for side in (BID, ASK):
            need = units < self.config.cap_lots if side == BID else units > -self.config.cap_lots
            slots = lane.sides[side].orders
            free = [order for order in slots if order.state == "free"]
            for order in slots:
                if order.state in ("free", "ended"):
                    continue
                if need and order.asked_price == wants[side]:
                    need = False
                elif order.state == "live":
                    self.send(now, order, "cancel", order.known_price, 0, "requote")
            if need and free and self.inside(wants[side]):
                self.send(now, free[-1], "new", wants[side], self.config.order_lots, "")

    def near_touch(self, side: int) -> int:
        best = self.local.best[side]
        band = max(1, math.floor(0.5 * self.local.mid2 * self.config.depth_band_bps * BPS))
        return sum(
            lots for price, lots in self.local.lots[side].items() if 0 <= (best - price) * (1 - 2 * side) <= band
        )

    def s1(self, now: int, lane: Lane) -> None:
        cfg, half, shift = self.config, 0.0, 0.0
        if self.local.mid2:
            mid = 0.5 * self.local.mid2
            base = max(cfg.base_half_spread_bps * BPS * mid, cfg.market_half_spread_share * 0.5 * self.spread)
            half = base * (1.0 + lane.params["base_spread_bps_delta"])
            shift = -cfg.skew_bps_at_cap * BPS * mid * (lane.position / cfg.cap_lots)
        for side in (BID, ASK):
            self.s1_side(now, lane, side, half, shift)

    def s1_side(self, now: int, lane: Lane, side: int, half: float, shift: float) -> None:
        cfg, params, mine = self.config, lane.params, lane.sides[side]
        order = mine.orders[0]
        why, lots = self.may_quote(now, lane, side)
        if why:
            if order.state == "live":
                self.send(now, order, "cancel", order.known_price, 0, why)
                mine.last_request_ns = now
            elif order.state != "free":
                mine.blocks["concurrency"] += 1
            elif why != "size":
                mine.blocks[why] += 1
            return

        sign = 1 - 2 * side
        touch = self.local.best[side]
        # the kernel works in prices relative to the window's low end: the same floats only if this does too
        middle = 0.5 * (self.local.best[BID] + self.local.best[ASK] - 2 * self.window[0])
        want = self.window[0] + (math.floor(middle - half + shift) if side == BID else math.ceil(middle + half + shift))
        if not better(1 - side, want, touch):
            stood = now - self.touch_since[side] >= round(params["touch_dwell_ms"] * 1_000_000)
            want = touch if stood else touch - sign
        if not self.inside(want):
            return
        threshold = max(1, math.floor(0.5 * self.local.mid2 * cfg.requote_threshold_bps * BPS))
        due = False
        if order.state == "live":
            standing = order.known_price
            due = now - order.known_sent_ns >= round(params["tail_age_ms"] * 1_000_000)
            if abs(want - standing) < threshold and not due:
                return
            most = max(1, math.floor(params["max_delta_ratio"] * 2.0 * half))
            if sign * (want - standing) > most:
                want = standing + sign * most
            if want == standing:
                lots = order.known_leaves
        elif order.state != "free":
            if abs(want - order.asked_price) >= threshold:
                mine.blocks["concurrency"] += 1
            return

        if now - mine.last_request_ns < cfg.spacing_ns:
            mine.blocks["min_interval"] += 1
            return
        token_ns = round(MINUTE_NS / params["replace_rate_per_min"])
        if mine.tat_ns - now > (cfg.burst - 1) * token_ns:
            mine.blocks["throttle"] += 1
            if due:
                self.send(now, order, "cancel", order.known_price, 0, "tail_age")
                mine.last_request_ns = now
            return
        mine.tat_ns = max(mine.tat_ns, now) + token_ns
        mine.last_request_ns = now
        if order.state == "free":
            self.send(now, order, "new", want, lots, "")
        else:
            self.send(now, order, "amend", want, lots, "tail_age" if due else "requote")

    def may_quote(self, now: int, lane: Lane, side: int) -> tuple[str, int]:
        """(reason why not, or nothing; lots to quote)."""
        if self.local.mid2 == 0:
            return "gap", 0
        if now - self.message_ns > self.config.stale_ns:
            return "stale", 0
        room = self.config.cap_lots - (1 - 2 * side) * lane.position
        least = round(lane.params["min_lot"]) * self.config.venue_min_lots
        if room < least:
            return "risk", 0
        lots = min(self.config.order_lots, math.floor(lane.params["impact_cap_ratio"] * self.near_touch(side)))
        if lots < least:
            return "size", 0
        return "", min(lots, room)

    # --- what a session tells -------------------------------------------------------------------------------------

    def take_blocks(self) -> np.ndarray:
        table = np.array(
            [[[side.blocks[name] for name in BLOCK_NAMES] for side in lane.sides] for lane in self.lanes], np.int64
        )
        for lane in self.lanes:
            for side in lane.sides:
                side.blocks = dict.fromkeys(BLOCK_NAMES, 0)
        return table

    def take_valid_ns(self, now_ns: int) -> int:
        total = self.valid_ns + (now_ns - self.valid_since if self.local.mid2 else 0)
        since, self.valid_read = total - self.valid_read, total
        return since

    def touch(self) -> tuple[int, int, int]:
        if not self.local.mid2:
            return 0, 0, 0
        return self.local.mid2, self.local.best[BID], self.local.best[ASK]

    def lane_sums(self) -> list[dict[str, int]]:
        return [lane.sums | {"position_lots": lane.position} for lane in self.lanes]

    def counters(self) -> dict[str, int]:
        return {
            "events": self.seen,
            "outside_window": self.outside,
            "crossed_message_ends": self.local.crossed_ends,
            "gaps": self.gaps,
        }
