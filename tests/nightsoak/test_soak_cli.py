"""`nightsoak soak` as a user runs it: a process, exit codes, one line of error; most of it without Prefect."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.live.venue_thread import VenueThread
from engine.market.tape import Tape
from engine.paths import CHECKOUT, Paths
from engine.soak import RunPlan
from engine.soak_plan import soak_lock
from nightsoak.__main__ import main

SHORT = ["--iterations", "2", "--window-seconds", "10", "--auto-tune"]


def nightsoak(*words: str) -> subprocess.Popen[str]:
    """In a session of its own, so that a signal to its group is what Ctrl-C at a terminal is."""
    return subprocess.Popen(
        [sys.executable, "-m", "nightsoak", *words],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("shared_server")
def test_a_soak_ends_with_verdict_report_and_hint_and_the_gate_decides_the_exit_code(
    paths: Paths, short_tape: Tape, tmp_path: Path
) -> None:
    exports = ["--export-json", str(tmp_path / "m.json"), "--export-md", str(tmp_path / "deep" / "r.md")]
    run = nightsoak("soak", "--tape", str(short_tape.path), *SHORT, "--gate", *exports)
    out, err = run.communicate(timeout=120)
    folder = paths.reports / "latest"
    verdict = json.loads((folder / "KPI_GATE.json").read_text())["verdict"]
    assert run.returncode == (0 if verdict in ("SUCCESS", "OK") else 1), err
    assert verdict in out
    assert re.search(r"report: \S*SOAK_RESULTS\.md", out)
    assert err.splitlines()[-1].startswith("hint: ")
    assert "Traceback" not in err
    assert (tmp_path / "m.json").read_bytes() == (folder / "soak_metrics.json").read_bytes()
    assert (tmp_path / "deep" / "r.md").read_bytes() == (folder / "SOAK_RESULTS.md").read_bytes()


@pytest.mark.soak
def test_two_symbols_of_a_feed_are_two_runs_side_by_side(paths: Paths) -> None:
    sample = Tape.open(CHECKOUT / "datasets" / "sample")
    words = ["--hours", "0.01", "--iterations", "3", "--window-seconds", "6", "--auto-tune"]
    with VenueThread(sample, sample, symbols=("AAAUSDT", "BBBUSDT"), loop=True) as venue:
        live = ["--feed", "bybit", "--endpoint", venue.endpoint, "--symbols", "AAAUSDT", "BBBUSDT"]
        out, err = nightsoak("soak", *live, *words).communicate(timeout=240)
    assert "Traceback" not in err
    plans = [RunPlan.read(file) for file in sorted((paths.datasets / "runs").glob("*/plan.json"))]
    assert [plan.symbol for plan in plans] == ["AAAUSDT", "BBBUSDT"]
    assert plans[0].schedule == plans[1].schedule
    assert (paths.reports / "latest").resolve().name == plans[0].run_id
    for plan in plans:
        assert re.search(rf"^report: \S*{plan.run_id}\S*SOAK_RESULTS\.md$", out, re.MULTILINE), out + err
        (folder,) = paths.reports.glob(f"*/{plan.run_id}")
        edge = json.loads((folder / "EDGE_REPORT.json").read_text())
        assert len(edge["windows"]) == plan.schedule.windows and edge["totals"]["coverage_pct"] > 99
        gate = json.loads((folder / "KPI_GATE.json").read_text())
        assert {check["metric"]: check["label"] for check in gate["checks"]}["parity"] == "SUCCESS"
        assert paths.overrides(plan.symbol).exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals as on POSIX")
def test_ctrl_c_ends_the_bot_reports_the_part_and_exits_130(paths: Paths, short_tape: Tape) -> None:
    """The signal goes to the whole group, as at a terminal, as soon as the bot has begun its journal."""
    run = nightsoak(
        "soak", "--tape", str(short_tape.path), "--iterations", "12", "--window-seconds", "1", "--auto-tune"
    )
    deadline = time.monotonic() + 60
    journals: list[Path] = []
    while not journals and time.monotonic() < deadline and run.poll() is None:
        journals = list(paths.journals.glob("*.0.jsonl"))
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("error: ")
    last = json.loads(journals[0].read_bytes().splitlines()[-1])
    assert last["type"] == "run_end"
    report = (paths.reports / "latest" / "SOAK_RESULTS.md").read_text()
    assert "partial" in report.splitlines()[0]


def failing(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The exit code and the one line on stderr; nothing on stdout."""
    code = main(["soak", *words])
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    return code, line


