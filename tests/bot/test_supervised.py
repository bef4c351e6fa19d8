"""A bot that is killed at the worst moments goes on in its run: nothing journalled is lost, nothing is told twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.bot.journal import journal_files
from engine.bot.supervised import SupervisedBot
from engine.bot.supervision import FILE, Supervision, load_supervision
from engine.errors import BotDiedError, ConfigError, LockHeldError, TapeError
from engine.files import write_json
from engine.market.tape import Tape
from engine.paths import CHECKOUT
from engine.soak import RunPlan
from engine.soak_steps import reach_edge
from engine.warehouse.db import Warehouse
from engine.warehouse.ingest import ingest

PlanOf = Callable[..., RunPlan]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as on POSIX")
QUICK = Supervision(first_pause_s=0.05)

# The bot, killed by itself where a test wants it: each start takes the next bomb. argv: -m engine.bot PLAN ...
BOMB = """
import json, os, runpy, signal, sys, threading
from pathlib import Path

def die():
    os.kill(os.getpid(), signal.SIGKILL)

bombs = sorted(Path(os.environ["TEST_BOMBS"]).iterdir())
kind, number = json.loads(bombs[0].read_text()) if bombs else ("none", 0)
if bombs:
    bombs[0].unlink()
if kind == "start":
    die()
from engine.bot import journal, protocol

write, wait, say = journal.JournalWriter.write, protocol.Commands.wait, protocol.say

def torn(self, record):
    write(self, record)
    torn.left -= 1
    if torn.left == 0:
        del self._buffer[-20:]
        self.drain()
        die()

def frozen(self, record):
    write(self, record)
    frozen.left -= 1
    if frozen.left == 0:
        os.kill(os.getpid(), signal.SIGSTOP)

def deadlocked(self, record):
    write(self, record)
    deadlocked.left -= 1
    if deadlocked.left == 0:
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

def heard(self):
    command = wait(self)
    die()

def said(message):
    if message["event"] == "end":
        die()
    say(message)

torn.left = frozen.left = deadlocked.left = number
if kind in ("torn", "frozen", "deadlocked"):
    journal.JournalWriter.write = globals()[kind]
elif kind == "answer":
    protocol.Commands.wait = heard
elif kind == "end":
    protocol.say = said
sys.argv = ["engine.bot", *sys.argv[3:]]
runpy.run_module("engine.bot", run_name="__main__")
"""


@pytest.fixture
def bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives each further start of a bot the next (kind, number)."""
    folder, script, python = tmp_path / "bombs", tmp_path / "bomb.py", tmp_path / "python"
    folder.mkdir()
    script.write_text(BOMB)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("TEST_BOMBS", str(folder))
    monkeypatch.setattr(sys, "executable", str(python))

    def lay(*specs: tuple[str, int]) -> None:
        for number, spec in enumerate(specs):
            (folder / f"{number:03d}").write_text(json.dumps(spec))

    return lay


def records(plan: RunPlan) -> list[dict[str, Any]]:
    """Every whole line of the journal."""
    lines = [
        line
        for path in journal_files(plan.paths.journals, plan.run_id)
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    ]
    return [json.loads(line) for line in lines]


def soak(bot: SupervisedBot, at_edge: Callable[[int], None] = lambda iteration: None) -> list[dict[str, Any]]:
    """Answer every edge, as the flow does; what was heard."""
    heard: list[dict[str, Any]] = []
    messages = bot.messages()
    for iteration in range(bot.plan.schedule.iterations):
        edge = reach_edge(bot.plan, messages, iteration, heard.append)
        if iteration + 1 < bot.plan.schedule.iterations:
            assert edge.ts_ns == bot.plan.schedule.window_end_ns(2 * iteration + 1)
            at_edge(iteration)
            bot.command("continue", source=f"auto-tune iteration {iteration + 1}")
    return heard


def check_whole(plan: RunPlan) -> None:
    """Ingest has every whole record once, numbered without a hole, and positions go on over the deaths."""
    with Warehouse(plan.paths.warehouse) as warehouse:
        found = ingest(warehouse, journal_files(plan.paths.journals, plan.run_id))
        rows = warehouse.execute("SELECT seq FROM raw_record WHERE run_id = ? ORDER BY seq", [plan.run_id])
    written = records(plan)
    assert [seq for (seq,) in rows] == [record["seq"] for record in written] == list(range(len(written)))
    assert (found.accepted, found.duplicates) == (len(written), 0)
    held: dict[int, int] = {}
    for record in written:
        if record["type"] == "fill":
            sign = 1 if record["side"] == "buy" else -1
            held[record["lane"]] = held.get(record["lane"], 0) + sign * record["qty_lots"]
            assert record["position_after_lots"] == held[record["lane"]]


def test_a_bot_that_dies_at_every_bad_moment(plan_of: PlanOf, bombs: Callable[..., None]) -> None:
    """Before its first record, within a line, right after the answer, and while the flow decides."""
    plan = plan_of()
    bombs(("start", 0), ("torn", 40), ("answer", 0), ("none", 0), ("torn", 5))
    with SupervisedBot(plan, QUICK.model_copy(update={"restarts": 5})) as bot:

        def at_edge(iteration: int) -> None:
            if iteration == 1:
                os.kill(bot.pid, signal.SIGKILL)

        heard = soak(bot, at_edge)
    told = [message for message in heard if message["event"] == "restarted"]
    assert [message["restarts"] for message in told] == [1, 2, 3, 4, 5]
    assert all(message["reason"] == "ended without a word (killed by signal 9)" for message in told)
    edges = [message["iteration"] for message in heard if message["event"] == "edge"]
    assert edges == [0, 1, 2], "an edge was told twice, or not at all"
    check_whole(plan)
    written = records(plan)
    assert sum(record["type"] == "gap" and record["reason"] == "resumed" for record in written) == 4
    assert [record["window"] for record in written if record["type"] == "window_end"] == list(range(6))
    assert (written[-1]["type"], written[-1]["reason"]) == ("run_end", "complete")
    assert len(journal_files(plan.paths.journals, plan.run_id)) == 5


