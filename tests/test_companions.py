"""Challengers and the former champion beside the champion, in real runs: who runs, what counts, what is made again."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.champion.change import params_sha256
from engine.champion.evidence import champion_windows
from engine.champion.start import Start
from engine.champion.store import ChampionStore
from engine.example import run_soak
from engine.market.simulator import generate_tape, read_settings
from engine.params import Params
from engine.paths import Paths
from engine.soak import RunPlan, SoakSettings
from engine.soak_plan import make_plan
from engine.soak_steps import report
from engine.verify import verify_run
from engine.warehouse.db import Warehouse

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.usefixtures("expectations_here")
SETTINGS = SoakSettings(iterations=2, window_seconds=5, auto_tune=True)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
CHAMPION = Params().with_changes({"base_spread_bps_delta": 0.2})
CHALLENGER = Params().with_changes({"base_spread_bps_delta": 0.3})


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "config", home / "config")
    return Paths(config=home / "config", datasets=home / "datasets", reports=home / "reports")


@pytest.fixture(scope="module")
def runs(paths: Paths) -> list[tuple[RunPlan, Path, dict[str, Any]]]:
    """The same tape soaked twice by a champion with a challenger and its former self beside it."""
    market = read_settings(paths.config, "s1").with_run(seed=9, duration_s=90)
    tape = generate_tape(paths.datasets / "market", market)
    store = ChampionStore(paths, "SIMUSDT")
    store.promote(CHAMPION, who="test", why="test", at_utc=LONG_AGO)
    store.propose(CHALLENGER, why="test", origin="test", at_utc=LONG_AGO)
    made = []
    for _ in range(2):
        plan = make_plan(SETTINGS.model_copy(update={"tape": str(tape.path)}), paths)
        run_soak(plan)
        folder = report(plan).folder
        made.append((plan, folder, json.loads((folder / "soak_metrics.json").read_bytes())))
    return made


def test_a_challenger_and_the_former_champion_run_as_lanes(runs: list[Any]) -> None:
    _, folder, metrics = runs[0]
    edge = json.loads((folder / "EDGE_REPORT.json").read_bytes())
    assert [lane["role"] for lane in edge["lanes"]] == ["champion", "control", "challenger", "challenger"]
    assert [duel["kind"] for duel in metrics["duels"]] == ["challenger", "former"]
    assert {duel["champion_lane"] for duel in metrics["duels"]} == {1}
    assert all(lane["fills"] > 0 for lane in edge["lanes"])
    assert metrics["parity"]["same"] and len(metrics["parity"]["lanes"]) == 4


def test_the_difference_is_that_of_the_two_lanes(runs: list[Any]) -> None:
    _, folder, metrics = runs[0]
    edge = json.loads((folder / "EDGE_REPORT.json").read_bytes())
    control, challenger = edge["lanes"][1], edge["lanes"][2]
    whole = control["windows"][:-1]  # the tape's end cuts the last one short, which is no evidence
    mean_notional = sum(window["notional_quote"] for window in whole) / len(whole)
    for row in metrics["duels"][0]["by_window"]:
        one, other = (lane["windows"][row["window"]]["net_pnl_quote"] for lane in (control, challenger))
        assert row["difference_bps"] == pytest.approx(1e4 * (other - one) / mean_notional)


def test_the_same_market_again_is_no_new_evidence(runs: list[Any]) -> None:
    first, second = (metrics["duels"][0] for _, _, metrics in runs)
    assert first["earlier_windows"] == 0 and first["counted"] == first["windows"] - 1 == 17
    assert second["earlier_windows"] == 17 and second["counted"] == 0
    assert second["judgement"]["windows_usable"] == first["judgement"]["windows_usable"]
    assert second["judgement"]["verdict"] == first["judgement"]["verdict"]


def test_a_run_with_companions_is_verified_from_its_folder(runs: list[Any], paths: Paths) -> None:
    verification = verify_run(runs[1][1], paths)
    assert verification.verified, verification


def test_a_run_that_does_not_start_from_the_champion_has_no_companions(paths: Paths, tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(json.dumps(dict(Params())))
    tape = str(paths.datasets / "market")
    plan = make_plan(SETTINGS.model_copy(update={"overrides": str(own), "tape": tape}), paths)
    assert plan.companions == ()


def test_the_report_names_them(runs: list[Any]) -> None:
    _, folder, metrics = runs[0]
    text = (folder / "SOAK_RESULTS.md").read_text(encoding="utf-8")
    assert "## Champion against challengers" in text
    for duel in metrics["duels"]:
        assert f"Lane {duel['lane']}: {duel['id']}, window by window" in text


def test_a_champion_that_lost_is_calmed_in_lane_0_and_runs_on_beside_it(
    runs: list[Any], paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    calmed = Params().with_changes({"base_spread_bps_delta": 0.25})
    start = Start(calmed, CHAMPION, "fallback", ("It lost.",))
    monkeypatch.setattr("engine.soak_plan.start_of", lambda paths, symbol, window_seconds: start)
    tape = str(paths.datasets / "market")
    plan = make_plan(SETTINGS.model_copy(update={"tape": tape, "auto_tune": False, "iterations": 1}), paths)
    assert RunPlan.read(plan.file) == plan
    run_soak(plan)
    done = report(plan)
    edge = json.loads((done.folder / "EDGE_REPORT.json").read_bytes())
    assert [lane["role"] for lane in edge["lanes"]] == ["champion", "control", "challenger", "challenger"]
    assert plan.lanes[0]["params"] == dict(calmed) and plan.lanes[1]["params"] == dict(CHAMPION)
    assert (plan.params_source, "It lost." in plan.notes) == ("fallback", True)
    metrics = json.loads((done.folder / "soak_metrics.json").read_bytes())
    assert {duel["champion_lane"] for duel in metrics["duels"]} == {1}
    with Warehouse(paths.warehouse) as warehouse:
        own = champion_windows(warehouse, plan.symbol, params_sha256(CHAMPION), window_seconds=5)
    assert own.runs[-1].run_id == plan.run_id and own.runs[-1].lanes == (1,)
    assert verify_run(done.folder, paths).verified
