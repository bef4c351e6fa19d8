from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml

from engine.paths import CHECKOUT
from engine.soak import SoakSettings

DECLARED = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]

IMPORT_ALL = """
import sys
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
for entrypoint in sys.argv[1:]:
    flow = load_flow_from_entrypoint(entrypoint)
    assert isinstance(flow, Flow)
    assert flow.fn.__module__ != "__main__"
    print(flow.name)
"""


def test_every_entry_point_imports_as_prefect_imports_it() -> None:
    """In a process of its own and from another folder's point of view: Prefect puts flows/ in front of sys.path."""
    entrypoints = sorted({deployment["entrypoint"] for deployment in DECLARED})
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *entrypoints], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["soak"]


@pytest.mark.parametrize("deployment", DECLARED, ids=lambda deployment: deployment["name"])
def test_its_parameters_are_settings(deployment: dict[str, Any]) -> None:
    settings = SoakSettings.model_validate(deployment["parameters"]["settings"])
    assert settings.tape == ""
    assert deployment["concurrency_limit"]["limit"] == 1


def test_the_contract_names_are_declared_and_the_night_has_its_cron() -> None:
    by_name = {deployment["name"]: deployment for deployment in DECLARED}
    assert {"nightly-soak", "soak-3h", "soak-24h"} <= set(by_name)
    assert [schedule["cron"] for schedule in by_name["nightly-soak"]["schedules"]] == ["0 2 * * *"]
    assert by_name["soak-24h"]["parameters"]["settings"]["hours"] == 24.0
