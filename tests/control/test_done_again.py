"""A served run, acted upon while it waited at an iteration's end, has a certificate that holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from engine.control.settings import FILE, SWITCH_VARIABLE
from engine.files import write_json
from engine.market.simulator import generate_tape, read_settings
from engine.params import Params
from engine.paths import CHECKOUT
from engine.report.manifest import MANIFEST
from engine.soak import RunPlan
from engine.soak_recipe import run_soak
from engine.soak_steps import Edge, report
from engine.verify import verify_run

A, B = Params(base_spread_bps_delta=0.3), Params(base_spread_bps_delta=0.3, tail_age_ms=500)


@pytest.mark.usefixtures("expectations_here")
def test_sets_that_took_effect_at_one_moment_are_verified(
    plan_in: Callable[..., RunPlan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set A comes from the overrides file, B from the control plane, both at the end of the first iteration."""
    market = read_settings(CHECKOUT / "config", "s1").with_run(seed=9, duration_s=40)
    tape = generate_tape(tmp_path / "market", market)
    plan = plan_in(tmp_path, tape=str(tape.path), iterations=2, window_seconds=10, auto_tune=False)
    write_json(plan.paths.config / FILE, {"wait_s": 0})

    def act(edge: Edge) -> None:
        write_json(plan.overrides_file, dict(A))
        address = json.loads((plan.folder / "control_address.json").read_text())
        token = Path(address["token_file"]).read_text().strip()
        with httpx.Client(base_url=address["url"], headers={"Authorization": f"Bearer {token}"}) as client:
            assert client.post("/control/reload_strategy", json={"tail_age_ms": 500}).status_code == 202

    with monkeypatch.context() as served:
        served.setenv(SWITCH_VARIABLE, "1")
        run_soak(plan, at_edge=act)
    folder = report(plan).folder
    manifest = json.loads((folder / MANIFEST).read_text())
    edge_ns = plan.schedule.window_end_ns(plan.schedule.windows_per_iteration - 1)
    assert [(row["effective_ts_ns"], row["params"]) for row in manifest["parameters"][1:]] == [
        (edge_ns, dict(A)), (edge_ns, dict(B))
    ]  # fmt: skip
    result = verify_run(folder, plan.paths)
    assert (result.findings, result.open) == ((), ())
    assert result.verified
