"""Random small tapes with everything that makes a kernel stumble, and a hand-written way to make tapes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.maker.session import MakerSession
from engine.maker.state import (
    BLOCK_NAMES,
    EVENT_NAMES,
    QUEUE_OPTIMISTIC,
    QUEUE_POWER,
    QUEUE_RISK,
    REASON_NAMES,
    REC_FILL,
    RULE_S1,
    RULE_SYMMETRIC,
    Config,
)
from engine.maker.warm import S1_LANE
from engine.market.checks import FAIL, check_columns
from engine.market.events import BUY, CLEAR, COLUMN_DTYPES, DEPTH, GAP, LAST, MARKER, TRADE, Columns
from engine.market.tape import exchange_order

MS = 1_000_000


def _load(name: str) -> Any:
    """tests has no packages, so a helper module is loaded by its path."""
    spec = importlib.util.spec_from_file_location(f"maker_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


_reference = _load("reference")


class TapeWriter:
    """Messages to columns. A message is one time at the exchange, one of receipt, and a list of events."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, int, list[tuple[int, int, int, int]]]] = []

    def message(self, exch_ts_ns: int, events: Sequence[tuple[str, int, int]], latency_ns: int = 0) -> None:
        """Events: ("bid" | "ask", price, lots), ("buy" | "sell", price, lots), ("gap" | "clear" | "both", 0, 0)."""
        rows = []
        for i, (what, price, lots) in enumerate(events):
            kind = {"bid": DEPTH, "ask": DEPTH, "buy": TRADE, "sell": TRADE}.get(what, MARKER)
            flags = LAST if i == len(events) - 1 else 0
            flags |= BUY if what in ("bid", "buy") else 0
            flags |= {"gap": GAP, "clear": CLEAR, "both": GAP | CLEAR}.get(what, 0)
            rows.append((kind, flags, price, lots))
        self.messages.append((exch_ts_ns, exch_ts_ns + latency_ns, rows))

    def columns(self) -> Columns:
        """In order of receipt."""
        messages = sorted(self.messages, key=lambda message: message[1])
        rows = [(exch, local, *row) for exch, local, events in messages for row in events]
        table = list(zip(*rows, strict=True)) if rows else [()] * 6
        columns = Columns(*(np.array(v, d) for v, d in zip(table, COLUMN_DTYPES.values(), strict=True)))
        bad = [finding for finding in check_columns(columns) if finding.label == FAIL]
        assert not rows or not bad, bad
        return columns


