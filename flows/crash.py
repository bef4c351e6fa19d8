"""The notice of a run that nobody sat before: one that failed or crashed and was not told to end.

Prefect calls `tell_of_crash` in the run's own process, or in the worker's where that process is gone. Where the worker
is, Prefect says nothing before the heartbeat is missed: the run tells of it itself.
"""

from __future__ import annotations

import os
from typing import Any

from prefect import Flow, State
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import TerminationSignal

from engine.environment import WORKER_PID
from engine.errors import InputError, NightsoakError, RunError
from engine.notice_outbox import tell
from engine.notices import crash_notice
from engine.paths import Paths
from engine.report.index import resolve_run
from flows.server_record import is_ending, prefect_home


def tell_of_crash(flow: Flow[..., Any], run: FlowRun, state: State[Any]) -> None:
    """Send the notice of a deployment's run; whoever started one as a command has read the error."""
    if run.deployment_id is None or is_ending(prefect_home()):
        return
    error = _error(state)
    if not isinstance(error, TerminationSignal):
        _tell(flow, _worker_died("") if _lost_its_worker() else error)


def tell_of_lost_worker(flow: Flow[..., Any], stop: BaseException) -> None:
    """For a run that was stopped: send the notice if that was because its worker is gone."""
    if _lost_its_worker() and not is_ending(prefect_home()):
        _tell(flow, _worker_died(stop.where if isinstance(stop, NightsoakError) else ""))


def job_name(flow: Flow[..., Any]) -> str:
    """nightly-soak and soak are one flow to Prefect, and two to a reader."""
    return str(flow.fn.__name__).replace("_", "-")


def _error(state: State[Any]) -> BaseException:
    """What ended the run; its message alone where the process is gone."""
    data = getattr(state.data, "result", state.data)
    return data if isinstance(data, BaseException) else RunError(state.message or "it says no more")


def _lost_its_worker() -> bool:
    worker = os.environ.get(WORKER_PID)
    return worker not in (None, str(os.getppid()), str(os.getpid()))


def _worker_died(where: str) -> RunError:
    return RunError("its worker died", where=where, remedy=f"see {prefect_home() / 'worker.log'}")


def _tell(flow: Flow[..., Any], error: BaseException) -> None:
    paths = Paths.from_environment()
    tell(paths, [crash_notice(job_name(flow), error, run_id=_reported(error, paths))])


def _reported(error: BaseException, paths: Paths) -> str:
    """The first of the runs that the error is about which has a report, if only a partial one; else nothing."""
    for run_id in error.where.split(", ") if isinstance(error, NightsoakError) else ():
        try:
            return resolve_run(run_id, paths.reports).name if run_id else ""
        except InputError:
            continue
    return ""
