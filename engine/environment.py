"""The environment's variables that Nightsoak reads, and what can be said against them before anything runs."""

from __future__ import annotations

import os
from zoneinfo import ZoneInfo

from engine.errors import InputError, did_you_mean
from engine.notice_outbox import check_addresses
from engine.notices import load_notice_settings
from engine.paths import Paths

WORKER_PID = "NIGHTSOAK_WORKER_PID"
"""Set by the worker of `nightsoak up` for the processes of its runs."""
ENVIRONMENT = tuple(
    f"NIGHTSOAK_{name}"
    for name in (
        *("HOME", "CONFIG", "DATASETS", "REPORTS", "TIMEZONE"),
        *("CONTROL", "CONTROL_TOKEN", "NOTICE_URLS"),
    )
)
"""What a user may set (docs/cli.md); MM_PROFILE and PREFECT_API_URL are not ours to name."""
OWN = (WORKER_PID, *(f"NIGHTSOAK_{name}" for name in ("SHARED_SERVER", "DATA", "RECOVERY_ROWS", "SCREENSHOTS")))
"""What processes tell each other, and what the tests are told."""


def check_names() -> str:
    """What is set; a NIGHTSOAK_ variable that nobody reads was meant to be another one.

    Raises:
        InputError: names the first such variable.
    """
    found = sorted(name for name in os.environ if name.startswith("NIGHTSOAK_"))
    for name in found:
        if name not in (*ENVIRONMENT, *OWN):
            raise InputError("no such variable", where=name, remedy=did_you_mean(name, ENVIRONMENT))
    return ", ".join(name for name in found if name in ENVIRONMENT) or "nothing is set"


def check_time_zone() -> str:
    """The time zone of the schedule.

    Raises:
        InputError: NIGHTSOAK_TIMEZONE is none.
    """
    name = os.environ.get("NIGHTSOAK_TIMEZONE", "UTC")
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InputError(
            f"{name!r} is no time zone", where="NIGHTSOAK_TIMEZONE", remedy="name one such as Europe/Berlin or UTC"
        ) from error
    return name


def check_notices(paths: Paths) -> str:
    """How many addresses notices go to; none is shown.

    Raises:
        ConfigError: config/notices.json, or an address that nothing can be sent to.
    """
    settings = load_notice_settings(paths.config)
    if not settings.urls:
        return "no address: nothing is sent"
    check_addresses(settings)
    return f"addresses: {len(settings.urls)}"
