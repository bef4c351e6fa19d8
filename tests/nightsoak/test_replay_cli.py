"""`nightsoak replay` as a user runs it: one object on stdout, and lanes that are as good as single runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.market.simulator import generate_tape, read_settings
from engine.paths import CHECKOUT
from nightsoak.__main__ import main


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = read_settings(CHECKOUT / "config", "s1").with_run(seed=5, duration_s=300)
    path = tmp_path_factory.mktemp("tapes") / "market"
    generate_tape(path, settings)
    return path


def replayed(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main(["replay", "--json", *(str(word) for word in words)]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_bad_parameter_sets_are_one_line_before_the_tape_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sets.json"
    words = ["replay", "--tape", str(tmp_path / "no tape"), "--params", str(file)]
    assert main(words) == 2
    assert capsys.readouterr().err == f"error: {file}: cannot be read: No such file or directory; check --params\n"
    file.write_text('[{"min_interval_m": 80}]')
    assert main(words) == 2
    assert "did you mean 'min_interval_ms'?" in capsys.readouterr().err


def test_the_digests_of_64_lanes_are_those_of_64_single_runs(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [
        {"base_spread_bps_delta": round(0.02 * i, 2), "min_interval_ms": 60 + 30 * j}
        for i in range(8)
        for j in range(8)
    ]
    together, alone = tmp_path / "all.json", tmp_path / "one.json"
    together.write_text(json.dumps(sets))
    lanes = replayed(capsys, "--tape", tape, "--params", together, "--lanes", 64)["lanes"]
    assert len({lane["digest"] for lane in lanes}) > 32
    for one, lane in zip(sets, lanes, strict=True):
        alone.write_text(json.dumps([one]))
        (single,) = replayed(capsys, "--tape", tape, "--params", alone)["lanes"]
        assert single["digest"] == lane["digest"]