class RandomMarket:
    """A small market that does everything venues do; `leftovers`: levels that a crossing left behind stay."""

    def __init__(
        self, rng: np.random.Generator, mid: int, window: tuple[int, int], leftovers: bool, trade_latency_ns: list[int]
    ) -> None:
        self.rng, self.centre, self.window, self.leftovers = rng, mid, window, leftovers
        self.out = TapeWriter()
        self.now = 1_000_000_000
        self.scale = max(1, mid // 4000)
        self.book: dict[str, dict[int, int]] = {"bid": {}, "ask": {}}
        # depth and trades are two streams with a latency each, so exchange times may fall in order of receipt
        self.latency = {"depth": int(rng.choice([0, 3 * MS, 40 * MS])), "trade": int(rng.choice(trade_latency_ns))}
        self.heard = {"depth": 0, "trade": 0}

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def whole(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high))

    def lots(self) -> int:
        return int(self.rng.choice([1, 2, 3, 5, 9, 20, 60, 200]))

    def level(self, side: str, price: int, lots: int) -> tuple[str, int, int]:
        if lots:
            self.book[side][price] = lots
        else:
            self.book[side].pop(price, None)
        return side, price, lots

    def send(self, stream: str, events: Sequence[tuple[str, int, int]]) -> None:
        local = self.now + self.latency[stream] + int(self.rng.choice([0, 0, 1, 5 * MS]))
        local = self.heard[stream] = max(local, self.heard[stream])
        if events:
            self.out.message(self.now, events, local - self.now)

    def snapshot(self) -> list[tuple[str, int, int]]:
        self.book = {"bid": {}, "ask": {}}
        gap = self.whole(1, 4) * self.scale
        events = [self.level("bid", self.centre - gap - i * self.scale, self.lots()) for i in range(5)]
        return events + [self.level("ask", self.centre + gap + i * self.scale, self.lots()) for i in range(5)]

    def touch(self) -> tuple[int, int]:
        return max(self.book["bid"], default=self.centre - 1), min(self.book["ask"], default=self.centre + 1)

    def near_touch(self) -> None:
        """Changes near the touch, some of them of levels that are not there."""
        events = []
        for _ in range(self.whole(1, 5)):
            bid, ask = self.touch()
            size = 0 if self.chance(0.3) else self.lots()
            if self.chance(0.5):
                events.append(self.level("bid", min(bid + self.whole(-5, 2) * self.scale, ask - 1), size))
            else:
                events.append(self.level("ask", max(ask + self.whole(-1, 6) * self.scale, bid + 1), size))
        self.send("depth", events)

    def trades(self) -> None:
        """Trades that eat into the book, and mostly what the book says of it afterwards."""
        bid, ask = self.touch()
        what, side, top, sign = ("buy", "ask", ask, 1) if self.chance(0.5) else ("sell", "bid", bid, -1)
        steps = sorted(self.whole(-2, 4) for _ in range(self.whole(1, 4)))
        trades = [(what, top + sign * step * self.scale, self.lots()) for step in steps]
        self.send("trade", trades)
        if self.chance(0.8):
            hit = {price: lots for _, price, lots in trades if price in self.book[side]}
            self.send("depth", [self.level(side, p, max(0, self.book[side][p] - lots)) for p, lots in hit.items()])

    def move(self) -> None:
        """The market moves; inside the message the sides meet for a moment."""
        bid, ask = self.touch()
        far = self.whole(1, 5) * self.scale
        side, other, sign, start = ("bid", "ask", 1, ask) if self.chance(0.5) else ("ask", "bid", -1, bid)
        to = start + sign * far
        events = [self.level(side, to, self.lots())]
        gone = [price for price in sorted(self.book[other]) if sign * (to - price) >= 0]
        if gone and self.leftovers and self.chance(0.4):
            gone.pop(self.whole(0, len(gone)))  # the venue forgets one
        events += [self.level(other, price, 0) for price in gone]
        events.append(self.level(other, to + sign * self.scale, self.lots()))
        if self.leftovers and self.chance(0.2):  # and it takes its own back: what it crossed is best again
            events.append(self.level(side, to, 0))
        self.centre += sign * far
        self.send("depth", events)

    def edges(self) -> None:
        """Prices at and beyond the ends of the price window, depth and trades."""
        low, high = self.window
        events = []
        for _ in range(3):
            kind = ["bid", "ask", "buy", "sell"][self.whole(0, 4)]
            prices = [1, low - 2, low - 1, low, high - 1, high, high + 1, 2 * high]
            if not self.leftovers and kind in ("bid", "ask"):  # no depth on the wrong side of the market
                prices = prices[:4] if kind == "bid" else prices[4:]
            events.append((kind, max(1, prices[self.whole(0, len(prices))]), self.whole(1, 9)))
        self.send("depth", events)

    def marker(self) -> None:
        what = self.rng.random()
        if what < 0.4:
            self.send("depth", [("gap", 0, 0)])
        elif what < 0.5:
            bid, _ = self.touch()
            self.send("depth", [("gap", 0, 0), self.level("bid", bid, self.lots())])
        elif what < 0.9:
            self.send("depth", [("clear", 0, 0), *self.snapshot()])
        else:
            self.send("depth", [("clear", 0, 0)])
            self.now += int(self.rng.choice([0, 20 * MS]))
            self.send("depth", self.snapshot())

    def step(self) -> None:
        self.now += int(self.rng.choice([0, 0, 1, MS, 7 * MS, 10 * MS, 30 * MS, 100 * MS]))
        what = self.rng.random()
        if what < 0.42:
            self.near_touch()
        elif what < 0.66:
            self.trades()
        elif what < 0.80:
            self.move()
        elif what < 0.86:  # the whole touch goes
            side = self.whole(0, 2)
            self.send("depth", [self.level(("bid", "ask")[side], self.touch()[side], 0)])
        elif what < 0.90:
            self.edges()
        elif what < 0.97:
            self.marker()
        elif self.leftovers:  # the whole book again without a word about the old one
            self.send("depth", self.snapshot())
        else:
            self.send("depth", [self.level("bid", self.touch()[0] - 9 * self.scale, self.lots())])


def random_tape(messages: int, market: RandomMarket) -> Columns:
    """About `messages` messages and three times as many events."""
    market.send("depth", market.snapshot())
    for _ in range(messages):
        market.step()
    return market.out.columns()


def random_lane(rng: np.random.Generator, rule: int) -> dict[str, float]:
    if rule == RULE_SYMMETRIC:
        return {
            "min_interval_ms": float(rng.choice([5, 10, 25])),
            "half_spread_ticks": float(rng.choice([0.0, 0.5, 1.0, 2.5, 4.0])),
            "skew_ticks": float(rng.choice([0.0, 0.3, 1.0])),
        }
    return {
        "min_interval_ms": int(rng.choice([5, 20, 50])),
        "replace_rate_per_min": int(rng.choice([120, 360, 6000])),
        "base_spread_bps_delta": float(rng.choice([0.0, 0.1, 0.35])),
        "tail_age_ms": int(rng.choice([30, 100, 400])),
        "impact_cap_ratio": float(rng.choice([0.04, 0.09, 0.5])),
        "max_delta_ratio": float(rng.choice([0.1, 0.2])),
        "touch_dwell_ms": int(rng.choice([0, 10, 40])),
        "min_lot": int(rng.choice([1, 2, 5])),
    }


