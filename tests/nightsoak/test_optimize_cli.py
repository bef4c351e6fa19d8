"""`nightsoak optimize` as a user runs it: exit codes, one line of error, rounds in a process of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.optimize.settings import OptimizeSettings
from engine.paths import CHECKOUT, Paths
from engine.search.state import TuneState
from nightsoak.__main__ import main

SMALL = [
    "--mock",
    "--mock-hours",
    "0.015",
    "--window-seconds",
    "1",
    "--trials",
    "4",
    "--lanes",
    "2",
    "--profile",
    "quick",
]


def test_rounds_end_with_the_champion_and_the_next_command(
    paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "here" / "state.json"
    words = ["optimize", *SMALL, "--maker-profile", "S1", "--state-file", str(state)]
    assert main([*words, "--continuous", "--max-rounds", "1"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("1 round played: --max-rounds 1 are played.\nround 1, SIMUSDT: ")
    for step in ("verdict", "champion", "drift"):
        assert f"- {step}: " in shown.out
    assert f"audit: {state.with_name('long_regression_audit.jsonl')}" in shown.out and "TUNE_RESULTS.md" in shown.out
    assert "round 1, SIMUSDT: " in shown.err and shown.err.splitlines()[-1].startswith("hint: ")

    state.with_name("STOP_OPTIMIZER").touch()
    assert main([*words, "--json"]) == 0
    shown = capsys.readouterr()
    value = json.loads(shown.out)
    assert value["rounds"] == 0 and "nothing was done" in value["stopped"]
    assert json.loads(state.read_text())["state"]["round"] == 1


def test_ctrl_c_is_130_and_the_round_can_go_on(
    paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal arrives as soon as the first batch is on disk."""
    save = TuneState.save_batch

    def interrupted(self: TuneState, number: int, batch: dict[str, Any]) -> None:
        save(self, number, batch)
        signal.raise_signal(signal.SIGINT)

    state = tmp_path / "state.json"
    words = [
        "optimize",
        *SMALL,
        "--maker-profile",
        "S1",
        "--continuous",
        "--max-rounds",
        "1",
        "--state-file",
        str(state),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(TuneState, "save_batch", interrupted)
        assert main(words) == 130
    assert capsys.readouterr().out == ""
    held = json.loads(state.read_text())["state"]
    assert held["open"] is not None and held["step"] == "begin"
    assert main(words) == 0
    assert json.loads(state.read_text())["state"]["round"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tapes-per-round", "0"], "is below 1"),
        (["--poll-seconds", "0"], "is no number above 0"),
        (["--min-objective-delta", "-1"], "is no number"),
        (["--min-objective-delta", "nan"], "is no number"),
        (["--profile", "heroic"], "no 'heroic'; known ones: quick, standard, deep"),
        (["--mock", "--tape", "x"], "not allowed with"),
    ],
)
def test_usage_errors_exit_with_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["optimize", *words])
    assert left.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tape", "nothing"], "is not a tape"),
        (["--tapes-per-round", "1"], "tapes_per_round"),
        (
            ["--mock", "--mock-hours", "0.01", "--maker-profile", "nobody", "--window-seconds", "1"],
            "no profile 'nobody'",
        ),
        (["--mock", "--mock-hours", "0.01"], "hold no window of 300 s"),
    ],
)
def test_bad_input_is_one_line_and_nothing_begins(
    words: list[str], said: str, paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["optimize", *words]) == 2
    shown = capsys.readouterr()
    assert said in shown.err and len(shown.err.strip().splitlines()) == 1 and shown.out == ""
    assert not OptimizeSettings().state_path(paths).exists()


def test_a_damaged_state_without_an_audit_file_is_3(
    paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state.json"
    state.write_text("{")
    assert main(["optimize", "--state-file", str(state)]) == 3
    assert "is damaged or altered" in capsys.readouterr().err


def test_the_flow_plays_one_round_and_leaves_continuous_mode_to_the_command_line() -> None:
    from engine.errors import InputError
    from flows.optimize import optimize
    from tasks.optimize_round import optimize_round

    assert optimize.parameters.model_dump()["required"] == []
    with pytest.raises(InputError, match="one round"):
        optimize_round.fn(OptimizeSettings(continuous=True))


def test_every_option_is_on_its_page() -> None:
    text = (CHECKOUT / "docs" / "optimize.md").read_text(encoding="utf-8")
    shown = subprocess.run(
        [sys.executable, "-m", "nightsoak", "optimize", "--help"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    options = {word.strip(",[]") for word in shown.split() if word.strip(",[]").startswith("--")} - {
        "--help",
        "--debug",
    }
    assert len(options) > 15 and {option for option in options if f"`{option}" not in text} == set()
