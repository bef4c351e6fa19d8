"""Shared by the tests that run the bot and whole soaks: folders of their own and a short generated tape."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import hypothesis
import pytest

from engine.bot.follow import follow_parent
from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape
from engine.paths import CHECKOUT, Paths
from engine.quality_suite import run_suite
from engine.soak import RunPlan, SoakSettings
from engine.soak_plan import make_plan

# A suite started in the background inherits an ignored Ctrl-C, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The first example of a test may compile a kernel: time is no property here.
hypothesis.settings.register_profile("nightsoak", deadline=None)
hypothesis.settings.load_profile("nightsoak")

SHORT_TAPE_SECONDS = 60
UP_WAIT_S = 240.0


@pytest.fixture(scope="session")
def short_tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    """A minute of the generated market, about 10,000 events; not to be changed."""
    market = read_settings(CHECKOUT / "config", "s1").with_run(seed=8, duration_s=SHORT_TAPE_SECONDS)
    return generate_tape(tmp_path_factory.mktemp("tapes") / "short", market)


@pytest.fixture(scope="session")
def following() -> Callable[[], object]:
    """The preexec_fn of a child that is told to end (SIGTERM) when the tests do, however they end."""
    return partial(follow_parent, os.getpid())


@pytest.fixture(scope="session")
def start_up(following: Callable[[], object]) -> Callable[..., subprocess.Popen[bytes]]:
    """Starts `nightsoak up` in an environment, its words in a file, and waits until it is up."""

    def start(said: Path, environment: Mapping[str, str], *words: str) -> subprocess.Popen[bytes]:
        with said.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "nightsoak", "up", *words],
                cwd=CHECKOUT,
                env=environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=following,
            )
        end_s = time.monotonic() + UP_WAIT_S
        while "UI: " not in said.read_text(encoding="utf-8"):
            assert process.poll() is None and time.monotonic() < end_s, said.read_text(encoding="utf-8")
            time.sleep(0.2)
        return process

    return start


@pytest.fixture(scope="session")
def expectations_here() -> None:
    """Import Great Expectations once, and not in a process of its own for every report of the tests that ask for it."""
    run_suite({})


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Fresh datasets and reports folders, for this process and those it starts; the committed configuration."""
    monkeypatch.setenv("NIGHTSOAK_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("NIGHTSOAK_REPORTS", str(tmp_path / "reports"))
    monkeypatch.delenv("MM_PROFILE", raising=False)
    return Paths.from_environment()


@pytest.fixture
def plan_of(paths: Paths, short_tape: Tape) -> Callable[..., RunPlan]:
    """Makes plans on the short tape: 3 iterations of 2 windows of 10 s, auto-tuned, unless told otherwise."""

    def plan(**changes: object) -> RunPlan:
        settings = {"tape": str(short_tape.path), "iterations": 3, "auto_tune": True, "window_seconds": 10}
        return make_plan(SoakSettings.model_validate(settings | changes), paths)

    return plan
