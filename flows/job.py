"""What every scheduled flow shares: its parameters are checked as files of config/ are, it ends with its worker, and
its state says in one line what came out."""

from __future__ import annotations

import functools
import inspect
import json
import os
import signal
from collections.abc import Callable
from typing import Any, ParamSpec

from prefect import State
from prefect.exceptions import TerminationSignal
from prefect.states import Completed, Failed

from engine.bot.follow import follow_parent
from engine.config import ConfigModel, parse_config
from engine.errors import InterruptedRun, NightsoakError, RunError

WORKER_PID = "NIGHTSOAK_WORKER_PID"
"""Set by the worker of `nightsoak up` for the processes of its runs."""
P = ParamSpec("P")


def job(body: Callable[P, tuple[Any, str]]) -> Callable[P, State[Any]]:
    """For a flow's body, below `@flow(validate_parameters=False)`; it returns (result, message of the final state).

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
        except InterruptedRun as error:
            if WORKER_PID in os.environ:
                raise TerminationSignal(signal=signal.SIGTERM) from error
            return Failed(message=str(error), data=error)
        except NightsoakError as error:
            return Failed(message=str(error), data=error)
        return Completed(message=message, data=result)

    run.__signature__ = signature  # type: ignore[attr-defined]
    return run


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
