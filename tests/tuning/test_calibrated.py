"""What reports quote of the promotion test's error rates, and when they do not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.paths import CHECKOUT
from engine.tuning.calibrated import quoted, write_calibration

FIGURES = [
    {"study": "confirm", "name": "A/A: promoted", "value": 5.648, "low": 5.548, "high": 5.75, "unit": "%"}
    | {"count": 200_000, "counted": "series", "bound": {"at_most": True, "limit": 6.0}, "holds": True},
    {"study": "confirm", "name": "windows used", "value": 93.8, "low": 93.7, "high": 93.8, "unit": "windows"}
    | {"count": 200_000, "counted": "series", "bound": None, "holds": None},
]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    shutil.copy(CHECKOUT / "config" / "judge.json", tmp_path)
    return tmp_path


def test_what_was_measured_is_quoted_with_its_interval(config: Path) -> None:
    write_calibration(config, 7, {"phi": 0.3}, FIGURES)
    assert quoted(config) == (
        "The test's error rates as measured (nightsoak calibrate, seed 7): confirm, A/A: promoted 5.65 % [5.55, 5.75]."
    )


def test_nothing_is_quoted_that_was_not_measured(config: Path) -> None:
    assert "were not measured here" in quoted(config)


def test_rates_of_other_settings_are_not_quoted(config: Path) -> None:
    write_calibration(config, 7, {"phi": 0.3}, FIGURES)
    judge = json.loads((config / "judge.json").read_text())
    judge["min_notional_share"] = 0.4
    (config / "judge.json").write_text(json.dumps(judge))
    assert "with other settings" in quoted(config) and "5.65" not in quoted(config)


def test_a_damaged_file_is_refused(config: Path) -> None:
    (config / "calibration.json").write_text('{"figures": [')
    with pytest.raises(ConfigError, match=r"calibration\.json"):
        quoted(config)


def test_the_shipped_rates_are_those_of_the_shipped_settings() -> None:
    assert quoted(CHECKOUT / "config").startswith("The test's error rates as measured")
