"""The steps of a soak between two edges, each a plain function of the plan and what is on disk.

reach_edge   listen to the bot until an iteration is over
measure      journal -> warehouse -> the iteration's KPIs
tune         KPIs -> decision -> overrides file
report       everything -> reports/<utc-date>/<run-id>/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.bot.journal import journal_files
from engine.bot.overrides import pick_up
from engine.bot.protocol import COMPLETE, Message
from engine.companions import count_windows
from engine.duel import measure_duels
from engine.errors import BotError
from engine.files import write_json
from engine.interventions import measure_interventions
from engine.lane_replay import LaneReplay
from engine.maker.state import Array
from engine.params import Params
from engine.parity import compare_fills, journalled_fills
from engine.profile import load_profile
from engine.quality import frames, inspector, quality_check
from engine.queue_bounds import queue_bounds
from engine.report.artefacts import publish
from engine.report.record import OPERATOR, RunRecord
from engine.run_changes import PARAMS, RunChange, changes_in_time, parameters_of
from engine.soak import RunPlan
from engine.soak_market import recorded
from engine.soak_state import RunState, utc_now
from engine.stretches import replay_stretches, resumed_at, stretches_of
from engine.tuning.autotune import Decision, TuneState, decide
from engine.tuning.bands import load_gates
from engine.tuning.calibrated import quoted
from engine.tuning.data_checks import parity_check, windows_check, with_checks
from engine.tuning.gate import judge
from engine.tuning.judge import load_judge
from engine.tuning.rules import load_packages, load_rules
from engine.warehouse.db import Warehouse
from engine.warehouse.edge import edge_report
from engine.warehouse.ingest import ingest
from engine.warehouse.opening import open_warehouse
from engine.warehouse.series import chart_series

Listener = Callable[[Message], None]


@dataclass(frozen=True)
class Edge:
    """An iteration is over at `ts_ns`; `events_per_s` is the bot's speed in its last window."""

    iteration: int
    ts_ns: int
    events_per_s: int


@dataclass(frozen=True)
class Measured:
    """`kpis` is the iteration's slice of the edge report; `net_bps` is that of the run so far, None without fills."""

    iteration: int
    kpis: Mapping[str, Any]
    net_bps: float | None


@dataclass(frozen=True)
class Report:
    """Where the report is and what it says."""

    run_id: str
    folder: Path
    verdict: str
    interrupted: bool


def reach_edge(plan: RunPlan, messages: Iterator[Message], iteration: int, listen: Listener) -> Edge:
    """Listen until the bot says that `iteration` is over; the last one is over when the run is.

    Raises:
        BotError: the bot ended, or said that it could not go on.
    """
    events_per_s = 0
    last = iteration + 1 == plan.schedule.iterations
    for message in messages:
        listen(message)
        event = message["event"]
        if event == "progress":
            events_per_s = message["events_per_s"]
        elif event == "params":
            RunState.read(plan).updated(plan, params=message["params"])
        elif event == "overrides_refused":
            state = RunState.read(plan)
            refused = {"ts_ns": message["ts_ns"], "reason": message["reason"]}
            state.updated(plan, refused=(*state.refused, refused))
        elif event == "edge" and not last and message["iteration"] == iteration:
            return Edge(iteration, message["ts_ns"], events_per_s)
        elif event == "end":
            RunState.read(plan).updated(plan, ended=message["reason"])
            if last and message["reason"] == COMPLETE:
                return Edge(iteration, message["ts_ns"], events_per_s)
            raise BotError(f"ended early: {message['reason']}", where=plan.run_id, remedy="run the soak again")
    raise BotError("ended early", where=plan.run_id, remedy="run the soak again")


def measure(plan: RunPlan, iteration: int) -> Measured:
    """Read what the journal has and compute `iteration`'s KPIs."""
    with open_warehouse(plan.paths) as warehouse:
        _ingest(plan, warehouse)
        edge = edge_report(warehouse, plan.run_id)
    kpis = next(row for row in edge["iterations"] if row["iteration"] == iteration)
    return Measured(iteration, kpis, edge["totals"]["net_bps"])


