"""A maker session: the Python half of the kernel. It owns the state, feeds events, hands out records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.maker.kernel import advance
from engine.maker.state import (
    BACK,
    BEST,
    BLOCK_NAMES,
    CROSSED_ENDS,
    DETAIL_DTYPE,
    DONE,
    EVENTS,
    EX_BOOK,
    EX_WORST,
    FLATTENING,
    FREE_PLACES,
    GAPS,
    LANE_DTYPE,
    LO_BEST,
    LO_BEST_ASK,
    LO_BOOK,
    LO_MID2,
    MARKERS,
    NEVER,
    NEXT_STEP,
    NOW,
    NOWHERE,
    ORDER_DTYPE,
    OUTSIDE,
    PAUSED,
    PLACE_DTYPE,
    RECORD_DTYPE,
    RECORDS,
    RECORDS_FULL,
    REQ_HEAD,
    REQUEST_DTYPE,
    RES_HEAD,
    RESPONSE_DTYPE,
    RULE_S1,
    SCALARS,
    SEEN_BID,
    SIDE_DTYPE,
    SLOTS,
    STIRRED,
    TOP_REST,
    VALID_NS,
    VALID_SINCE,
    WIDTH,
    WINDOW_LOW,
    Array,
    Config,
    State,
)

_RECORD_ROWS = 1 << 14
_MINUTE_NS = 60_000_000_000
_MS = 1_000_000
_LINE = 64  # bytes of a cache line
NO_ORDER = np.zeros(0, np.int64)


def _aligned(count: int, dtype: np.dtype[Any]) -> Array:
    """Zeros that begin with a cache line."""
    memory = np.zeros(count * dtype.itemsize + _LINE, np.uint8)
    skip = -memory.ctypes.data % _LINE
    return memory[skip : skip + count * dtype.itemsize].view(dtype)


def _read_only(column: Array) -> Array:
    """A read-only plain array over the same memory: one compiled variant of the kernel serves all sources."""
    view = np.asarray(column).view()
    view.flags.writeable = False
    return view


class MakerSession:
    """K lanes of one quoting rule over one market.

    Args:
        config: the run's constants (engine.profile.Profile.kernel_config makes them).
        lanes: one parameter set per lane, one at least: the names of engine.params for S1; half_spread_ticks,
            skew_ticks and min_interval_ms for the symmetric rule.
        window: (low, high) price window in ticks, high exclusive; depth outside is not kept.
        start_ns: time of the run's start; a lane's first step is one interval later.
        records: keep records of orders and fills (else only the lanes' sums are kept).
        slots: order slots per lane and side; more than one only where the rule cancels and re-sends.
        positions_lots: positions to start from (a resumed run); flat by default.
        trace_steps: rows of the decision trace per lane.
    """

    def __init__(
        self,
        config: Config,
        lanes: Sequence[Mapping[str, float]],
        window: tuple[int, int],
        start_ns: int,
        *,
        records: bool = True,
        slots: int = 1,
        positions_lots: Sequence[int] | None = None,
        trace_steps: int = 0,
    ) -> None:
        low, high = window
        width, count = high - low, len(lanes)
        orders = 2 * count * slots
        ring = 1 << max(8, (4 * orders).bit_length())
        self.config = config
        self.state = State(
            scalars=np.zeros(SCALARS, np.int64),
            floats=np.zeros(1, np.float64),
            ex_book=np.zeros(2 * width, np.int64),
            lo_book=np.zeros(2 * width, np.int64),
            order_after=np.arange(2 * orders, dtype=np.uint32),
            order_before=np.arange(2 * orders, dtype=np.uint32),
            place_after=np.arange(orders + 2 * width, dtype=np.uint32),
            place_before=np.arange(orders + 2 * width, dtype=np.uint32),
            places=np.zeros(orders, PLACE_DTYPE),
            free_places=np.arange(orders, dtype=np.uint32),
            left=np.zeros(count, np.int64),
            orders=_aligned(orders, ORDER_DTYPE),
            details=_aligned(orders, DETAIL_DTYPE),
            lanes=_aligned(count, LANE_DTYPE),
            next_step_ns=np.zeros(count, np.int64),
            sides=np.zeros(2 * count, SIDE_DTYPE),
            blocks=np.zeros((count, 2, len(BLOCK_NAMES)), np.int64),
            requests=np.zeros(ring, REQUEST_DTYPE),
            responses=_aligned(ring, RESPONSE_DTYPE),
        )
        s = self.state.scalars
        for book in (EX_BOOK, LO_BOOK):
            s[book + BEST : book + BEST + 2] = NOWHERE
            s[book + BACK : book + BACK + 2] = NOWHERE
        s[TOP_REST : TOP_REST + 2] = NOWHERE
        s[EX_WORST : EX_WORST + 2] = width
        s[SEEN_BID : SEEN_BID + 2] = NOWHERE
        s[WINDOW_LOW], s[WIDTH], s[NOW], s[SLOTS] = low, width, start_ns, slots
        s[FREE_PLACES] = orders
        places = np.arange(orders) // slots
        self.state.orders["lane"], self.state.orders["side"] = places >> 1, places & 1
        self.state.orders["ex_key"], self.state.orders["known_ns"] = NOWHERE, NEVER
        self.state.sides["last_request_ns"] = start_ns - _MINUTE_NS
        if positions_lots is not None:
            self.state.lanes["position_lots"] = positions_lots
        for lane, params in enumerate(lanes):
            self.set_params(lane, params)
        self.state.next_step_ns[:] = start_ns + self.state.lanes["interval_ns"]
        self.state.lanes["seen_touch"] = STIRRED
        s[NEXT_STEP] = self.state.next_step_ns.min()
        self._out = np.zeros(max(_RECORD_ROWS, 8 * orders) if records else 0, RECORD_DTYPE)
        self.trace = np.zeros((trace_steps, count, 6), np.int64)
        self._valid_read = 0

    def set_params(self, lane: int, params: Mapping[str, float]) -> None:
        """Put a parameter set in force for `lane`, from the next step on."""
        row = self.state.lanes[lane]
        row["seen_touch"] = STIRRED
        row["interval_ns"] = round(params["min_interval_ms"] * _MS)
        if self.config.rule != RULE_S1:
            row["half_spread_ticks"] = params["half_spread_ticks"]
            row["skew_ticks"] = params["skew_ticks"]
            return
        row["token_ns"] = round(_MINUTE_NS / params["replace_rate_per_min"])
        row["tail_age_ns"] = round(params["tail_age_ms"] * _MS)
        row["dwell_ns"] = round(params["touch_dwell_ms"] * _MS)
        row["min_lots"] = round(params["min_lot"])
        row["spread_delta"] = params["base_spread_bps_delta"]
        row["impact_cap_ratio"] = params["impact_cap_ratio"]
        row["max_delta_ratio"] = params["max_delta_ratio"]

    def set_paused(self, lane: int, paused: bool) -> None:
        """From its next step on, a paused lane pulls its quotes and sends none until it is let go."""
        row = self.state.lanes[lane]
        row["hold"] = (row["hold"] | PAUSED) if paused else (row["hold"] & ~PAUSED)

    def flatten(self, lane: int) -> None:
        """From its next step on, the lane takes its position out by taker orders, without quoting, until it is flat.

        A gap or a clear ends it. Afterwards the lane quotes again, unless it is paused.
        """
        row = self.state.lanes[lane]
        row["hold"] |= FLATTENING
        row["hold_marker"] = self.state.scalars[MARKERS]

    def advance(self, columns: Sequence[Array], until_ns: int, exch_order: Array | None = None) -> Array:
        """Process everything with time < `until_ns`; returns RECORD_DTYPE rows in time order.

        `columns` are those of engine.market.events.Columns. The same columns, or longer ones, at each call.
        """
        exch, local, kind, flags, price, qty = (_read_only(column) for column in columns)
        order = _read_only(NO_ORDER if exch_order is None else exch_order)
        s = self.state.scalars
        parts: list[Array] = []
        while True:
            why = advance(
                self.state, self.config, exch, local, kind, flags, price, qty, order,
                exch.shape[0], until_ns, self._out, self.trace,
            )  # fmt: skip
            if s[RECORDS]:
                parts.append(self._out[: s[RECORDS]].copy())
                s[RECORDS] = 0
            if why == DONE:
                return np.concatenate(parts) if parts else self._out[:0]
            if why != RECORDS_FULL:
                self._grow_rings()

    def _grow_rings(self) -> None:
        """Double both rings, oldest entry first."""
        s = self.state.scalars
        rings = {}
        for name, head in (("requests", REQ_HEAD), ("responses", RES_HEAD)):
            old = getattr(self.state, name)
            new = np.zeros(2 * old.shape[0], old.dtype)
            new[: old.shape[0]] = np.roll(old, -int(s[head]))
            s[head] = 0
            rings[name] = new
        self.state = self.state._replace(**rings)

    def take_blocks(self) -> Array:
        """int64[K, 2, len(BLOCK_NAMES)]: blocked intents since the last call."""
        blocks: Array = self.state.blocks.copy()
        self.state.blocks[:] = 0
        return blocks

    def take_valid_ns(self, now_ns: int) -> int:
        """Time with a quotable local book since the last call, up to `now_ns`."""
        s = self.state.scalars
        total = int(s[VALID_NS]) + (now_ns - int(s[VALID_SINCE]) if s[LO_MID2] else 0)
        since, self._valid_read = total - self._valid_read, total
        return since

    def touch(self) -> tuple[int, int, int]:
        """(mid2, best bid, best ask) of the local book in ticks; zeros where it is not two-sided."""
        s = self.state.scalars
        if s[LO_MID2] == 0:
            return 0, 0, 0
        low, last = int(s[WINDOW_LOW]), int(s[WIDTH]) - 1
        return int(s[LO_MID2]), low + int(s[LO_BEST]), low + last - int(s[LO_BEST_ASK])

    def counters(self) -> dict[str, int]:
        """Events seen, events outside the price window, crossed message ends, gaps."""
        names = {
            "events": EVENTS,
            "outside_window": OUTSIDE,
            "crossed_message_ends": CROSSED_ENDS,
            "gaps": GAPS,
        }
        return {name: int(self.state.scalars[at]) for name, at in names.items()}

    @property
    def positions_lots(self) -> Array:
        positions: Array = self.state.lanes["position_lots"].copy()
        return positions

    def lane_sums(self) -> list[dict[str, Any]]:
        """Per lane: fills, position_lots, cash_tick_lots, filled_lots, orders sent."""
        names = ("fills", "position_lots", "cash_tick_lots", "filled_lots")
        lanes = self.state.lanes
        return [{name: int(row[name]) for name in names} | {"ordered": int(row["next_id"])} for row in lanes]
