"""Running a flow from the command line: Prefect's temporary server, progress, signals, and errors as they went in."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def run_flow(load: Callable[[], Callable[[], Result]], *, what: str, debug: bool) -> Result:
    """What the flow returns, with progress on a terminal.

    Args:
        what: "command: what it was asked for", for a reader without a terminal.
        load: imports the flow, which takes Prefect seconds, and returns what runs it; the server starts meanwhile.

    Raises:
        NightsoakError: the flow's own, as it was raised, or RunError where Prefect could not run it.
    """
    from engine.errors import RunError
    from flows.environment import prefect_server, prepare
    from nightsoak.console import long_work
    from nightsoak.progress import showing_progress

    prepare(debug=debug)
    # Prefect hands a SIGTERM on to whoever had it before: by default that would be the end, before any clean-up.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with long_work(what), prefect_server() as wait_for_server, showing_progress() as listener:
            from tasks.listening import listening

            run = load()
            wait_for_server()
            with listening(listener):
                return run()
    except BaseException as error:
        ours = _ours(error)
        if ours is not None:
            raise ours from error
        if debug or not isinstance(error, Exception):
            raise
        own = "PREFECT_API_URL" in os.environ
        raise RunError(
            f"Prefect could not run the flow: {type(error).__name__}: {error}",
            where="flow",
            remedy="start the server that PREFECT_API_URL names, or unset it"
            if own
            else "run nightsoak doctor; --debug shows the traceback",
        ) from error


def _ours(error: BaseException) -> BaseException | None:
    """Our own error behind one of Prefect's; behind both, a Ctrl-C that nothing else explains."""
    from engine.errors import NightsoakError

    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    for kind in (NightsoakError, KeyboardInterrupt):
        for seen in chain:
            if isinstance(seen, kind):
                return seen
    return None


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
