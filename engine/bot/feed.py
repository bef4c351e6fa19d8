"""Markets for the bot: a tape's events through the maker kernel, and what a live market has in common with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.bot.telemetry import SessionGauge, Telemetry
from engine.maker.session import MakerSession
from engine.maker.state import Array, Config
from engine.market.events import LAST, Columns
from engine.market.tape import Tape

_FIRST_EVENTS = 1 << 18
_NO_TOUCH = (0, 0, 0)


class SessionMarket:
    """A maker session and the columns it is advanced with; what differs is where the columns come from.

    Events before `start_ns` build the book and nothing else: that is how a killed run finds back into its market.
    """

    live = False

    def __init__(self, session: MakerSession, columns: Columns, order: Array | None, start_ns: int) -> None:
        self._session, self._columns, self._order, self._start_ns = session, columns, order, start_ns
        self._early: list[Array] = []
        # Compiles the kernel where its cache is cold, half a minute: before the journal is begun, not after.
        session.advance(columns, start_ns, order)
        self._gauge = SessionGauge(session)

    def close(self) -> None:
        """Nothing is held but memory."""

    def advance(self, until_ns: int) -> Array:
        """Everything before `until_ns`; RECORD_DTYPE rows in time order."""
        rows = self._session.advance(self._columns, until_ns, self._order)
        if self._early:
            rows = np.concatenate([*self._early, rows])
            self._early.clear()
        return rows

    def touch(self) -> tuple[int, int, int]:
        return self._session.touch()

    def first_touch(self) -> tuple[int, tuple[int, int, int]]:
        """Advance message by message to the first two-sided book: (time in ns, touch).

        Where the very first message makes one, or one received before the start, that book stood when the run began,
        and the time given is the start. Zeros where no early message makes one.
        """
        columns = self._columns.part(0, min(_FIRST_EVENTS, len(self._columns.kind)))
        for message, row in enumerate(np.flatnonzero(columns.flags & LAST)):
            local_ts_ns = int(columns.local_ts_ns[row])
            self._early.append(self._session.advance(self._columns, local_ts_ns + 1, self._order))
            if (touch := self.touch()) != _NO_TOUCH:
                return (self._start_ns if message == 0 else max(local_ts_ns, self._start_ns)), touch
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

    @property
    def cap_lots(self) -> int:
        return self._session.config.cap_lots

    @property
    def events(self) -> int:
        return self._session.counters()["events"]


class ReplayMarket(SessionMarket):
    """A maker session over a tape, from `start_ns` on.

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
        window = (tape.meta.price_low_ticks, tape.meta.price_high_ticks + 1)
        config = config._replace(arrival=int(arrival))
        session = MakerSession(config, lanes, window, start_ns, positions_lots=positions_lots)
        super().__init__(session, tape.columns, None if arrival else tape.exch_order, start_ns)
        self._gaps = [(gap.local_ts_ns, gap.reason) for gap in tape.meta.gaps]

    def wait_until(self, until_ns: int) -> None:
        """A tape has everything."""

    def telemetry(self, now_ns: int) -> Telemetry:
        return self._gauge.look(self._columns, now_ns)

    @property
    def gaps(self) -> list[tuple[int, str]]:
        return self._gaps
