"""`nightsoak up`, `run` and `status` where no server is up; what they do with one is in tests/flows/test_up.py."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path

import pytest

from engine.locks import FileLock
from engine.paths import Paths
from engine.soak_plan import soak_lock
from flows.server_record import ServerRecord, prefect_home, running_server, write_record
from nightsoak.__main__ import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Prefect home without a server."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    return tmp_path / "prefect"


def failing(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The exit code and the one line on stderr; nothing on stdout."""
    code = main(list(words))
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    return code, line


def test_a_second_up_on_a_home_is_refused_and_names_the_first(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FileLock(home / "up.lock", what="this Prefect home"):
        code, line = failing(capsys, "up")
    assert code == 3
    assert f"this Prefect home is in use by process {os.getpid()}" in line


def test_a_port_that_is_asked_for_and_taken_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, line = failing(capsys, "up", "--port", str(other.getsockname()[1]))
    assert code == 3
    assert "the port is taken" in line


@pytest.mark.parametrize("zone", ["Nowhere", "Europe/Atlantis", "../etc/passwd", ""])
def test_an_unknown_time_zone_is_refused(
    zone: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTSOAK_TIMEZONE", zone)
    code, line = failing(capsys, "up")
    assert code == 2
    assert "NIGHTSOAK_TIMEZONE" in line


def test_run_without_a_server_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, line = failing(capsys, "run", "soak-3h")
    assert code == 3
    assert "run nightsoak up" in line


def test_status_without_a_server_tells_what_the_disk_knows(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    with soak_lock(paths):
        assert main(["status"]) == 0
        out, err = capsys.readouterr()
        assert max(len(line) for line in out.splitlines() if "/" not in line) <= 100
        out = re.sub(r"\n +", " ", out).replace("soak lock", "lock     ")
        rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert "no Prefect server is up" in rows["server"]
    assert f"in use by process {os.getpid()}" in rows["lock"]
    assert rows["report"] == "none yet"
    assert err == "hint: nightsoak up\n"
    assert main(["status", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["server"]["url"] is None
    assert facts["lock"] is None


def test_the_record_of_a_server_that_is_gone_is_not_believed() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: whoever connects is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        prefect_home().mkdir(parents=True)
        write_record(prefect_home(), ServerRecord(os.getpid(), f"{url}/api", url))
        assert running_server(prefect_home()) is None