def random_config(rng: np.random.Generator, rule: int) -> Config:
    queue, power = [(QUEUE_RISK, 0), (QUEUE_POWER, 1), (QUEUE_POWER, 3), (QUEUE_OPTIMISTIC, 0)][rng.integers(4)]
    return Config(
        rule=rule,
        queue=queue,
        power=power,
        full_fill=int(rng.integers(2)),
        entry_ns=int(rng.choice([0, 1, 2 * MS, 15 * MS, 200 * MS])),
        response_ns=int(rng.choice([0, 1, 3 * MS, 15 * MS, 300 * MS])),
        order_lots=int(rng.choice([1, 4, 10])),
        cap_lots=int(rng.choice([2, 3])) if rule == RULE_SYMMETRIC else int(rng.choice([3, 12, 25])),
        venue_min_lots=1,
        spacing_ns=int(rng.choice([0, 10 * MS, 60 * MS])),
        stale_ns=int(rng.choice([15 * MS, 80 * MS, 1000 * MS])),
        burst=int(rng.choice([1, 2, 20])),
        base_half_spread_bps=float(rng.choice([0.5, 2.0, 7.0])),
        market_half_spread_share=float(rng.choice([0.0, 0.4, 1.0])),
        skew_bps_at_cap=float(rng.choice([0.0, 3.0, 9.0])),
        requote_threshold_bps=float(rng.choice([0.0, 1.0, 4.0])),
        depth_band_bps=float(rng.choice([1.0, 10.0])),
    )


@dataclass(frozen=True)
class Case:
    """A tape, a configuration and lanes: enough for a kernel session and for the reference."""

    columns: Columns
    config: Config
    lanes: tuple[dict[str, float], ...]
    window: tuple[int, int]
    slots: int = 1
    positions: tuple[int, ...] | None = None

    @property
    def order(self) -> Any:
        return None if self.config.arrival else exchange_order(self.columns.exch_ts_ns)

    @property
    def start_ns(self) -> int:
        return int(self.columns.exch_ts_ns.min())

    @property
    def end_ns(self) -> int:
        return int(max(self.columns.exch_ts_ns.max(), self.columns.local_ts_ns.max())) + 700 * MS

    def session(self, **more: Any) -> MakerSession:
        return MakerSession(
            self.config, self.lanes, self.window, self.start_ns, slots=self.slots, positions_lots=self.positions, **more
        )

    def reference(self) -> Any:
        return _reference.Reference(
            self.config, self.lanes, self.window, self.start_ns, slots=self.slots, positions_lots=self.positions
        )

    def with_window(self, window: tuple[int, int]) -> Case:
        return replace(self, window=window)

    def with_config(self, **changes: Any) -> Case:
        return replace(self, config=self.config._replace(**changes))

    def with_lanes(self, lanes: Sequence[dict[str, float]], positions: Sequence[int] | None = None) -> Case:
        return replace(self, lanes=tuple(lanes), positions=None if positions is None else tuple(positions))


def random_case(
    seed: int,
    rule: int,
    *,
    messages: int = 120,
    lanes: int | None = None,
    leftovers: bool = False,
    arrival: bool = False,
    clock_behind: bool = False,
) -> Case:
    """Everything about it follows from the seed.

    leftovers: crossings may leave levels behind; arrival: replay by order of receipt; clock_behind: trades are
    received before they happened, as where the recorder's clock is behind the venue's.
    """
    rng = np.random.default_rng([seed, rule])
    mid = int(rng.choice([300, 4_000, 60_000]))
    width = int(mid * rng.choice([0.02, 0.3])) + 30
    delays = [-50 * MS, -5 * MS] if clock_behind else [0, MS, 60 * MS]
    columns = random_tape(messages, RandomMarket(rng, mid, (mid - width, mid + width), leftovers, delays))
    count = int(rng.integers(1, 6)) if lanes is None else lanes
    config = random_config(rng, rule)._replace(arrival=int(arrival))
    return Case(
        columns,
        config,
        tuple(random_lane(rng, rule) for _ in range(count)),
        (mid - width, mid + width),
        slots=int(rng.integers(1, 4)) if rule == RULE_SYMMETRIC else 1,
        positions=tuple(int(v) for v in rng.integers(-2, 3, count)) if rng.random() < 0.3 else None,
    )


