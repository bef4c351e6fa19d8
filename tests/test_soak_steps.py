"""A whole soak at the level of the engine: a real bot, a real warehouse, a real report, no Prefect."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable

import pytest

from engine.bot.process import BotProcess
from engine.errors import BotError, StorageError
from engine.files import write_json
from engine.market.tape import Tape
from engine.metrics import COMPONENTS
from engine.paths import CHECKOUT, Paths
from engine.soak import RunPlan, SoakSettings
from engine.soak_plan import make_plan
from engine.soak_recipe import nobody, run_soak
from engine.soak_state import RunState
from engine.soak_steps import Report, reach_edge, report
from engine.warehouse.opening import open_warehouse

PlanOf = Callable[..., RunPlan]
NOT_COMPARED = {"wall_clock.json"}


def files(made: Report) -> dict[str, bytes]:
    """{relative path: bytes with the run id put out of sight}"""
    return {
        str(path.relative_to(made.folder)): path.read_bytes().replace(made.run_id.encode(), b"RUN")
        for path in sorted(made.folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory, short_tape: Tape) -> list[tuple[RunPlan, Report]]:
    """The same auto-tuned soak, done twice in the same folders."""
    home = tmp_path_factory.mktemp("home")
    paths = Paths(config=CHECKOUT / "config", datasets=home / "datasets", reports=home / "reports")
    settings = SoakSettings(tape=str(short_tape.path), iterations=3, auto_tune=True, window_seconds=10)
    done = []
    for _ in range(2):
        plan = make_plan(settings, paths)
        run_soak(plan)
        done.append((plan, report(plan)))
    return done


def test_the_same_soak_twice_gives_the_same_artefacts(twice: list[tuple[RunPlan, Report]]) -> None:
    (_, one), (_, other) = twice
    first, second = files(one), files(other)
    assert one.run_id != other.run_id
    assert set(first) == set(second)
    assert set(first) > {"EDGE_REPORT.json", "KPI_GATE.json", "SOAK_RESULTS.md", "runtime_overrides.json"}
    assert [name for name in first if first[name] != second[name] and name not in NOT_COMPARED] == []


def test_an_auto_tuned_soak_decides_between_iterations_and_keeps_its_control(
    twice: list[tuple[RunPlan, Report]],
) -> None:
    plan, made = twice[-1]
    edge = json.loads((made.folder / "EDGE_REPORT.json").read_text())
    metrics = json.loads((made.folder / "soak_metrics.json").read_text())
    assert [(lane["lane"], lane["role"]) for lane in edge["lanes"]] == [(0, "champion"), (1, "control")]
    assert len(metrics["decisions"]) == plan.schedule.iterations - 1
    assert [row["iteration"] for row in edge["iterations"]] == [0, 1, 2]
    assert edge["totals"]["fills"] > 0
    total = sum(edge["totals"][name] for name in COMPONENTS)
    assert edge["totals"]["net_bps"] == pytest.approx(total, abs=1e-9)
    last = metrics["decisions"][-1]["params_after"]
    assert json.loads((made.folder / "runtime_overrides.json").read_text()) == last
    assert json.loads(plan.overrides_file.read_text()) == last
    assert RunState.read(plan).ended == "complete"


def test_without_auto_tune_nothing_is_decided_and_refused_overrides_are_reported(plan_of: PlanOf) -> None:
    plan = plan_of(auto_tune=False, iterations=2)
    write_json(plan.overrides_file, {"spread": 1})
    run_soak(plan)
    metrics = json.loads((report(plan).folder / "soak_metrics.json").read_text())
    assert metrics["decisions"] == []
    assert metrics["params_final"] == metrics["params_start"]
    (refused,) = metrics["data_quality"]["overrides_refused"]
    assert "unknown parameter 'spread'" in refused["reason"]
    assert refused["ts_ns"] == plan.schedule.window_end_ns(2)


def test_an_interrupted_soak_is_reported_as_such_once_the_folder_can_be_written(plan_of: PlanOf) -> None:
    plan = plan_of()
    run_soak(plan, iterations=1)
    plan.paths.reports.rmdir()
    plan.paths.reports.write_text("in the way")
    with pytest.raises(StorageError):
        report(plan, interrupted=True)
    assert plan.paths.reports.read_text() == "in the way"
    plan.paths.reports.unlink()

    made = report(plan, interrupted=True)
    assert made.interrupted
    assert "partial" in (made.folder / "SOAK_RESULTS.md").read_text().splitlines()[0]
    edge = json.loads((made.folder / "EDGE_REPORT.json").read_text())
    # It had been told to go on: how far it came before it noticed that its stdin was closed is a matter of time.
    windows = [row["window"] for row in edge["windows"]]
    assert windows == list(range(len(windows)))
    assert 2 <= len(windows) < plan.schedule.windows


def test_a_bot_that_ends_early_is_an_error(plan_of: PlanOf) -> None:
    plan = plan_of()
    with BotProcess(plan.file, plan.folder / "bot.log") as bot:
        messages = bot.messages()
        reach_edge(plan, messages, 0, nobody)
        bot.command("stop")
        with pytest.raises(BotError, match="ended early: stopped"):
            reach_edge(plan, messages, 1, nobody)
    assert RunState.read(plan).ended == "stopped"


@pytest.mark.skipif(sys.platform == "win32", reason="signals as on POSIX")
def test_a_ctrl_c_inside_a_query_is_a_ctrl_c(paths: Paths) -> None:
    with pytest.raises(KeyboardInterrupt), open_warehouse(paths) as warehouse:
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        warehouse.execute("SELECT sum(a.range * b.range) FROM range(1000000) a, range(50000) b")
