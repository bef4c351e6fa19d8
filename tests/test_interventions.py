"""Replays of lane 0 with one thing changed: the unchanged one is the run, and each change is what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from engine.interventions import COMPONENT_OF, measure_interventions
from engine.lane_replay import LaneReplay
from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape
from engine.params import Params
from engine.paths import CHECKOUT
from engine.profile import Profile, load_profile
from engine.replay import ReplaySettings, replay
from engine.report.interventions import build_interventions
from engine.report.record import RunRecord
from engine.soak import NS_PER_S, RunPlan, cut_span
from engine.soak_recipe import run_soak
from engine.soak_steps import report

CONFIG = CHECKOUT / "config"
NAMES = ("net_bps", "net_pnl_quote", "notional_quote", "fills")


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    """Ten minutes of the s1 market."""
    settings = read_settings(CONFIG, "s1").with_run(seed=5, duration_s=600)
    return generate_tape(tmp_path_factory.mktemp("market") / "tape", settings)


@pytest.fixture(scope="module")
def lane(tape: Tape) -> LaneReplay:
    """Fifteen windows of 40 s; the parameters change in the middle of one."""
    start_ns = tape.meta.first_exch_ts_ns
    schedule = cut_span(start_ns, start_ns + 600 * NS_PER_S, 1, 40)
    wider = Params().with_changes({"base_spread_bps_delta": 0.2})
    changed_ns = schedule.window_start_ns(7) + 12_345_678_901
    profile = load_profile(CONFIG, "S1")
    return LaneReplay(tape, profile, schedule, [(schedule.start_ns, dict(Params())), (changed_ns, dict(wider))])


def with_profile(lane: LaneReplay, **changes: Any) -> LaneReplay:
    return replace(lane, profile=Profile.model_validate({**lane.profile.model_dump(), **changes}))


def measured(lane: LaneReplay) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The lane's own slice, and the interventions by name."""
    total = lane.run(lane.unchanged()).total
    result = measure_interventions(lane, total.to_json() | {"fills": total.fills})
    assert result["same_as_run"]
    return total.to_json(), {row["name"]: row for row in result["interventions"]}


def test_the_unchanged_replay_of_a_tuned_soak_is_the_soak(plan_of: Callable[..., RunPlan]) -> None:
    plan = plan_of()
    run_soak(plan)
    folder = report(plan).folder
    metrics = json.loads((folder / "soak_metrics.json").read_text())
    assert len(metrics["parameters"]) > 1, "the soak was to be tuned"
    found = metrics["interventions"]
    assert found["same_as_run"]
    assert found["unchanged"] == {name: metrics["kpis"][name] for name in NAMES}
    assert [row["name"] for row in found["interventions"]] == list(COMPONENT_OF)
    assert "### The same market with one thing changed" in (folder / "SOAK_RESULTS.md").read_text()


def test_windows_add_up_to_the_run_whatever_their_length(lane: LaneReplay) -> None:
    one = cut_span(lane.schedule.start_ns, lane.schedule.end_ns, 1, 600)
    whole = replace(lane, schedule=one).run(lane.unchanged())
    parts = lane.run(lane.unchanged())
    assert (len(whole.windows), len(parts.windows)) == (1, 15)
    assert parts.total == whole.total
    assert whole.total.fills > 50


def test_outcomes_come_in_the_order_of_the_changes(lane: LaneReplay) -> None:
    unchanged = lane.unchanged()
    changes = [replace(unchanged, fee_rate=Fraction(n, 10_000)) for n in range(5)]
    outcomes = lane.run_all(changes)
    assert outcomes == [lane.run(change) for change in changes]
    fees = [outcome.total.fee_units for outcome in outcomes]
    assert fees == sorted(set(fees))


def test_no_fees_is_worth_what_accounting_says(lane: LaneReplay) -> None:
    totals, rows = measured(lane)
    row = rows["no fees"]
    assert row["difference_bps"] == pytest.approx(-totals["fees_eff_bps"], abs=1e-12)
    fees_quote = totals["fees_eff_bps"] / 1e4 * totals["notional_quote"]
    assert row["difference_quote"] == pytest.approx(-fees_quote, rel=1e-9)
    assert row["low_quote"] < row["difference_quote"] < row["high_quote"]
    assert (row["low_quote"] + row["high_quote"]) / 2 == pytest.approx(row["difference_quote"], rel=1e-9)


def test_no_latency_is_a_replay_with_none(tape: Tape) -> None:
    meta = tape.meta
    schedule = cut_span(meta.first_exch_ts_ns, meta.last_local_ts_ns + 1, 1, 600)
    profile = load_profile(CONFIG, "S1")
    _, rows = measured(LaneReplay(tape, profile, schedule, [(schedule.start_ns, dict(Params()))]))
    settings = ReplaySettings(entry_latency_ms=0.0, response_latency_ms=0.0)
    (alone,) = replay(tape, [dict(Params())], profile, settings)
    assert rows["no latency"]["fills"] == alone.fills
    assert rows["no latency"]["net_bps"] == pytest.approx(alone.kpis["net_bps"], abs=1e-9)


