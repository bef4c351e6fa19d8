"""What the loop's data say, lane 0 unless said otherwise: the figures behind reports and live metrics.

Fed once a second of market time; a *measurement* begins with the bot's start or the last `reset_shadow`. Nothing here
touches the kernel or the journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from engine.bot.telemetry import Telemetry
from engine.control.markouts import Fill, Markouts
from engine.control.pnl import LanesPnl
from engine.control.samples import Every, Recent
from engine.control.settings import Toxicity
from engine.instrument import Instrument
from engine.ledger import Valuer
from engine.maker.state import BLOCK_NAMES, EVENT_ACK, EVENT_NEW, MAKER, REASON_CANCEL, REC_FILL, TAKER, Array

_NS_PER_MS = 1e6
_ASKED = 2  # codes up to EVENT_CANCEL are requests


class Measures:
    """Args:
    instrument, fee_rates: for values; fees of a maker's and a taker's fill as shares of notional, + rebate, - cost.
    positions_lots: where the lanes start.
    now_ns: the market time at which the measurement begins.
    toxicity: what the markouts measure.
    """

    def __init__(
        self,
        instrument: Instrument,
        fee_rates: tuple[Fraction, Fraction],
        positions_lots: Sequence[int],
        now_ns: int,
        toxicity: Toxicity,
    ) -> None:
        self._value, self._fee_rates = Valuer(instrument), fee_rates
        self.pnl_currency = instrument.pnl_currency
        self.toxicity = toxicity
        self.lanes = len(positions_lots)
        # counters: since the bot's start
        self.blocked = np.zeros(len(BLOCK_NAMES), np.int64)
        self.intents = self.fills = 0
        # latencies: the last samples, whatever is reset
        self.tick_to_decision, self.ack_only, self.tick_to_ack = Recent(), Recent(), Recent()
        self.compute, self.source_latency = Recent(), Recent()
        self.backlog, self.queue_depth, self.event_backlog = Recent(), Recent(), Recent()
        self._asked: dict[int, float] = {}
        self._last_message_ns = 0
        self._latest_exch_ns = 0
        self._look: Telemetry | None = None
        self.window_blocked = np.zeros(len(BLOCK_NAMES), np.int64)
        self.window_intents = self.window_shots = self.window_outcomes = 0
        self._pending_blocks = np.zeros(len(BLOCK_NAMES), np.int64)
        self._positions_lots = list(positions_lots)
        self.reset(now_ns, 0)

    def reset(self, now_ns: int, mid2: int) -> None:
        """A new measurement begins at `now_ns`; positions stay what they are and are marked at `mid2`."""
        self.since_ns = self.now_ns = now_ns
        self.pnl = LanesPnl(self._value, self._fee_rates, self._positions_lots)
        self.pnl.start(mid2)
        self.orders_ended = self.orders_cancelled = self.own_fills = self.maker_fills = self.maker_units = 0
        self.order_age, self.slippage_cost, self.feed_latency, self.ack = Every(), Every(), Every(), Every()
        self.messages = self.inversions = self.gaps = self.dropped = self.valid_ns = 0
        self.feed_known = False
        self.set_toxicity(self.toxicity)

    def set_toxicity(self, toxicity: Toxicity) -> None:
        """Measure these horizons, from fills from now on."""
        self.toxicity = toxicity
        self.markouts = Markouts(toxicity.horizons_s, self._value)

    def see(self, rows: Array, mid2: int, now_ns: int, look: Telemetry, wall_ns: int) -> None:
        """A second has passed: its RECORD_DTYPE rows, the mid at its end (0: unknown), wall time in the kernel."""
        self.now_ns = now_ns
        self._see_messages(look)
        self.pnl.see(rows, mid2, look.positions_lots.tolist())
        mine = rows[rows["lane"] == 0]
        if len(mine):
            self._see_rows(mine, look)
        self.markouts.mature(now_ns, mid2)
        if look.local_ts_ns.size:
            self._last_message_ns = int(look.local_ts_ns[-1])
        if self._look is not None and look.steps > self._look.steps:
            self.compute.add(wall_ns / (look.steps - self._look.steps) / _NS_PER_MS)
        self.valid_ns += look.valid_ns - (self._look.valid_ns if self._look else 0)
        self.gaps += look.gaps - (self._look.gaps if self._look else 0)
        self._look = look
        self._positions_lots = look.positions_lots.tolist()
        pending = look.blocks[0].sum(axis=0)
        self.blocked += pending - self._pending_blocks
        self._pending_blocks = self.window_blocked = pending

    def first_look(self, look: Telemetry) -> None:
        """What had been counted before the bot's start is not the measurement's."""
        self._look = look
        self._positions_lots = look.positions_lots.tolist()
        if look.local_ts_ns.size:
            self._last_message_ns = int(look.local_ts_ns[-1])
            self._latest_exch_ns = int(look.exch_ts_ns.max())

    def next_window(self) -> None:
        """The kernel's block counts were taken; what is counted by window starts anew."""
        self.pnl.next_window()
        self._pending_blocks = np.zeros(len(BLOCK_NAMES), np.int64)
        self.window_blocked = self._pending_blocks
        self.window_intents = self.window_shots = self.window_outcomes = 0

    def _see_messages(self, look: Telemetry) -> None:
        count = look.exch_ts_ns.size
        self.messages += count
        if count:
            latest = np.maximum.accumulate(np.concatenate([[self._latest_exch_ns], look.exch_ts_ns]))
            self.inversions += int((look.exch_ts_ns < latest[:-1]).sum())
            self._latest_exch_ns = int(latest[-1])
            self.source_latency.extend(((look.local_ts_ns - look.exch_ts_ns) / _NS_PER_MS).tolist())
        if look.feed is not None:
            self.feed_known = True
            self.dropped += look.feed.dropped
            self.backlog.extend((look.feed.backlog_ns / _NS_PER_MS).tolist())
            self.queue_depth.extend(look.feed.queue_depth.tolist())
            self.event_backlog.extend(look.feed.event_backlog.tolist())

    def _see_rows(self, rows: Array, look: Telemetry) -> None:
        receipts = np.concatenate([[self._last_message_ns], look.local_ts_ns])
        newest = receipts[np.maximum(np.searchsorted(receipts, rows["ts_ns"], side="right") - 1, 0)]
        waits = (rows["ts_ns"] - newest) / _NS_PER_MS
        for row, wait_ms in zip(rows, waits.tolist(), strict=True):
            over = int(row["over"])
            self.orders_ended += over
            self.window_outcomes += over
            latency_ms = int(row["latency_ns"]) / _NS_PER_MS
            if row["kind"] == REC_FILL:
                self._fill(row)
            elif row["code"] <= _ASKED:
                self.intents += 1
                self.window_intents += 1
                self.window_shots += int(row["code"] == EVENT_NEW)
                self._asked[int(row["order_id"])] = wait_ms
                self.tick_to_decision.add(wait_ms)
                self.feed_latency.add(latency_ms)
            elif row["code"] == EVENT_ACK:
                self.orders_cancelled += over and int(row["reason"] == REASON_CANCEL)
                self.ack_only.add(latency_ms)
                self.ack.add(latency_ms)
                if (asked_ms := self._asked.get(int(row["order_id"]))) is not None:
                    self.tick_to_ack.add(asked_ms + latency_ms)
            if over:
                self._asked.pop(int(row["order_id"]), None)

    def _fill(self, row: Any) -> None:
        side, lots, price = int(row["side"]), int(row["qty_lots"]), int(row["price_ticks"])
        quote_mid2, fill_mid2 = int(row["quote_mid2"]), int(row["fill_mid2"])
        value = self._value(2 * price)
        self.fills += 1
        self.own_fills += 1
        self.order_age.add(int(row["age_ns"]) / _NS_PER_MS)
        if quote_mid2 and fill_mid2:
            cost = -side * (self._value(fill_mid2) - self._value(quote_mid2))
            self.slippage_cost.add(10_000 * cost / abs(value))
        if row["code"] == MAKER:
            self.maker_fills += 1
            self.maker_units += lots * abs(value)
        fee_units = round(self._fee_rates[int(row["code"] == TAKER)] * lots * abs(value))
        self.markouts.fill(Fill(int(row["ts_ns"]), side, lots, price, fill_mid2, fee_units))
