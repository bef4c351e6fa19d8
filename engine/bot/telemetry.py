"""What a market lets an observer see beside its records: counts and times that no journal holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.maker.session import MakerSession
from engine.maker.state import GAPS, LO_MID2, LO_PTR, VALID_NS, VALID_SINCE, Array
from engine.market.events import LAST


@dataclass(frozen=True)
class FeedTelemetry:
    """What only a live feed session knows, since the last look: messages dropped; samples, one a message or a kernel
    call, of ns between receipt and kernel, of messages waiting in the queue and of events not yet in the kernel."""

    dropped: int
    backlog_ns: Array
    queue_depth: Array
    event_backlog: Array


@dataclass(frozen=True)
class Telemetry:
    """A look at a market.

    Cumulative since the market's start: `valid_ns` with a quotable book, `gaps`, `steps` of lane 0. `blocks` is
    int64[K, 2, reasons] since `take_blocks` was last called; `positions_lots` is int64[K]. Since the last look:
    `local_ts_ns` and `exch_ts_ns` of the messages that reached the strategy, in order of receipt.
    `feed` is None in a replay.
    """

    valid_ns: int
    gaps: int
    steps: int
    blocks: Array
    positions_lots: Array
    local_ts_ns: Array
    exch_ts_ns: Array
    feed: FeedTelemetry | None = field(default=None)


class SessionGauge:
    """Looks at a maker session between two calls of `advance`, and changes nothing."""

    def __init__(self, session: MakerSession) -> None:
        self._session = session
        self._seen = int(session.state.scalars[LO_PTR])

    def look(self, columns: Sequence[Array], now_ns: int, feed: FeedTelemetry | None = None) -> Telemetry:
        """The session at `now_ns`; `columns` are those it was advanced with last."""
        state = self._session.state
        s = state.scalars
        first, self._seen = self._seen, int(s[LO_PTR])
        exch, local, _, flags = (column[first : self._seen] for column in columns[:4])
        ends = np.flatnonzero(np.asarray(flags) & LAST)
        return Telemetry(
            valid_ns=int(s[VALID_NS]) + (now_ns - int(s[VALID_SINCE]) if s[LO_MID2] else 0),
            gaps=int(s[GAPS]),
            steps=int(state.lanes["steps"][0]),
            blocks=state.blocks.copy(),
            positions_lots=self._session.positions_lots,
            local_ts_ns=np.asarray(local)[ends],
            exch_ts_ns=np.asarray(exch)[ends],
            feed=feed,
        )
