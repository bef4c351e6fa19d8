from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml

from engine.paths import CHECKOUT

DECLARED = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
CONTRACT = {
    "soak/nightly-soak",
    "soak/soak-3h",
    "soak/soak-24h",
    "tune/tune-3h",
    "baseline/baseline",
    "optimize/optimize",
    "report/report",
}

LOAD_ALL = """
import json, sys
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
for deployment in json.load(sys.stdin):
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    assert isinstance(flow, Flow)
    assert flow.fn.__module__ != "__main__"
    flow.validate_parameters(deployment.get("parameters", {}))
    print(f"{flow.name}/{deployment['name']}")
"""


def test_every_entry_point_imports_as_prefect_imports_it_and_takes_its_parameters() -> None:
    """In a process of its own and from another folder's point of view: Prefect puts flows/ in front of sys.path."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL],
        cwd=CHECKOUT,
        input=json.dumps(DECLARED),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert set(done.stdout.split()) >= CONTRACT


@pytest.mark.parametrize("deployment", DECLARED, ids=lambda deployment: deployment["name"])
def test_one_at_a_time_in_the_pool_of_this_machine_with_no_paths(deployment: dict[str, Any]) -> None:
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    queue = {} if deployment["name"] in ("tune-3h", "optimize") else {"work_queue_name": "ingest"}
    assert deployment["work_pool"] == {"name": "local", **queue}
    assert "tape" not in deployment.get("parameters", {}).get("settings", {})


def test_the_night_has_its_hour_and_a_time_zone_that_can_be_set() -> None:
    (night,) = next(row for row in DECLARED if row["name"] == "nightly-soak")["schedules"]
    assert (night["cron"], night["timezone"]) == ("0 22 * * *", "{{ $NIGHTSOAK_TIMEZONE }}")