def by_lane(records: Any) -> Any:
    """Records lane by lane: lanes know nothing of each other, so the order between them means nothing."""
    return records[np.argsort(records["lane"], kind="stable")]


# --- hand-made markets --------------------------------------------------------------------------------------------

BID, ASK = 1, -1
MICRO = Config(
    rule=RULE_S1,
    queue=QUEUE_RISK,
    power=0,
    full_fill=0,
    entry_ns=1 * MS,
    response_ns=1 * MS,
    order_lots=10,
    cap_lots=100,
    venue_min_lots=1,
    spacing_ns=0,
    stale_ns=60_000 * MS,
    burst=1_000,
    base_half_spread_bps=9.99,  # a hair less than 10, so that floors do not hang on rounding
    market_half_spread_share=0.0,
    skew_bps_at_cap=0.0,
    requote_threshold_bps=2.0,
    depth_band_bps=10.0,
)
MICRO_LANE = S1_LANE | {
    "min_interval_ms": 50,
    "replace_rate_per_min": 360,
    "base_spread_bps_delta": 0.0,
    "tail_age_ms": 1000,
    "impact_cap_ratio": 0.12,
    "max_delta_ratio": 0.20,
    "touch_dwell_ms": 0,
}


class Micro:
    """One lane over a hand-made market around 10000 ticks, so that a basis point is a tick.

    Times are ms from the start. The book begins as 100 lots at 9995 and 10005, so the rule wants 9990 and 10010.
    The log holds (ms, event, side, price, lots, reason), fills as event "fill".
    """

    START_NS = 1_000_000_000

    def __init__(self, lane: dict[str, float], position: int = 0, **config: Any) -> None:
        self.config = MICRO._replace(**config)
        self.tape = TapeWriter()
        self.lane, self.position = lane, position
        self.at(0, ("bid", 9995, 100), ("ask", 10005, 100))

    def at(self, ms: float, *events: tuple[str, int, int], latency_ms: float = 0) -> Micro:
        self.tape.message(self.START_NS + round(ms * MS), events, round(latency_ms * MS))
        return self

    def run(self, until_ms: float) -> list[tuple[float, str, int, int, int, str]]:
        columns = self.tape.columns()
        self.session = MakerSession(
            self.config, [self.lane], (9_000, 11_000), self.START_NS, positions_lots=[self.position]
        )
        until_ns = self.START_NS + round(until_ms * MS)
        self.records = self.session.advance(columns, until_ns, exchange_order(columns.exch_ts_ns))
        return [self._line(row) for row in self.records]

    def _line(self, row: Any) -> tuple[float, str, int, int, int, str]:
        event = "fill" if row["kind"] == REC_FILL else EVENT_NAMES[row["code"]]
        ms = (int(row["ts_ns"]) - self.START_NS) / MS
        return ms, event, int(row["side"]), int(row["price_ticks"]), int(row["qty_lots"]), REASON_NAMES[row["reason"]]

    def sent(self, until_ms: float, side: int) -> list[tuple[float, str, int, int, str]]:
        """What the strategy asked for on one side: (ms, event, price, lots, reason)."""
        asked = [line for line in self.run(until_ms) if line[1] in ("new", "amend", "cancel")]
        return [(ms, event, price, lots, why) for ms, event, on, price, lots, why in asked if on == side]

    def fills(self, until_ms: float) -> list[tuple[float, int, int, int]]:
        """(ms at the exchange, side, price, lots)."""
        self.run(until_ms)
        rows = self.records[self.records["kind"] == REC_FILL]
        return [
            ((int(r["exch_ts_ns"]) - self.START_NS) / MS, int(r["side"]), int(r["price_ticks"]), int(r["qty_lots"]))
            for r in rows
        ]

    def blocks(self, side: int) -> dict[str, int]:
        """Blocks counted on one side in the last run, those that were."""
        counts = self.session.take_blocks()[0, 0 if side == BID else 1]
        return {name: int(n) for name, n in zip(BLOCK_NAMES, counts, strict=True) if n}


@pytest.fixture
def micro() -> Any:
    """micro(position=0, lane={...changes}, **config changes) -> Micro."""

    def build(position: int = 0, lane: dict[str, float] | None = None, **config: Any) -> Micro:
        return Micro(MICRO_LANE | (lane or {}), position, **config)

    return build


@pytest.fixture
def make_case() -> Any:
    """random_case(seed, rule, messages=, lanes=, leftovers=) -> Case."""
    return random_case


@pytest.fixture
def reference_book() -> Any:
    return _reference.Book()


@pytest.fixture
def lane_by_lane() -> Any:
    return by_lane


@pytest.fixture(params=[RULE_S1, RULE_SYMMETRIC], ids=["s1", "symmetric"])
def rule(request: Any) -> int:
    return int(request.param)
