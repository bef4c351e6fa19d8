"""What every scheduled flow shares: it ends with its worker, and its state says in one line what came out."""

from __future__ import annotations

import functools
import inspect
import os
import signal
from collections.abc import Callable
from typing import Any, ParamSpec

from prefect import State
from prefect.exceptions import TerminationSignal
from prefect.states import Completed, Failed

from engine.bot.follow import follow_parent
from engine.errors import InterruptedRun, NightsoakError, RunError

WORKER_PID = "NIGHTSOAK_WORKER_PID"
"""Set by the worker of `nightsoak up` for the processes of its runs."""
P = ParamSpec("P")


def job(body: Callable[P, tuple[Any, str]]) -> Callable[P, State[Any]]:
    """For a flow's body, below `@flow`, that returns (its result, the message of its final state).

    Who calls the flow gets the result, or our error as it was raised; the state's message is the verdict, or the
    error's one line. A run that was cancelled or lost its worker stays what Prefect makes of it: Cancelled, Crashed.
    """

    @functools.wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> State[Any]:
        try:
            _follow_worker()
            result, message = body(*args, **kwargs)
        except InterruptedRun as error:
            if WORKER_PID in os.environ:
                raise TerminationSignal(signal=signal.SIGTERM) from error
            return Failed(message=str(error), data=error)
        except NightsoakError as error:
            return Failed(message=str(error), data=error)
        return Completed(message=message, data=result)

    # Prefect would look for the names of the types in this module.
    run.__signature__ = inspect.signature(body, eval_str=True)  # type: ignore[attr-defined]
    return run


def _follow_worker() -> None:
    """End with the worker that started this process; a worker that died meanwhile has nobody to report to."""
    worker = os.environ.get(WORKER_PID)
    if worker is not None and not follow_parent(int(worker)):
        raise RunError("its worker is gone", where=f"process {worker}", remedy="the next scheduled run starts anew")
