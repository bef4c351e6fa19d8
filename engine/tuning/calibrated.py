"""config/calibration.json: the error rates of the promotion test as `nightsoak calibrate --write` measured them.

They hold for the judge's settings that they were measured with: with another config/judge.json they are not quoted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from engine.config import ConfigModel, load_config
from engine.files import sha256_file, to_json, write_atomic

CALIBRATION, JUDGE = "calibration.json", "judge.json"


class CalibratedFigure(ConfigModel):
    """A row of engine.tuning.calibration.Figure: `value` in `unit` with its 95 % interval, on `count` of `counted`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    study: str
    name: str
    value: float
    low: float
    high: float
    unit: str
    count: int
    counted: str


class Calibration(ConfigModel):
    judge_sha256: str
    seed: int
    model: dict[str, float]
    figures: tuple[CalibratedFigure, ...]


def write_calibration(config: Path, seed: int, model: dict[str, float], figures: list[dict[str, Any]]) -> Path:
    """Keep what was measured with the settings of today, those figures that have a bound; the file.

    Raises:
        StorageError: it cannot be written.
    """
    names = CalibratedFigure.model_fields
    value = {
        "comment": "Written by nightsoak calibrate --write; quoted in reports while judge.json is the one named here.",
        "judge_sha256": sha256_file(config / JUDGE),
        "seed": seed,
        "model": model,
        "figures": [{name: row[name] for name in names if name != "comment"} for row in figures if row["bound"]],
    }
    path = config / CALIBRATION
    write_atomic(path, to_json(value))
    return path


def quoted(config: Path) -> str:
    """What a report says of the test's error rates: the measured ones, or why there are none.

    Raises:
        ConfigError: the file is there and not what it must be.
    """
    path = config / CALIBRATION
    if not path.exists():
        return "The test's error rates were not measured here: nightsoak calibrate --write does."
    calibration = load_config(path, Calibration)
    if calibration.judge_sha256 != sha256_file(config / JUDGE):
        return "The test's error rates were measured with other settings: nightsoak calibrate --write measures again."
    rows = "; ".join(
        f"{one.study}, {one.name} {one.value:.3g}{one.unit and f' {one.unit}'} [{one.low:.3g}, {one.high:.3g}]"
        for one in calibration.figures
    )
    return f"The test's error rates as measured (nightsoak calibrate, seed {calibration.seed}): {rows}."
