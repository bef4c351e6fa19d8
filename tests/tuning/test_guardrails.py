"""Limits, counts, opposite moves and the multi-fail guard, on moves and on whole decisions."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.params import NAMES, PARAMETERS, Params
from engine.tuning.autotune import TuneState, decide
from engine.tuning.guardrails import Wanted, apply_guarded, limit
from engine.tuning.rules import DriverMatrix, Rules

START = Params()
names = st.sampled_from(NAMES)
shares = st.floats(0, 1)


def valid(name: str, share: float) -> float:
    row = PARAMETERS[name]
    return row.clamp(row.low + share * (row.high - row.low))


def valid_params() -> st.SearchStrategy[Params]:
    fields = {name: shares.map(lambda share, name=name: valid(name, share)) for name in NAMES}
    return st.fixed_dictionaries(fields).map(Params().with_changes)


@given(names, shares, st.floats(-1e6, 1e6))
def test_limiting_twice_is_limiting_once_and_the_result_is_allowed(name, share, wanted) -> None:
    start = valid(name, share)
    once, _ = limit(name, wanted, start)
    assert limit(name, once, start) == (once, "")
    row = PARAMETERS[name]
    assert row.low <= once <= row.high
    assert once - start <= row.max_step_up + 1e-9
    assert isinstance(once, int) == row.integer


@given(names, shares, st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_limiting_keeps_the_order_of_what_was_wanted(name, share, one, other) -> None:
    start = valid(name, share)
    low, high = sorted((one, other))
    assert limit(name, low, start)[0] <= limit(name, high, start)[0]


@given(valid_params(), st.lists(st.tuples(names, st.floats(-400, 400).filter(bool)), max_size=12), st.booleans())
def test_whatever_is_wanted_the_guardrails_hold(params, wanted, calming_only) -> None:
    moves = [Wanted(f"rule {i}", name, change, "seen") for i, (name, change) in enumerate(wanted)]
    changes, after = apply_guarded(moves, params, max_changes=2, calming_only="three triggers" if calming_only else "")
    assert [change.rule for change in changes] == [move.rule for move in moves]
    for name in NAMES:
        mine = [change for change in changes if change.parameter == name]
        moved = [change for change in mine if change.after != change.before]
        assert len(moved) <= 2
        assert len({math.copysign(1, change.after - change.before) for change in moved}) <= 1
        assert after[name] - params[name] <= PARAMETERS[name].max_step_up + 1e-9
        if calming_only:
            assert (after[name] - params[name]) * PARAMETERS[name].calm >= 0
        # the changes are a chain from the old value to the new one
        chain = [params[name], *(change.after for change in mine)]
        assert [change.before for change in mine] == chain[:-1]
        assert chain[-1] == after[name]
    assert params.with_changes(dict(after)) == after
    assert all(change.after == change.before for change in changes if change.status == "refused")
    assert all(change.after == change.wanted for change in changes if change.status == "fired")
    assert all(len(change.reason) > len("seen") for change in changes if change.status != "fired")


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_clamped_at_both_ends(name) -> None:
    row = PARAMETERS[name]
    unit = 1 if row.integer else 0.001
    for end, sign, word in ((row.high, 1, "at most"), (row.low, -1, "at least")):
        near = START.with_changes({name: end - sign * unit})
        (change,), after = apply_guarded([Wanted("r", name, sign * 10 * unit, "seen")], near, max_changes=2)
        assert (change.status, change.after, after[name]) == ("clamped", end, end)
        assert change.wanted == pytest.approx(end + sign * 9 * unit)
        assert f"became {end:g} ({word} {end:g} {row.unit})" in change.reason
        (change,), after = apply_guarded([Wanted("r", name, sign * 10 * unit, "seen")], after, max_changes=2)
        assert (change.status, change.before, change.after) == ("clamped", end, end)
        assert "no room left" in change.reason


@pytest.mark.parametrize("start", [0.0, 0.1, 0.15, 0.25, 0.35, 0.45])
def test_the_spread_rises_by_a_tenth_at_most_in_one_iteration(start) -> None:
    params = replace(START, base_spread_bps_delta=start)
    moves = [Wanted("a", "base_spread_bps_delta", 0.07, "x"), Wanted("b", "base_spread_bps_delta", 0.05, "y")]
    (first, second), after = apply_guarded(moves, params, max_changes=2)
    assert first.status == "fired"
    assert second.status == "clamped"
    assert "at most +0.1 per iteration" in second.reason
    assert after.base_spread_bps_delta == round(start + 0.10, 6)
    exact, _ = apply_guarded([Wanted("a", "base_spread_bps_delta", 0.10, "x")], params, max_changes=2)
    assert exact[0].status == "fired"


def test_a_third_change_of_a_parameter_is_refused() -> None:
    moves = [Wanted(rule, "min_interval_ms", 20, "seen") for rule in ("a", "b", "c")]
    changes, after = apply_guarded(moves, START, max_changes=2)
    assert [change.status for change in changes] == ["fired", "fired", "refused"]
    assert changes[2].reason == "seen; min_interval_ms was changed 2 times in this iteration already"
    assert after.min_interval_ms == 110


def test_whole_numbers_stay_whole() -> None:
    (change,), after = apply_guarded([Wanted("a", "tail_age_ms", 62.6, "seen")], START, max_changes=2)
    assert (after.tail_age_ms, type(after.tail_age_ms)) == (713, int)
    assert change.status == "fired"


def test_of_opposite_moves_the_calming_one_wins_whatever_the_order() -> None:
    up, down = Wanted("calm", "min_interval_ms", 30, "x"), Wanted("relief", "min_interval_ms", -10, "y")
    for moves in ([up, down], [down, up]):
        changes, after = apply_guarded(moves, START, max_changes=2)
        assert after.min_interval_ms == 100
        refused = next(change for change in changes if change.rule == "relief")
        assert refused.status == "refused"
        assert refused.reason == "y; calm moves min_interval_ms the other way, and the calming move wins"


def test_where_neither_direction_is_calm_both_are_refused() -> None:
    params = replace(START, min_lot=5)
    moves = [Wanted("a", "min_lot", 2, "x"), Wanted("b", "min_lot", -1, "y")]
    changes, after = apply_guarded(moves, params, max_changes=2)
    assert after == params
    assert {change.status for change in changes} == {"refused"}
    assert "neither direction is calmer" in changes[0].reason


def test_relief_yields_to_a_calming_rule_on_the_same_parameter_only(rules, kpi_slice) -> None:
    kpis = kpi_slice(order_age_p95_ms=400.0, blocks={"min_interval": 0.6})
    decision = decide(kpis, START, TuneState(), rules)
    assert [(c.rule, c.parameter, c.status) for c in decision.changes] == [
        ("min_interval_blocks", "min_interval_ms", "fired"),
        ("age_relief", "min_interval_ms", "refused"),
        ("age_relief", "replace_rate_per_min", "fired"),
    ]
    assert (decision.params.min_interval_ms, decision.params.replace_rate_per_min) == (100, 310)


def test_three_triggers_let_only_calming_moves_pass(rules, kpi_slice) -> None:
    kpis = kpi_slice(slippage_cost_bps=2.0, order_age_p95_ms=400.0, blocks={"concurrency": 0.45})
    decision = decide(kpis, START, TuneState(), rules)
    assert decision.triggers == ("slippage", "concurrency_blocks", "age_relief")
    refused = [change for change in decision.changes if change.status == "refused"]
    assert [(c.rule, c.parameter) for c in refused] == [
        ("age_relief", "min_interval_ms"),
        ("age_relief", "replace_rate_per_min"),
    ]
    assert all("3 rules triggered at once: only calming moves" in change.reason for change in refused)
    changed = {"base_spread_bps_delta": 0.15, "tail_age_ms": 750, "replace_rate_per_min": 235}
    assert dict(decision.params) == {**START, **changed}


def test_two_triggers_do_not_raise_the_guard(rules, kpi_slice) -> None:
    decision = decide(kpi_slice(slippage_cost_bps=2.0, order_age_p95_ms=400.0), START, TuneState(), rules)
    assert decision.triggers == ("slippage", "age_relief")
    assert {change.status for change in decision.changes} == {"fired"}


def test_two_rules_may_change_one_parameter_and_the_range_ends_it(rules, kpi_slice) -> None:
    kpis = kpi_slice(cancel_ratio=0.9, blocks={"concurrency": 0.6})
    decision = decide(kpis, START, TuneState(), rules)
    assert [(c.rule, c.before, c.after, c.status) for c in decision.changes] == [
        ("concurrency_blocks", 280, 220, "fired"),
        ("cancel_ratio", 220, 175, "fired"),
    ]
    decision = decide(kpis, decision.params, decision.state, rules)
    assert [(c.rule, c.before, c.after, c.status) for c in decision.changes] == [
        ("concurrency_blocks", 175, 120, "clamped"),
        ("cancel_ratio", 120, 120, "clamped"),
    ]
    assert "115 became 120 (at least 120 1/min)" in decision.changes[0].reason
    assert decision.params.replace_rate_per_min == 120


def test_the_guards_numbers_come_from_the_matrix_file(rules, kpi_slice) -> None:
    strict = rules.matrix.model_dump() | {"multi_fail_triggers": 2, "max_changes_per_parameter": 1}
    strict_rules = Rules(DriverMatrix.model_validate(strict), rules.fallback)
    decision = decide(kpi_slice(slippage_cost_bps=2.0, order_age_p95_ms=400.0), START, TuneState(), strict_rules)
    assert [change.status for change in decision.changes] == ["fired", "fired", "refused", "refused"]
    decision = decide(kpi_slice(cancel_ratio=0.9, blocks={"concurrency": 0.6}), START, TuneState(), strict_rules)
    assert [change.status for change in decision.changes] == ["fired", "refused"]
