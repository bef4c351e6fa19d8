"""Sequences of iterations: the fallback package, iterations without fills, the state between decisions."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine.errors import ConfigError
from engine.params import Params
from engine.tuning.autotune import TuneState, decide

START = Params()
EMPTY = None


def run(rules, kpi_slice, net_bps_sequence, params=START):
    state, decisions = TuneState(), []
    for net_bps in net_bps_sequence:
        fills = 0 if net_bps is EMPTY else 250
        # a state that went through a file must do
        state = TuneState.from_json(json.dumps(state.to_json()))
        decision = decide(kpi_slice(net_bps=net_bps, fills=fills), params, state, rules)
        decisions.append(decision)
        params, state = decision.params, decision.state
    return decisions


@pytest.mark.parametrize(
    ("sequence", "modes"),
    [
        ([-1, -1], "mf"),
        ([-1, 0.0, -1], "mmm"),
        ([-1, 2, -1, -1], "mmmf"),
        ([-1, EMPTY, -1], "m-f"),
        ([EMPTY, -1, EMPTY, EMPTY, -1, EMPTY], "-m--f-"),
        ([-1, -1, -1], "mfm"),
        ([-1, -1, -1, -1], "mfmf"),
        ([-1, -1, EMPTY, -1, -1], "mf-mf"),
        ([EMPTY, EMPTY], "--"),
        ([-1, EMPTY, 1, -1], "m-mm"),
        ([-0.001, -1e-12], "mf"),
    ],
)
def test_two_negative_iterations_bring_the_package_and_the_row_starts_anew(rules, kpi_slice, sequence, modes) -> None:
    decisions = run(rules, kpi_slice, sequence)
    letters = {"matrix": "m", "fallback": "f", "no data": "-"}
    assert "".join(letters[decision.mode] for decision in decisions) == modes
    assert [decision.iteration for decision in decisions] == list(range(len(sequence)))
    assert decisions[-1].state.fallbacks == modes.count("f")
    assert decisions[-1].state.iterations == len(sequence)


def test_the_package_is_clamped_like_everything_else(rules, kpi_slice) -> None:
    decision = run(rules, kpi_slice, [-1, -2.5])[-1]
    assert [(c.rule, c.parameter, c.before, c.wanted, c.after, c.status) for c in decision.changes] == [
        ("conservative", "min_interval_ms", 70, 120, 120, "fired"),
        ("conservative", "replace_rate_per_min", 280, 200, 200, "fired"),
        ("conservative", "base_spread_bps_delta", 0.10, 0.30, 0.20, "clamped"),
        ("conservative", "impact_cap_ratio", 0.09, 0.06, 0.06, "fired"),
        ("conservative", "max_delta_ratio", 0.14, 0.11, 0.11, "fired"),
    ]
    assert decision.params == replace(
        START,
        min_interval_ms=120,
        replace_rate_per_min=200,
        base_spread_bps_delta=0.20,
        impact_cap_ratio=0.06,
        max_delta_ratio=0.11,
    )
    assert decision.note.startswith("net_bps below 0 in 2 iterations in a row, -2.5 in the last: ")
    assert all("net_bps below 0 in 2 iterations" in change.reason for change in decision.changes)


def test_the_package_again_goes_on_where_the_limit_stopped_it_and_never_excites(rules, kpi_slice) -> None:
    calmer = replace(START, min_interval_ms=200, impact_cap_ratio=0.05)
    decisions = run(rules, kpi_slice, [-1] * 8, calmer)
    spreads = [decision.params.base_spread_bps_delta for decision in decisions]
    assert spreads == [0.1, 0.2, 0.2, 0.3, 0.3, 0.3, 0.3, 0.3]
    assert all(decision.params.min_interval_ms == 200 for decision in decisions)
    assert all(decision.params.impact_cap_ratio == 0.05 for decision in decisions)
    assert decisions[5].mode == "fallback"
    assert decisions[5].changes == ()
    assert "No change: every parameter is at least as calm already." in decisions[5].note


def test_the_package_replaces_the_matrix(rules, kpi_slice) -> None:
    state = TuneState(negative_in_a_row=1)
    decision = decide(kpi_slice(net_bps=-1.0, slippage_cost_bps=3.0), START, state, rules)
    assert decision.mode == "fallback"
    assert {change.rule for change in decision.changes} == {"conservative"}
    assert decision.params.tail_age_ms == START.tail_age_ms
    assert decision.triggers == ("slippage",)  # still reported


def test_without_fills_nothing_changes_and_it_is_said(rules, kpi_slice) -> None:
    state = TuneState(iterations=3, negative_in_a_row=1)
    blocked = kpi_slice(net_bps=None, fills=0, blocks={"min_interval": 0.9})
    decision = decide(blocked, START, state, rules)
    assert decision.params == START
    assert decision.changes == ()
    assert decision.note == "No change: net_bps has no data (no fills)."
    assert decision.state == TuneState(iterations=4, negative_in_a_row=1)
    unjoined = kpi_slice(net_bps=None, null_reasons={"net_bps": "mids could not be joined"})
    assert "mids could not be joined" in decide(unjoined, START, state, rules).note
    assert decide({}, START, state, rules).mode == "no data"


def test_a_decision_is_json_with_what_the_report_needs(rules, kpi_slice) -> None:
    decision = decide(kpi_slice(cancel_ratio=0.9), START, TuneState(), rules)
    value = json.loads(json.dumps(decision.to_json(), allow_nan=False))
    assert value["triggers"] == ["cancel_ratio"]
    assert value["changes"] == [
        {
            "rule": "cancel_ratio",
            "parameter": "replace_rate_per_min",
            "before": 280,
            "wanted": 235,
            "after": 235,
            "status": "fired",
            "reason": "cancel_ratio 0.9 > 0.6",
        }
    ]
    assert value["params_after"] == {**START, "replace_rate_per_min": 235}
    assert value["note"] == "cancel_ratio triggered; changed replace_rate_per_min."
    assert value["state"] == {"iterations": 1, "negative_in_a_row": 0, "fallbacks": 0}
    assert len(value["readings"]) == len(rules.matrix.rows)


def test_the_same_input_gives_the_same_decision(rules, kpi_slice) -> None:
    kpis = kpi_slice(slippage_cost_bps=1.7, cancel_ratio=0.7)
    assert decide(kpis, START, TuneState(), rules) == decide(kpis, START, TuneState(), rules)


@pytest.mark.parametrize("text", ['{"iterations": -1}', '{"negatives": 1}', '{"fallbacks": 1.5}', "[]"])
def test_a_state_that_is_none_is_refused(text) -> None:
    with pytest.raises(ConfigError, match="tuning state"):
        TuneState.from_json(text)
