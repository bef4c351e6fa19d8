"""A real bot process with its control plane, and a real HTTP client."""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.bot.protocol import Message
from engine.bot.replay import open_bot
from engine.control.attach import controlled
from engine.control.script import read_script, write_script
from engine.params import Params
from engine.soak import NS_PER_S, RunPlan

Serve = Callable[..., Any]
Records = Callable[[RunPlan], list[dict[str, Any]]]
SLOW = {"replay_pace": 80}
"""More than a minute of market time a second: 4 s for the whole tape."""


def market_part(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the market and the maker did, whoever asked for it."""
    kinds = ("order", "fill", "mark", "window_end", "block")
    return [{k: v for k, v in r.items() if k not in ("run_id", "seq")} for r in records if r["type"] in kinds]


class Continue:
    """Answers every edge with continue, and never asks for a stop."""

    def wait(self) -> Message:
        return {"command": "continue"}

    def stop_wanted(self) -> str:
        return ""


def run_unserved(plan: RunPlan, *, resume: bool = False) -> None:
    """The bot of `plan` in this process, put together as engine.bot does it."""
    said: list[Message] = []
    bot = open_bot(plan, Continue(), said.append, resume=resume)
    with controlled(bot, plan, said.append):
        assert bot.run() == "complete"
    assert "control" not in [message["event"] for message in said]


def test_actions_take_effect_at_a_stated_time_and_the_run_can_be_done_again(
    serve: Serve, records: Records, plan_in: Callable[..., RunPlan], tmp_path: Path
) -> None:
    served = serve(control=SLOW)
    served.until("started")
    asked = [
        ("reload_strategy", {"base_spread_bps_delta": 0.3}),
        ("pause", None),
        ("resume", None),
        ("reload_risk", {"position_cap_notional_quote": 800.0}),
        ("flatten", None),
        ("reset_shadow", None),
        ("reload_toxicity", {"horizons_s": [2, 5]}),
        ("reload_perf_profile", {"io_flush_batch_bytes": 8192}),
    ]
    effects = {}
    for name, body in asked:
        answer = served.post(f"/control/{name}", body)
        assert answer.status_code == 200, answer.text
        outcome = answer.json()
        assert (outcome["status"], outcome["changed"], outcome["action"]) == ("effective", True, name)
        assert served.get(f"/control/actions/{outcome['id']}") == outcome
        effects[name] = outcome["effective_ts_ns"]
    times = list(effects.values())
    assert times == sorted(times)
    flattened = [r for r in market_part(records(served.plan)) if r["type"] == "fill" and r["liquidity"] == "taker"]
    assert all(r["ts_ns"] > effects["flatten"] for r in flattened)
    start_ns = served.plan.schedule.start_ns
    assert all((ts_ns - start_ns) % NS_PER_S == 0 for ts_ns in times), "between two seconds"
    assert json.loads(served.plan.overrides_file.read_text())["base_spread_bps_delta"] == 0.3
    live = served.get("/report/shadow/live")
    assert live["since_ns"] == effects["reset_shadow"]
    assert live["in_force"]["strategy"] == dict(Params(base_spread_bps_delta=0.3))
    assert [row["horizon_s"] for row in served.get("/report/toxicity/live")["horizons"]] == [2, 5]
    served.until("end")

    first = records(served.plan)
    journalled = {r.get("event", "reload_strategy"): r for r in first if r["type"] in ("control", "params")}
    assert {name: r["effective_ts_ns"] for name, r in journalled.items()} == effects
    assert all(r["ts_ns"] == r["effective_ts_ns"] for r in journalled.values())
    assert all(r["source"].startswith("control plane, action ") for r in journalled.values())

    again = plan_in(tmp_path / "again")
    rows = [(effects[name], name, journalled[name].get("params") or {}) for name, _ in asked]
    write_script(reversed(rows), again.folder)
    assert [(at_ns, action.name, action.values) for at_ns, action in read_script(again.folder)] == rows
    run_unserved(again)
    assert market_part(records(again)) == market_part(first)

    plain = plan_in(tmp_path / "plain")
    run_unserved(plain)
    before_ns = min(times)
    of_first, of_plain = market_part(first), market_part(records(plain))
    assert of_first != of_plain
    assert [r for r in of_first if r["ts_ns"] < before_ns] == [r for r in of_plain if r["ts_ns"] < before_ns]


def test_actions_of_one_moment_keep_their_order_when_they_are_done_again(
    plan_in: Callable[..., RunPlan], records: Records, tmp_path: Path
) -> None:
    """Each of these undoes the one before, so the last one decides what is traded afterwards."""
    limits = [{"position_cap_notional_quote": cap, "order_notional_quote": 300.0} for cap in (700.0, 900.0, 800.0)]
    steps = [("reload_risk", limit) for limit in limits] + [("pause", {}), ("resume", {}), ("pause", {})]
    plan = plan_in(tmp_path)
    at_ns, later_ns = (plan.schedule.start_ns + s * NS_PER_S for s in (60, 120))
    write_script([(later_ns, "resume", {}), *((at_ns, name, values) for name, values in steps)], plan.folder)
    run_unserved(plan)
    control = [r for r in records(plan) if r["type"] == "control"]
    assert [r["effective_ts_ns"] for r in control] == [at_ns] * len(steps) + [later_ns]
    assert [(r["event"], r.get("params", {})) for r in control[:-1]] == steps


def test_a_paused_bot_has_no_quotes_a_resumed_one_quotes_again_and_a_pause_outlives_a_crash(
    serve: Serve, records: Records
) -> None:
    served = serve(control=SLOW)
    served.until("started")
    paused_ns = served.post("/control/pause").json()["effective_ts_ns"]
    assert served.get("/health")["status"] == "paused"
    second = served.post("/control/pause").json()
    assert (second["status"], second["changed"]) == ("effective", False)
    while served.get("/health")["ts_ns"] < paused_ns + 20 * NS_PER_S:
        pass
    resumed_ns = served.post("/control/resume").json()["effective_ts_ns"]
    while served.get("/health")["ts_ns"] < resumed_ns + 20 * NS_PER_S:
        pass
    served.post("/control/pause")
    os.kill(served.bot.pid, signal.SIGKILL)
    with pytest.raises(Exception, match="killed by signal 9"):
        list(served.messages)
    run_unserved(served.plan, resume=True)
    found = records(served.plan)
    orders = [r for r in found if r["type"] == "order"]
    during = [r for r in orders if paused_ns <= r["ts_ns"] < resumed_ns and r["event"] in ("new", "amend")]
    after = [r for r in orders if r["ts_ns"] >= resumed_ns and r["event"] == "new"]
    assert during == []
    assert {r["lane"] for r in after} == {0, 1}
    control = [(r["event"], r["source"]) for r in found if r["type"] == "control"]
    assert [event for event, _ in control] == ["pause", "resume", "pause", "pause"]
    at = next(i for i, r in enumerate(found) if r["type"] == "gap")
    assert (found[at + 1]["event"], found[at + 1]["source"]) == control[-1] == ("pause", "control plane, resumed")
    assert [r for r in found[at:] if r["type"] in ("order", "fill")] == []


def test_a_storm_of_requests_changes_no_fill_and_actions_of_many_clients_take_effect_once_each_in_one_order(
    serve: Serve, records: Records, plan_in: Callable[..., RunPlan], tmp_path: Path
) -> None:
    served = serve(control={"replay_pace": 20})
    served.until("started")
    paths = ["/metrics", "/report/shadow/live", "/state/pnl", "/nothing/here", "/health"]
    bad = {"min_interval_ms": 1e9}

    def burst(worker: int) -> list[int]:
        codes = []
        with httpx.Client(base_url=served.url, headers=dict(served.client.headers), timeout=10) as client:
            for number in range(20):
                codes.append(client.get(paths[(worker + number) % len(paths)]).status_code)
                codes.append(client.post("/control/reload_strategy", json=bad).status_code)
        return codes

    with ThreadPoolExecutor(4) as pool:
        codes = list(itertools.chain.from_iterable(pool.map(burst, range(4))))
    assert len(codes) == 160
    assert set(codes) == {200, 404, 422}

    def ask(number: int) -> dict[str, Any]:
        body = {"outlier_mads": 6.0 + number}  # of what is measured, so that the bot trades as before
        answer = httpx.post(f"{served.url}/control/reload_toxicity", json=body, headers=served.client.headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(ask, range(16)))
    check_that_it_goes_away(served)
    control = [r for r in records(served.plan) if r["type"] == "control"]
    by_id = {f"control plane, action {o['id']}": o for o in outcomes}
    assert [r["source"] for r in control] == sorted(by_id, key=lambda source: by_id[source]["id"])
    assert all(r["params"] == by_id[r["source"]]["values"] for r in control)
    assert {r["params"]["outlier_mads"] for r in control} == {6.0 + number for number in range(16)}

    stopped_ns = served.said[-1]["ts_ns"]
    plain = plan_in(tmp_path / "plain")
    run_unserved(plain)
    before = [[r for r in market_part(records(plan)) if r["ts_ns"] < stopped_ns] for plan in (served.plan, plain)]
    assert before[0] == before[1]
    assert len(before[0]) > 100


def check_that_it_goes_away(served: Any) -> None:
    """Server, token and address are gone once the bot is, and nobody has written the token down."""
    folder = served.plan.folder
    address = json.loads((folder / "control_address.json").read_text())
    token = Path(address["token_file"])
    assert (address["url"], address["pid"]) == (served.url, served.bot.pid)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert served.url.startswith("http://127.0.0.1:")
    served.stop()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{served.url}/health")
    assert not token.exists()
    assert not (folder / "control_address.json").exists()
    for text in ((folder / "control.log").read_text(), (folder / "bot.log").read_text(), json.dumps(served.said)):
        assert served.token not in text


def test_absent_groups_answer_404_with_those_there_are(served_at_edge: Any) -> None:
    before = served_at_edge.actions()
    for name in ("taker", "allocator", "fusion", "edge_model", "exit"):
        answer = served_at_edge.post(f"/control/reload_{name}", {})
        assert answer.status_code == 404
        assert answer.json()["groups"] == ["strategy", "risk", "toxicity", "perf_profile"]
    assert served_at_edge.actions() == before


def test_a_reload_without_a_body_reads_the_file(serve: Serve) -> None:
    served = serve(control=SLOW)
    plan = served.plan
    profile = plan.paths.config / "profiles" / "market_maker_S1.json"
    profile.write_text(profile.read_text().replace('"order_notional_quote": 500.0', '"order_notional_quote": 250.0'))
    plan.overrides_file.write_text('{"touch_dwell_ms": 50}')
    assert served.post("/control/reload_risk").json()["values"]["order_notional_quote"] == 250.0
    assert served.post("/control/reload_strategy").json()["values"]["touch_dwell_ms"] == 50
    profile.write_text("{")
    plan.overrides_file.write_text('{"touch_dwell_ms": 500}')
    for name, words in (("risk", "market_maker_S1.json"), ("strategy", "touch_dwell_ms")):
        answer = served.post(f"/control/reload_{name}")
        assert answer.status_code == 422
        assert words in answer.text
    served.stop()
