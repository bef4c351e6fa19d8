from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.bot.journal import journal_files
from engine.bot.protocol import Message
from engine.bot.replay import open_bot
from engine.errors import JournalError
from engine.files import write_json
from engine.params import Params
from engine.soak import NS_PER_S, RunPlan
from engine.warehouse.db import Warehouse
from engine.warehouse.ingest import ingest

Answer = Callable[[], Message]
PlanOf = Callable[..., RunPlan]


def go_on() -> Message:
    return {"command": "continue", "source": "auto-tune iteration"}


class Script:
    """Answers edges from a list, and asks for a stop once market time has come so far."""

    def __init__(self, answers: list[Answer], stop_after_calls: int = 10**9) -> None:
        self.answers, self.left = answers, stop_after_calls

    def wait(self) -> Message:
        return self.answers.pop(0)()

    def stop_wanted(self) -> str:
        self.left -= 1
        return "asked to" if self.left < 0 else ""


def run(plan: RunPlan, script: Script | None = None, *, resume: bool = False) -> tuple[str, list[Message]]:
    said: list[Message] = []
    script = script or Script([go_on, go_on])
    reason = open_bot(plan, script, said.append, resume=resume).run()
    return reason, said


def journal(plan: RunPlan) -> list[dict[str, Any]]:
    files = journal_files(plan.paths.journals, plan.run_id)
    return [json.loads(line) for path in files for line in path.read_bytes().splitlines() if line.endswith(b"}")]


def of(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record for record in records if record["type"] == kind]


def test_a_whole_run_keeps_the_journal_contract(plan_of: PlanOf) -> None:
    plan = plan_of()
    reason, said = run(plan)
    records = journal(plan)
    schedule = plan.schedule
    assert reason == "complete"
    assert [record["seq"] for record in records] == list(range(len(records)))
    assert [record["type"] for record in records[:2]] == ["run_start", "mark"]
    assert [record["type"] for record in records[-2:]] == ["window_end", "run_end"]
    assert [record["ts_ns"] for record in records] == sorted(record["ts_ns"] for record in records)
    assert records[1]["ts_ns"] == schedule.start_ns

    start = records[0]
    assert start["lanes"] == [
        {"lane": 0, "role": "champion", "params": dict(Params())},
        {"lane": 1, "role": "control", "params": dict(Params())},
    ]
    assert (start["mode"], start["profile"], start["position_start"], start["latency_modelled"]) == (
        "replay", "S1", "0", True,
    )  # fmt: skip

    edges = of(records, "window_end")
    assert [edge["window"] for edge in edges] == list(range(schedule.windows))
    assert [edge["iteration"] for edge in edges] == [0, 0, 1, 1, 2, 2]
    assert [edge["iteration_end"] for edge in edges] == [False, True] * 3
    assert [edge["ts_ns"] for edge in edges] == [schedule.window_end_ns(window) for window in range(schedule.windows)]
    assert all(0 < edge["valid_book_ms"] <= 10_000 for edge in edges)
    assert sum(edge["events"] for edge in edges) <= plan.tape_facts["count"]
    assert sum(edge["events"] for edge in edges) > 0.99 * plan.tape_facts["count"]

    marks = [record["ts_ns"] for record in of(records, "mark")]
    assert all(later - earlier <= NS_PER_S for earlier, later in pairwise(marks))
    assert set(marks) >= {edge["ts_ns"] for edge in edges}
    assert {record["lane"] for record in of(records, "fill")} == {0, 1}
    assert [m["event"] for m in said if m["event"] in ("edge", "end")] == ["edge", "edge", "edge", "end"]


def test_at_an_edge_blocks_come_first_then_mark_window_end_and_params(plan_of: PlanOf) -> None:
    plan = plan_of()
    write_json(plan.overrides_file, {"min_interval_ms": 90})
    run(plan)
    records = journal(plan)
    at = next(i for i, record in enumerate(records) if record["type"] == "params")
    before = [record["type"] for record in records[:at]]
    assert before[-2:] == ["mark", "window_end"]
    blocks = len(before) - 2
    while before[blocks - 1] == "block":
        blocks -= 1
    assert blocks < len(before) - 2, "no blocks before the edge"
    assert {record["ts_ns"] for record in records[blocks : at + 1]} == {records[at]["ts_ns"]}