def tune(plan: RunPlan, measured: Measured) -> Decision:
    """Decide on the KPIs, record the decision, and put the next parameters where the bot will look.

    A file that somebody wrote there meanwhile stays: a person, a rollback or the control plane outranks a rule.
    """
    state = RunState.read(plan)
    history = TuneState(**state.decisions[-1]["state"]) if state.decisions else TuneState()
    params = Params().with_changes(state.params)
    decision = decide(measured.kpis, params, history, load_rules(plan.paths.config, plan.settings.matrix))
    state.updated(plan, decisions=(*state.decisions, decision.to_json()))
    if decision.params != params and _is_ours(plan.overrides_file, params):
        write_json(plan.overrides_file, dict(decision.params))
    return decision


def _is_ours(overrides: Path, in_force: Params) -> bool:
    """Whether the file says what is in force (or is not there): nobody wishes anything else."""
    return not pick_up(overrides, in_force).changed and not pick_up(overrides, in_force).refused


def report(plan: RunPlan, *, interrupted: bool = False) -> Report:
    """Ingest the rest of the journal, judge the run, write its artefacts and, for a soak, move `latest`.

    Raises:
        StorageError: the reports folder cannot be written; nothing is half-written.
    """
    plan = recorded(plan)
    inspecting = nullcontext() if interrupted else inspector()
    with inspecting as quality_inspector, ThreadPoolExecutor(1) as beside:
        with open_warehouse(plan.paths) as warehouse:
            ingested = _ingest(plan, warehouse)
            plan = count_windows(plan, warehouse)
            edge = edge_report(warehouse, plan.run_id)
            series = chart_series(warehouse, plan.run_id)
            fills, changes = journalled_fills(warehouse, plan.run_id), changes_in_time(warehouse, plan.run_id)
            resumed_ns = resumed_at(warehouse, plan.run_id)
            rows = frames(warehouse, plan.run_id) if quality_inspector else {}
        inspected = beside.submit(quality_inspector.inspect, rows) if quality_inspector else None
        replays = None if interrupted else _replays(plan, changes, edge["totals"], fills, resumed_ns)
        quality = inspected.result() if inspected else None
    state = RunState.read(plan)
    state = state.updated(plan, wall_clock={**state.wall_clock, "finished_utc": utc_now()})
    record = make_record(
        plan, state, edge, series, changes, resumed_ns, ingested, replays, quality, interrupted=interrupted
    )
    folder = publish(record, plan.paths.reports, wall_clock=state.wall_clock)
    return Report(plan.run_id, folder, str(record.gate["verdict"]), interrupted)


@dataclass(frozen=True)
class Replays:
    """All lanes again (engine.parity), and lane 0 under other queue models (engine.queue_bounds) and without a driver
    (engine.interventions)."""

    parity: Mapping[str, Any]
    queue_bounds: Mapping[str, Any] | None
    interventions: Mapping[str, Any] | None


def _replays(
    plan: RunPlan,
    changes: Sequence[RunChange],
    totals: Mapping[str, Any],
    fills: Mapping[int, Array],
    resumed_ns: Sequence[int],
) -> Replays:
    profile, stretches = load_profile(plan.paths.config, plan.profile), stretches_of(plan, resumed_ns)
    parity = compare_fills(fills, replay_stretches(plan, profile, stretches, changes))
    if resumed_ns:  # what would have been without a driver can be told of one stretch only
        return Replays(parity, None, None)
    sets = [(plan.schedule.start_ns, dict(plan.params)), *parameters_of(changes)]
    actions = [change for change in changes if change.name != PARAMS]
    lane = LaneReplay(stretches[0].tape, profile, plan.schedule, sets, plan.position_start_lots, actions)
    return Replays(parity, queue_bounds(lane), measure_interventions(lane, totals))