def test_a_bot_that_hangs_is_killed_and_started_again(plan_of: PlanOf, bombs: Callable[..., None]) -> None:
    """Frozen, then in a deadlock, in the middle of a window. One that waits at an edge for longer does not hang."""
    plan = plan_of()
    bombs(("frozen", 60), ("deadlocked", 60))
    with SupervisedBot(plan, QUICK.model_copy(update={"silence_s": 1.5})) as bot:
        heard = soak(bot, lambda iteration: time.sleep(2.0 * (iteration == 0)))
    told = [message["reason"] for message in heard if message["event"] == "restarted"]
    assert told == ["said nothing for 1.5 s and was killed"] * 2
    assert heard[-1]["reason"] == "complete"
    check_whole(plan)
    assert sum(record["type"] == "gap" and record["reason"] == "resumed" for record in records(plan)) == 2
    assert "in deadlocked" in (plan.folder / "bot.log").read_text()


def test_the_settings_are_checked_and_may_be_left_out(tmp_path: Path) -> None:
    assert (
        load_supervision(tmp_path)
        == Supervision()
        == load_supervision(CHECKOUT / "config").model_copy(update={"comment": ""})
    )
    write_json(tmp_path / FILE, {"silence_s": 0})
    with pytest.raises(ConfigError, match="silence_s: "):
        load_supervision(tmp_path)


def test_one_that_died_after_its_last_record_has_ended(plan_of: PlanOf, bombs: Callable[..., None]) -> None:
    plan = plan_of(iterations=1)
    bombs(("end", 0))
    with SupervisedBot(plan, QUICK) as bot:
        heard = soak(bot)
    assert (heard[-1]["event"], heard[-1]["reason"], bot.restarts) == ("end", "complete", 0)
    check_whole(plan)


def test_the_limit_is_kept(plan_of: PlanOf, bombs: Callable[..., None]) -> None:
    plan = plan_of()
    bombs(*[("start", 0)] * 9)
    with (
        SupervisedBot(plan, QUICK.model_copy(update={"restarts": 2})) as bot,
        pytest.raises(BotDiedError, match="killed by signal 9"),
    ):
        soak(bot)
    assert bot.restarts == 2
    assert len(list(Path(os.environ["TEST_BOMBS"]).iterdir())) == 9 - 3


def test_what_the_bot_says_of_itself_is_not_tried_again(plan_of: PlanOf, short_tape: Tape, tmp_path: Path) -> None:
    plan = plan_of()
    plan.file.write_text(plan.file.read_text().replace(str(short_tape.path), str(tmp_path / "gone")))
    with SupervisedBot(plan, QUICK) as bot, pytest.raises(TapeError, match="no such folder"):
        soak(bot)
    assert bot.restarts == 0


# The flow, which stops its bot in the middle of a run and is killed: argv is the plan.
FROZEN = """
import os, signal, sys, time
from pathlib import Path
from engine.bot.process import BotProcess
plan = Path(sys.argv[1])
with BotProcess(plan, plan.parent / "bot.log") as bot:
    for message in bot.messages():
        if message["event"] == "edge":
            os.kill(bot.pid, signal.SIGSTOP)
            print(bot.pid, flush=True)
            time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_frozen_bot_that_was_succeeded_writes_no_more(plan_of: PlanOf) -> None:
    """Its flow is dead and it cannot end; the next bot takes over, and the old one wakes up to find that out."""
    plan = plan_of()
    flow = subprocess.Popen(
        [sys.executable, "-c", FROZEN, str(plan.file)], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    )
    assert flow.stdout is not None
    old = int(flow.stdout.readline())
    with (  # while the flow lives, nobody may
        SupervisedBot(plan_of(), QUICK) as second,
        pytest.raises(LockHeldError, match=f"in use by process {old} \\(run {plan.run_id}"),
    ):
        soak(second)
    flow.kill()
    flow.wait()
    flow.stdout.close()
    before = journal_files(plan.paths.journals, plan.run_id)[0].read_bytes()
    command = [sys.executable, "-m", "engine.bot", str(plan.file), "--resume"]
    new = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    assert new.stdin is not None and new.stdout is not None
    assert json.loads(new.stdout.readline())["resumed"] is True
    os.kill(old, signal.SIGCONT)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{old}/stat").exists() and Path(f"/proc/{old}/stat").read_text().rsplit(")")[1].split()[0] != "Z":
        assert time.monotonic() < deadline, "the old bot goes on"
        time.sleep(0.02)
    assert "another bot has taken over the account of SIMUSDT" in (plan.folder / "bot.log").read_text()
    for _ in range(2):
        new.stdin.write('{"command": "continue"}\n')
    new.stdin.flush()
    assert json.loads(new.stdout.readlines()[-1])["reason"] == "complete"
    new.stdin.close()
    new.stdout.close()
    assert new.wait(60) == 0
    assert journal_files(plan.paths.journals, plan.run_id)[0].read_bytes() == before
    check_whole(plan)
