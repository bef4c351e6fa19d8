"""What the desk measures second by second is what the warehouse makes of the whole journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.bot.journal import journal_files
from engine.bot.protocol import Message
from engine.bot.replay import open_bot
from engine.bot.telemetry import FeedTelemetry, Telemetry
from engine.control.board import Action
from engine.control.desk import Desk
from engine.control.kpis import live_gate, live_metrics
from engine.control.measures import Measures
from engine.control.settings import ControlSettings, Toxicity
from engine.instrument import Instrument
from engine.maker.state import BLOCK_NAMES, RECORD_DTYPE
from engine.paths import CHECKOUT
from engine.profile import load_profile
from engine.soak import NS_PER_S, RunPlan
from engine.tuning.bands import load_gates
from engine.warehouse.db import Warehouse
from engine.warehouse.edge import edge_report
from engine.warehouse.ingest import ingest

PlanIn = Callable[..., RunPlan]
EdgeOf = Callable[[RunPlan], dict[str, Any]]


class Continue:
    """Answers every edge with continue, and never asks for a stop."""

    def wait(self) -> Message:
        return {"command": "continue"}

    def stop_wanted(self) -> str:
        return ""


def run(plan: RunPlan, *, with_desk: bool = True, script: Sequence[tuple[int, Action]] = ()) -> Desk | None:
    bot = open_bot(plan, Continue(), lambda message: None)
    if with_desk:
        config = plan.paths.config
        profile, gates = load_profile(config, plan.profile), load_gates(config)
        bot.desk = Desk(bot, plan, profile, ControlSettings(), gates, script)
    bot.run()
    return bot.desk  # type: ignore[return-value]


def journal(plan: RunPlan) -> bytes:
    files = journal_files(plan.paths.journals, plan.run_id)
    lines = b"".join(path.read_bytes() for path in files).replace(plan.run_id.encode(), b"RUN")
    return lines.split(b"\n", 1)[1]  # run_start names the commit


@pytest.fixture(scope="module")
def done(plan_in: PlanIn, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunPlan, Desk]:
    plan = plan_in(tmp_path_factory.mktemp("done"), iterations=2)
    desk = run(plan)
    assert desk is not None
    return plan, desk


@pytest.fixture(scope="module")
def acted(plan_in: PlanIn, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunPlan, Desk]:
    """A run in which positions were taken out by taker orders, and which paused for a while."""
    plan = plan_in(tmp_path_factory.mktemp("acted"), iterations=2)
    names = {40: "flatten", 100: "pause", 110: "flatten", 130: "resume", 200: "flatten"}
    script = [(plan.schedule.start_ns + at_s * NS_PER_S, Action(0, name)) for at_s, name in names.items()]
    desk = run(plan, script=script)
    assert desk is not None
    return plan, desk


@pytest.fixture(scope="module")
def edge_of() -> Callable[[RunPlan], dict[str, Any]]:
    """A run's edge report, made once from a warehouse of its own; not to be changed."""
    made: dict[Path, dict[str, Any]] = {}  # by folder: two runs begun in one second have one name

    def edge(plan: RunPlan) -> dict[str, Any]:
        if plan.folder not in made:
            with Warehouse(plan.folder / "w.duckdb") as warehouse:
                ingest(warehouse, journal_files(plan.paths.journals, plan.run_id))
                made[plan.folder] = dict(edge_report(warehouse, plan.run_id))
        return made[plan.folder]

    return edge


