"""Beyond one machine: the server on PostgreSQL, and two workers with homes of their own under it.

PostgreSQL is Debian's, started here on the loopback address in a folder of its own, and ended by the id of its process.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.errors import RunError
from engine.paths import CHECKOUT
from flows.api import Api, Run
from flows.database import URL, check_database
from flows.environment import free_port

SAMPLE = CHECKOUT / "datasets" / "sample"
PASSWORD = "s3cret/p@ss"
QUOTED = "s3cret%2Fp%40ss"
_WAIT_S = 240.0


def binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    return found[-1].parent if found else None


def user() -> str | None:
    """Whom PostgreSQL runs as: it refuses root. None: nobody can be had."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        return None
    return "postgres" if shutil.which("setpriv") else None


pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="PostgreSQL as Debian has it"),
    pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed (/usr/lib/postgresql)"),
    pytest.mark.skipif(user() is None, reason="PostgreSQL refuses root, and there is no user postgres with setpriv"),
]


def wait_until(met: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _WAIT_S
    while not (result := met()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.2)
    return result


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of an empty database."""
    found, name = binaries(), user()
    assert found is not None and name is not None
    folder = Path(tempfile.mkdtemp(prefix="nightsoak-postgresql-"))
    as_user = []
    if os.getuid() == 0:
        shutil.chown(folder, name, name)
        as_user = ["setpriv", "--pdeathsig=INT", f"--reuid={name}", f"--regid={name}", "--clear-groups"]
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    quiet: dict[str, Any] = {"cwd": folder, "check": True, "capture_output": True}
    try:
        start = ["--auth=scram-sha-256", f"--pwfile={folder}/password", "--username=nightsoak", "--no-sync"]
        subprocess.run([*as_user, str(found / "initdb"), "-D", f"{folder}/data", *start], **quiet)
        port = free_port()
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
        words = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
        with (folder / "log").open("wb") as log:
            # setpriv becomes the server: the id is the server's own
            server = subprocess.Popen(
                [*as_user, str(found / "postgres"), "-D", f"{folder}/data", *words], cwd=folder, stdout=log, stderr=log
            )
        try:
            ask = [str(found / "psql"), "-h", "127.0.0.1", "-p", str(port), "-U", "nightsoak", "-d", "postgres"]
            secret = {**os.environ, "PGPASSWORD": PASSWORD}
            create = [*ask, "-c", "CREATE DATABASE prefect"]
            wait_until(lambda: subprocess.run(create, env=secret, capture_output=True, check=False).returncode == 0)
            yield f"postgresql+asyncpg://nightsoak:{QUOTED}@127.0.0.1:{port}/prefect"
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL's own fast end
            server.wait(60)
    finally:
        shutil.rmtree(folder)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Of a host: home and datasets of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "NIGHTSOAK_"))}
    return kept | {
        "PREFECT_HOME": str(folder / "prefect"),
        "NIGHTSOAK_DATASETS": str(folder / "datasets"),
        "NIGHTSOAK_REPORTS": str(folder / "reports"),
        "PYTHONPATH": str(CHECKOUT),
        **more,
    }


@dataclass
class Up:
    """A `nightsoak up`, and what it has said."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def said(self) -> str:
        return (self.folder / "up.out").read_text(encoding="utf-8")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(60) == 0, self.said


@pytest.fixture(scope="module")
def start_host(start_up: Callable[..., Any]) -> Callable[..., Up]:
    """A `nightsoak up` on a host's folder."""

    def start(folder: Path, host: dict[str, str], *words: str) -> Up:
        return Up(folder, start_up(folder / "up.out", host, *words))

    return start


@pytest.fixture(scope="module")
def first(database: str, tmp_path_factory: pytest.TempPathFactory, start_host: Callable[..., Up]) -> Iterator[Up]:
    """The host of the server, whose worker takes what writes its warehouse."""
    folder = tmp_path_factory.mktemp("first")
    host = environment(folder, **{URL: database})
    up = start_host(folder, host, "--port", str(free_port()), "--queues", "ingest", "default")
    yield up
    up.end()


@pytest.fixture(scope="module")
def api(first: Up) -> Iterator[Api]:
    url = next(line for line in first.said.splitlines() if line.startswith("UI: ")).removeprefix("UI: ")
    with Api(f"{url}/api") as found:
        yield found


def ask(api: Api, path: str, body: dict[str, Any], method: str = "POST") -> Any:
    answer = httpx.request(method, f"{api.url}{path}", json=body, timeout=30)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def start(api: Api, deployment: str, queue: str = "", **changes: Any) -> str:
    asked = {"tape": str(SAMPLE), "iterations": 2, "window_seconds": 60, "auto_tune": True} | changes
    body: dict[str, Any] = {"parameters": {"settings": asked}} | ({"work_queue_name": queue} if queue else {})
    return str(ask(api, f"/deployments/{api.find_deployment(deployment)[1]}/create_flow_run", body)["id"])


def ended(api: Api, run: str) -> Run:
    found: Run = wait_until(lambda: state if (state := api.run(run)).is_final else None)
    return found


def artefacts(reports: Path) -> dict[str, bytes]:
    """What a run published, without its id and its real times."""
    folder = (reports / "latest").resolve()
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "wall_clock.json"]
    return {
        file.relative_to(folder).as_posix(): file.read_bytes().replace(folder.name.encode(), b"RUN") for file in files
    }


