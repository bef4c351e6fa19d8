"""The night's copy in Prefect, and the line that says what became of the champion."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.logging import disable_run_logger
from prefect.settings import PREFECT_API_URL, temporary_settings

from engine.night import InForce, Night
from tasks.publish_night import publish_night


@pytest.mark.filterwarnings("ignore:Artifact creation outside:FutureWarning")
@pytest.mark.parametrize(
    ("in_force", "said"),
    [(InForce("baseline", "c1-ab", 8), "champion baseline -> c1-ab"), (InForce("c1-ab", "c1-ab", 0), "")],
)
def test_a_server_that_does_not_answer_costs_the_copy_and_not_the_night(
    tmp_path: Path, in_force: InForce, said: str
) -> None:
    file = tmp_path / "NIGHT.md"
    file.write_text("# The morning after\n")
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), disable_run_logger():
        assert publish_night.fn(Night("SIMUSDT", file, in_force)) == said