@pytest.mark.parametrize("which", ["done", "acted"])
def test_live_figures_end_where_the_edge_report_is(which: str, request: pytest.FixtureRequest, edge_of: EdgeOf) -> None:
    plan, desk = request.getfixturevalue(which)
    edge = edge_of(plan)
    report = desk.board.snapshot.reports["shadow_final"]
    live, totals = report["kpis"], edge["totals"]
    computed = [name for name, value in live.items() if value is not None and name != "null_reasons"]
    assert len(computed) >= 16
    assert {name: live[name] for name in computed} == pytest.approx({name: totals[name] for name in computed})
    assert live["net_pnl_quote"] == totals["net_pnl_quote"], "integers, divided once"
    assert (live["maker_share_pct"] < 100) == (which == "acted")
    for lane, found in zip(edge["lanes"], desk.board.snapshot.reports["pnl"]["lanes"], strict=True):
        assert found["net_pnl_quote"] == lane["net_pnl_quote"]
        assert found["fills"] == lane["fills"]


def test_windows_are_those_of_the_edge_report(done: tuple[RunPlan, Desk], edge_of: EdgeOf) -> None:
    plan, desk = done
    names = ("window", "start_ns", "end_ns", "net_pnl_quote", "notional_quote", "net_bps", "fills")

    def picked(windows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: window[name] for name in names} for window in windows]

    found = desk.board.snapshot.reports["shadow_final"]["windows"]
    assert picked(found) == picked(edge_of(plan)["windows"])


def test_the_gate_says_live_what_it_will_say(done: tuple[RunPlan, Desk], edge_of: EdgeOf) -> None:
    from engine.tuning.gate import judge

    plan, desk = done
    final = judge(edge_of(plan)["totals"], load_gates(plan.paths.config))
    gate = desk.board.snapshot.reports["shadow_final"]["gate"]
    assert gate["verdict"] == final.verdict
    metrics = desk.board.snapshot.metrics
    assert metrics["gate_ready"] == 1
    assert set(metrics["gate_fail_reasons"]) == {check.metric for check in final.checks if check.label != "SUCCESS"}


def test_block_counts_are_the_journals(done: tuple[RunPlan, Desk]) -> None:
    plan, desk = done
    counts: dict[str, int] = dict.fromkeys(desk.board.snapshot.metrics["blocked_intents_total"], 0)
    intents = fills = 0
    for line in journal(plan).splitlines():
        record = json.loads(line)
        if record["lane"] != 0:
            continue
        if record["type"] == "block":
            counts[record["reason"]] += record["count"]
        intents += record["type"] == "order" and record["event"] in ("new", "amend", "cancel")
        fills += record["type"] == "fill"
    metrics = desk.board.snapshot.metrics
    assert metrics["blocked_intents_total"] == counts
    assert sum(counts.values()) > 0
    assert (metrics["intents_total"], metrics["fills_total"]) == (intents, fills)


def test_decisions_are_timed_from_the_newest_message(done: tuple[RunPlan, Desk]) -> None:
    """Against the obvious way: for each request of lane 0, search the tape's receipt times."""
    from engine.market.events import LAST
    from engine.market.tape import Tape

    plan, desk = done
    columns = Tape.open(plan.tape).columns
    receipts = np.asarray(columns.local_ts_ns)[np.flatnonzero(np.asarray(columns.flags) & LAST)]
    waits = []
    for line in journal(plan).splitlines():
        record = json.loads(line)
        if record["type"] == "order" and record["lane"] == 0 and record["event"] in ("new", "amend", "cancel"):
            waits.append((record["ts_ns"] - receipts[receipts <= record["ts_ns"]].max()) / 1e6)
    waits = waits[-4096:]
    metrics = desk.board.snapshot.metrics
    for span, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        assert metrics[f"tick_to_decision_{span}_ms"] == pytest.approx(np.quantile(waits, share))


