"""Companion lanes against the champion's frozen lane: this run's windows after those of earlier ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.duel import measure_duels
from engine.params import Params
from engine.paths import Paths
from engine.soak import Companion, RunPlan, SoakSettings, cut_span
from engine.tuning.judge import judge_challenger, load_judge
from engine.tuning.pairing import window_series

ROOT = Path(__file__).resolve().parents[1]
JUDGE = load_judge(ROOT / "config")
WINDOWS = 36
EARLIER = tuple((1.0 + 0.1 * (i % 7), 10_000.0, 1.3 + 0.1 * (i % 5), 9_000.0) for i in range(20))


@pytest.fixture
def plan(tmp_path: Path) -> RunPlan:
    wider = Params().with_changes({"base_spread_bps_delta": 0.2})
    return RunPlan(
        run_id="20261120T020000-SIMUSDT-0000",
        symbol="SIMUSDT",
        settings=SoakSettings(auto_tune=True),
        schedule=cut_span(0, WINDOWS * 300 * 10**9, 6, 300),
        tape=tmp_path,
        tape_facts={},
        profile="S1",
        params=Params(),
        params_source="champion",
        position_start_lots=0,
        latency_modelled=True,
        git="",
        inputs={},
        notes=(),
        paths=Paths.from_environment(),
        companions=(Companion("x-1", "challenger", wider, EARLIER), Companion("c1", "former", Params())),
    )


def edge(*lanes: list[tuple[float | None, float]]) -> dict[str, Any]:
    rows = []
    for lane, windows in enumerate(lanes):
        of_lane = [
            {"window": i, "net_pnl_quote": pnl, "notional_quote": notional, "net_bps": None, "fills": 3}
            for i, (pnl, notional) in enumerate(windows)
        ]
        rows.append({"lane": lane, "role": "x", "windows": of_lane, "fills": 3 * len(windows)})
    return {"lanes": rows}


def lanes(seed: int = 5) -> dict[str, Any]:
    noise = np.random.default_rng(seed).normal(size=(4, WINDOWS)).round(6)
    tuned, control, challenger, former = (
        [(float(mean + value), 10_000.0) for value in row]
        for mean, row in zip((5.0, 2.0, 3.0, 2.0), noise, strict=True)
    )
    return edge(tuned, control, challenger, former)


def test_a_plan_with_companions_is_read_as_it_was_written(plan: RunPlan, tmp_path: Path) -> None:
    from engine.files import write_json

    write_json(tmp_path / "plan.json", plan.to_json())
    assert RunPlan.read(tmp_path / "plan.json").companions == plan.companions
    assert [(lane["role"], lane.get("id")) for lane in plan.lanes] == [
        ("champion", None),
        ("control", None),
        ("challenger", "x-1"),
        ("challenger", "c1"),
    ]
    assert replace(plan, settings=SoakSettings(auto_tune=False)).frozen_lane == 0


def test_the_verdict_is_the_judge_s_on_earlier_windows_and_tonight_s_against_the_frozen_lane(plan: RunPlan) -> None:
    report = lanes()
    duel = measure_duels(plan, report, JUDGE)[0]
    control, challenger = (report["lanes"][lane]["windows"] for lane in (1, 2))
    champion_pnl = [row[0] for row in EARLIER] + [window["net_pnl_quote"] for window in control]
    companion_pnl = [row[2] for row in EARLIER] + [window["net_pnl_quote"] for window in challenger]
    ids = list(range(len(EARLIER) + WINDOWS))
    expected = judge_challenger(
        window_series(ids, champion_pnl, [10_000.0] * len(ids)),
        window_series(ids, companion_pnl, [9_000.0] * len(EARLIER) + [10_000.0] * WINDOWS),
        JUDGE,
    )
    assert duel["judgement"] == expected.to_json()
    assert (duel["lane"], duel["champion_lane"], duel["earlier_windows"], duel["windows"]) == (2, 1, 20, WINDOWS)


def test_differences_are_in_bps_of_the_champion_s_mean_notional(plan: RunPlan) -> None:
    report = lanes()
    duel = measure_duels(plan, report, JUDGE)[0]
    for row in duel["by_window"]:
        champion, companion = (report["lanes"][lane]["windows"][row["window"]]["net_pnl_quote"] for lane in (1, 2))
        assert row["difference_bps"] == pytest.approx(1e4 * (companion - champion) / 10_000.0)


def test_each_window_says_what_was_known_after_it(plan: RunPlan) -> None:
    duel = measure_duels(plan, lanes(), JUDGE)[0]
    first_look = JUDGE.confirm.looks[0]
    to_next = [row["to_next_look"] for row in duel["by_window"]]
    assert to_next[: first_look - 20 - 1] == list(range(first_look - 21, 0, -1))
    last = duel["by_window"][-1]
    assert last["mean_bps"] == duel["judgement"]["running"]["mean_bps"]


def test_the_same_parameters_are_never_better(plan: RunPlan) -> None:
    report = lanes()
    report["lanes"][3]["windows"] = report["lanes"][1]["windows"]
    duel = measure_duels(plan, report, JUDGE)[1]
    assert duel["judgement"]["verdict"] == "INCONCLUSIVE"
    assert {row["difference_bps"] for row in duel["by_window"]} == {0.0}
    assert duel["nights_needed"] == 2  # 96 windows at most, 36 a night, 36 had


def test_an_unknown_window_is_missing_not_zero(plan: RunPlan) -> None:
    report = lanes()
    report["lanes"][2]["windows"][4]["net_pnl_quote"] = None
    duel = measure_duels(plan, report, JUDGE)[0]
    assert duel["by_window"][4]["difference_bps"] is None
    assert duel["judgement"]["missing"]["unknown"] == 1
    assert duel["judgement"]["windows_usable"] == len(EARLIER) + WINDOWS - 1


def test_a_window_that_does_not_count_is_shown_and_is_no_evidence(plan: RunPlan) -> None:
    report = lanes()
    whole = measure_duels(plan, report, JUDGE)[0]
    first, second = plan.companions
    plan = replace(plan, companions=(replace(first, counted=tuple(range(1, WINDOWS))), second))
    duel = measure_duels(plan, report, JUDGE)[0]
    assert [row["counted"] for row in duel["by_window"]] == [False] + [True] * (WINDOWS - 1)
    assert (duel["windows"], duel["counted"]) == (WINDOWS, WINDOWS - 1)
    assert duel["judgement"]["windows_usable"] == whole["judgement"]["windows_usable"] - 1
    assert duel["by_window"][0]["difference_bps"] is not None
