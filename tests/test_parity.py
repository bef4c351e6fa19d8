"""Parity: the journal's fills against those of its tape, replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.market.tape import Tape
from engine.params import Params
from engine.parity import compare_fills, fills_digest, replayed_fills
from engine.profile import load_profile
from engine.run_changes import PARAMS, RunChange
from engine.tuning.bands import load_gates
from engine.tuning.data_checks import parity_check, windows_check, with_checks

ROOT = Path(__file__).resolve().parents[1]
ACTIONS = load_gates(ROOT / "config").actions
TAPE = Tape.open(ROOT / "datasets/sample")
PROFILE = load_profile(ROOT / "config", "S1")
START_NS, END_NS = TAPE.meta.first_exch_ts_ns, TAPE.meta.last_local_ts_ns + 1
CHANGED_NS = (START_NS + END_NS) // 2
LANES = [dict(Params()), dict(Params())]
WIDER = Params().with_changes({"base_spread_bps_delta": 0.2})


@pytest.fixture(scope="module")
def replayed() -> dict[int, Any]:
    """The sample tape by two lanes, the first of which is changed on the way."""
    return replay_with([RunChange(CHANGED_NS, PARAMS, dict(WIDER))])


def replay_with(changes: list[RunChange]) -> dict[int, Any]:
    fills = replayed_fills(TAPE, PROFILE, LANES, changes, START_NS, END_NS, [0, 0], TAPE.reference_mid2())
    assert all(len(rows) > 20 for rows in fills.values())
    return fills


def test_the_same_fills_are_the_same(replayed: dict[int, Any]) -> None:
    parity = compare_fills(replayed, replay_with([RunChange(CHANGED_NS, PARAMS, dict(WIDER))]))
    assert parity["same"] and [row["lane"] for row in parity["lanes"]] == [0, 1]
    for row in parity["lanes"]:
        assert row["same"] and row["first_difference_ns"] is None
        assert row["journalled"] == row["replayed"] == len(replayed[row["lane"]])
        assert row["digest"] == fills_digest(replayed[row["lane"]])
    assert parity_check(parity)["label"] == "SUCCESS"


@pytest.mark.parametrize("column", range(4))
def test_one_number_off_is_found_at_its_time(replayed: dict[int, Any], column: int) -> None:
    journal = {lane: rows.copy() for lane, rows in replayed.items()}
    journal[1][7, column] += 1
    parity = compare_fills(journal, replayed)
    assert [row["same"] for row in parity["lanes"]] == [True, False]
    assert parity["lanes"][1]["first_difference_ns"] == replayed[1][7, 0]
    check = parity_check(parity)
    assert check["label"] == "WARN" and "lane 1" in check["reason"]


@pytest.mark.parametrize("cut", [slice(None, -1), slice(1, None), slice(0, 0)])
def test_a_fill_more_or_less_is_found(replayed: dict[int, Any], cut: slice) -> None:
    parity = compare_fills({0: replayed[0][cut]}, {0: replayed[0]})
    assert not parity["same"]
    assert parity["lanes"][0]["first_difference_ns"] == replayed[0][-1 if cut.stop == -1 else 0, 0]


def test_a_change_that_was_not_recorded_breaks_it(replayed: dict[int, Any]) -> None:
    parity = compare_fills(replayed, replay_with([]))
    assert [row["same"] for row in parity["lanes"]] == [False, True]
    assert parity["lanes"][0]["first_difference_ns"] >= CHANGED_NS


def test_a_lane_that_only_one_has_is_a_difference(replayed: dict[int, Any]) -> None:
    assert not compare_fills({0: replayed[0]}, replayed)["same"]


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
