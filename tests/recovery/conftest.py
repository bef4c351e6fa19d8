"""Faults against real processes. Each test of the matrix leaves a row for docs/runbook.md (tests/recovery/runbook.py).

Nothing here sleeps for a guess: tests wait for what they need, and say what did not come.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.bot.journal import journal_files
from engine.bot.supervised import SupervisedBot
from engine.bot.supervision import Supervision
from engine.live.venue_thread import VenueThread
from engine.market.tape import Tape
from engine.parity import compare_fills, journalled_fills
from engine.paths import CHECKOUT, Paths
from engine.profile import load_profile
from engine.run_changes import changes_in_time
from engine.soak import RunPlan, SoakSettings
from engine.soak_market import recorded
from engine.soak_plan import make_plan
from engine.soak_steps import reach_edge
from engine.stretches import replay_stretches, resumed_at, stretches_of
from engine.warehouse.db import Warehouse
from engine.warehouse.ingest import ingest

ROWS = "NIGHTSOAK_RECOVERY_ROWS"
"""The folder that rows go to; none are written where it is not set."""
WAIT_S = 240.0
SECONDS_PER_HOUR = 3600


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Keeps a row of the matrix: `seen` by the operator, `lost`, seconds until it goes on (None: it does not)."""

    def keep(key: str, *, seen: str, lost: str, seconds: float | None) -> None:
        folder = os.environ.get(ROWS)
        if folder:
            found = {"key": key, "seen": seen, "lost": lost, "seconds": seconds, "test": request.node.originalname}
            (Path(folder) / f"{key}.json").write_text(json.dumps(found), encoding="utf-8")

    return keep


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Wait for a condition; its value when it holds."""

    def wait(condition: Callable[[], Any], what: str, seconds: float = WAIT_S) -> Any:
        end_s = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < end_s, f"no {what} within {seconds:g} s"
            time.sleep(0.02)
        return value

    return wait


@pytest.fixture(scope="session")
def sample() -> Tape:
    return Tape.open(CHECKOUT / "datasets" / "sample")


# --- processes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    pid: int
    words: str


@pytest.fixture(scope="session")
def processes_of() -> Callable[..., list[Process]]:
    """The processes that run with NIGHTSOAK_DATASETS at a folder, and a word in their command line."""

    def find(datasets: Path, word: str = "") -> list[Process]:
        mark = f"NIGHTSOAK_DATASETS={datasets}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if words and word in words:  # a zombie has none
                        found.append(Process(int(entry.name), words))
            except OSError:  # ended meanwhile
                continue
        return [one for one in found if one.pid != os.getpid()]

    return find


@pytest.fixture
def nightsoak(tmp_path: Path, following: Callable[[], object]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts commands, each in a session of its own; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "nightsoak", *words],
            cwd=CHECKOUT,
            env=os.environ | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=following,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


# --- runs -------------------------------------------------------------------------------------------------------------


def whole_records(plan: RunPlan) -> list[dict[str, Any]]:
    """Every whole line of a run's journal files."""
    return [
        json.loads(line)
        for path in journal_files(plan.paths.journals, plan.run_id)
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    ]


@pytest.fixture(scope="session")
def records() -> Callable[[RunPlan], list[dict[str, Any]]]:
    return whole_records


@pytest.fixture(scope="session")
def newest_plan() -> Callable[[Paths], RunPlan]:
    """The plan of the newest run of an installation."""

    def read(paths: Paths) -> RunPlan:
        plans = (paths.datasets / "runs").glob("*/plan.json")
        return RunPlan.read(max(plans, key=lambda file: file.stat().st_mtime_ns))

    return read


@pytest.fixture(scope="session")
def check_whole() -> Callable[[RunPlan], list[dict[str, Any]]]:
    """Ingest has every whole record once, numbered without a hole, and positions go on; the records."""

    def check(plan: RunPlan) -> list[dict[str, Any]]:
        with Warehouse(plan.paths.warehouse) as warehouse:
            ingest(warehouse, journal_files(plan.paths.journals, plan.run_id))
            rows = warehouse.execute("SELECT seq FROM raw_record WHERE run_id = ? ORDER BY seq", [plan.run_id])
        written = whole_records(plan)
        assert [seq for (seq,) in rows] == [record["seq"] for record in written] == list(range(len(written)))
        held: dict[int, int] = {}
        for record in written:
            if record["type"] == "fill":
                sign = 1 if record["side"] == "buy" else -1
                held[record["lane"]] = held.get(record["lane"], 0) + sign * record["qty_lots"]
                assert record["position_after_lots"] == held[record["lane"]], record
        return written

    return check


@pytest.fixture(scope="session")
def parity() -> Callable[[RunPlan], dict[str, Any]]:
    """Every stretch of an ingested run replayed from its tape, against the journal."""

    def compare(plan: RunPlan) -> dict[str, Any]:
        plan = recorded(plan)
        with Warehouse(plan.paths.warehouse) as warehouse:
            fills, changes = journalled_fills(warehouse, plan.run_id), changes_in_time(warehouse, plan.run_id)
            stretches = stretches_of(plan, resumed_at(warehouse, plan.run_id))
        profile = load_profile(plan.paths.config, plan.profile)
        return compare_fills(fills, replay_stretches(plan, profile, stretches, changes))

    return compare


Listener = Callable[[SupervisedBot, dict[str, Any]], None]


def _nothing(bot: SupervisedBot, message: dict[str, Any]) -> None:
    """Hears and does nothing."""


@pytest.fixture(scope="session")
def soak() -> Callable[..., list[dict[str, Any]]]:
    """Runs a plan's bot to its end, answering every edge as the flow does; what was heard."""

    def run(plan: RunPlan, listen: Listener = _nothing, settings: Supervision | None = None) -> list[dict[str, Any]]:
        heard: list[dict[str, Any]] = []
        with SupervisedBot(plan, settings) as bot:

            def hear(message: dict[str, Any]) -> None:
                heard.append(message)
                listen(bot, message)

            messages = bot.messages()
            for iteration in range(plan.schedule.iterations):
                reach_edge(plan, messages, iteration, hear)
                bot.command("continue", source=f"auto-tune iteration {iteration + 1}")
        return heard

    return run


@pytest.fixture
def venue(sample: Tape) -> Iterator[VenueThread]:
    """A venue of Bybit's that plays the sample for ever, in this process."""
    with VenueThread(sample, loop=True) as running:
        yield running


@pytest.fixture
def live_plan(paths: Paths) -> Callable[..., RunPlan]:
    """A shadow run of `seconds` in windows of `window_seconds` against a venue; it begins some seconds from now."""

    def plan(venue: VenueThread, seconds: int, window_seconds: int, iterations: int = 2) -> RunPlan:
        asked = {"feed": "bybit", "symbols": ("SIMUSDT",), "endpoint": venue.endpoint, "auto_tune": True}
        asked |= {"hours": seconds / SECONDS_PER_HOUR, "window_seconds": window_seconds, "iterations": iterations}
        return make_plan(SoakSettings.model_validate(asked), paths)

    return plan


@pytest.fixture
def kill() -> Callable[[int], float]:
    """SIGKILL; the time of it, on the monotonic clock."""

    def now(pid: int) -> float:
        at_s = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        return at_s

    return now


@pytest.fixture
def at_the_end() -> Iterator[ExitStack]:
    """What a test opens beside the others' fixtures."""
    with ExitStack() as stack:
        yield stack
