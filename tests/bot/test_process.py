"""The bot as a process of its own: how it is started, stopped, killed, resumed, and how it says what went wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import pytest

from engine.bot.journal import journal_files, read_tail
from engine.bot.process import BotProcess
from engine.bot.protocol import Message
from engine.errors import BotError, TapeError
from engine.market.tape import Tape
from engine.paths import CHECKOUT
from engine.soak import RunPlan

PlanOf = Callable[..., RunPlan]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as on POSIX")


def bot(plan: RunPlan, *, resume: bool = False) -> BotProcess:
    return BotProcess(plan.file, plan.folder / "bot.log", resume=resume)


def reach_edge(messages: object) -> list[Message]:
    return list(takewhile(lambda message: message["event"] != "edge", messages))  # type: ignore[call-overload]


def last_record(plan: RunPlan) -> Message:
    return json.loads(journal_files(plan.paths.journals, plan.run_id)[-1].read_bytes().splitlines()[-1])


def gone(pid: int, *, within_s: float = 10.0) -> bool:
    """Whether the process has ended; one that nobody has waited for yet counts."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_a_run_from_start_to_end(plan_of: PlanOf) -> None:
    plan = plan_of(iterations=2)
    with bot(plan) as process:
        assert os.getsid(process.pid) == process.pid, "Ctrl-C at the terminal would reach it"
        messages = process.messages()
        assert [m["event"] for m in reach_edge(messages)][:2] == ["started", "progress"]
        process.command("continue", source="auto-tune iteration 1")
        rest = list(messages)
    assert rest[-1]["event"] == "end"
    assert rest[-1]["reason"] == "complete"
    assert last_record(plan)["reason"] == "complete"


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (lambda process: process.command("stop"), "stopped"),
        (lambda process: os.kill(process.pid, signal.SIGTERM), "terminated"),
        (lambda process: process._process.stdin.close(), "stdin closed"),
    ],
    ids=["command", "SIGTERM", "stdin EOF"],
)
def test_a_stop_leaves_a_whole_journal_with_its_reason(
    plan_of: PlanOf, stop: Callable[[BotProcess], None], reason: str
) -> None:
    plan = plan_of()
    with bot(plan) as process:
        messages = process.messages()
        reach_edge(messages)
        stop(process)
        assert list(messages)[-1] == {
            "event": "end", "reason": reason, "ts_ns": plan.schedule.window_end_ns(1),
        }  # fmt: skip
        assert process._process is not None
        assert process._process.wait(timeout=10) == 0
    assert (last_record(plan)["type"], last_record(plan)["reason"]) == ("run_end", reason)
    assert not read_tail(plan.paths.journals, plan.run_id).torn


def test_leaving_the_block_ends_the_bot(plan_of: PlanOf) -> None:
    plan = plan_of()
    with bot(plan) as process:
        reach_edge(process.messages())
    assert gone(process.pid)
    assert last_record(plan)["type"] == "run_end"


def test_a_killed_bot_is_an_error_and_its_run_can_be_resumed(plan_of: PlanOf) -> None:
    plan = plan_of()
    with bot(plan) as process:
        messages = process.messages()
        reach_edge(messages)
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(BotError, match="killed by signal 9"):
            list(messages)
    assert last_record(plan)["type"] == "window_end"
    with bot(plan, resume=True) as process:
        messages = process.messages()
        started = next(messages)
        assert (started["event"], started["resumed"]) == ("started", True)
        for _ in range(2):
            reach_edge(messages)
            process.command("continue")
        assert list(messages)[-1]["reason"] == "complete"
    files = journal_files(plan.paths.journals, plan.run_id)
    seqs = [json.loads(line)["seq"] for path in files for line in path.read_bytes().splitlines()]
    assert len(files) == 2
    assert seqs == list(range(len(seqs)))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_bot_does_not_outlive_a_killed_parent(plan_of: PlanOf) -> None:
    plan = plan_of()
    script = f"""
import time
from pathlib import Path
from engine.bot.process import BotProcess
with BotProcess(Path({str(plan.file)!r}), Path({str(plan.folder / "bot.log")!r})) as bot:
    for message in bot.messages():
        if message["event"] == "edge":
            print(bot.pid, flush=True)
            time.sleep(60)
"""
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert gone(pid)
    assert last_record(plan)["type"] == "run_end"


def test_the_bots_own_error_comes_out_as_it_went_in(plan_of: PlanOf, short_tape: Tape, tmp_path: Path) -> None:
    plan = plan_of()
    plan.file.write_text(plan.file.read_text().replace(str(short_tape.path), str(tmp_path / "gone")))
    with bot(plan) as process, pytest.raises(TapeError, match="no such folder"):
        list(process.messages())


def test_a_bot_that_cannot_even_start_is_quoted(tmp_path: Path) -> None:
    log = tmp_path / "bot.log"
    with BotProcess(tmp_path / "plan.json", log) as process:
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(BotError, match="ended without a word"):
            list(process.messages())
