"""Prefect's settings for a flow that is run from the command line, without a server of its own.

Prefect then starts a temporary one beside the flow. Its database lies in .prefect of the checkout; making it takes
Prefect some seconds, once: `python -m flows.environment` does that ahead of the first run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from engine.paths import CHECKOUT

_QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
}


def prepare(*, debug: bool = False) -> None:
    """Set what the environment leaves open; to be called before Prefect is imported.

    Errors reach the user as Nightsoak's one line, so Prefect's own account of them is left out unless `debug`.
    """
    os.environ.setdefault("PREFECT_HOME", str(_home()))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING" if debug else "CRITICAL")
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if "PREFECT_API_URL" not in os.environ:
        # Ctrl-C reaches the temporary server too. A flow that then asked it again and again for over a minute
        # before giving up would keep the user waiting for nothing.
        os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "0")


def _home() -> Path:
    """.prefect of the checkout, or a temporary folder where that cannot be written."""
    home = CHECKOUT / ".prefect"
    try:
        home.mkdir(exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir()) / "nightsoak-prefect"
    return home if os.access(home, os.W_OK) else Path(tempfile.gettempdir()) / "nightsoak-prefect"


def main() -> int:
    """Make or upgrade the temporary server's database."""
    prepare()
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
