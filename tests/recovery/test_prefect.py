"""`nightsoak up` with its parts killed one after the other. One server serves all tests, in the order they stand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.paths import CHECKOUT
from flows.api import Api, Run
from flows.environment import free_port
from flows.server_record import answers, running_server
from flows.up import Crew

pytestmark = [pytest.mark.soak, pytest.mark.skipif(sys.platform != "linux", reason="follows processes through /proc")]
LONG = {
    "tape": str(CHECKOUT / "datasets" / "sample"),
    "iterations": 40,
    "window_seconds": 2,
    "auto_tune": True,
}
WAIT_S = 240.0
_KEPT = ("PREFECT_", "NIGHTSOAK_")


@dataclass
class Up:
    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    @property
    def said(self) -> str:
        return (self.folder / "up.out").read_text(encoding="utf-8")

    @property
    def datasets(self) -> Path:
        return self.folder / "datasets"

    @property
    def url(self) -> str:
        record = running_server(Path(self.environment["PREFECT_HOME"]))
        return record.api_url if record else ""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, start_up: Callable[..., Any]) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_KEPT)}
    environment = kept | {
        "PREFECT_HOME": str(folder / "prefect"),
        "NIGHTSOAK_DATASETS": str(folder / "datasets"),
        "NIGHTSOAK_REPORTS": str(folder / "reports"),
        "PYTHONPATH": str(CHECKOUT),
    }
    process = start_up(folder / "up.out", environment, "--port", str(free_port()))
    up = Up(folder, environment, process)
    yield up
    process.terminate()
    try:
        process.wait(60)
    finally:
        process.kill()


@pytest.fixture
def long_run(up: Up, processes_of: Callable[..., Any], until: Callable[..., Any]) -> Run:
    """A soak that has begun its journal and will not be done for a while."""
    before = set((up.datasets / "journals").glob("*")) if up.datasets.exists() else set()
    with Api(until(lambda: up.url, "server")) as api:
        deployment = api.find_deployment("soak-3h")[1]
        url = f"{api.url}/deployments/{deployment}/create_flow_run"

        def started() -> str:
            """The run's id; a server that was just killed may be too busy to take it."""
            made = httpx.post(url, json={"parameters": {"settings": LONG}}, timeout=60)
            return str(made.json()["id"]) if made.is_success else ""

        run = api.run(until(started, "run"))

    def begun() -> bool:
        return any(file.stat().st_size for file in (up.datasets / "journals").glob("*") if file not in before)

    until(begun, "journal of a run of the worker")
    return run


def of_run(up: Up, processes_of: Callable[..., Any]) -> list[Any]:
    """Flow and bot: what runs beside `up`, its server and its worker."""
    parts = ("nightsoak up", "flows.server", "flows.child", "prefect worker")
    return [one for one in processes_of(up.datasets) if not any(part in one.words for part in parts)]


def ended(up: Up, run: Run, until: Callable[..., Any]) -> Run:
    """The run when its state is final."""

    def final() -> Run | None:
        try:
            with Api(up.url) as api:
                found = api.run(run.id)
        except Exception:  # the server is on its way back
            return None
        return found if found.is_final else None

    state: Run = until(final, "end of the run")
    return state


def test_the_server_is_killed(
    up: Up, long_run: Run, processes_of: Callable[..., Any], until: Callable[..., Any], row: Callable[..., None]
) -> None:
    """The run does not need it."""
    (server,) = processes_of(up.datasets, "flows.server")
    os.kill(server.pid, signal.SIGKILL)
    killed_s = time.monotonic()
    until(lambda: "server died and is started again" in up.said, "word of the server")
    until(lambda: up.url, "server")
    seconds = time.monotonic() - killed_s
    lease = httpx.get(f"{up.url}/flow_runs/{long_run.id}").json()["state"]["state_details"]
    renew = f"{up.url}/v2/concurrency_limits/leases/{lease['deployment_concurrency_lease_id']}/renew"
    httpx.post(renew, json={"lease_duration": 300}).raise_for_status()  # as the run does, every 225 s
    run = ended(up, long_run, until)
    gate = json.loads((up.folder / "reports" / "latest" / "KPI_GATE.json").read_text())
    assert run.state == "Completed", run
    assert "partial" not in gate
    row("server", seen="server died and is started again", lost="nothing; the run goes on", seconds=seconds)


