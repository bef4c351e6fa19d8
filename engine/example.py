"""The committed example run: `python -m engine.example` makes reports/example again from the sample tape.

A test compares what this makes with what is committed, so that the example shows what the code does today.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from engine.paths import CHECKOUT, Paths
from engine.report.manifest import WALL_CLOCK
from engine.soak import SoakSettings
from engine.soak_plan import make_plan
from engine.soak_recipe import run_soak
from engine.soak_steps import report

RUN_ID = "20261120T020000-SIMUSDT-e8a1"
SAMPLE = "datasets/sample"
EXAMPLE = CHECKOUT / "reports" / "example"
SETTINGS = SoakSettings(tape=SAMPLE, hours=3, iterations=3, window_seconds=10, auto_tune=True, profile="S1")


def make_example(home: Path) -> Path:
    """The example run, made under `home`; returns its report folder."""
    paths = Paths(config=CHECKOUT / "config", datasets=home / "datasets", reports=home / "reports")
    with contextlib.chdir(CHECKOUT):  # the tape is named as a reader of the report would name it
        plan = make_plan(SETTINGS, paths, run_id=RUN_ID)
        run_soak(plan)
        return report(plan).folder


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        made = make_example(Path(home))
        shutil.rmtree(EXAMPLE, ignore_errors=True)
        shutil.copytree(made, EXAMPLE, ignore=shutil.ignore_patterns(WALL_CLOCK))


if __name__ == "__main__":
    main()
