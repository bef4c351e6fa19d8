"""The live market: what a feed receives, recorded as it comes and given to the same kernel, second by second.

The kernel sees each event at the time it was received, and is asked for a second once everything of that second is
there. So the recorded tape, replayed in its order of arrival, gives the same fills (engine.parity checks it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.bot.feed import SessionMarket
from engine.bot.telemetry import FeedTelemetry, Telemetry
from engine.live.runner import LiveSource
from engine.maker.session import MakerSession
from engine.maker.state import Config

_RELEASE_EVERY = 1 << 20


class LiveMarket(SessionMarket):
    """A maker session over one symbol of a started source that has a book.

    Args:
        config: the kernel's constants (Profile.kernel_config).
        lanes: one parameter set per lane.
        positions_lots: one position per lane to start from.

    Raises:
        FeedError: from any call: the feed is over. What was received is on the tape.
    """

    live = True

    def __init__(
        self,
        source: LiveSource,
        config: Config,
        lanes: Sequence[Mapping[str, float]],
        start_ns: int,
        positions_lots: Sequence[int],
    ) -> None:
        tape = source.tape()
        assert tape.window is not None  # the source is ready
        session = MakerSession(config._replace(arrival=1), lanes, tape.window, start_ns, positions_lots=positions_lots)
        self._source, self._tape = source, tape
        self._dropped, self._released, self._asked_ns = 0, 0, start_ns
        super().__init__(session, source.rows_until(start_ns), None, start_ns)

    def wait_until(self, until_ns: int) -> None:
        """Until everything received before `until_ns` is on the tape."""
        self._columns = self._source.rows_until(until_ns)
        if self.events - self._released > _RELEASE_EVERY:
            self._tape.release()
            self._released = self.events

    def telemetry(self, now_ns: int) -> Telemetry:
        health = self._source.health()
        dropped, self._dropped = health.counters.dropped - self._dropped, health.counters.dropped
        look = self._gauge.look(self._columns, now_ns)
        waited_ns = np.maximum(self._source.now_ns() - look.local_ts_ns, 0)
        feed = FeedTelemetry(
            dropped=dropped,
            backlog_ns=waited_ns,
            queue_depth=np.array([health.backlog_frames], np.int64),
            event_backlog=np.array([len(self._columns.kind) - self.events], np.int64),
        )
        return Telemetry(**{**vars(look), "feed": feed})

    @property
    def gaps(self) -> list[tuple[int, str]]:
        return self._source.gaps()
