"""`nightsoak report` as a user runs it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.paths import CHECKOUT
from engine.report.artefacts import publish
from engine.report.record import RunRecord
from nightsoak.__main__ import main
from nightsoak.report import _status_colour


@pytest.fixture(scope="module")
def reports(records: dict[str, RunRecord], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    publish(records["normal"], folder)
    return folder


def nightsoak(reports: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "NIGHTSOAK_REPORTS": str(reports), **environment}
    command = [sys.executable, "-m", "nightsoak", "report", *words]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=CHECKOUT, env=env, check=False)


def test_the_verdict_table_without_colour(reports: Path) -> None:
    done = nightsoak(reports, "latest", NO_COLOR="1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("WARN  BTCUSDT")
    assert any(line.split()[:2] == ["net_bps", "3.35"] and line.rstrip().endswith("met?") for line in lines)
    assert lines[-1].startswith("report: ")
    assert Path(lines[-1].removeprefix("report: ")).name == "SOAK_RESULTS.md"
    assert "note: This market is generated" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr.splitlines()[-1].startswith("hint: ")
    assert "nightsoak soak" in done.stderr


def test_json_is_one_object_and_nothing_else(reports: Path, records: dict[str, RunRecord]) -> None:
    done = nightsoak(reports, records["normal"].run_id, "--json")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert value["changed"] == []
    assert Path(value["report"]).is_file()


def test_markdown_goes_to_stdout_as_it_is(reports: Path) -> None:
    done = nightsoak(reports, "latest", "--markdown")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (reports / "latest" / "SOAK_RESULTS.md").read_text(encoding="utf-8")


def test_a_run_that_is_not_there_is_one_line_and_exit_2(reports: Path) -> None:
    done = nightsoak(reports, "20990101T000000-X-1")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: 20990101T000000-X-1: no such run; ")
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_link_is_told_of_with_the_newest_report(
    records: dict[str, RunRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(records["normal"], tmp_path)
    (tmp_path / "latest").unlink()
    monkeypatch.setenv("NIGHTSOAK_REPORTS", str(tmp_path))
    assert main(["report", "latest"]) == 2
    err = capsys.readouterr().err
    assert "latest: the link is missing or leads nowhere; the newest report is" in err
    assert f"the newest report is {records['normal'].run_id}: name it" in err
    assert main(["report", records["normal"].run_id]) == 0


def test_no_line_of_the_verdict_ends_in_blanks(reports: Path) -> None:
    lines = nightsoak(reports, "latest").stdout.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []


def test_only_a_check_that_is_met_for_sure_is_green() -> None:
    labels = ("SUCCESS", "OK", "WARN", "FAIL", "NODATA", "INFO")
    assert [label for label in labels if _status_colour(label, unresolved=False) == "green"] == ["SUCCESS"]
    assert {_status_colour(label, unresolved=True) for label in labels} == {"yellow"}
