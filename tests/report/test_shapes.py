"""Runs of every shape: what is missing is said, and nothing breaks."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import InputError
from engine.metrics import COMPONENTS, METRICS
from engine.params import Params
from engine.report.artefacts import build_artefacts
from engine.report.chart_data import parameters_by_iteration
from engine.report.commands import again, next_step
from engine.report.control import compare
from engine.report.record import RunRecord
from engine.report.render import render_markdown
from engine.report.series import FILL_POINTS, LINE_POINTS, thin_series
from engine.report.view import build_view
from engine.tuning.autotune import TuneState, decide
from engine.tuning.bands import load_gates
from engine.tuning.gate import judge
from engine.tuning.rules import load_packages, load_rules

CONFIG = Path(__file__).parents[2] / "config"


def report_of(record: RunRecord) -> str:
    """The Markdown with its wrapped lines joined again; without drawing the charts."""
    return joined(render_markdown(build_view(record.completed())))


def report_with_charts(record: RunRecord) -> str:
    return joined(build_artefacts(record)["SOAK_RESULTS.md"].decode())


def joined(text: str) -> str:
    for line in text.splitlines():
        assert not line.startswith("|") or len(line) <= 80
    return re.sub(r"(?<=\w)\n(?:> | +)?(?=\w)", " ", text)


def cut(record: RunRecord, windows: int) -> RunRecord:
    """The run with its first windows only."""
    edge = copy.deepcopy(dict(record.edge))
    edge["windows"] = edge["windows"][:windows]
    edge["iterations"] = edge["iterations"][:1] if windows else []
    for lane in edge["lanes"]:
        lane["windows"] = lane["windows"][:windows]
    return replace(record, edge=edge, decisions=(), params_final=record.params_start)


def test_one_window_and_one_iteration(normal: RunRecord) -> None:
    text = report_with_charts(cut(normal, 1))
    assert "1 window of 300 s: 1 at or above 3 bps, 0 below" in text
    assert "over 1 paired window; too few for an interval" in text
    assert "No iteration was completed before the last one" in text


def test_interrupted_before_the_first_window(normal: RunRecord) -> None:
    record = replace(cut(normal, 0), interrupted=True, series={})
    totals = dict.fromkeys(METRICS, None) | {"n": {}, "null_reasons": {}}
    edge = dict(record.edge) | {"totals": totals, "markouts": []}
    text = report_with_charts(replace(record, edge=edge))
    assert "interrupted after 0 windows in 0 of 6 iterations" in text
    assert "no window completed" in text
    assert "No window was completed." in text
    assert "svg" not in text


def test_without_series_control_decisions_or_inputs(normal: RunRecord) -> None:
    edge = {**normal.edge, "lanes": normal.edge["lanes"][:1]}
    record = replace(
        normal, edge=edge, decisions=(), series={}, inputs={}, data_quality={}, params_final=normal.params_start
    )
    text = report_with_charts(record)
    assert "no control lane" in text
    assert "| Gaps in the data                     |  no data |" in text
    assert "price.svg" not in text
    assert "nothing; no rule changed a parameter" in text


def test_null_kpis_in_some_windows_and_in_the_totals(normal: RunRecord) -> None:
    edge = copy.deepcopy(dict(normal.edge))
    for name in (*COMPONENTS, "net_bps", "adverse_bps", "coverage_pct", "p95_latency_ms"):
        edge["totals"][name] = None
    text = report_with_charts(replace(normal, edge=edge))
    assert "no data of 180 min observed" in text
    assert "waterfall.svg" not in text
    assert "windows.svg" in text


def test_a_losing_run_and_small_money(normal: RunRecord) -> None:
    edge = copy.deepcopy(dict(normal.edge))
    for slice_ in (
        edge["totals"],
        *edge["windows"],
        *edge["lanes"],
        *(w for lane in edge["lanes"] for w in lane["windows"]),
    ):
        for name in ("net_pnl_quote", "notional_quote"):
            slice_[name] *= 1e-6
        if slice_["net_bps"] is not None:
            slice_["net_bps"] -= 9
        slice_["net_pnl_quote"] *= -1
    edge["totals"]["inventory_bps"] -= 9
    edge["pnl_currency"] = "BTC"
    gate = copy.deepcopy(dict(normal.gate))
    gate["checks"][0] |= {"observed": edge["totals"]["net_bps"], "limit": 2.5, "label": "FAIL"}
    text = report_with_charts(replace(normal, edge=edge, gate=gate | {"verdict": "FAIL"}))
    assert "-0.0002737" in text
    assert re.search(r"\| residual +\| +< 1e-9 \|", text)


def test_blocks_that_were_not_journalled_are_no_data(normal: RunRecord) -> None:
    edge = copy.deepcopy(dict(normal.edge))
    edge["totals"] |= {"block_reasons": None, "null_reasons": {"block_ratios": "no order and no block record"}}
    text = report_of(replace(normal, edge=edge))
    assert "No data on blocked intents: no order and no block record." in text
    edge["totals"]["block_reasons"] = {}
    assert "No intent to change a quote was blocked." in report_of(replace(normal, edge=edge))


def test_a_residual_that_is_not_zero_is_seen(normal: RunRecord) -> None:
    edge = copy.deepcopy(dict(normal.edge))
    edge["totals"]["gross_bps"] += 1.5e-7
    assert re.search(r"\| residual +\| -1\.5e-07 \|", report_of(replace(normal, edge=edge)))


def test_the_real_gate_and_decision_are_reported_in_their_own_words(normal: RunRecord) -> None:
    edge, params, state = normal.edge, Params(), TuneState()
    rules, decisions = load_rules(CONFIG), []
    for iteration in edge["iterations"][:-1]:
        decision = decide(iteration, params, state, rules)
        params, state = decision.params, decision.state
        decisions.append(decision.to_json())
    result = judge(
        edge["totals"], load_gates(CONFIG), windows=edge["windows"], packages=load_packages(CONFIG), params=params
    )
    record = replace(
        normal,
        gate=result.to_json(),
        decisions=decisions,
        params_start=dict(Params()),
        params_final=dict(params),
    )
    text = report_of(record)
    flat = re.sub(r"\s+", " ", text)
    assert result.action in flat
    for check in result.checks:
        assert f"{check.metric}: {check.reason}" in flat
    changes = [change for decision in decisions for change in decision["changes"]]
    assert changes
    for change in changes:
        assert f"{change['status']}: {change['parameter']} " in flat
        assert f"({change['rule']}: {change['reason']})" in flat
    assert [values for _, values in parameters_by_iteration(record)][-1] == dict(params)


def test_the_paired_difference_is_over_the_mean_notional_of_the_control() -> None:
    def lane(number: int, role: str, rows: list[tuple[float | None, float | None]]) -> dict[str, Any]:
        windows = [
            {"window": i, "net_pnl_quote": p, "notional_quote": v, "net_bps": None, "fills": 0}
            for i, (p, v) in enumerate(rows)
        ]
        return {"lane": number, "role": role, "windows": windows, "net_bps": 0.0}

    edge = {
        "windows": [{"window": i, "end_ns": (i + 1) * 10**9} for i in range(3)],
        "lanes": [
            lane(0, "champion", [(2.0, 900.0), (0.0, 0.0), (1.0, 100.0)]),
            lane(2, "challenger", [(9.0, 9.0)] * 3),
            lane(1, "control", [(1.0, 1000.0), (0.5, 1000.0), (0.0, 0.0)]),
        ],
    }
    control = compare(edge)
    assert control is not None
    assert control["lane"] == 1
    notional = 2000.0 / 3
    expected = [1e4 * 1.0 / notional, 1e4 * -0.5 / notional, 1e4 * 1.0 / notional]
    assert [row["difference_bps"] for row in control["windows"]] == pytest.approx(expected)
    assert control["mean_bps"] == pytest.approx(sum(expected) / 3)
    assert control["low"] is None
    edge["lanes"][0]["windows"][2]["net_pnl_quote"] = None  # a position, and no book to mark it with
    partly = compare(edge)
    assert partly is not None
    assert (partly["n"], partly["unknown_windows"]) == (2, 1)
    assert partly["mean_bps"] == pytest.approx(1e4 * 0.25 / 1000.0)
    edge["lanes"][2]["windows"] = [{**w, "notional_quote": 0.0} for w in edge["lanes"][2]["windows"]]
    silent = compare(edge)
    assert silent is not None
    assert silent["mean_bps"] is None
    assert compare({"lanes": edge["lanes"][:2], "windows": edge["windows"]}) is None


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.9, "tuning helped"), (-0.9, -0.1, "tuning hurt"), (-0.1, 0.9, "unresolved"), (0.0, 0.0, "no difference")],
)
def test_what_tuning_was_worth_in_words(normal: RunRecord, low: float, high: float, words: str) -> None:
    control = {**(normal.completed().control or {}), "low": low, "high": high}
    assert words in report_of(replace(normal, control=control))


def test_a_gain_by_not_trading_is_named(normal: RunRecord) -> None:
    control = copy.deepcopy(dict(normal.completed().control or {}))
    control["tuned"]["notional_quote"] = 0.49 * control["control"]["notional_quote"]
    assert "a gain by not trading is none" in re.sub(r"\s+", " ", report_of(replace(normal, control=control)))


def test_thinning_keeps_the_extremes_is_idempotent_and_says_what_it_left_out() -> None:
    count = 20_000
    mid = [math.sin(i / 900) for i in range(count)]
    mid[7777], mid[12_345] = 5.0, -5.0
    fills = {"ts_ns": list(range(3000)), "price": [1.0] * 3000, "side": [1] * 3000}
    thin = thin_series({"marks": {"ts_ns": list(range(count)), "mid": mid}, "fills": fills})
    assert len(thin["marks"]["mid"]) <= LINE_POINTS
    assert {5.0, -5.0} <= set(thin["marks"]["mid"])
    assert thin["marks"]["ts_ns"][0] == 0
    assert thin["marks"]["ts_ns"][-1] == count - 1
    assert len(thin["fills"]["ts_ns"]) <= FILL_POINTS
    assert thin["fills_shown_one_in"] == 4
    assert thin_series(thin) == thin
    assert thin_series({"marks": {"ts_ns": [1], "mid": [2.0], "bid": [1.0]}, "pnl": []}) == {
        "marks": {"ts_ns": [1], "mid": [2.0]}
    }


def test_a_record_holds_json_only(normal: RunRecord) -> None:
    plan = {**normal.plan, "seed": np.int64(7), "hours": np.float64(3.0), "extra": np.arange(2)}
    record = replace(normal, plan=plan)
    assert type(record.plan["seed"]) is int
    assert record.plan["extra"] == [0, 1]
    with pytest.raises(InputError, match=r"data_quality\.x\[1\]: nan"):
        replace(normal, data_quality={"x": [1.0, math.nan]})
    with pytest.raises(InputError, match="has no place in JSON"):
        replace(normal, plan={**normal.plan, "tape": Path("x")})
    for wrong in ("", "latest", "../../20261120T020000-X", "20261120T020000-a/b"):
        with pytest.raises(InputError, match="not a run id"):
            replace(normal, run_id=wrong)


def test_documents_of_another_format_are_refused(normal: RunRecord) -> None:
    documents = normal.documents()
    assert RunRecord.from_documents(documents) == normal
    with pytest.raises(InputError, match="not format"):
        RunRecord.from_documents(documents | {"soak_metrics.json": documents["soak_metrics.json"] | {"format": 99}})
    metrics = {k: v for k, v in documents["soak_metrics.json"].items() if k != "series"}
    with pytest.raises(InputError, match="has no series"):
        RunRecord.from_documents(documents | {"soak_metrics.json": metrics})


@pytest.mark.parametrize(
    ("verdict", "interrupted", "words", "command"),
    [
        ("SUCCESS", False, "the long soak", "nightsoak soak --hours 24 --iterations 6 --auto-tune"),
        ("OK", False, "after your changes", "nightsoak soak --hours 3 --iterations 6 --auto-tune"),
        ("NODATA", False, "check the tape", "nightsoak tape verify generated-s1-7"),
        ("SUCCESS", True, "run it to the end", "nightsoak soak --hours 3 --iterations 6 --auto-tune"),
    ],
)
def test_the_next_step_is_one_command_by_verdict(
    normal: RunRecord, verdict: str, interrupted: bool, words: str, command: str
) -> None:
    gate = {**normal.gate, "verdict": verdict, "action_package": None}
    record = replace(normal, gate=gate, interrupted=interrupted)
    assert next_step(record, "reports/x").replace("\u00a0", " ") == f"{words}, `{command}`"


def test_a_command_with_spaces_is_quoted_for_a_shell(normal: RunRecord) -> None:
    record = replace(normal, plan={**normal.plan, "command": ["soak", "--tape", "my tapes/a\n```b"]})
    assert again(record)[0] == "nightsoak soak --tape 'my tapes/a ```b'"


@pytest.mark.parametrize(
    ("settings", "tape", "said"),
    [
        (
            {"endpoint": "ws://127.0.0.1:9"},
            None,
            "The feed was ws://127.0.0.1:9, not the venue's own: it may play a tape.",
        ),
        (
            {"endpoint": ""},
            {"source": {"format": "bybit-endpoint-live"}},
            "The feed was a server of the user's",
        ),
        ({"endpoint": ""}, {"source": {"format": "bybit-live"}}, ""),
        ({}, None, ""),
    ],
)
def test_a_feed_that_is_not_the_venues_is_said_above_all_else_and_in_the_notice(
    normal: RunRecord, settings: dict[str, str], tape: dict[str, Any] | None, said: str
) -> None:
    record = replace(normal, plan={**normal.plan, "settings": settings, "tape": tape})
    markdown = render_markdown(build_view(record.completed()))
    quoted = " ".join(line[2:] for line in markdown.splitlines() if line.startswith("> "))
    assert quoted.startswith(f"**Not the venue's feed.** {said}") if said else quoted == ""
    title = build_view(record.completed()).summary[0]
    assert title.endswith(" · not the venue's feed") == bool(said), title