def test_markouts_are_those_of_the_marks(done: tuple[RunPlan, Desk]) -> None:
    """Against the obvious way: for each fill, the first mark 10 s later, found by looking at all of them."""
    plan, desk = done
    records = [json.loads(line) for line in journal(plan).splitlines()]
    marks = [(r["ts_ns"], r["mid2"]) for r in records if r["type"] == "mark"]
    raw, net = [], []
    for fill in (r for r in records if r["type"] == "fill" and r["lane"] == 0):
        later = [mid2 for ts_ns, mid2 in marks if ts_ns >= fill["ts_ns"] + 10_000_000_000]
        if later:
            side = 1 if fill["side"] == "buy" else -1
            gain = side * (later[0] / 2 - fill["price_ticks"])
            raw.append(1e4 * gain / fill["price_ticks"])
            net.append(gain * 0.001 * float(fill["qty"]) + float(fill["fee"]))
    metrics = desk.board.snapshot.metrics
    assert metrics["pnl_10s_sample_count"] == len(raw) > 20
    assert metrics["pnl_10s_p50_bps_raw"] == pytest.approx(np.median(raw))
    assert metrics["net_markout_10s_quote_p50"] == pytest.approx(np.median(net))
    desk.measures.pnl_currency = "USDC"
    in_usdc = live_metrics(desk.measures, live_gate(desk.measures, desk.gates), 0, paused=False)
    desk.measures.pnl_currency = "USDT"
    assert in_usdc["net_markout_10s_usdc_p50"] == metrics["net_markout_10s_quote_p50"]


def test_a_desk_without_actions_leaves_the_journal_as_it_is(
    done: tuple[RunPlan, Desk], plan_in: PlanIn, tmp_path: Path
) -> None:
    plan, _ = done
    other = plan_in(tmp_path, iterations=2)
    run(other, with_desk=False)
    assert journal(other) == journal(plan)


def test_what_only_a_live_feed_tells_is_counted_from_its_looks() -> None:
    """Two seconds: one message of four is older than one before it, one was dropped beside them, one gap."""
    grid = Instrument("sim", "SIMUSDT", Decimal("0.001"), Decimal("0.1"), "linear", Decimal(1), "USDT", "USDT")
    measures = Measures(grid, (Fraction(0), Fraction(0)), [0], 0, Toxicity())
    nothing = np.zeros(0, np.int64)
    look = Telemetry(0, 0, 0, np.zeros((1, 2, len(BLOCK_NAMES)), np.int64), np.zeros(1, np.int64), nothing, nothing)
    measures.first_look(look)
    local_ns = np.array([10, 20, 30, 40]) * 1_000_000
    feed = FeedTelemetry(1, np.array([4_000_000]), np.array([3]), np.array([7]))
    look = replace(
        look,
        valid_ns=NS_PER_S,
        gaps=1,
        local_ts_ns=local_ns,
        exch_ts_ns=local_ns - [5_000_000, 5_000_000, 19_000_000, 5_000_000],
        feed=feed,
    )
    measures.see(np.zeros(0, RECORD_DTYPE), 50_000, 2 * NS_PER_S, look, 0)
    metrics = live_metrics(measures, live_gate(measures, load_gates(CHECKOUT / "config")), 0, paused=True)
    expected = {"ts_inversion_rate": 0.25, "seq_gap_rate": 0.25, "stale_tick_drop_ratio": 0.2, "data_valid_ratio": 0.5}
    expected |= {"local_backlog_p99_ms": 4.0, "queue_depth_p99": 3.0, "event_backlog_p99": 7.0, "paused": 1}
    assert {name: metrics[name] for name in expected} == expected
    assert metrics["source_latency_p99_ms"] == pytest.approx(np.quantile([5, 5, 19, 5], 0.99))
    assert metrics["gate_ready"] == 0


def test_what_a_replay_cannot_know_is_absent_with_its_reason(done: tuple[RunPlan, Desk]) -> None:
    _, desk = done
    report = desk.board.snapshot.reports["shadow_final"]
    absent = {name for name, value in report["metrics"].items() if value is None}
    live_only = {"stale_tick_drop_ratio", "local_backlog_p99_ms", "queue_depth_p99", "event_backlog_p99"}
    assert absent == live_only | {"net_markout_10s_usdc_p50"}
    assert report["absent"].keys() == absent
    assert all(report["absent"].values())