def test_a_cap_that_never_binds_is_worth_nothing_and_one_that_does_is_measured(lane: LaneReplay) -> None:
    """Skew per lot stays the same, so far from the cap every quote is the same to the last tick."""
    far = with_profile(lane, position_cap_notional_quote=500_000.0, skew_bps_at_cap=300.0)
    _, rows = measured(far)
    assert (rows["no position cap"]["difference_bps"], rows["no position cap"]["difference_quote"]) == (0.0, 0.0)
    near = with_profile(lane, position_cap_notional_quote=1_000.0, skew_bps_at_cap=0.0)
    totals, rows = measured(near)
    assert rows["no position cap"]["notional_quote"] > totals["notional_quote"]
    assert rows["no skew"]["difference_quote"] == 0.0


def test_no_skew_is_a_profile_without_it(lane: LaneReplay) -> None:
    straight = with_profile(lane, skew_bps_at_cap=0.0)
    _, rows = measured(lane)
    assert {name: rows["no skew"][name] for name in NAMES} == straight.run(straight.unchanged()).to_json()
    assert rows["no skew"]["difference_quote"] != 0.0


def test_one_tick_wider_quotes_about_one_tick_further_out(lane: LaneReplay, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    run = LaneReplay.run

    def watched(self: LaneReplay, change: Any) -> Any:
        outcome = run(self, change)
        seen.append((change.config.base_half_spread_bps, outcome.quoted_ticks))
        return outcome

    monkeypatch.setattr(LaneReplay, "run", watched)
    straight = with_profile(lane, skew_bps_at_cap=0.0)
    measure_interventions(straight, straight.run(straight.unchanged()).total.to_json() | {"fills": 0})
    (_, usual), (_, wider) = min(seen), max(seen)
    assert 0.7 < wider - usual < 1.5


def test_a_replay_that_is_not_the_run_is_said_and_measures_nothing(lane: LaneReplay) -> None:
    total = lane.run(lane.unchanged()).total
    result = measure_interventions(lane, total.to_json() | {"fills": total.fills + 1})
    assert not result["same_as_run"]
    table, text = build_interventions(record_with(result, total.fills + 1))
    assert table is None
    assert f"gives {total.fills} fills and not this run's {total.fills + 1}" in text


def test_a_bot_that_never_trades_has_nothing_to_measure(lane: LaneReplay) -> None:
    far = with_profile(lane, base_half_spread_bps=5000.0)
    _, rows = measured(far)
    for row in rows.values():
        assert (row["net_bps"], row["difference_bps"], row["difference_quote"]) == (None, None, 0.0)
        assert row["low_quote"] is None
    totals = {"net_bps": None, "net_pnl_quote": 0.0, "notional_quote": 0.0, "fills": 0}
    nothing = dict.fromkeys(COMPONENT_OF.values()) | totals
    table, text = build_interventions(record_with(measure_interventions(far, nothing), 0))
    assert table is None
    assert text.startswith("There were no fills")


@pytest.mark.parametrize(
    ("low", "difference", "high", "words"),
    [
        (1.0, 2.0, 3.0, "+2.00 USDT [1.00, 3.00], which is more than chance explains"),
        (-1.0, 2.0, 5.0, "+2.00 USDT [-1.00, 5.00], which cannot be told from chance"),
        (None, 2.0, None, "+2.00 USDT, on too few windows to tell it from chance"),
        (0.0, 0.0, 0.0, "0.00 USDT [0.00, 0.00], so that it changed nothing here"),
        (-4000.25, -1500.75, 999.0, "-1501 USDT [-4000, 999], which cannot be told from chance"),
    ],
)
def test_the_sentence_says_what_the_blamed_driver_is_worth(
    low: float | None, difference: float, high: float | None, words: str
) -> None:
    row = {
        "name": "no latency", "component": "slippage_bps", "component_bps": -3.0, "difference_bps": 0.4,
        "difference_quote": difference, "low_quote": low, "high_quote": high, "fills": 9,
    }  # fmt: skip
    result = {"same_as_run": True, "unchanged": {"fills": 9}, "interventions": [row]}
    _, text = build_interventions(record_with(result, 9, blamed=["slippage_bps", "gross_bps"]))
    assert text == (
        "Accounting blames slippage most; replayed with no latency, the same market changes net_bps by +0.40 "
        f"and PnL by {words}."
    )
    table, text = build_interventions(record_with(result, 9))
    assert text.startswith("No component is below its target")
    assert table is not None
    assert table.rows[0][:3] == ("no latency", "slippage -3.00", "+0.40")


def record_with(interventions: dict[str, Any], fills: int, blamed: list[str] | None = None) -> RunRecord:
    return RunRecord(
        run_id="20261120T020000-SIMUSDT-1f2e",
        plan={},
        edge={"pnl_currency": "USDT", "totals": {"fills": fills, "neg_edge_drivers": blamed or []}},
        gate={},
        params_start={},
        params_final={},
        interventions=interventions,
    )
