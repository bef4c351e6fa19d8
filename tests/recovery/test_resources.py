"""Disk, warehouse and feed taken away from a run, and given back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from engine.bot.process import BotProcess
from engine.bot.supervised import SupervisedBot
from engine.errors import LockHeldError, StorageError
from engine.live.venue_thread import VenueThread
from engine.paths import Paths
from engine.soak import NS_PER_S, RunPlan
from engine.soak_steps import measure, reach_edge
from engine.warehouse import opening
from engine.warehouse.db import Warehouse

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="mounts and limits as on Linux")]
_DISK_BYTES = 64 << 10


@pytest.fixture
def small_disk(paths: Paths) -> Iterator[Callable[[], None]]:
    """The journals' folder on a disk of 64 kB; gives what makes it larger."""
    paths.journals.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "none", str(paths.journals)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")

    def free() -> None:
        subprocess.run(["mount", "-o", "remount,size=64m", str(paths.journals)], check=True)

    try:
        yield free
    finally:
        subprocess.run(["umount", "-l", str(paths.journals)], check=True)


def test_a_full_disk(
    small_disk: Callable[[], None],
    plan_of: Callable[..., RunPlan],
    soak: Callable[..., Any],
    check_whole: Callable[..., Any],
    records: Callable[..., Any],
    row: Callable[..., None],
) -> None:
    """The bot says so and is not started again; with space it goes on where the journal ends."""
    plan = plan_of()
    with pytest.raises(StorageError, match="cannot write the journal: No space left on device") as stopped:
        soak(plan)
    before = records(plan)
    assert before and before[-1]["type"] != "run_end"
    small_disk()
    freed_s = time.monotonic()
    seconds = None
    with BotProcess(plan.file, plan.folder / "bot.log", resume=True) as bot:
        for message in bot.messages():
            if message["event"] == "started":
                seconds = time.monotonic() - freed_s
            if message["event"] == "edge":
                bot.command("continue")
    written = check_whole(plan)
    assert written[: len(before)] == before
    assert written[-1]["reason"] == "complete"
    said = str(stopped.value).replace(str(plan.paths.journals), "datasets/journals")
    row(
        "disk",
        seen=f"error: {said.replace(plan.run_id, 'RUN')}",
        lost="no journalled record; what did not fit",
        seconds=seconds,
    )


# argv: the warehouse. Holds it open for reading until its stdin ends.
READER = """
import sys
import duckdb
with duckdb.connect(sys.argv[1], read_only=True) as found:
    print(found.execute("SELECT count(*) FROM raw_record").fetchone()[0], flush=True)
    sys.stdin.read()
"""


def test_a_reader_in_the_warehouse(
    plan_of: Callable[..., RunPlan],
    check_whole: Callable[..., Any],
    at_the_end: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
    row: Callable[..., None],
) -> None:
    """The step waits for him while the bot waits for the step; one who stays too long is named."""
    plan = plan_of(iterations=2)
    with Warehouse(plan.paths.warehouse):
        pass  # made
    argv = [sys.executable, "-c", READER, str(plan.paths.warehouse)]
    reader = at_the_end.enter_context(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    at_the_end.callback(reader.kill)
    assert reader.stdin is not None and reader.stdout is not None
    assert reader.stdout.readline() == "0\n"
    with SupervisedBot(plan) as bot:
        messages = bot.messages()
        reach_edge(plan, messages, 0, lambda message: None)
        with monkeypatch.context() as patch:
            patch.setattr(opening, "READERS_S", 0.2)
            with pytest.raises(LockHeldError, match=f"in use by another process \\(pid {reader.pid}\\)") as refused:
                measure(plan, 0)
        made: list[Any] = []
        step = threading.Thread(target=lambda: made.append(measure(plan, 0)))
        step.start()
        step.join(0.5)
        assert not made, "read what is locked"
        reader.stdin.close()
        gone_s = time.monotonic()
        step.join(60)
        seconds = time.monotonic() - gone_s
        assert made and made[0].iteration == 0
        bot.command("continue")
        reach_edge(plan, messages, 1, lambda message: None)
    assert check_whole(plan)[-1]["reason"] == "complete"
    said = str(refused.value).replace(str(plan.paths.datasets), "datasets").replace(str(reader.pid), "N")
    row(
        "warehouse",
        seen=f"nothing; after {opening.READERS_S:.0f} s: error: {said}",
        lost="nothing; a live bot goes on meanwhile",
        seconds=seconds,
    )


@pytest.mark.soak
def test_a_feed_lost_for_longer_than_a_window(
    venue: VenueThread,
    live_plan: Callable[..., RunPlan],
    soak: Callable[..., Any],
    check_whole: Callable[..., Any],
    parity: Callable[..., Any],
    row: Callable[..., None],
) -> None:
    """Windows without a book are journalled as such; nothing is filled in, and nothing is traded."""
    plan = live_plan(venue, 24, 2, iterations=2)

    def listen(bot: Any, message: dict[str, Any]) -> None:
        if message["event"] == "progress" and message["window"] == 1:
            venue.inject("refuse", 6)

    soak(plan, listen)
    written = check_whole(plan)
    lost = next(record for record in written if record["type"] == "gap")
    assert lost["reason"].startswith("connection: ")
    back = next(record for record in written if record["type"] == "mark" and record["ts_ns"] > lost["ts_ns"])
    blind_s = (back["ts_ns"] - lost["ts_ns"]) / NS_PER_S
    assert blind_s > 4
    valid_ms = [record["valid_book_ms"] for record in written if record["type"] == "window_end"]
    assert len(valid_ms) == 12 and 0.0 in valid_ms and valid_ms[0] > 0 and valid_ms[-1] > 0, valid_ms
    dark = [record for record in written if lost["ts_ns"] < record["ts_ns"] < back["ts_ns"]]
    assert not any(record["type"] == "fill" for record in dark)
    assert parity(plan)["same"], parity(plan)
    row(
        "feed",
        seen=f"gaps in the report: {lost['reason']}",
        lost=f"no record; {blind_s:.0f} s of market for 6 s without a venue, a gap; windows with no coverage",
        seconds=blind_s - 6,
    )


def test_a_second_bot_on_the_account_is_refused(
    plan_of: Callable[..., RunPlan], soak: Callable[..., Any], row: Callable[..., None]
) -> None:
    first, second = plan_of(), plan_of()
    with SupervisedBot(first) as bot:
        messages = bot.messages()
        reach_edge(first, messages, 0, lambda message: None)
        with pytest.raises(LockHeldError, match=f"is in use by process {bot.pid} \\(run {first.run_id}\\)") as refused:
            soak(second)
    said = str(refused.value).replace(str(first.paths.datasets), "datasets").replace(first.run_id, "RUN")
    row("account", seen=f"error: {said.replace(str(bot.pid), 'N')}", lost="nothing", seconds=None)
