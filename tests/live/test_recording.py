"""The recorder: several symbols on one connection, rotation, and what each tape says."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from engine.live.runner import LiveSource
from engine.live.venue_thread import VenueThread
from engine.market.book_scan import touch_at
from engine.market.events import CLEAR, LAST, MARKER
from engine.market.tape import Tape, verify_tape


def test_rotated_tapes_of_two_symbols_stand_alone_and_join(
    sample: Tape,
    venue_of: Callable[..., VenueThread],
    source_of: Callable[..., LiveSource],
    until: Callable[..., None],
) -> None:
    venue = venue_of(sample, sample, symbols=("AAAUSDT", "BBBUSDT"), speed=40.0, loop=True)
    source = source_of(venue, rotate_s=0.5)
    source.wait_ready(10)
    assert len(source.session.links) == 1
    until(lambda: len(source.recording.sealed()) >= 4, "four tapes")
    tapes = source.stop()
    for symbol in ("AAAUSDT", "BBBUSDT"):
        ours = sorted((tape for tape in tapes if tape.meta.symbol == symbol), key=lambda one: one.path.name)
        assert len(ours) >= 3 and all(tape.path.name.startswith(f"bybit-{symbol}-") for tape in ours)
        for tape in ours:
            assert verify_tape(tape.path).ok and tape.meta.gaps == () and tape.meta.coverage_pct > 99
            assert tape.columns.kind[0] == MARKER and tape.columns.flags[0] & CLEAR
            assert tape.meta.source is not None and tape.meta.source.counts["outside_window"] == 0
        for before, after in pairwise(ours):
            assert before.meta.last_local_ts_ns == after.meta.first_local_ts_ns
            last = touch_at(before.columns, np.array([before.meta.count - 1]))
            first = touch_at(after.columns, np.flatnonzero(after.columns.flags & LAST)[:1])
            assert np.array_equal(last, first)  # the book goes on where it was


def test_health_tells_what_the_feed_does(
    sample: Tape,
    venue_of: Callable[..., VenueThread],
    source_of: Callable[..., LiveSource],
    until: Callable[..., None],
) -> None:
    venue = venue_of(sample, speed=40.0, loop=True)
    source = source_of(venue, start=False)
    assert source.health().state == "connecting" and source.health().data_age_s is None
    source.start()
    source.wait_ready(10)
    columns = source.rows_until(source.now_ns())
    seen = [source.health()]
    until(lambda: seen[-1].state == "live" or seen.append(source.health()), "live feed")
    health = seen[-1]
    (symbol,) = health.symbols
    assert health.data_age_s is not None and health.data_age_s <= source.settings.stale_s
    assert symbol.synced and symbol.symbol == "SIMUSDT" and symbol.mid2_ticks > 0
    assert health.counters.rows >= len(columns.kind) > 0 and health.counters.bytes > health.counters.messages > 0
    assert symbol.latency_p50_ms is not None and symbol.least_latency_ms is not None
    assert symbol.least_latency_ms <= symbol.latency_p50_ms
    assert source.gaps() == [] and source.tape().window is not None
    source.stop()
    assert source.health().state == "stopped" and source.stop() == source.sealed
