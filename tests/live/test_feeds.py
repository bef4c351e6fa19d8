"""One suite for every venue: what a feed does on each fault, over a real websocket, played forty times as fast."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import FeedError
from engine.live.clock import ArrivalClock, elapsed_ns
from engine.live.frames import Kind
from engine.live.player import Market
from engine.live.runner import LiveSource
from engine.live.venue_thread import VenueThread
from engine.market.book_scan import scan_book
from engine.market.events import CLEAR, GAP, MARKER, TRADE, Columns
from engine.market.importer import import_capture
from engine.market.instruments import InstrumentFlags
from engine.market.tape import Tape, verify_tape

SPEED = 40.0
DEPTH = 50
VenueOf = Callable[..., VenueThread]
SourceOf = Callable[..., LiveSource]
Until = Callable[..., None]


def top(levels: dict[int, int], is_bid: bool) -> list[tuple[int, int]]:
    return sorted(levels.items(), reverse=is_bid)[:DEPTH]


def same_book(source: LiveSource, market: Market) -> bool:
    live = source.symbols[market.symbol].live
    bids, asks = list(market.bids.top(DEPTH).items()), list(market.asks.top(DEPTH).items())
    return top(live.bids, True) == bids and top(live.asks, False) == asks


def markers(columns: Columns) -> list[str]:
    """gap and clear in the order in which they stand."""
    flags = columns.flags[columns.kind == MARKER].tolist()
    return ["gap" if flag & GAP else "clear" for flag in flags]


def check(venue: VenueThread, source: LiveSource, until: Until, *, gaps: int | None = None) -> Tape:
    """Let things settle; then the book is the venue's, and the sealed tape is sound and tells its gaps.

    `gaps` is how many there are; None where a busy machine may add some to the first.
    """
    symbol = next(iter(source.symbols.values()))
    until(lambda: symbol.synced and source.queue.backlog == 0, "whole book")
    rows = source.rows_until(source.now_ns())
    seen = len(rows.kind)
    until(lambda: len(source.rows_until(source.now_ns()).kind) > seen, "further data")
    venue.pause()
    until(lambda: symbol.synced and same_book(source, venue.venue.markets[symbol.symbol]), "book as the venue has it")
    health = source.health()
    assert len(health.gaps) == health.counters.gaps
    assert health.counters.gaps == gaps if gaps is not None else health.counters.gaps >= 1
    assert all(0 < gap.since_ns <= gap.noticed_ns < gap.until_ns for gap in health.gaps)
    (tape,) = source.stop()
    assert len(tape.meta.gaps) == health.counters.gaps
    assert [one.label for one in verify_tape(tape.path).findings].count("fail") == 0
    assert markers(tape.columns)[:1] == ["clear"] and "".join(markers(tape.columns)).count("gapgap") == 0
    assert tape.meta.order == "arrival" and tape.meta.source is not None
    return tape


@pytest.mark.parametrize("mode", ["bybit", "binance"])
class TestFeed:
    @pytest.fixture
    def venue(self, mode: str, sample: Tape, venue_of: VenueOf) -> VenueThread:
        return venue_of(sample, mode=mode, speed=SPEED, loop=True)

    @pytest.fixture
    def source(self, venue: VenueThread, source_of: SourceOf) -> LiveSource:
        source = source_of(venue)
        source.wait_ready(10)
        return source

    def test_what_is_recorded_is_what_an_import_of_the_same_frames_gives(
        self, venue: VenueThread, source_of: SourceOf, tmp_path: Path, until: Until, mode: str
    ) -> None:
        source = source_of(venue, start=False)
        lines: list[bytes] = []
        take = source.intake._take

        def keep(item: Any) -> None:
            if item.kind in (Kind.FRAME, Kind.SNAPSHOT):
                raw = item.payload if item.kind is Kind.FRAME else item.payload[1]
                lines.append(b"%d %s\n" % (item.local_ns, raw))
            take(item)

        source.intake._take = keep  # type: ignore[method-assign]
        source.start()
        source.wait_ready(10)
        until(lambda: source.counters.rows > 3000, "rows")
        (tape,) = source.stop()
        file = tmp_path / "capture"
        file.write_bytes(b"".join(lines))
        instrument = source.settings.instruments[0]
        imported = import_capture(
            [file], tmp_path / "imported", flags=InstrumentFlags(tick=instrument.tick, lot=instrument.lot), known=()
        )
        at = int(np.flatnonzero(imported.columns.flags & CLEAR)[0])  # trades before the first book are of no use
        for name, ours, theirs in zip(Columns._fields, tape.columns, imported.columns, strict=True):
            expected = theirs[at:] - (imported.meta.clock_shift_ns if name == "local_ts_ns" else 0)
            assert np.array_equal(ours, expected), name
        assert tape.meta.trade_count > 50

    def test_a_quiet_run_has_no_gap_and_the_venues_book(
        self, venue: VenueThread, source: LiveSource, until: Until
    ) -> None:
        tape = check(venue, source, until, gaps=0)
        counters = source.counters
        assert (counters.reconnects, counters.garbage, counters.dropped, counters.duplicates) == (0, 0, 0, 0)
        assert tape.meta.crossed_message_ends == 0
        # trades may carry times before the first book's, on a loaded machine many; from the first book on it stands
        order = np.argsort(tape.columns.exch_ts_ns, kind="stable")
        in_time = Columns(*(column[order] for column in tape.columns))
        from_book = scan_book(in_time.part(int(np.flatnonzero(in_time.flags & CLEAR)[0]), len(order)))
        assert from_book.valid_ns > 0.999 * from_book.span_ns > 0

    def test_a_dropped_connection_comes_back_and_its_gap_has_a_span(
        self, venue: VenueThread, source: LiveSource, until: Until
    ) -> None:
        venue.inject("disconnect")
        until(lambda: source.counters.gaps == 1, "gap")
        tape = check(venue, source, until, gaps=1)
        assert tape.meta.gaps[0].reason.startswith("connection: ") and source.counters.reconnects >= 1
        trades = tape.columns.kind == TRADE
        assert np.count_nonzero(trades) == tape.meta.trade_count > 0

    def test_refused_connections_are_tried_again_with_growing_pauses(
        self, venue: VenueThread, source: LiveSource, until: Until
    ) -> None:
        venue.inject("refuse", 0.4)
        until(lambda: source.counters.reconnects >= 3, "third attempt")
        check(venue, source, until, gaps=1)

    def test_silence_is_found_though_pings_are_answered(
        self, venue: VenueThread, source_of: SourceOf, until: Until
    ) -> None:
        source = source_of(venue, ping_s=0.05, stale_s=0.6, snapshot_s=0.4)
        source.wait_ready(10)
        venue.inject("silence", 1.0)
        until(lambda: source.counters.gaps >= 1, "gap")
        assert source.health().state != "live"
        tape = check(venue, source, until)
        assert tape.meta.gaps[0].reason.startswith("silence: no data for ")

    def test_missing_updates_are_a_gap_and_a_fresh_snapshot_without_a_reconnection(
        self, venue: VenueThread, source: LiveSource, until: Until
    ) -> None:
        venue.inject("gap", 3)
        until(lambda: source.counters.gaps == 1, "gap")
        tape = check(venue, source, until, gaps=1)
        assert tape.meta.gaps[0].reason.startswith("sequence: ") and "does not follow" in tape.meta.gaps[0].reason
        assert source.counters.resyncs >= 1 and source.counters.reconnects == 0
        assert markers(tape.columns) == ["clear", "gap", "clear"]

    def test_what_comes_twice_counts_once(self, venue: VenueThread, source: LiveSource, until: Until) -> None:
        venue.inject("duplicate", 200)
        until(lambda: source.counters.duplicates >= 150, "duplicates")
        until(lambda: source.counters.trades_repeated >= 5, "trades that came twice")
        check(venue, source, until, gaps=0)

    def test_reordered_updates_are_counted_and_resynced(
        self, venue: VenueThread, source: LiveSource, until: Until
    ) -> None:
        venue.inject("reorder")
        until(lambda: source.counters.gaps == 1 and source.counters.out_of_order >= 1, "update out of order")
        check(venue, source, until, gaps=1)

    def test_garbage_is_counted_and_resynced(self, venue: VenueThread, source: LiveSource, until: Until) -> None:
        venue.inject("garbage")
        until(lambda: source.counters.garbage == 1, "garbage")
        tape = check(venue, source, until, gaps=1)
        assert tape.meta.gaps[0].reason == "garbage: a frame cannot be read (JSONDecodeError)"

    def test_a_restart_of_the_service_leaves_the_right_book(
        self, venue: VenueThread, source: LiveSource, until: Until, mode: str
    ) -> None:
        venue.inject("restart")
        if mode == "bybit":  # u = 1 brings the whole book, so nothing is lost
            until(lambda: source.symbols["SIMUSDT"].book.counts["restarts"] == 1, "restart")
            check(venue, source, until, gaps=0)
        else:  # ids that fall back are old updates at first sight
            until(lambda: source.counters.gaps == 1, "gap")
            tape = check(venue, source, until, gaps=1)
            assert tape.meta.gaps[0].reason == "sequence: update ids fell back"

    def test_held_back_data_is_late_and_then_whole(self, venue: VenueThread, source: LiveSource, until: Until) -> None:
        venue.inject("slow", 0.25)
        before = source.counters.rows
        until(lambda: source.counters.rows > before + 500, "rows")
        check(venue, source, until, gaps=0)
        latencies = source.health().symbols[0]
        assert latencies.latency_p99_ms is not None and latencies.least_latency_ms is not None
        assert latencies.latency_p99_ms > 100 > latencies.least_latency_ms

    def test_data_that_lags_too_far_is_no_live_feed(
        self, venue: VenueThread, source_of: SourceOf, until: Until
    ) -> None:
        source = source_of(venue, lag_bound_s=0.4)
        source.wait_ready(10)
        venue.inject("slow", 0.7)
        until(lambda: source.counters.gaps >= 1, "gap")
        tape = check(venue, source, until)
        assert tape.meta.gaps[0].reason.startswith("lag: data is ")

    def test_a_consumer_that_stands_still_drops_frames_counts_them_and_resyncs(
        self, venue: VenueThread, source_of: SourceOf, until: Until
    ) -> None:
        source = source_of(venue, start=False, queue_frames=400)
        go, append = threading.Event(), source.recording.append
        go.set()

        def slowly(batch: Any) -> None:
            go.wait(10)
            append(batch)

        source.intake.sink = slowly
        source.start()
        source.wait_ready(10)
        go.clear()
        before = source.counters.dropped  # of a machine too busy to keep up with the first book
        until(lambda: source.counters.dropped > before + 50, "dropped frames")
        assert source.queue.backlog < 450  # bounded: frames up to the bound, news beyond it
        go.set()
        until(lambda: source.counters.gaps >= 1, "gap")
        tape = check(venue, source, until)
        reason = "dropped: the queue between receiver and parser was full"
        assert {gap.reason for gap in tape.meta.gaps} == {reason}
        assert tape.meta.source is not None and tape.meta.source.counts["dropped"] > 50

    def test_a_receiver_that_stood_still_begins_anew(
        self, venue: VenueThread, source_of: SourceOf, until: Until
    ) -> None:
        source = source_of(venue, stale_s=0.6)
        source.wait_ready(10)
        assert source.session._loop is not None
        source.session._loop.call_soon_threadsafe(time.sleep, 0.9)
        until(lambda: source.counters.gaps >= 1, "gap")
        tape = check(venue, source, until)
        assert tape.meta.gaps[0].reason.startswith("stalled: the process stood still for ")

    def test_a_machine_that_slept_longer_than_a_feed_may_be_silent_looks_for_it_again(
        self, venue: VenueThread, source_of: SourceOf, until: Until
    ) -> None:
        asleep_ns = 0
        clock = ArrivalClock(lambda: time.time_ns() + asleep_ns, lambda: elapsed_ns() + asleep_ns)
        source = source_of(venue, clock=clock, lag_bound_s=1e6)
        source.wait_ready(10)
        asleep_ns = 3600 * 10**9
        until(lambda: source.counters.gaps >= 1, "gap")
        tape = check(venue, source, until)
        assert tape.meta.gaps[0].reason.startswith("stalled: the process stood still for 3600.")

    def test_a_wall_clock_that_is_set_is_a_gap_and_moves_no_stamp(
        self, venue: VenueThread, source_of: SourceOf, until: Until
    ) -> None:
        jump_ns = 0
        source = source_of(venue, clock=ArrivalClock(wall=lambda: time.time_ns() + jump_ns))
        source.wait_ready(10)
        jump_ns = 3600 * 10**9
        until(lambda: source.counters.clock_jumps == 1, "clock jump")
        until(lambda: source.counters.gaps == 1, "gap")
        tape = check(venue, source, until, gaps=1)
        assert tape.meta.gaps[0].reason == "clock jump: the wall clock was set by +3600.000 s"
        assert int(np.diff(tape.columns.local_ts_ns).max()) < 10**9

    def test_nothing_received_before_a_moment_comes_after_rows_until_that_moment(self, source: LiveSource) -> None:
        promised = []
        for _ in range(60):
            at_ns = source.now_ns() + 4_000_000
            promised.append((len(source.rows_until(at_ns).kind), at_ns))
        columns = source.rows_until(source.now_ns())
        assert len(columns.kind) > promised[0][0] > 0
        for count, at_ns in promised:
            assert (columns.local_ts_ns[count:] >= at_ns).all()

    def test_a_feed_that_nobody_serves_is_lost_for_good(
        self, venue: VenueThread, source_of: SourceOf, mode: str
    ) -> None:
        source = source_of(venue, start=False, endpoint="ws://127.0.0.1:9", give_up_s=0.4)
        with pytest.raises(FeedError, match="no data for") as caught:
            source.start()
            source.wait_ready(10)
        assert "nightsoak venue" in caught.value.remedy and source.health().state == "lost"
