from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml

from engine.baseline.ladder import BaselineSettings
from engine.paths import CHECKOUT
from engine.search.settings import TuneSettings
from engine.soak import SoakSettings

DECLARED = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
SETTINGS = {"soak": SoakSettings, "tune": TuneSettings, "baseline": BaselineSettings}

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
    assert done.stdout.split() == [entrypoint.partition(":")[2] for entrypoint in entrypoints]


@pytest.mark.parametrize("deployment", DECLARED, ids=lambda deployment: deployment["name"])
def test_its_parameters_are_settings(deployment: dict[str, Any]) -> None:
    """Every deployment works without arguments, one run at a time."""
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    if "parameters" in deployment:
        model = SETTINGS[deployment["entrypoint"].partition(":")[2]]
        model.model_validate(deployment["parameters"]["settings"])


def test_the_contract_names_are_declared_and_the_night_has_its_cron() -> None:
    by_name = {deployment["name"]: deployment for deployment in DECLARED}
    assert {"nightly-soak", "soak-3h", "soak-24h", "tune-3h", "baseline", "report"} <= set(by_name)
    (night,) = by_name["nightly-soak"]["schedules"]
    assert (night["cron"], night["timezone"]) == ("0 22 * * *", "{{ $NIGHTSOAK_TIMEZONE }}")
    assert by_name["soak-24h"]["parameters"]["settings"]["hours"] == 24.0
