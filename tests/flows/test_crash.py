"""The notice of a run that broke while nobody sat before it: which ends are told of, and what it says."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.states import Crashed, Failed, State

from engine.environment import WORKER_PID
from engine.errors import BotError, InterruptedRun
from engine.notice_outbox import outbox_file
from engine.paths import CHECKOUT, Paths
from engine.search.settings import TuneSettings
from engine.soak import SoakSettings
from flows.baseline import baseline
from flows.crash import tell_of_crash
from flows.job import job
from flows.nightly import nightly_soak
from flows.optimize import optimize
from flows.report import report
from flows.server_record import ENDING, prefect_home, up_lock
from flows.soak import soak
from flows.tune import tune

FLOWS = (soak, nightly_soak, tune, baseline, optimize, report)
EXAMPLE = CHECKOUT / "reports" / "example"
GONE = "2147483646"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.delenv("NIGHTSOAK_NOTICE_URLS", raising=False)
    monkeypatch.delenv(WORKER_PID, raising=False)


def told(paths: Paths, state: State[Any], *, deployed: bool = True) -> list[str]:
    """The lines that are queued when a night's run ends in `state`; none: no notice."""
    run = FlowRun(flow_id=uuid4(), deployment_id=uuid4() if deployed else None)
    tell_of_crash(nightly_soak, run, state)
    file = outbox_file(paths)
    return json.loads(file.read_text().splitlines()[-1])["text"].splitlines() if file.exists() else []


def stopped(where: str) -> None:
    """A night that was told to end, after which there is a partial report."""

    @job
    def body() -> tuple[None, str]:
        raise InterruptedRun("interrupted; the report covers a part of the run only", where=where)

    with FlowRunContext.model_construct(flow=nightly_soak, parameters={}), pytest.raises(TerminationSignal):
        body()


def test_every_flow_tells_and_names_its_runs() -> None:
    for flow in FLOWS:
        assert flow.on_failure_hooks == flow.on_crashed_hooks == [tell_of_crash], flow.fn.__name__
        assert callable(flow.flow_run_name)


def test_a_run_that_failed_is_told_of_with_its_remedy(paths: Paths) -> None:
    error = BotError("ended without a word", where="bot 71", remedy="see bot.log")
    assert told(paths, Failed(message=str(error), data=error)) == [
        "CRASHED · nightly-soak",
        "Why: ended without a word",
        "Where: bot 71",
        "Decide: see bot.log",
        "Report: none",
    ]


def test_one_whose_process_is_gone_is_told_of_in_the_workers_words(paths: Paths) -> None:
    assert "Why: Process exited with status code: -9." in told(
        paths, Crashed(message="Process exited with status code: -9.")
    )


def test_who_started_it_as_a_command_has_read_the_error(paths: Paths) -> None:
    assert told(paths, Failed(message="x", data=BotError("x")), deployed=False) == []


def test_one_that_was_told_to_end_is_none(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKER_PID, str(os.getppid()))
    monkeypatch.setattr("flows.job._follow_worker", lambda: None)  # these tests do not end with what started them
    stopped("")
    signal = TerminationSignal(signal=15)
    assert told(paths, Crashed(message="Execution was aborted by a termination signal.", data=signal)) == []


def test_nor_is_whatever_becomes_of_a_run_that_up_ends(paths: Paths) -> None:
    killed = Crashed(message="Process exited with status code: -9.")
    with up_lock(prefect_home()) as lock:
        lock.describe("", doing=ENDING)
        assert told(paths, killed) == []
        lock.describe("", doing="up")
        assert told(paths, killed) != []


def test_one_that_lost_its_worker_is_told_of_with_its_partial_report(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WORKER_PID, GONE)
    run_id = json.loads((EXAMPLE / "truth_manifest.json").read_text())["run_id"]
    shutil.copytree(EXAMPLE, paths.reports / "2026-11-20" / run_id)
    monkeypatch.setattr("flows.job._follow_worker", lambda: None)
    stopped(f"20261120T000000-NONE-0000, {run_id}")
    lines = json.loads(outbox_file(paths).read_text())["text"].splitlines()
    assert lines[0] == f"CRASHED · nightly-soak · {run_id}"
    assert lines[1] == "Why: its worker died"
    assert lines[-1] == f"Report: nightsoak report {run_id}"


@pytest.mark.parametrize(
    ("flow", "parameters", "name"),
    [
        (soak, {"settings": SoakSettings()}, "soak generated"),
        (soak, {"settings": {"tape": "datasets/sample"}}, "soak sample"),
        (soak, {"settings": {"feed": "bybit", "symbols": ["BTCUSDT", "ETHUSDT"]}}, "soak BTCUSDT ETHUSDT"),
        (nightly_soak, {"settings": {"hours": 3.0}}, "nightly-soak generated"),
        (tune, {"settings": TuneSettings()}, "tune"),
        (baseline, {"settings": {"mock": True}}, "baseline generated"),
        (report, {"run": "latest"}, "report"),
        (soak, {"settings": 7}, "soak"),
        (soak, {"settings": {"symbols": "BTCUSDT"}}, "soak BTCUSDT"),
    ],
)
def test_a_run_is_named_by_job_market_and_day(flow: Any, parameters: dict[str, Any], name: str) -> None:
    with FlowRunContext.model_construct(flow=flow, parameters=parameters):
        words = flow.flow_run_name().rsplit(" ", 1)
    assert words[0] == name
    assert len(words[1]) == len("2026-11-20")
