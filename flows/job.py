"""What every scheduled flow shares: its parameters are checked as files of config/ are, it ends with its worker, its
state says in one line what came out, its runs have names to find them by, and a crash is told."""

from __future__ import annotations

import functools
import inspect
import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec

from prefect import Flow, State
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.states import Completed, Failed

from engine.bot.follow import follow_parent
from engine.config import ConfigModel, parse_config
from engine.environment import WORKER_PID
from engine.errors import InterruptedRun, NightsoakError, RunError
from flows.crash import job_name, tell_of_crash, tell_of_lost_worker

P = ParamSpec("P")


def run_name() -> str:
    """The name of the run that is about to start: nightly-soak BTCUSDT 2026-11-20.

    Between job and UTC date stands its market: symbols, else the names of its tapes, else "generated".
    """
    run = FlowRunContext.get()
    assert run is not None and run.flow is not None, "Prefect asks inside the run's context"
    words = [job_name(run.flow), *_market(run.flow, run.parameters.get("settings")), f"{datetime.now(UTC):%F}"]
    return " ".join(words)


JOB: dict[str, Any] = {
    "persist_result": False,
    "validate_parameters": False,
    "flow_run_name": run_name,
    "on_failure": [tell_of_crash],
    "on_crashed": [tell_of_crash],
}
"""What @flow is given beside the name."""


def job(body: Callable[P, tuple[Any, str]]) -> Callable[P, State[Any]]:
    """For a flow's body, below `@flow(name=..., **JOB)`; it returns (result, message of the final state).

    Who calls the flow gets the result, or our error as it was raised; the state's message is the verdict, or the
    error's one line. A run that was cancelled or lost its worker stays what Prefect makes of it: Cancelled, Crashed.
    """

    # Prefect would look for the names of the types in this module.
    signature = inspect.signature(body, eval_str=True)

    @functools.wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> State[Any]:
        try:
            _follow_worker()
            given = signature.bind(*args, **kwargs)
            for name, value in given.arguments.items():
                given.arguments[name] = _checked(name, value, signature.parameters[name].annotation)
            result, message = body(*given.args, **given.kwargs)
        except (InterruptedRun, TerminationSignal) as error:
            if WORKER_PID in os.environ:
                context = FlowRunContext.get()
                if context is not None and context.flow is not None:
                    tell_of_lost_worker(context.flow, error)
                raise TerminationSignal(signal=signal.SIGTERM) from error
            if isinstance(error, TerminationSignal):
                raise
            return Failed(message=str(error), data=error)
        except NightsoakError as error:
            return Failed(message=str(error), data=error)
        return Completed(message=message, data=result)

    run.__signature__ = signature  # type: ignore[attr-defined]
    return run


def _market(flow: Flow[..., Any], settings: Any) -> list[str]:
    """Of settings as a command or a deployment gives them, which nobody has checked yet."""
    given = settings.model_dump() if isinstance(settings, ConfigModel) else settings
    if not isinstance(given, dict):
        return []
    named = given.get("symbols") or given.get("tapes") or given.get("tape") or []
    names = [Path(str(name)).name for name in ([named] if isinstance(named, str) else named)]
    is_soak = job_name(flow).endswith("soak")
    is_generated = given.get("feed", "replay") == "replay" if is_soak else given.get("mock", False)
    return names or (["generated"] if is_generated else [])


def _checked(name: str, value: Any, kind: Any) -> Any:
    """A deployment's parameters are JSON, a command's are models already."""
    if inspect.isclass(kind) and issubclass(kind, ConfigModel) and not isinstance(value, kind):
        return parse_config(json.dumps(value), kind, where=f"parameter {name}")
    return value


def _follow_worker() -> None:
    """End with the worker that started this process; a worker that died meanwhile has nobody to report to."""
    worker = os.environ.get(WORKER_PID)
    if worker is not None and not follow_parent(int(worker)):
        raise RunError("its worker is gone", where=f"process {worker}", remedy="the next scheduled run starts anew")
