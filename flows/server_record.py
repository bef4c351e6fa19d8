"""What `nightsoak up` says of itself in Prefect's home: its server, in a small file that is believed only while that
server answers; and, in the lock that keeps a second one out, what it is doing."""

from __future__ import annotations

import http.client
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.errors import LockHeldError
from engine.files import write_json
from engine.locks import FileLock
from engine.paths import CHECKOUT

_ANSWER_S = 2.0
_LOCK = "up.lock"
STARTING, ENDING = "starting", "ending"


@dataclass(frozen=True)
class ServerRecord:
    """`pid` is that of `nightsoak up`; `api_url` ends with /api, `ui_url` is what a browser opens."""

    pid: int
    api_url: str
    ui_url: str


def prefect_home() -> Path:
    """PREFECT_HOME; else .prefect of the checkout, or a temporary folder where that cannot be written."""
    if "PREFECT_HOME" in os.environ:
        return Path(os.environ["PREFECT_HOME"]).absolute()
    home = CHECKOUT / ".prefect"
    fallback = Path(tempfile.gettempdir()) / "nightsoak-prefect"
    try:
        home.mkdir(exist_ok=True)
    except OSError:
        return fallback
    return home if os.access(home, os.W_OK) else fallback


def write_record(home: Path, record: ServerRecord) -> None:
    write_json(_file(home), asdict(record))


def remove_record(home: Path) -> None:
    _file(home).unlink(missing_ok=True)


def running_server(home: Path) -> ServerRecord | None:
    """The server that is up, or None; a file that a killed `up` left behind is not believed."""
    try:
        record = ServerRecord(**json.loads(_file(home).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return record if answers(f"{record.api_url}/health") else None


def up_lock(home: Path) -> FileLock:
    """The lock of `nightsoak up` on its home; it describes itself there with `doing`."""
    return FileLock(home / _LOCK, what="this Prefect home")


def up_there(home: Path) -> dict[str, Any] | None:
    """What the `up` that holds the home says of itself: pid and doing; None: there is none."""
    if not (home / _LOCK).exists():
        return None
    lock = up_lock(home)
    try:
        with lock:
            return None
    except LockHeldError:
        return lock.holder


def is_ending(home: Path) -> bool:
    """Whether its `up` was told to end, and so ends the runs; for those who run below it."""
    try:
        return bool(json.loads((home / _LOCK).read_bytes())["doing"] == ENDING)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered with 200 now."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_ANSWER_S)
    try:
        connection.request("GET", address.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _file(home: Path) -> Path:
    return home / "nightsoak-up.json"
