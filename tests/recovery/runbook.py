"""`make soak-test`: the long fault runs, and the recovery matrix made from them.

Three lines of tests run side by side, since much of each is waiting: the shadow soak alone for ten minutes. Every test
of the matrix leaves a row (conftest.py); the table of them is printed, and with RUNBOOK=1 put into docs/runbook.md.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
PAGE = CHECKOUT / "docs" / "runbook.md"
BEGIN, END = "<!-- recovery matrix -->", "<!-- end of the recovery matrix -->"
FAULTS = {
    "bot_replay": "bot killed, replay",
    "bot_live": "bot killed, live",
    "hung": "bot frozen, live",
    "account": "second bot on the account",
    "flow": "flow killed (`nightsoak soak`)",
    "worker_flow": "flow killed under its worker",
    "worker": "worker killed",
    "zombie": "flow and worker killed at once",
    "server": "Prefect's server killed",
    "server_absent": "Prefect's server not there at the start",
    "disk": "disk full",
    "warehouse": "warehouse open in another process",
    "feed": "feed lost for longer than a window",
    "clock_forward": "machine's clock set forward 1 h",
    "clock_back": "machine's clock set back 1 h",
    "venue_clock_forward": "venue's clock set forward 1 h",
    "venue_clock_back": "venue's clock set back 1 h",
    "shadow_soak": "ten minutes in the shadow: five faults of the feed, the bot killed",
}
"""What every row is about, in the order of the page."""
MATRIX = "tests/recovery"
SHADOW = f"{MATRIX}/test_shadow_soak.py"
OWN_TEST = f"{MATRIX}/test_runbook.py"
"""Holds the page that is about to be written against the tests."""
LINES = {
    "the shadow soak": [SHADOW, "-m", "soak"],
    "the rest of the matrix": [MATRIX, "--ignore", SHADOW, "--ignore", OWN_TEST, "-m", "soak or not soak"],
    "kills of ingest, long lines, databases": ["-m", "soak", "--ignore", MATRIX],
}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The matrix as Markdown; faults without a row are left out."""
    lines = ["| what fails | what the operator sees | what is lost | back after | test |", "|---|---|---|---:|---|"]
    for key, fault in FAULTS.items():
        if key in rows:
            row = rows[key]
            seconds = "-" if row["seconds"] is None else f"{row['seconds']:.1f} s"
            cells = (fault, row["seen"], row["lost"], seconds, f"`{row['test']}`")
            lines.append("| " + " | ".join(" ".join(cell.replace("|", "/").split()) for cell in cells) + " |")
    return "\n".join(lines)


def machine() -> str:
    """Processors, system and date of a run."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {system}, {datetime.now(UTC):%Y-%m-%d}"


def page_with(text: str, matrix: str) -> str:
    """The page with another matrix between its two marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{matrix}\n{END}{tail}"


def main() -> int:
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(os.environ.get("NIGHTSOAK_RECOVERY_ROWS", folder))
        rows.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"NIGHTSOAK_RECOVERY_ROWS": str(rows)}
        pytest = [sys.executable, "-m", "pytest", "-vv", "-s", "--durations=8"]
        lines = {
            name: subprocess.Popen([*pytest, *words], cwd=CHECKOUT, env=environment) for name, words in LINES.items()
        }
        codes = {name: line.wait() for name, line in lines.items()}
        found = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in rows.glob("*.json")}
    minutes = (time.monotonic() - began_s) / 60
    said = f"Measured by the tests of `make soak-test` on {machine()}; the machine had other work to do."
    matrix = f"{said}\n\n{table(found)}"
    sys.stdout.write(f"\n{matrix}\n\n{minutes:.1f} minutes\n")
    failed = [name for name, code in codes.items() if code]
    missing = [fault for key, fault in FAULTS.items() if key not in found]
    for fault in missing:
        sys.stderr.write(f"no row: {fault}\n")
    if os.environ.get("RUNBOOK") == "1" and not failed and not missing:
        PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), matrix), encoding="utf-8")
    for name in failed:
        sys.stderr.write(f"failed: {name}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