def test_what_the_journal_says_is_accepted_whole_by_the_warehouse(plan_of: PlanOf, tmp_path: Path) -> None:
    plan = plan_of()
    run(plan)
    with Warehouse(tmp_path / "w.duckdb") as warehouse:
        found = ingest(warehouse, journal_files(plan.paths.journals, plan.run_id))
    assert (found.accepted, found.quarantined, found.torn) == (len(journal(plan)), 0, 0)


def test_positions_follow_from_the_fills_of_each_lane(plan_of: PlanOf) -> None:
    plan = plan_of()
    run(plan)
    position = Counter[int]()
    for fill in of(journal(plan), "fill"):
        position[fill["lane"]] += fill["qty_lots"] * (1 if fill["side"] == "buy" else -1)
        assert fill["position_after_lots"] == position[fill["lane"]]


def test_the_same_plan_gives_the_same_journal(plan_of: PlanOf) -> None:
    first, second = plan_of(), plan_of()
    for plan in (first, second):
        run(plan)
    texts = [
        b"".join(path.read_bytes() for path in journal_files(plan.paths.journals, plan.run_id)).replace(
            plan.run_id.encode(), b"RUN"
        )
        for plan in (first, second)
    ]
    assert first.run_id != second.run_id
    assert texts[0] == texts[1]


def test_new_parameters_reach_lane_0_and_leave_the_control_alone(plan_of: PlanOf) -> None:
    still, moved = plan_of(), plan_of()
    run(still)

    def widen() -> Message:
        write_json(moved.overrides_file, {"base_spread_bps_delta": 0.6})
        return go_on()

    _, said = run(moved, Script([widen, go_on]))
    records = journal(moved)
    (change,) = of(records, "params")
    edge_ns = moved.schedule.window_end_ns(1)
    assert change["params"] == dict(Params(base_spread_bps_delta=0.6))
    assert (change["lane"], change["ts_ns"], change["effective_ts_ns"]) == (0, edge_ns, edge_ns)
    assert change["source"] == "auto-tune iteration"
    assert [m["params"] for m in said if m["event"] == "params"] == [change["params"]]

    def lane(records: list[dict[str, Any]], number: int) -> list[tuple[Any, ...]]:
        kinds = ("order", "fill")
        return [
            (r["ts_ns"], r["type"], r["order_id"], r["price_ticks"], r["qty_lots"])
            for r in records
            if r["type"] in kinds and r["lane"] == number
        ]

    before = journal(still)
    assert lane(records, 1) == lane(before, 1)
    assert [r for r in lane(records, 0) if r[0] < edge_ns] == [r for r in lane(before, 0) if r[0] < edge_ns]
    assert lane(records, 0) != lane(before, 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"spread": 1}', "unknown parameter 'spread'"),
        ('{"min_interval_ms": "70"}', "min_interval_ms must be a number"),
        ('{"min_interval_ms": true}', "min_interval_ms must be a number"),
        ('{"impact_cap_ratio": NaN}', "impact_cap_ratio nan is out of range"),
        ('{"min_interval_ms": 49}', "min_interval_ms 49 is out of range"),
        ('{"min_interval_ms": 90, "tail_age_ms": 5000}', "tail_age_ms 5000 is out of range"),
        ("[70]", "is not a flat JSON object"),
        ('{"min_interval_ms": 9', "is not JSON"),
        ('{"min_interval_ms": 90, "min_interval_ms": 95}', "stands twice"),
    ],
)
def test_bad_overrides_are_refused_whole_and_the_former_stay(plan_of: PlanOf, text: str, reason: str) -> None:
    plan = plan_of(iterations=2)

    def spoil() -> Message:
        plan.overrides_file.write_text(text)
        return go_on()

    _, said = run(plan, Script([spoil]))
    (refusal,) = [message for message in said if message["event"] == "overrides_refused"]
    assert reason in refusal["reason"]
    assert str(plan.overrides_file) in refusal["reason"]
    assert not of(journal(plan), "params")


