"""A tune's lanes on dask's workers: what a worker checks, and a tune with real workers where the extra is installed."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from engine.errors import InputError, TapeError
from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape
from engine.params import Params
from engine.paths import CHECKOUT, Paths
from engine.profile import load_profile
from engine.report.manifest import code_sha256
from engine.search.trial_windows import evaluate, join_lanes
from nightsoak.__main__ import main
from tasks.dask_lanes import LOCAL, Executor, Lanes, evaluator, replay_lanes, replaying_on, split

extra = pytest.mark.skipif(find_spec("prefect_dask") is None, reason="requirements-dask.lock is not installed")
no_extra = pytest.mark.skipif(find_spec("prefect_dask") is not None, reason="requirements-dask.lock is installed")
_PIN = re.compile(r"^([a-z0-9._-]+)==([^\s\\]+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    return dict(_PIN.findall((CHECKOUT / name).read_text(encoding="utf-8")))


def part(tape: Tape, digest: str = "", code: str = "") -> Lanes:
    tapes = ((str(tape.path.absolute()), digest or tape.meta.digest),)
    profile = load_profile(CHECKOUT / "config", "S1")
    return Lanes(tapes, profile, (dict(Params()),), 10, code or code_sha256())


def test_the_lock_of_the_extra_keeps_to_the_lock() -> None:
    ours, theirs = pins("requirements.lock"), pins("requirements-dask.lock")
    assert {"prefect-dask", "dask", "distributed"} <= set(theirs) - set(ours)
    assert theirs["prefect-dask"] == "0.3.7"
    assert {name: pin for name, pin in theirs.items() if name in ours and ours[name] != pin} == {}


@given(lanes=st.integers(1, 70), parts=st.integers(1, 40))
def test_lanes_are_split_in_order_and_evenly(lanes: int, parts: int) -> None:
    sets = [{"lane": float(lane)} for lane in range(lanes)]
    cut = split(sets, parts)
    assert [lane for piece in cut for lane in piece] == sets
    sizes = {len(piece) for piece in cut}
    assert len(cut) == min(lanes, parts)
    assert max(sizes) - min(sizes) <= 1


def test_a_part_that_a_worker_did_is_what_is_done_here(short_tape: Tape) -> None:
    work = part(short_tape)
    theirs, ours = replay_lanes.fn(work), evaluate([short_tape], work.profile, work.lanes, 10)
    for name in vars(ours):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))


def test_a_worker_refuses_another_tape_at_the_path_and_other_code(short_tape: Tape, tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="is another tape there") as refused:
        replay_lanes.fn(part(short_tape, digest="0" * 64))
    assert refused.value.where == f"{socket.gethostname()}: {short_tape.path.absolute()}"
    missing = Lanes(((str(tmp_path / "none"), short_tape.meta.digest),), part(short_tape).profile, (), 10, "")
    with pytest.raises(InputError, match="other code"):
        replay_lanes.fn(missing)
    there = Lanes(missing.tapes, missing.profile, missing.lanes, 10, code_sha256())
    with pytest.raises(TapeError, match="not a tape") as refused:
        replay_lanes.fn(there)
    assert refused.value.remedy == "put the tape at this path there"


def test_by_default_lanes_are_replayed_here() -> None:
    with replaying_on(LOCAL):
        assert evaluator() is evaluate


def test_a_scheduler_for_a_local_executor_is_refused() -> None:
    with pytest.raises(InputError, match="executor is local"), replaying_on(Executor(dask_address="tcp://x:1")):
        pass


@no_extra
@pytest.mark.parametrize("words", [["--workers", "2"], ["--dask-address", "tcp://127.0.0.1:8786"]])
def test_without_the_extra_it_is_one_line(
    words: list[str], paths: Paths, short_tape: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = ["--tape", str(short_tape.path), "--window-seconds", "5"]
    assert main(["tune", *tape, *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {words[0]}: prefect-dask is not installed; pip install -r requirements-dask.lock")
    with pytest.raises(InputError, match="not installed"), replaying_on(Executor(executor="dask")):
        pass


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler with two workers, ended by the ids of their processes."""
    file = tmp_path / "scheduler.json"
    quiet = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PREFECT_PLUGINS_ENABLED": "false"}
    dask = [sys.executable, "-m", "dask"]
    local = ["--host", "127.0.0.1", "--no-dashboard"]
    started = []
    with (tmp_path / "dask.log").open("wb") as log:

        def start(*words: str) -> None:
            argv = [*dask, *words, *local, "--scheduler-file", str(file)]
            started.append(subprocess.Popen(argv, cwd=CHECKOUT, env=quiet, stdout=log, stderr=log))

        try:
            start("scheduler", "--port", "0")
            deadline = time.monotonic() + 60
            while not file.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            for _ in range(2):
                start("worker", "--nthreads", "1", "--no-nanny")
            log_file = tmp_path / "dask.log"
            while log_file.read_text().count("Registered to:") < 2 and time.monotonic() < deadline:
                time.sleep(0.1)
            yield re.findall(r'"address": "(tcp://[^"]+)"', file.read_text())[0]
        finally:
            for process in reversed(started):  # a worker that has lost its scheduler waits for it, and hears nothing
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@extra
@pytest.mark.soak
def test_two_workers_find_what_one_machine_finds_byte_for_byte(scheduler: str, tmp_path: Path) -> None:
    market = read_settings(CHECKOUT / "config", "s1")
    tapes = [generate_tape(tmp_path / str(seed), market.with_run(seed=seed, duration_s=300)) for seed in (31, 32)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "NIGHTSOAK_"))}

    def tune(home: str, *where: str) -> dict[str, bytes]:
        folder = tmp_path / home
        own = {"PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(CHECKOUT), "MM_PROFILE": "S1"}
        own |= {f"NIGHTSOAK_{name.upper()}": str(folder / name) for name in ("datasets", "reports")}
        asked = ["--trials", "8", "--lanes", "4", "--window-seconds", "15", "--profile", "quick"]
        words = [sys.executable, "-m", "nightsoak", "tune", "--tape", *(str(tape.path) for tape in tapes), *asked]
        done = subprocess.run([*words, *where], cwd=CHECKOUT, env=kept | own, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        (made,) = folder.glob("reports/*/*-SIMUSDT-*")
        files = [file for file in made.iterdir() if file.name != "wall_clock.json"]
        return {file.name: file.read_bytes().replace(made.name.encode(), b"ID") for file in files}

    here, there = tune("here"), tune("there", "--dask-address", scheduler)
    assert "TUNE.json" in here
    assert [name for name in here if here[name] != there.get(name)] == []
    assert (tmp_path / "dask.log").read_text().count("Registered to:") == 2


def test_parts_join_to_the_whole(short_tape: Tape) -> None:
    profile = load_profile(CHECKOUT / "config", "S1")
    sets = [dict(Params().with_changes({"min_interval_ms": ms}, where="test")) for ms in (50, 90, 150)]
    whole = evaluate([short_tape], profile, sets, 10)
    parts = join_lanes([evaluate([short_tape], profile, piece, 10) for piece in split(sets, 2)])
    for name in vars(whole):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