def make_record(
    plan: RunPlan,
    state: RunState,
    edge: Mapping[str, Any],
    series: Mapping[str, Any],
    changes: Sequence[RunChange],
    resumed_ns: Sequence[int],
    ingested: Mapping[str, int],
    replays: Replays | None,
    quality: Mapping[str, Any] | None,
    *,
    interrupted: bool,
) -> RunRecord:
    """The run as the report's record; a pure function of its arguments and the configuration."""
    gates = load_gates(plan.paths.config)
    params = Params().with_changes(state.params)
    gate = judge(
        edge["totals"],
        gates,
        windows=edge["windows"],
        packages=load_packages(plan.paths.config),
        params=params,
    )
    checks = [quality_check(quality), parity_check(replays.parity if replays else None), windows_check(edge["windows"])]
    start_ns, end_ns = plan.schedule.start_ns, plan.schedule.end_ns
    partial = {"partial": True} if interrupted else {}  # who reads one file alone must know
    return RunRecord(
        run_id=plan.run_id,
        plan=_plan_for_readers(plan),
        edge={**edge, **partial},
        gate={**with_checks(gate.to_json(), checks, gates.actions), **partial},
        params_start=dict(plan.params),
        params_final=dict(params),
        parameters=parameters_in_time(plan, state.decisions, parameters_of(changes)),
        actions=[change.to_json() for change in changes if change.name != PARAMS],
        decisions=state.decisions,
        series=series,
        data_quality={
            "gaps": [gap for gap in plan.tape_facts["gaps"] if start_ns <= gap["ts_ns"] < end_ns],
            "crossed_message_ends": plan.tape_facts["crossed_message_ends"],
            "ingest": ingested,
            "overrides_refused": state.refused,
            "resumed_ns": list(resumed_ns),
            "notes": plan.notes,
        },
        inputs=plan.inputs,
        parity=replays.parity if replays else None,
        queue_bounds=replays.queue_bounds if replays else None,
        interventions=replays.interventions if replays else None,
        duels=measure_duels(plan, edge, load_judge(plan.paths.config)) if plan.companions else (),
        error_rates=quoted(plan.paths.config) if plan.companions else "",
        quality=quality,
        net_target_bps=gates.net_bps.ok_below,
        interrupted=interrupted,
    )


def parameters_in_time(
    plan: RunPlan, decisions: Sequence[Mapping[str, Any]], changes: Sequence[tuple[int, Mapping[str, float]]]
) -> list[dict[str, Any]]:
    """RunRecord.parameters from the sets that took effect, (time in ns, set), and the decisions that were made.

    A replay takes a decision up at its iteration's end, a live bot when it sees it. What was not decided, or took
    effect before the decision, came from somebody else.
    """
    waiting = []
    for decision in decisions:
        last_window = (decision["iteration"] + 1) * plan.schedule.windows_per_iteration - 1
        waiting.append((plan.schedule.window_end_ns(last_window), decision))
    rows = [{"effective_ts_ns": plan.schedule.start_ns, "source": "start", "params": dict(plan.params)}]
    for ts_ns, params in changes:
        due = [
            (edge_ns, decision)
            for edge_ns, decision in waiting
            if decision["params_after"] == params and (edge_ns <= ts_ns if plan.settings.live else edge_ns == ts_ns)
        ]
        source = OPERATOR
        if due:
            waiting.remove(due[-1])
            source = f"decision after iteration {due[-1][1]['iteration']}"
        rows.append({"effective_ts_ns": ts_ns, "source": source, "params": dict(params)})
    return rows


def _plan_for_readers(plan: RunPlan) -> dict[str, Any]:
    settings, schedule = plan.settings, plan.schedule
    return {
        "mode": "shadow" if settings.live else "replay",
        "settings": settings.model_dump(mode="json", exclude={"comment"}),
        "venue": plan.tape_facts["venue"],
        "symbol": plan.symbol,
        "quote_currency": plan.tape_facts["quote_currency"],
        "profile": plan.profile,
        "hours": settings.hours,
        "iterations": schedule.iterations,
        "window_seconds": schedule.window_seconds,
        "windows": schedule.windows,
        "start_ns": schedule.start_ns,
        "end_ns": schedule.end_ns,
        "auto_tune": settings.auto_tune,
        "seed": settings.seed,
        "params_source": plan.params_source,
        "latency_modelled": plan.latency_modelled,
        "command": settings.command(plan.profile),
        "companions": [one.to_json() for one in plan.companions],
        "champion": None if plan.champion is None else dict(plan.champion),
        "tape": plan.tape_facts,
    }


def _ingest(plan: RunPlan, warehouse: Warehouse) -> dict[str, int]:
    """What the run's journal has come to, whoever read it and in how many calls; `torn` lines wait for their end."""
    found = ingest(warehouse, journal_files(plan.paths.journals, plan.run_id))
    found.require_taken()
    ((files, accepted, duplicates, quarantined),) = warehouse.execute(
        "SELECT count(*), sum(accepted), sum(duplicates), sum(quarantined) FROM raw_file WHERE run_id = ?",
        [plan.run_id],
    )
    counts = {"files": files, "accepted": accepted, "duplicates": duplicates, "quarantined": quarantined}
    return {name: int(count or 0) for name, count in counts.items()} | {"torn": found.torn}
