"""The replay market: a tape's events through the maker kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.bot.telemetry import SessionGauge, Telemetry
from engine.maker.session import MakerSession
from engine.maker.state import Array, Config
from engine.market.events import LAST
from engine.market.tape import Tape

_FIRST_EVENTS = 1 << 18
_NO_TOUCH = (0, 0, 0)


class ReplayMarket:
    """A maker session over a tape, from `start_ns` on.

    Events before `start_ns` build the book and nothing else: that is how a killed run finds back into its market.

    Args:
        config: the kernel's constants (Profile.kernel_config).
        lanes: one parameter set per lane.
        positions_lots: one position per lane to start from.
    """

    def __init__(
        self,
        tape: Tape,
        config: Config,
        lanes: Sequence[Mapping[str, float]],
        start_ns: int,
        positions_lots: Sequence[int],
    ) -> None:
        # A tape of our own shadow runs is replayed as it arrived, any other by exchange time.
        arrival = tape.meta.order == "arrival"
        self._order = None if arrival else tape.exch_order
        config = config._replace(arrival=int(arrival))
        window = (tape.meta.price_low_ticks, tape.meta.price_high_ticks + 1)
        self._tape, self._start_ns = tape, start_ns
        self._session = MakerSession(config, lanes, window, start_ns, positions_lots=positions_lots)
        self._early: list[Array] = []
        # Compiles the kernel where its cache is cold, half a minute: before the journal is begun, not after.
        self._session.advance(tape.columns, start_ns, self._order)
        self._gauge = SessionGauge(self._session)

    def advance(self, until_ns: int) -> Array:
        """Everything before `until_ns`; RECORD_DTYPE rows in time order."""
        rows = self._session.advance(self._tape.columns, until_ns, self._order)
        if self._early:
            rows = np.concatenate([*self._early, rows])
            self._early.clear()
        return rows

    def touch(self) -> tuple[int, int, int]:
        return self._session.touch()

    def first_touch(self) -> tuple[int, tuple[int, int, int]]:
        """Advance message by message to the first two-sided book: (time in ns, touch).

        Where the tape's very first message makes one, that book stood at the exchange when the run began, and
        the time given is the start. Zeros where no early message makes one.
        """
        columns = self._tape.columns.part(0, _FIRST_EVENTS)
        for message, row in enumerate(np.flatnonzero(columns.flags & LAST)):
            local_ts_ns = int(columns.local_ts_ns[row])
            self._early.append(self._session.advance(self._tape.columns, local_ts_ns + 1, self._order))
            if (touch := self.touch()) != _NO_TOUCH:
                return (self._start_ns if message == 0 else local_ts_ns), touch
        return self._start_ns, _NO_TOUCH

    def take_blocks(self) -> Array:
        return self._session.take_blocks()

    def take_valid_ns(self, now_ns: int) -> int:
        return self._session.take_valid_ns(now_ns)

    def set_params(self, lane: int, params: Mapping[str, float]) -> None:
        self._session.set_params(lane, params)

    def set_paused(self, lane: int, paused: bool) -> None:
        self._session.set_paused(lane, paused)

    def flatten(self, lane: int) -> None:
        self._session.flatten(lane)

    def set_limits(self, order_lots: int, cap_lots: int) -> None:
        self._session.config = self._session.config._replace(order_lots=order_lots, cap_lots=cap_lots)

    def telemetry(self, now_ns: int) -> Telemetry:
        return self._gauge.look(self._tape.columns, now_ns)

    @property
    def cap_lots(self) -> int:
        return self._session.config.cap_lots

    @property
    def reference_mid2(self) -> int:
        return self._tape.reference_mid2()

    @property
    def events(self) -> int:
        return self._session.counters()["events"]

    @property
    def gaps(self) -> list[tuple[int, str]]:
        return [(gap.local_ts_ns, gap.reason) for gap in self._tape.meta.gaps]
