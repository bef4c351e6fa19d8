"""The machine's clock, or the venue's, is set by an hour while a live bot runs."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import pytest

from engine.bot import live
from engine.bot.protocol import Message
from engine.bot.replay import opened_bot
from engine.live.clock import ArrivalClock
from engine.live.player import Clockwork
from engine.live.runner import LiveSource
from engine.live.venue_thread import VenueThread
from engine.soak import NS_PER_S, RunPlan

pytestmark = pytest.mark.soak
HOUR_NS = 3600 * NS_PER_S


class Ear:
    """Nobody commands."""

    def wait(self) -> Message:
        raise AssertionError("a live bot waits for nobody")

    def stop_wanted(self) -> str:
        return ""


def run(plan: RunPlan, at_window: Callable[[], None]) -> list[Message]:
    """The bot in this process; `at_window` is called once, after its second window."""
    heard: list[Message] = []

    def say(message: Message) -> None:
        heard.append(message)
        if message["event"] == "progress" and message["window"] == 1:
            at_window()

    with opened_bot(plan, Ear(), say) as bot:
        bot.run()
    return heard


@pytest.mark.parametrize(("hours", "key"), [(1, "clock_forward"), (-1, "clock_back")])
def test_the_machines_clock_is_set(
    hours: int,
    key: str,
    venue: VenueThread,
    live_plan: Callable[..., RunPlan],
    check_whole: Callable[..., Any],
    parity: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    row: Callable[..., None],
) -> None:
    shift_ns = [0]
    clock = ArrivalClock(wall=lambda: time.time_ns() + shift_ns[0])
    monkeypatch.setattr(live, "LiveSource", functools.partial(LiveSource, clock=clock))
    plan = live_plan(venue, 16, 2)
    heard = run(plan, lambda: shift_ns.__setitem__(0, hours * HOUR_NS))
    assert heard[-1]["reason"] == "complete"
    written = check_whole(plan)
    (gap,) = (record for record in written if record["type"] == "gap")
    assert gap["reason"].startswith("clock jump: ")
    times = [record["ts_ns"] for record in written]
    assert times == sorted(times) and times[-1] == plan.schedule.end_ns, "the stamps did not go on evenly"
    back = next(record for record in written if record["type"] == "mark" and record["ts_ns"] > gap["ts_ns"])
    seconds = (back["ts_ns"] - gap["ts_ns"]) / NS_PER_S
    assert parity(plan)["same"], parity(plan)
    row(
        key, seen=f"a gap in the report: {gap['reason']}", lost=f"no record; {seconds:.1f} s of market", seconds=seconds
    )


@pytest.mark.parametrize(("hours", "key"), [(1, "venue_clock_forward"), (-1, "venue_clock_back")])
def test_the_venues_clock_is_set(
    hours: int,
    key: str,
    venue: VenueThread,
    live_plan: Callable[..., RunPlan],
    check_whole: Callable[..., Any],
    parity: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    row: Callable[..., None],
) -> None:
    """Its stamps jump; arrivals, which decide, go on evenly."""
    shift_ms = [0]
    stamp = Clockwork.stamp_ms
    monkeypatch.setattr(Clockwork, "stamp_ms", lambda self, tape_ns, now_ns: stamp(self, tape_ns, now_ns) + shift_ms[0])
    plan = live_plan(venue, 24, 2)
    heard = run(plan, lambda: shift_ms.__setitem__(0, hours * HOUR_NS // 1_000_000))
    assert heard[-1]["reason"] == "complete"
    written = check_whole(plan)
    times = [record["ts_ns"] for record in written]
    assert times == sorted(times) and times[-1] == plan.schedule.end_ns
    valid_ms = [record["valid_book_ms"] for record in written if record["type"] == "window_end"]
    assert valid_ms[-1] > 0, "the book did not come back"
    gaps = [record for record in written if record["type"] == "gap"]
    blind_s = sum(2.0 - ms / 1000 for ms in valid_ms[2:])
    assert parity(plan)["same"], parity(plan)
    seen = f"a gap in the report: {gaps[0]['reason']}" if gaps else "nothing"
    row(key, seen=seen, lost=f"no record; {blind_s:.1f} s of market", seconds=blind_s if gaps else 0.0)
