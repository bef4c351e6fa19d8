"""Step: the night's notice; and the notice of a job that breaks. Neither ever costs the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.exceptions import TerminationSignal

from engine.errors import InterruptedRun, RunError
from engine.notice_outbox import Delivered, tell
from engine.notices import crash_notice, load_notice_settings, run_notice
from engine.paths import Paths
from tasks.step import step

_LOG = logging.getLogger("nightsoak.notices")


@step
def send_notice(folder: Path) -> Delivered:
    """Send the notice of the report in `folder`, and those of events not told yet (rollbacks)."""
    paths = Paths.from_environment()
    try:
        notice = run_notice(folder, load_notice_settings(paths.config))
    except Exception as error:  # whatever it is, the run is worth more than its notice
        _LOG.warning("no notice of %s: %s", folder.name, error)
        return Delivered()
    return tell(paths, [notice])


@contextmanager
def notice_if_crashed(what: str) -> Iterator[None]:
    """Send a crash notice when the block fails; one that a person interrupted did not crash."""
    try:
        yield
    except (KeyboardInterrupt, TerminationSignal, InterruptedRun):
        raise
    except Exception as error:
        tell(Paths.from_environment(), [crash_notice(what, error)])
        raise


def send_crash_notice(what: str, reason: str) -> Delivered:
    """For Prefect's on_crashed hooks, which run where the flow's own process is gone."""
    return tell(Paths.from_environment(), [crash_notice(what, RunError(reason))])
