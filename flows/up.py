"""`nightsoak up`: Prefect's server, deployments and a worker, alive together and gone together.

All are children in sessions of their own, so that Ctrl-C reaches only us and they are ended in order: the runs first,
which report what they have, then the worker, then the server, which still hears of it. A child follows us when
we are killed (flows.child, flows.server), a run follows its worker (flows.job). What a dead worker leaves becomes our
child on Linux, so that nothing is left running when we end. A server or worker that dies is started again, and so is a
server that hangs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.errors import RunError
from engine.paths import CHECKOUT
from flows.database import SHARED, is_postgresql, masked, without_url
from flows.environment import HEARTBEAT_S
from flows.server import PORT_TAKEN
from flows.server_record import ServerRecord, answers, remove_record, write_record

_READY_S = 180.0
_MUTE_S = 180.0
_GRACE_S = {"deploy": 1.0, "worker": 5.0, "runs": 15.0, "server": 5.0}
_MOST_RESTARTS = 5
_PR_SET_CHILD_SUBREAPER = 36
_SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    # In Prefect's home: a run whose lease was in the memory of a server that died would be ended minutes later.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": HEARTBEAT_S,
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_PLUGINS_ENABLED": "false",
    "NIGHTSOAK_TIMEZONE": "UTC",
}
"""What the environment may override; NIGHTSOAK_TIMEZONE is read by prefect.yaml."""


class PortTakenError(RunError):
    """Somebody else has the server's port."""


class Crew:
    """`with Crew(home, port) as crew:` starts everything; leaving the block ends everything.

    Args:
        home: Prefect's home, whose lock the caller holds; the logs of server, deploy and worker go there.
        port: the server's, on the loopback address.
        queues: the work queues whose runs the worker takes; all by default.
        join: the API's URL of a server that is up; there is a worker alone then.
    """

    def __init__(self, home: Path, port: int, *, queues: Sequence[str] = (), join: str = "") -> None:
        self.home = home
        self.api_url = join or f"http://127.0.0.1:{port}/api"
        self.ui_url = self.api_url.removesuffix("/api")
        child = [sys.executable, "-m", "flows.child", str(os.getpid())]
        name = f"nightsoak-{socket.gethostname()}" if join else "nightsoak"
        self._argv = {"worker": [*child, "worker", name, *queues]}
        if not join:
            server = [sys.executable, "-m", "flows.server", str(port), str(os.getpid())]
            self._argv = {"server": server, "deploy": [*child, "deploy"], **self._argv}
        path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
        self._environment = (
            _SETTINGS
            | os.environ
            | {
                "PREFECT_HOME": str(home),
                "PREFECT_API_URL": self.api_url,
                "PREFECT_SERVER_API_HOST": "127.0.0.1",
                "PREFECT_SERVER_API_PORT": str(port),
                "PREFECT_UI_API_URL": self.api_url,
                "PYTHONPATH": path,
                "PYTHONUNBUFFERED": "1",
            }
        )
        if is_postgresql():
            self._environment = {SHARED: "1"} | self._environment
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._before: frozenset[int] = frozenset()
        self._restarts = 0
        self._answered_s = 0.0

    def __enter__(self) -> Self:
        self._before = frozenset(_children(os.getpid()))  # whoever called may have children of its own
        _adopt_orphans()
        for name in self._argv:
            self._start(name, "wb")
        return self

    def wait_until_ready(self) -> None:
        """Wait until everything is deployed.

        Raises:
            PortTakenError: somebody else took the server's port meanwhile.
        RunError: a part did not start; names its log.
        """
        if "deploy" not in self._children:
            self._record()
            return
        deadline = time.monotonic() + _READY_S
        while (code := self._children["deploy"].poll()) is None:
            for name in ("server", "worker"):
                if self._children[name].poll() is not None:
                    raise self._failed(name, "ended while starting")
            if time.monotonic() > deadline:
                raise self._failed("deploy", f"did not finish within {_READY_S:.0f} s")
            time.sleep(0.1)
        if code:
            raise self._failed("deploy", f"failed with exit code {code}")
        del self._children["deploy"]
        self._record()

    def _record(self) -> None:
        write_record(self.home, ServerRecord(os.getpid(), self.api_url, self.ui_url))

    def revive(self) -> list[str]:
        """Start again what has died, and a server that has not answered for minutes; their names.

        Raises:
            RunError: it keeps dying.
        """
        self._kill_mute_server()
        dead = [name for name, child in self._children.items() if child.poll() is not None]
        for name in dead:
            self._restarts += 1
            if self._restarts > _MOST_RESTARTS:
                raise self._failed(name, f"died again after {_MOST_RESTARTS} restarts")
            self._start(name, "ab")
        return dead

    def _kill_mute_server(self) -> None:
        server = self._children.get("server")
        if server is None or answers(f"{self.api_url}/health"):
            self._answered_s = time.monotonic()
        elif time.monotonic() - self._answered_s > _MUTE_S:
            server.kill()
            server.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        remove_record(self.home)
        self._end("deploy")
        worker = self._children.get("worker")
        if worker is not None:
            _end_processes(lambda: _children(worker.pid))  # a worker that is told first kills them unheard
        self._end("worker")
        kept = self._before | {child.pid for child in self._children.values()}
        _end_processes(lambda: [pid for pid in _children(os.getpid()) if pid not in kept])
        self._end("server")

    def _start(self, name: str, mode: str) -> None:
        if name == "server":
            self._answered_s = time.monotonic()
        with self._log(name).open(mode) as log:
            self._children[name] = subprocess.Popen(
                self._argv[name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=CHECKOUT,
                env=self._environment if name == "server" else without_url(self._environment),
                start_new_session=True,
            )

    def _end(self, name: str) -> None:
        child = self._children.pop(name, None)
        if child is None:
            return
        child.terminate()
        try:
            child.wait(_GRACE_S[name])
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _failed(self, name: str, what: str) -> RunError:
        kind = PortTakenError if name == "server" and self._children[name].poll() == PORT_TAKEN else RunError
        lines = self._log(name).read_text(encoding="utf-8", errors="replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        return kind(
            masked(f"{name} {what}: {last}"), where=str(self._log(name)), remedy="see the log, then run it again"
        )

    def _log(self, name: str) -> Path:
        return self.home / f"{name}.log"


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _end_processes(running: Callable[[], list[int]]) -> None:
    """Tell them to end, and wait; kill what does not."""
    deadline = time.monotonic() + _GRACE_S["runs"]
    told: set[int] = set()
    while pids := running():
        late = time.monotonic() > deadline
        for pid in pids:
            if late or pid not in told:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
                told.add(pid)
            with contextlib.suppress(ChildProcessError):  # ours are reaped, the worker reaps its own
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)


def _children(pid: int) -> list[int]:
    """The children of a process that are alive; none on systems that do not say."""
    try:
        pids = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []
    return [child for child in pids if not _is_zombie(child) or pid == os.getpid()]


def _is_zombie(pid: int) -> bool:
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0] == "Z"
        )
    except OSError:
        return True
