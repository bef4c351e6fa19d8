"""What a run is given that is done again: the sets and actions of its manifest, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.control.script import read_script
from engine.params import Params
from engine.run_again import _write_script
from engine.soak import NS_PER_S, RunPlan

A, B = dict(Params(base_spread_bps_delta=0.3)), dict(Params(base_spread_bps_delta=0.3, tail_age_ms=500))


@pytest.fixture
def scripted(plan_in: Callable[..., RunPlan], tmp_path: Path) -> Callable[..., list[tuple[int, str, dict[str, Any]]]]:
    """The script, (s since the first iteration's end, action, values), of a run with these sets and actions."""
    plan = plan_in(tmp_path, iterations=2)
    edge_ns = plan.schedule.window_end_ns(plan.schedule.windows_per_iteration - 1)

    def script(
        sets: Sequence[tuple[int, dict[str, float]]], actions: Sequence[tuple[int, str]] = ()
    ) -> list[tuple[int, str, dict[str, Any]]]:
        start = {"effective_ts_ns": plan.schedule.start_ns, "params": dict(Params())}
        rows = [{"effective_ts_ns": edge_ns + s * NS_PER_S, "params": params} for s, params in sets]
        done = [{"effective_ts_ns": edge_ns + s * NS_PER_S, "name": name, "values": {}} for s, name in actions]
        _write_script(plan, {"parameters": [start, *rows], "actions": done})
        found = read_script(plan.folder)
        return [((ts_ns - edge_ns) // NS_PER_S, action.name, dict(action.values)) for ts_ns, action in found]

    return script


def test_one_set_at_an_iterations_end_comes_from_the_overrides_file(scripted: Callable[..., Any]) -> None:
    assert scripted([(0, A)]) == []


def test_two_sets_at_an_iterations_end_are_both_put_in_force_the_later_last(scripted: Callable[..., Any]) -> None:
    """The flow's decision, and what somebody asked the control plane for while the bot waited for it."""
    assert scripted([(0, A), (0, B)]) == [(0, "reload_strategy", A), (0, "reload_strategy", B)]


def test_actions_of_one_moment_keep_their_order(scripted: Callable[..., Any]) -> None:
    names = ["resume", "pause", "flatten", "resume"]
    found = scripted([(0, A)], [(-30, "pause"), *((0, name) for name in names)])
    assert [row for row in found if row[1] != "reload_strategy"] == [(-30, "pause", {}), *((0, n, {}) for n in names)]
    assert (0, "reload_strategy", A) in found
