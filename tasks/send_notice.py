"""Step: the night's notice. It never costs the run."""

from __future__ import annotations

import logging
from pathlib import Path

from engine.notice_outbox import Delivered, tell
from engine.notices import load_notice_settings, run_notice
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
