"""Parity: the journal's fills against those of its tape, replayed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.lane_replay import LaneReplay
from engine.market.tape import Tape
from engine.params import Params
from engine.parity import fills_digest, measure_parity
from engine.profile import load_profile
from engine.soak import cut_span
from engine.tuning.bands import load_gates
from engine.tuning.data_checks import parity_check, windows_check, with_checks

ROOT = Path(__file__).resolve().parents[1]
ACTIONS = load_gates(ROOT / "config").actions


@pytest.fixture(scope="module")
def lane() -> LaneReplay:
    tape = Tape.open(ROOT / "datasets/sample")
    schedule = cut_span(tape.meta.first_exch_ts_ns, tape.meta.last_local_ts_ns + 1, 3, 10)
    wider = Params().with_changes({"base_spread_bps_delta": 0.2})
    changes = [(schedule.start_ns, dict(Params())), (schedule.window_end_ns(10), dict(wider))]
    return LaneReplay(tape, load_profile(ROOT / "config", "S1"), schedule, changes)


@pytest.fixture(scope="module")
def fills(lane: LaneReplay) -> Any:
    (outcome,) = lane.run_all([lane.unchanged()])
    assert len(outcome.fills) > 20
    return outcome.fills


def test_the_same_fills_are_the_same(lane: LaneReplay, fills: Any) -> None:
    parity = measure_parity([lane], {0: fills})
    (row,) = parity["lanes"]
    assert parity["same"] and row["same"] and row["first_difference_ns"] is None
    assert row["journalled"] == row["replayed"] == len(fills)
    assert row["digest"] == fills_digest(fills)
    assert parity_check(parity)["label"] == "SUCCESS"


@pytest.mark.parametrize("column", range(4))
def test_one_number_off_is_found_at_its_time(lane: LaneReplay, fills: Any, column: int) -> None:
    journal = fills.copy()
    journal[7, column] += 1
    parity = measure_parity([lane], {0: journal})
    assert not parity["same"]
    assert parity["lanes"][0]["first_difference_ns"] == fills[7, 0]
    assert parity_check(parity)["label"] == "WARN"


@pytest.mark.parametrize("cut", [slice(None, -1), slice(1, None), slice(0, 0)])
def test_a_fill_more_or_less_is_found(lane: LaneReplay, fills: Any, cut: slice) -> None:
    parity = measure_parity([lane], {0: fills[cut]})
    assert not parity["same"]
    assert parity["lanes"][0]["first_difference_ns"] == fills[-1 if cut.stop == -1 else 0, 0]


def test_a_change_that_was_not_recorded_breaks_it(lane: LaneReplay, fills: Any) -> None:
    forgot = replace(lane, parameters=lane.parameters[:1])
    assert not measure_parity([forgot], {0: fills})["same"]


def test_every_lane_is_compared(lane: LaneReplay, fills: Any) -> None:
    control = replace(lane, parameters=lane.parameters[:1])
    parity = measure_parity([lane, control], {0: fills, 1: fills})
    assert [row["same"] for row in parity["lanes"]] == [True, False]
    assert "lane 1" in parity_check(parity)["reason"]


@pytest.mark.parametrize(
    ("verdict", "parity", "filled", "becomes"),
    [
        ("SUCCESS", True, 12, "SUCCESS"),
        ("SUCCESS", False, 12, "WARN"),
        ("SUCCESS", None, 12, "WARN"),
        ("OK", True, 11, "WARN"),
        ("FAIL", False, 0, "FAIL"),
        ("NODATA", True, 0, "NODATA"),
    ],
)
def test_they_lower_a_verdict_and_never_raise_it(verdict: str, parity: bool | None, filled: int, becomes: str) -> None:
    lanes = [{"lane": 0, "same": parity}]
    gate = {"verdict": verdict, "reason": "r.", "action": "a", "action_package": None, "checks": []}
    windows = [{"notional_quote": 1.0}] * filled + [{"notional_quote": None}, {"notional_quote": 0.0}]
    checks = [parity_check(None if parity is None else {"lanes": lanes}), windows_check(windows)]
    judged = with_checks(gate, checks, ACTIONS)
    assert judged["verdict"] == becomes
    assert judged["action"] == getattr(ACTIONS, becomes)
    assert [check["metric"] for check in judged["checks"]] == ["parity", "windows_with_fills"]
