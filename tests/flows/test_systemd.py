from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.paths import CHECKOUT
from nightsoak.__main__ import build_parser

UNIT = CHECKOUT / "deploy" / "systemd" / "nightsoak.service"


def test_the_unit_runs_a_command_that_exists() -> None:
    (line,) = (line for line in UNIT.read_text().splitlines() if line.startswith("ExecStart="))
    program, *words = line.removeprefix("ExecStart=").split()
    assert program.endswith("/.venv/bin/nightsoak")
    assert build_parser().parse_args(words).command == "up"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_to_say_of_the_unit(tmp_path: Path) -> None:
    """With the checkout where the unit expects it."""
    program = tmp_path / "nightsoak" / ".venv" / "bin" / "nightsoak"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    done = subprocess.run(
        ["systemd-analyze", "--user", "--man=no", "verify", str(UNIT)],
        env={**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
