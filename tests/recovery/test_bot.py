"""The bot is killed, the flow is killed: what goes on, what ends, and what is left."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.bot.journal import journal_files
from engine.bot.process import BotProcess
from engine.bot.supervision import Supervision
from engine.errors import FeedError
from engine.live.venue_thread import VenueThread
from engine.paths import CHECKOUT, Paths
from engine.soak import NS_PER_S

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="follows processes through /proc")]
SAMPLE = ("--tape", str(CHECKOUT / "datasets" / "sample"))
LONG = ("--iterations", "40", "--window-seconds", "2", "--auto-tune")


def has_begun(paths: Paths) -> bool:
    return any(b"\n" in file.read_bytes() for file in paths.journals.glob("*.0.jsonl"))


@pytest.mark.soak
def test_a_killed_bot_goes_on_in_its_replay(
    paths: Paths,
    nightsoak: Callable[..., Any],
    processes_of: Callable[..., Any],
    until: Callable[..., Any],
    kill: Callable[[int], float],
    newest_plan: Callable[..., Any],
    check_whole: Callable[..., Any],
    row: Callable[..., None],
) -> None:
    words = ("--iterations", "4", "--window-seconds", "20", "--auto-tune")
    soak = nightsoak("soak", *SAMPLE, *words)
    until(lambda: has_begun(paths) or soak.poll() is not None, "journal")
    (bot,) = processes_of(paths.datasets, "engine.bot")
    killed_s = kill(bot.pid)
    until(lambda: any(file.stat().st_size for file in paths.journals.glob("*.1.jsonl")), "second journal file")
    seconds = time.monotonic() - killed_s
    _, said = soak.communicate(timeout=240)
    assert soak.returncode == 0, said
    (line,) = (line for line in said.splitlines() if "started again" in line)
    assert line.startswith("the bot of SIMUSDT died and is started again, 1 of 3: ")
    plan = newest_plan(paths)
    written = check_whole(plan)
    assert written[-1]["reason"] == "complete"
    assert sum(record["type"] == "gap" and record["reason"] == "resumed" for record in written) == 1
    assert "Parity: the tape replayed gives every lane's" in (paths.reports / "latest" / "SOAK_RESULTS.md").read_text()
    row("bot_replay", seen=line, lost="no journalled record; paper orders", seconds=seconds)


@dataclass(frozen=True)
class GoneLive:
    """A live run whose bot was gone once: why it was started again, how long it took, and what was not observed."""

    reason: str
    seconds: float
    blind_s: float


@pytest.fixture
def gone_live(
    venue: VenueThread,
    live_plan: Callable[..., Any],
    soak: Callable[..., Any],
    check_whole: Callable[..., Any],
    parity: Callable[..., Any],
) -> Callable[[int, Supervision], GoneLive]:
    """Sends a live bot a signal in the middle of its run; it goes on, and nothing that it journalled is lost."""

    def run(number: int, settings: Supervision) -> GoneLive:
        plan = live_plan(venue, 24, 2, iterations=3)
        gone_s: list[float] = []
        back_s: list[float] = []
        last: list[str] = []

        def listen(bot: Any, message: dict[str, Any]) -> None:
            if message["event"] == "progress" and message["window"] == 2:
                last.append(journal_files(plan.paths.journals, plan.run_id)[-1].read_text().splitlines()[-1])
                gone_s.append(time.monotonic())
                os.kill(bot.pid, number)
            if message["event"] == "started" and message["resumed"]:
                back_s.append(time.monotonic())

        heard = soak(plan, listen, settings)
        (told,) = (message for message in heard if message["event"] == "restarted")
        assert [message["iteration"] for message in heard if message["event"] == "edge"] == [0, 1, 2]
        written = check_whole(plan)
        assert json.loads(last[0])["seq"] in {record["seq"] for record in written}
        assert [record["window"] for record in written if record["type"] == "window_end"] == list(range(12))
        (gap,) = (record for record in written if record["type"] == "gap" and record["reason"] == "resumed")
        books_ns = (one["ts_ns"] for one in written if one["type"] == "mark" and one["ts_ns"] > gap["ts_ns"])
        first_ns = next(books_ns, None)
        assert first_ns is not None, "no book came back before the run's end"
        assert parity(plan)["same"], parity(plan)
        assert len(list(plan.paths.tapes.glob(f"{plan.run_id}*"))) == 2
        return GoneLive(told["reason"], back_s[0] - gone_s[0], (first_ns - gap["ts_ns"]) / NS_PER_S)

    return run


@pytest.mark.soak
def test_a_killed_bot_goes_on_live(gone_live: Callable[..., GoneLive], row: Callable[..., None]) -> None:
    found = gone_live(signal.SIGKILL, Supervision())
    row(
        "bot_live",
        seen=f"the bot of SIMUSDT died and is started again, 1 of 3: {found.reason}",
        lost=f"no journalled record; {found.blind_s:.0f} s of market, a gap",
        seconds=found.seconds,
    )


@pytest.mark.soak
def test_a_frozen_bot_is_killed_and_goes_on_live(gone_live: Callable[..., GoneLive], row: Callable[..., None]) -> None:
    """With a shorter limit than the one of config/supervision.json, 60 s."""
    found = gone_live(signal.SIGSTOP, Supervision(silence_s=5.0))
    assert found.reason == "said nothing for 5 s and was killed"
    row(
        "hung",
        seen=f"the bot of SIMUSDT died and is started again, 1 of 3: {found.reason} (60 s unless set otherwise)",
        lost=f"no journalled record; {found.blind_s:.0f} s of market, a gap",
        seconds=found.seconds,
    )


def test_a_killed_flow_takes_everything_with_it(
    paths: Paths,
    nightsoak: Callable[..., Any],
    processes_of: Callable[..., Any],
    until: Callable[..., Any],
    kill: Callable[[int], float],
    newest_plan: Callable[..., Any],
    check_whole: Callable[..., Any],
    row: Callable[..., None],
) -> None:
    soak = nightsoak("soak", *SAMPLE, *LONG)
    until(lambda: has_begun(paths) or soak.poll() is not None, "journal")
    assert len(processes_of(paths.datasets)) >= 2
    killed_s = kill(soak.pid)
    soak.wait()
    until(lambda: not processes_of(paths.datasets), "end of what it had started")
    seconds = time.monotonic() - killed_s
    plan = newest_plan(paths)
    written = check_whole(plan)
    assert written[-1]["type"] == "run_end" and written[-1]["reason"] in ("terminated", "stdin closed")
    assert not Path(f"/proc/{soak.pid}").exists()
    assert seconds < 60, "it lingered"
    seen = f"Killed (by the shell); bot and server are gone after {seconds:.1f} s"
    row("flow", seen=seen, lost="the rest of the run; no journalled record", seconds=None)


def test_a_bot_that_waits_for_its_first_book_ends_when_told(
    venue: VenueThread, live_plan: Callable[..., Any], until: Callable[..., Any]
) -> None:
    """It would wait for a minute."""
    plan = live_plan(venue, 16, 2)
    venue.inject("refuse", 600)
    lock = plan.paths.locks / "account-SIMUSDT.lock"
    with BotProcess(plan.file, plan.folder / "bot.log") as bot:
        until(lambda: lock.exists() and plan.run_id in lock.read_text(), "bot at work")
        os.kill(bot.pid, signal.SIGTERM)
        with pytest.raises(FeedError, match="no book before the stop \\(terminated\\)"):
            list(bot.messages())