def test_the_second_soak_on_a_warehouse_exits_3_and_names_the_first(
    paths: Paths, short_tape: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    with soak_lock(paths) as lock:
        lock.describe("20261120T020000-SIMUSDT-1f2e")
        code, line = failing(capsys, "--tape", str(short_tape.path), *SHORT)
    assert code == 3
    assert f"process {os.getpid()} (run 20261120T020000-SIMUSDT-1f2e)" in line
    assert not paths.journals.exists()


@pytest.mark.parametrize("feed", ["bybit", "binance"])
def test_a_live_feed_without_a_symbol_is_refused(paths: Paths, capsys: pytest.CaptureFixture[str], feed: str) -> None:
    code, line = failing(capsys, "--feed", feed)
    assert code == 2
    assert "no symbol is named" in line
    assert not (paths.datasets / "runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tape", "nowhere"], "nowhere: is not a tape: no such folder"),
        (["--profile", "S9"], "no profile 'S9'"),
        (["--symbols", "NOPE"], "holds SIMUSDT, not NOPE"),
        (["--overrides", "nowhere.json"], "nowhere.json: cannot be read"),
        (["--export-json", "."], ".: is a folder"),
        (["--matrix", "sede"], "no driver matrix 'sede'; did you mean 'seed'?"),
        (["--hours", "0.0001"], "0.0 s of market time cannot be cut into 6 iterations"),
        (["--hours", "0.01", "--iterations", "99", "--feed", "bybit", "--symbols", "BTCUSDT"], "cannot be cut into 99"),
        (["--feed", "bybit", "--symbols", "BTCUSDT", "--endpoint", "venue"], "'venue' is not a websocket address"),
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
    code, line = failing(capsys, *words)
    assert code == 2
    assert message in line
    assert not (paths.datasets / "runs").exists()
    assert not (tmp_path / "prefect").exists(), "no server was started for it"


@pytest.mark.parametrize(
    "words", [["--hours", "0"], ["--hours", "nan"], ["--iterations", "0"], ["--seed", "-1"], ["--feed", "kraken"]]
)
def test_bad_usage_exits_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["soak", *words])
    assert caught.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_a_truncated_tape_is_named(
    paths: Paths, short_tape: Tape, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(short_tape.path, tmp_path / "copy")
    (copy / "flags.npy").write_bytes((copy / "flags.npy").read_bytes()[:500])
    code, line = failing(capsys, "--tape", str(copy))
    assert code == 2
    assert str(copy / "flags.npy") in line


@pytest.mark.parametrize("text", ['{"spread": 1}', '{"min_lot": "1"}', '{"min_lot": NaN}', '{"min_lot": 21}'])
def test_bad_overrides_are_refused_with_the_reason(
    paths: Paths, short_tape: Tape, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file = paths.overrides("SIMUSDT")
    file.parent.mkdir(parents=True)
    file.write_text(text)
    code, line = failing(capsys, "--tape", str(short_tape.path))
    assert code == 2
    assert str(file) in line
    assert "spread" in line or "min_lot" in line
    assert file.read_text() == text


def test_an_unwritable_reports_folder_exits_3_before_the_run(
    paths: Paths, short_tape: Tape, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.reports.write_text("in the way")
    code, line = failing(capsys, "--tape", str(short_tape.path))
    assert code == 3
    assert f"{paths.reports}: cannot write" in line
    assert not (paths.datasets / "runs").exists()