def test_a_wrong_password_is_one_line_without_it(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, database.replace(QUOTED, "wr0ng"))
    with pytest.raises(RunError) as refused:
        check_database()
    assert "password authentication failed" in str(refused.value)
    assert "wr0ng" not in str(refused.value)
    assert "nightsoak:***@" in str(refused.value)


def test_a_database_that_answers_is_shown_without_its_password(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, database)
    assert check_database() == database.replace(QUOTED, "***")


@pytest.mark.soak
def test_a_soak_on_postgresql_is_the_soak_on_sqlite(first: Up, api: Api, tmp_path: Path) -> None:
    run = ended(api, start(api, "soak-3h"))
    assert run.state_type == "COMPLETED", run.message
    words = ["soak", "--tape", str(SAMPLE), "--iterations", "2", "--window-seconds", "60", "--auto-tune"]
    done = subprocess.run(
        [sys.executable, "-m", "nightsoak", *words], cwd=CHECKOUT, env=environment(tmp_path), capture_output=True
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = artefacts(first.folder / "reports"), artefacts(tmp_path / "reports")
    assert sorted(ours) == sorted(theirs)
    manifest = "truth_manifest.json"
    assert [name for name in ours if name != manifest and ours[name] != theirs[name]] == []
    one, other = (json.loads(files[manifest]) for files in (ours, theirs))
    assert {key for key in {*one, *other} if one.get(key) != other.get(key)} == set()
    assert run.message.startswith(json.loads(ours["KPI_GATE.json"])["verdict"])


@pytest.mark.soak
def test_it_is_in_postgresql_and_the_password_is_nowhere(first: Up, database: str) -> None:
    assert "database: postgresql+asyncpg://nightsoak:***@127.0.0.1:" in first.said
    assert not list((first.folder / "prefect").glob("*.db"))
    texts = {file.name: file.read_text(errors="replace") for file in (first.folder / "prefect").glob("*.log")}
    assert {"server.log", "deploy.log", "worker.log"} <= set(texts)
    texts["up"] = first.said
    for command in (["status"], ["doctor"]):
        done = subprocess.run(
            [sys.executable, "-m", "nightsoak", *command],
            cwd=CHECKOUT,
            env=environment(first.folder, **{URL: database}),
            capture_output=True,
            text=True,
        )
        assert "postgresql+asyncpg://nightsoak:***@127.0.0.1:" in done.stdout, done.stderr
        texts[command[0]] = done.stdout + done.stderr
    assert [name for name, text in texts.items() if PASSWORD in text or QUOTED in text] == []


@pytest.mark.soak
def test_only_the_server_knows_the_url(first: Up) -> None:
    """Its process does; the worker, the runs and what they start do not."""
    having = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"PREFECT_HOME={first.folder / 'prefect'}" in words and any(word.startswith(URL) for word in words):
            having.append(line)
    assert sorted("flows.server" in line or "nightsoak up" in line for line in having) == [True, True], having


@pytest.mark.soak
def test_under_one_server_the_second_soak_is_refused_or_waits(
    first: Up, api: Api, tmp_path: Path, start_host: Callable[..., Up]
) -> None:
    """Two workers with two homes: only the server can tell that a soak is running."""
    second = start_host(tmp_path, environment(tmp_path), "--join", api.url, "--queues", "elsewhere")
    try:
        wait_until(lambda: len(api.workers_online()) == 2)
        (first.folder / "datasets" / "overrides").mkdir(exist_ok=True)
        long = start(api, "soak-3h", iterations=60, window_seconds=1)
        runs = first.folder / "datasets" / "runs"
        before = len(list(runs.iterdir()))
        wait_until(lambda: len(list(runs.iterdir())) > before)
        refused = ended(api, start(api, "soak-24h", "elsewhere"))
        assert api.run(long).state == "Running", "the first was done too early for this test"
        assert refused.state == "Failed"
        assert "another soak runs under this server" in refused.message
        enqueue = {"concurrency_options": {"collision_strategy": "ENQUEUE"}}
        ask(api, f"/deployments/{api.find_deployment('soak-24h')[1]}", enqueue, "PATCH")
        waiting = start(api, "soak-24h", "elsewhere")
        wait_until(lambda: api.run(waiting).state == "Running")
        assert not (tmp_path / "datasets" / "runs").exists() or api.run(long).is_final
        assert ended(api, long).state == "Completed"
        done = ended(api, waiting)
        assert done.state == "Completed", done.message
        (made,) = (tmp_path / "datasets" / "runs").iterdir()
        # The lease ends with the recipe, a moment before the server notes the run's end.
        report = (first.folder / "reports" / "latest").resolve()
        written = datetime.fromtimestamp((report / "truth_manifest.json").stat().st_mtime, UTC)
        assert made.name[:15] >= f"{written:%Y%m%dT%H%M%S}"
    finally:
        second.end()
