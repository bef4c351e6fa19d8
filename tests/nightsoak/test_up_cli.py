"""`nightsoak up`, `run` and `status` where no server is up; what they do with one is in tests/flows/test_up.py."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from engine.paths import Paths
from engine.soak_plan import soak_lock
from flows.server_record import STARTING, ServerRecord, prefect_home, running_server, up_lock, write_record
from nightsoak.__main__ import main
from nightsoak.up import _parameter


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
    with up_lock(home):
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


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("NIGHTSOAK_NOTICE_URL", "x", "NIGHTSOAK_NOTICE_URL: no such variable; did you mean 'NIGHTSOAK_NOTICE_URLS'?"),
        ("NIGHTSOAK_NOTICE_URLS", "json://127.0.0.1 hunter2", "address 2 of 2 is none that Apprise knows"),
    ],
)
def test_a_bad_environment_is_refused_before_anything_starts(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    said: str,
) -> None:
    monkeypatch.setenv(name, value)
    code, line = failing(capsys, "up")
    assert code == 2
    assert said in line and "hunter2" not in line
    assert not home.exists()


def test_a_port_that_is_lost_while_starting_is_left_for_a_free_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are taken after they were looked at: what was quoted of the first is what is raised of the second.

    What this process has started before is none of its business, and stays.
    """
    with socket.socket() as first, socket.socket() as second, subprocess.Popen(["sleep", "60"]) as bystander:
        for other in (first, second):
            other.bind(("127.0.0.1", 0))
            other.listen()
        ports = [other.getsockname()[1] for other in (first, second)]
        monkeypatch.setattr("nightsoak.up._port", lambda asked: ports[0])
        monkeypatch.setattr("flows.environment.free_port", lambda: ports[1])
        code = main(["up"])
        assert bystander.poll() is None
        bystander.kill()
    err = capsys.readouterr().err.splitlines()
    taken = "server ended while starting: port {}: Address already in use"
    assert code == 3
    assert err[1] == f"{taken.format(ports[0])}; starting again on a free port"
    assert taken.format(ports[1]) in err[2]


def test_status_says_that_one_is_starting(home: Path, paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    with up_lock(home) as lock:
        lock.describe("", doing=STARTING)
        code, line = failing(capsys, "run", "soak-3h")
        assert (code, f"nightsoak up (process {os.getpid()}) is starting" in line) == (3, True)
        assert main(["status", "--json"]) == 0
        out = capsys.readouterr().out
        assert "is starting" in json.loads(out)["server"]["error"]
        assert main(["status"]) == 0
        assert capsys.readouterr().err == "hint: nightsoak status\n"
    assert main(["status"]) == 0
    assert capsys.readouterr().err == "hint: nightsoak up\n"


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


def test_parameters_of_a_run_are_json_or_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["run=20261120T0200-X", 'settings={"hours": 1, "auto_tune": true}', "n=3", 'a="b"', "c=", "d=x=y"]
    assert [_parameter(text) for text in given] == [
        ("run", "20261120T0200-X"),
        ("settings", {"hours": 1, "auto_tune": True}),
        ("n", 3),
        ("a", "b"),
        ("c", ""),
        ("d", "x=y"),
    ]
    for text in ("settings", "=1", 'settings={"hours":', '"x'):
        code, line = failing(capsys, "run", "soak-3h", "--param", text)
        assert code == 2
        assert "is not KEY=VALUE" in line
