"""The live market: what a feed receives, recorded as it comes and given to the same kernel, second by second.

The kernel sees each event at the time it was received, and is asked for a second once everything of that second is
there. So the recorded tape, replayed in its order of arrival, gives the same fills (engine.parity checks it).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np

from engine.bot.feed import SessionMarket
from engine.bot.telemetry import FeedTelemetry, Telemetry
from engine.errors import FeedError
from engine.live.growing import recover_all
from engine.live.recorder import RECORDING
from engine.live.runner import LiveSource
from engine.live.settings import FeedSettings
from engine.maker.session import MakerSession
from engine.maker.state import Config
from engine.soak import NS_PER_S, RunPlan
from engine.soak_market import live_instrument

_RELEASE_EVERY = 1 << 20
_FIRST_BOOK_S = 60.0
_CLOCK_BOUND_NS = 10 * NS_PER_S


@contextmanager
def live_source(plan: RunPlan, stop_wanted: Callable[[], str], *, resume_ns: int | None) -> Iterator[LiveSource]:
    """The feed of a live run, with a book; recorded to the run's tape, which is sealed when the block is left.

    A run that is resumed (at `resume_ns`) seals what was recorded before, and records on beside it: <tape>.1,
    <tape>.2, ... What was recorded before a journal was begun is dropped: nobody acted on it.

    Raises:
        FeedError: no book within a minute, or before a stop is wanted; the feed was lost for good; or the clock stands
            before what was journalled.
        StorageError: the tape cannot be written.
    """
    tapes, name = plan.tape.parent, plan.tape.name
    if resume_ns is None:
        shutil.rmtree(tapes / RECORDING / name, ignore_errors=True)
    else:
        recover_all(tapes / RECORDING, tapes)
        name = _next_name(tapes, name)
    settings = FeedSettings(
        plan.settings.feed, (live_instrument(plan.settings),), endpoint=plan.settings.endpoint, seed=time.time_ns()
    )
    with LiveSource(settings, tapes, name=lambda symbol, at_ns: name) as source:
        behind_ns = (resume_ns or 0) - source.now_ns()
        if behind_ns > _CLOCK_BOUND_NS:
            raise FeedError(
                f"the clock stands {behind_ns / NS_PER_S:,.0f} s before the last record of the run",
                where=plan.run_id,
                remedy="it was set back meanwhile; start a new soak",
            )
        source.wait_ready(_FIRST_BOOK_S, stop_wanted)
        yield source


def _next_name(tapes: Path, name: str) -> str:
    """<name>, <name>.1, ...: the first that no tape has, nor a recording that somebody still holds."""
    candidates = (f"{name}.{number}" if number else name for number in count())
    return next(one for one in candidates if not (tapes / one).exists() and not (tapes / RECORDING / one).exists())


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

    def close(self) -> None:
        """Leave the feed and seal the tape."""
        self._source.stop()

    @property
    def gaps(self) -> list[tuple[int, str]]:
        return self._source.gaps()
