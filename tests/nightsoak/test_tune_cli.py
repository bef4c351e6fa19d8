"""`nightsoak tune` as a user runs it: exit codes, one line of error, one whole run through the flow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape
from engine.paths import CHECKOUT, Paths
from engine.search.settings import TuneSettings
from nightsoak.__main__ import main


@pytest.mark.slow
@pytest.mark.usefixtures("shared_server")
def test_a_tune_ends_with_a_verdict_a_report_and_a_hint(paths: Paths, short_tape: Tape, tmp_path: Path) -> None:
    later = generate_tape(tmp_path / "later", read_settings(paths.config, "s1").with_run(seed=9, duration_s=60))
    words = ["tune", "--tape", str(short_tape.path), str(later.path), "--trials", "4", "--lanes", "2"]
    run = subprocess.run(
        [sys.executable, "-m", "nightsoak", *words, "--window-seconds", "1", "--gate", "--json"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "MM_PROFILE": "S1"},
    )
    record = json.loads(run.stdout)
    assert run.returncode == (0 if record["verdict"] == "PROMOTE" else 1), run.stderr
    assert record["trials"]["searched"] == 4
    assert min(record["windows"].values()) >= 59
    assert (Path(record["folder"]) / "TUNE_RESULTS.md").is_file()
    assert "Traceback" not in run.stderr


def test_the_folder_prints_as_a_verdict(paths: Paths, short_tape: Tape, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.search.tune import finish, publish, run_tune
    from nightsoak.tune import print_tune

    asked = {"tapes": [str(short_tape.path)], "trials": 2, "lanes": 2, "window_seconds": 1, "maker_profile": "S1"}
    result = finish(run_tune(TuneSettings.model_validate_json(json.dumps(asked)), paths))
    folder = publish(result, paths)
    print_tune(folder)
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{result.verdict}, SIMUSDT")
    assert "one tape only" in shown.out.lower()
    assert "TUNE_RESULTS.md" in shown.out
    assert shown.err.splitlines()[-1].startswith("hint: nightsoak ")
    assert "…" not in shown.out
    assert max(len(line) for line in shown.out.splitlines() if not line.startswith("report: ")) <= 100
    (folder / "TUNE_RESULTS.md").unlink()
    assert main(["report", str(folder)]) == 0
    again = capsys.readouterr()
    assert again.out == shown.out and "TUNE_RESULTS.md" in again.err
    assert main(["verify", str(folder), "--tape", str(short_tape.path)]) == 0
    assert capsys.readouterr().out.startswith(f"verified: {result.tune_id} was made again; its 7 artefacts")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trials", "0"], "is below 1"),
        (["--max-runtime-sec", "0"], "is no number above 0"),
        (["--profile", "heroic"], "no 'heroic'; known ones: quick, standard, deep"),
        (["--seed", "-1"], "no whole number"),
    ],
)
def test_usage_errors_exit_with_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["tune", *words])
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_bad_input_is_one_line_and_2_before_prefect_is_started(
    paths: Paths,
    short_tape: Tape,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    bad = tmp_path / "bad.json"
    bad.write_text('{"tail_age_ms": 5}')
    tape = str(short_tape.path)
    for words, said in (
        (["--tape", str(tmp_path / "nothing")], "is not a tape"),
        (["--tape", tape, tape], "holds the same market time"),
        (["--tape", tape, "--window-seconds", "5", "--overrides", str(bad)], "tail_age_ms 5 is out of range"),
        (["--tape", tape, "--window-seconds", "5", "--maker-profile", "nobody"], "no profile 'nobody'"),
        (["--tape", tape], "hold no window of 300 s"),
        (["--tape", tape, "--window-seconds", "5", "--max-estimated-sec", "1e-3"], "is estimated to take"),
    ):
        assert main(["tune", *words]) == 2
        shown = capsys.readouterr()
        assert said in shown.err
        assert len(shown.err.strip().splitlines()) == 1
        assert shown.out == ""
    assert not (tmp_path / "prefect").exists(), "no server was started for it"


def test_the_flow_works_without_parameters() -> None:
    """Its deployment names none: every setting has a default."""
    from flows.tune import tune

    schema = tune.parameters.model_dump()
    assert schema["required"] == []
    assert TuneSettings().tapes == ()
