"""Live feeds against the local venue, over real sockets, with every pause made short."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.live.runner import LiveSource
from engine.live.settings import FeedSettings
from engine.live.venue_thread import VenueThread
from engine.market.tape import Tape
from engine.paths import CHECKOUT

QUICK = {
    "stale_s": 4.0,
    "quiet_s": 10.0,
    "snapshot_s": 2.0,
    "resync_pause_s": 0.05,
    "backoff_base_s": 0.05,
    "backoff_cap_s": 0.2,
    "give_up_s": 20.0,
}


@pytest.fixture(scope="session")
def sample() -> Tape:
    """The committed sample: 330 s of a generated market, 15,422 messages."""
    return Tape.open(CHECKOUT / "datasets" / "sample")


@pytest.fixture
def venue_of() -> Iterator[Callable[..., VenueThread]]:
    """Starts venues that end with the test."""
    with ExitStack() as stack:
        yield lambda *tapes, **options: stack.enter_context(VenueThread(*tapes, **options))


@pytest.fixture
def source_of(tmp_path: Path) -> Iterator[Callable[..., LiveSource]]:
    """Makes sources for a venue, started unless told otherwise, that end with the test; settings by name."""
    options = ("rotate_s", "clock", "name")
    with ExitStack() as stack:

        def make(venue: VenueThread, *, start: bool = True, **changes: Any) -> LiveSource:
            markets = venue.venue.markets.values()
            instruments = tuple(replace(one.instrument, symbol=one.symbol) for one in markets)
            more = {name: changes.pop(name) for name in options if name in changes}
            settings = FeedSettings(venue.venue.mode, instruments, **{"endpoint": venue.endpoint, **QUICK, **changes})
            source = LiveSource(settings, tmp_path / "tapes", **more)
            stack.callback(source.stop)
            if start:
                source.start()
            return source

        yield make


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for a condition; what is waited for is named when it does not come."""

    def wait(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        end_s = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end_s, f"no {what} within {seconds:g} s"
            time.sleep(0.01)

    return wait