def test_the_flow_is_killed_under_its_worker(
    up: Up, long_run: Run, processes_of: Callable[..., Any], until: Callable[..., Any], row: Callable[..., None]
) -> None:
    (flow,) = (one for one in of_run(up, processes_of) if "engine.bot" not in one.words)
    killed_s = time.monotonic()
    os.kill(flow.pid, signal.SIGKILL)
    until(lambda: not of_run(up, processes_of), "end of its bot")
    run = ended(up, long_run, until)
    seconds = time.monotonic() - killed_s
    assert run.state == "Crashed", run
    row(
        "worker_flow", seen=f"Crashed: {run.message}", lost="the rest of the run; no journalled record", seconds=seconds
    )


def test_the_worker_is_killed(
    up: Up, long_run: Run, processes_of: Callable[..., Any], until: Callable[..., Any], row: Callable[..., None]
) -> None:
    """The run ends with a partial report, the worker comes back."""
    (worker,) = (one for one in processes_of(up.datasets) if "worker" in one.words and "flows.child" in one.words)
    os.kill(worker.pid, signal.SIGKILL)
    killed_s = time.monotonic()
    until(lambda: "worker died and is started again" in up.said, "word of the worker")
    until(lambda: not of_run(up, processes_of), "end of flow and bot")
    until(lambda: [one for one in processes_of(up.datasets) if "worker" in one.words], "worker")
    seconds = time.monotonic() - killed_s
    run = ended(up, long_run, until)
    assert run.state == "Crashed", run
    assert json.loads((up.folder / "reports" / "latest" / "KPI_GATE.json").read_text())["partial"] is True
    seen = f"worker died and is started again; the run: Crashed: {run.message}"
    row("worker", seen=seen, lost="the rest of the run, reported as partial", seconds=seconds)


def test_flow_and_worker_are_killed_at_once(
    up: Up, long_run: Run, processes_of: Callable[..., Any], until: Callable[..., Any], row: Callable[..., None]
) -> None:
    """Nobody is left to tell: the automation that listens to heartbeats does."""
    (flow,) = (one for one in of_run(up, processes_of) if "engine.bot" not in one.words)
    (worker,) = (one for one in processes_of(up.datasets) if "worker" in one.words and "flows.child" in one.words)
    os.kill(worker.pid, signal.SIGSTOP)  # so that it cannot hear of the flow
    os.kill(flow.pid, signal.SIGKILL)
    os.kill(worker.pid, signal.SIGKILL)
    killed_s = time.monotonic()
    until(lambda: not of_run(up, processes_of), "end of the bot")
    run = ended(up, long_run, until)
    seconds = time.monotonic() - killed_s
    assert (run.state, run.message) == ("Crashed", "no heartbeat for 90 s")
    row("zombie", seen=f"Crashed: {run.message}", lost="the rest of the run; no journalled record", seconds=seconds)


def test_no_server_answers_at_the_start(
    nightsoak: Callable[..., Any], paths: Any, processes_of: Callable[..., Any], row: Callable[..., None]
) -> None:
    begun_s = time.monotonic()
    port = free_port()
    soak = nightsoak("soak", "--tape", LONG["tape"], PREFECT_API_URL=f"http://127.0.0.1:{port}/api")
    _, said = soak.communicate(timeout=240)
    seconds = time.monotonic() - begun_s
    assert soak.returncode == 3, said
    line = said.splitlines()[-1]
    assert line.startswith("error: ") and "Traceback" not in said
    assert not processes_of(paths.datasets)
    assert not paths.journals.exists(), "a run was begun that nobody could follow"
    seen = f"{line.replace(str(port), 'PORT')} (exit 3, after {seconds:.0f} s)"
    row("server_absent", seen=seen, lost="nothing was begun", seconds=None)


def test_a_frozen_server_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server alone of what `nightsoak up` looks after, with a shorter limit than three minutes."""
    monkeypatch.setattr("flows.up._MUTE_S", 3.0)
    port = free_port()
    crew = Crew(tmp_path, port)
    crew._argv = {"server": crew._argv["server"]}
    with crew:
        frozen = crew._children["server"]
        end_s = time.monotonic() + WAIT_S
        while not answers(f"{crew.api_url}/health"):
            assert time.monotonic() < end_s, "the server does not start"
            time.sleep(0.1)
        assert crew.revive() == []
        os.kill(frozen.pid, signal.SIGSTOP)
        while not (again := crew.revive()):
            assert time.monotonic() < end_s, "nobody notices"
            time.sleep(0.1)
        assert again == ["server"]
        assert frozen.poll() == -signal.SIGKILL
        assert crew._children["server"].poll() is None
