"""docs/control-plane.md against what a bot serves; its shell lines are run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from engine.paths import CHECKOUT

PAGE = (CHECKOUT / "docs" / "control-plane.md").read_text(encoding="utf-8")


def test_every_route_stands_on_the_page_and_no_other(served_at_edge: Any) -> None:
    paths = served_at_edge.get("/openapi.json")["paths"]
    served = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert set(re.findall(r"`((?:GET|POST) /[^`]*)`", PAGE)) == served | {"GET /openapi.json"}


def test_the_document_says_what_needs_a_token(served_at_edge: Any) -> None:
    document = served_at_edge.get("/openapi.json")
    assert document["security"] == [{"token": []}]
    open_paths = [path for path, methods in document["paths"].items() if methods.get("get", {}).get("security") == []]
    assert open_paths == ["/health"]


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="no bash, or no curl")
def test_the_shell_lines_work(serve: Callable[..., Any]) -> None:
    served = serve(control={"replay_pace": 30})
    served.until("started")
    block = re.search(r"```bash\n(.*?)```", PAGE, re.S)
    assert block
    script = "set -euo pipefail\nRUN=$1\n" + block[1].replace("\ncall ", "\necho; call ").replace(
        "\ncurl ", "\necho; curl "
    )
    done = subprocess.run(
        ["bash", "-c", script, "page", str(served.plan.folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [a.get("action", "") for a in answers] == [
        "",
        "",
        "pause",
        "resume",
        "reload_strategy",
        "reload_risk",
        "pause",
    ]
    assert answers[4]["values"]["base_spread_bps_delta"] == 0.2
    assert "nightsoak_window_id" in done.stdout
    served.stop()
