from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.market.tape import Tape
from engine.paths import CHECKOUT, Paths
from engine.soak_plan import soak_lock
from nightsoak.__main__ import main

BAD = {
    "environment": ("NIGHTSOAK_REPORT", "x"),
    "time zone": ("NIGHTSOAK_TIMEZONE", "Europe/Atlantis"),
    "notices": ("NIGHTSOAK_NOTICE_URLS", "json://127.0.0.1 hunter2"),
}


def doctor(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, dict[str, object]]]:
    code = main(["doctor", "--json", *words])
    value = json.loads(capsys.readouterr().out)
    checks = {check["name"]: check for check in value["checks"]}
    assert value["ok"] == all(check["ok"] for check in checks.values())
    assert all(check["remedy"] for check in checks.values() if not check["ok"])
    return code, checks


def test_a_tape_is_verified(paths: Paths, short_tape: Tape, capsys: pytest.CaptureFixture[str]) -> None:
    _, checks = doctor(capsys, "--tape", str(short_tape.path))
    assert checks["tape"]["ok"]
    assert "SIMUSDT" in str(checks["tape"]["found"])


@pytest.mark.parametrize(
    "what",
    ["tape", "profile", "reports folder", "environment", "time zone", "notices", "gates.json", "supervision.json"],
)
def test_what_is_wrong_is_found_and_the_exit_code_says_so(
    paths: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    words: list[str] = []
    if what == "tape":
        words = ["--tape", str(tmp_path)]
    elif what == "profile":
        monkeypatch.setenv("MM_PROFILE", "S9")
    elif what == "reports folder":
        paths.reports.write_text("in the way")
    elif what.endswith(".json"):
        monkeypatch.setenv("NIGHTSOAK_CONFIG", str(tmp_path / "config"))
        main(["init"])
        file = tmp_path / "config" / what
        file.write_text(file.read_text().replace("{", '{"extra": 1,', 1))
        capsys.readouterr()
    elif what in BAD:
        monkeypatch.setenv(*BAD[what])
    code, checks = doctor(capsys, *words)
    assert code == 1
    assert not checks["configuration" if what.endswith(".json") else what]["ok"]
    assert "hunter2" not in str(checks)


def test_a_soak_that_runs_is_no_error(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    with soak_lock(paths) as lock:
        lock.describe("the-first")
        _, checks = doctor(capsys)
    assert checks["lock"]["ok"]
    assert checks["lock"]["found"] == f"a soak runs: the-first (process {os.getpid()})"


def test_it_says_how_many_addresses_notices_go_to(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(capsys)[1]["notices"]["found"] == "no address: nothing is sent"
    monkeypatch.setenv("NIGHTSOAK_NOTICE_URLS", "json://hunter2@127.0.0.1 json://127.0.0.1:1")
    assert doctor(capsys)[1]["notices"]["found"] == "addresses: 2"


def test_a_sound_installation_passes_in_words(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor"])
    out = capsys.readouterr().out
    assert out.splitlines()[-1].endswith("0 failed"), out
    assert code == 0
    assert "the default soak generates its own on first use" in out


def test_init_writes_what_is_missing_and_touches_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTSOAK_CONFIG", str(tmp_path))
    (tmp_path / "gates.json").write_text("mine")
    assert main(["init"]) == 0
    written = capsys.readouterr().out.split()
    committed = sorted(path.relative_to(CHECKOUT / "config") for path in (CHECKOUT / "config").rglob("*.json"))
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.json")) == committed
    assert len(written) == len(committed) - 1
    assert (tmp_path / "gates.json").read_text() == "mine"
    assert main(["init"]) == 0
    assert capsys.readouterr().out == ""


def test_a_feed_is_asked_for_where_one_is_named(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = doctor(capsys, "--feed", "bybit", "--endpoint", "ws://127.0.0.1:9", "--symbols", "BTCUSDT")
    assert (code, checks["feed BTCUSDT"]["ok"]) == (1, False)
    assert "the venue does not answer" in str(checks["feed BTCUSDT"]["found"])
