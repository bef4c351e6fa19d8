"""Prefect for a flow that is run from the command line: quiet settings, and a server.

Where `nightsoak up` runs, its server is used, so that the run is in the UI; else a temporary one of our own. Prefect
would start one by itself, but in our process group, where Ctrl-C ends it before the flow can say how it ended, and so
that it outlives a killed flow. Ours has its own session and ends with us; and it starts while Prefect is being
imported. Its database lies in .prefect of the checkout; making it takes Prefect some seconds, once:
`python -m flows.environment` does that ahead of the first run.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import RunError
from engine.paths import CHECKOUT
from flows.server_record import answers, prefect_home, running_server

_QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
}
# What Prefect's own temporary server is started with.
_TEMPORARY = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
HEARTBEAT_S = "30"
"""The shortest interval of heartbeats that Prefect takes."""
_START_S = 60.0
_STOP_S = 5.0


def prepare(*, debug: bool = False) -> None:
    """Set what the environment leaves open; to be called before Prefect is imported.

    Errors reach the user as Nightsoak's one line, so Prefect's own account of them is left out unless `debug`.
    """
    os.environ.setdefault("PREFECT_HOME", str(prefect_home()))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING" if debug else "CRITICAL")
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


@contextmanager
def prefect_server() -> Iterator[Callable[[], None]]:
    """The server of the block: the one that PREFECT_API_URL names, that of `nightsoak up`, or a temporary one.

    Yields:
        a function that waits until the server answers, and raises RunError if it does not.
    """
    if "PREFECT_API_URL" in os.environ:
        yield lambda: None
        return
    record = running_server(prefect_home())
    if record is not None:
        os.environ["PREFECT_API_URL"] = record.api_url
        os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", HEARTBEAT_S)  # missed there where we are killed
        try:
            yield lambda: None
        finally:
            del os.environ["PREFECT_API_URL"]
        return
    port = free_port()
    log = Path(os.environ["PREFECT_HOME"]) / "temporary-server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "flows.server", str(port), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=CHECKOUT,
            env={**os.environ, **_TEMPORARY},
            start_new_session=True,
        )
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    try:
        yield lambda: _wait_for(server, port, log)
    finally:
        del os.environ["PREFECT_API_URL"]
        server.terminate()
        try:
            server.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and server.poll() is None:
        if answers(f"http://127.0.0.1:{port}/api/health"):
            return
        time.sleep(0.05)
    raise RunError("Prefect's temporary server did not start", where=str(log), remedy="see its log, then run again")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could take the port on the loopback address."""
    with socket.socket() as probe:
        if sys.platform != "win32":  # as servers do: a port that was just left is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def main() -> int:
    """Make or upgrade the temporary server's database."""
    prepare()
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
