"""`nightsoak baseline` as a user runs it: processes, real runs of the bot, exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.paths import CHECKOUT, Paths
from nightsoak.__main__ import main

MOCK = ["--symbols", "ETHUSDT", "--profile", "S1", "--mock"]


def nightsoak(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nightsoak", *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.fixture
def config(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of our own, for this process and those it starts."""
    folder = shutil.copytree(CHECKOUT / "config", tmp_path / "config")
    monkeypatch.setenv("NIGHTSOAK_CONFIG", str(folder))
    return folder


def change(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.soak
@pytest.mark.usefixtures("shared_server")
def test_a_bot_without_fills_is_no_go_and_exits_1(
    paths: Paths, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    presets = json.loads((config / "presets.json").read_text())
    change(config / "presets.json", presets=presets["presets"][:1])
    change(config / "profiles" / "market_maker_S1.json", base_half_spread_bps=900.0)
    done = nightsoak("baseline", *MOCK, "--iterations", "2", "--window-seconds", "20")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("NO-GO  ")
    assert "net_bps: no data (ETHUSDT: no fills)" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("hint: ")
    assert "Traceback" not in done.stderr
    (folder,) = paths.reports.glob("*/*-baseline-*")
    record = json.loads((folder / "BASELINE.json").read_text())
    kpis = record["attempts"][0]["kpis"]
    assert kpis["maker_taker_ratio"] is kpis["net_bps"] is kpis["risk_ratio"] is None

    assert main(["report", folder.name, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["changed"] == []
    assert shown["report"].endswith("STEP1_BASELINE_SUMMARY.md")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mock", "--endpoint", "ws://127.0.0.1:1"], "an endpoint is for a live feed"),
        (["--mock", "--profile", "S9"], "no profile 'S9'"),
        (["--tape", "nowhere"], "nowhere: is not a tape"),
        (["--endpoint", "nowhere"], "'nowhere' is not a websocket address"),
        (["--mock", "--symbols", "BTCUSDt"], "did you mean 'BTCUSDT'?"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    paths: Paths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    assert main(["baseline", *words]) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == "" and line.startswith("error: ") and message in line
    assert not (paths.datasets / "runs").exists()
    assert not (tmp_path / "prefect").exists(), "no server was started for it"