def test_a_stop_closes_the_window_where_it_is(plan_of: PlanOf) -> None:
    plan = plan_of()
    reason, said = run(plan, Script([], stop_after_calls=14))
    records = journal(plan)
    edge, end = records[-2:]
    assert reason == "asked to"
    assert (end["type"], end["reason"]) == ("run_end", "asked to")
    assert (edge["type"], edge["window"], edge["iteration_end"]) == ("window_end", 1, True)
    assert edge["ts_ns"] == plan.schedule.start_ns + 14 * NS_PER_S
    assert said[-1]["event"] == "end"


def test_a_stop_at_an_edge_does_not_close_the_window_twice(plan_of: PlanOf) -> None:
    plan = plan_of()
    reason, _ = run(plan, Script([lambda: {"command": "stop", "reason": "stdin closed"}]))
    assert reason == "stdin closed"
    assert [edge["window"] for edge in of(journal(plan), "window_end")] == [0, 1]


def test_a_run_that_is_over_cannot_be_resumed_nor_run_again(plan_of: PlanOf) -> None:
    plan = plan_of()
    run(plan)
    with pytest.raises(JournalError, match="is over"):
        run(plan, resume=True)
    with pytest.raises(JournalError, match="never rewritten"):
        run(plan)


def test_a_killed_run_goes_on_where_its_journal_ends(plan_of: PlanOf) -> None:
    """The journal of a whole run, cut in the middle of a record of window 3, is what a kill leaves behind."""
    plan = plan_of()
    run(plan)
    whole = journal(plan)
    path = journal_files(plan.paths.journals, plan.run_id)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    cut = next(i for i, r in enumerate(whole) if r["ts_ns"] > plan.schedule.window_start_ns(3) + 5 * NS_PER_S)
    path.write_bytes(b"".join(lines[:cut]) + lines[cut][:20])
    kept = whole[:cut]

    reason, said = run(plan, Script([go_on]), resume=True)
    files = journal_files(plan.paths.journals, plan.run_id)
    resumed = [json.loads(line) for line in files[1].read_bytes().splitlines()]
    assert reason == "complete"
    assert said[0] == {"event": "started", "run_id": plan.run_id, "ts_ns": kept[-1]["ts_ns"], "resumed": True}
    assert [record["seq"] for record in resumed] == list(range(cut, cut + len(resumed)))
    assert (resumed[0]["type"], resumed[0]["reason"], resumed[0]["ts_ns"]) == ("gap", "resumed", kept[-1]["ts_ns"])
    assert [edge["window"] for edge in of(resumed, "window_end")] == [3, 4, 5]

    # positions go on from the journal's, orders start anew under new ids, and before one is sent none can fill
    for lane in (0, 1):
        held = [fill["position_after_lots"] for fill in of(kept, "fill") if fill["lane"] == lane]
        fills = [fill for fill in of(resumed, "fill") if fill["lane"] == lane]
        position = held[-1] if held else 0
        old = {order["order_id"] for order in of(kept, "order") if order["lane"] == lane}
        sent: set[int] = set()
        for record in resumed:
            if record.get("lane") != lane or record["type"] not in ("order", "fill"):
                continue
            if record["type"] == "order" and record["event"] == "new":
                sent.add(record["order_id"])
            assert record["order_id"] in sent
            if record["type"] == "fill":
                position += record["qty_lots"] * (1 if record["side"] == "buy" else -1)
                assert record["position_after_lots"] == position
        assert fills
        assert not sent & old


def test_a_run_killed_while_waiting_asks_for_the_decision_again(plan_of: PlanOf) -> None:
    plan = plan_of()
    with pytest.raises(IndexError):
        run(plan, Script([]))  # dies at the first edge, after the flush
    write_json(plan.overrides_file, {"min_interval_ms": 90})
    reason, said = run(plan, Script([go_on, go_on]), resume=True)
    assert reason == "complete"
    assert [m["iteration"] for m in said if m["event"] == "edge"] == [0, 1, 2]
    assert [p["params"]["min_interval_ms"] for p in of(journal(plan), "params")] == [90]
    assert [edge["window"] for edge in of(journal(plan), "window_end")] == list(range(6))
