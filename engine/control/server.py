"""uvicorn in a thread of the bot's process, on 127.0.0.1; it is gone when the block ends, or the process does."""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from engine.control.app import log
from engine.control.guard import App
from engine.control.settings import ControlSettings, Token
from engine.errors import StorageError
from engine.files import write_json

HOST = "127.0.0.1"
ADDRESS_FILE = "control_address.json"
LOG_FILE = "control.log"
_LOG_BYTES = 1 << 20
_START_S = 10.0
_STOP_S = 5.0
_REQUEST_S, _ANSWER_S = 10.0, 60.0


class Connection(H11Protocol):
    """Closed where no request is under way `_REQUEST_S` after it was opened or after the last answer, and where an
    answer is not taken `_ANSWER_S` later.

    uvicorn itself waits for ever for a first request and for each further byte: whoever can reach the port, without a
    token, could then hold every connection that `concurrency_limit` allows.
    """

    _deadline: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin()

    def _begin(self) -> None:
        self._deadline = self.loop.call_later(_REQUEST_S, self._expire, _ANSWER_S)

    def _expire(self, more_s: float) -> None:
        if more_s and self.cycle is not None and not self.cycle.response_complete:
            self._deadline = self.loop.call_later(more_s, self._expire, 0.0)
        else:
            self.transport.abort()

    def on_response_complete(self) -> None:
        self._deadline.cancel()
        self._begin()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)


class ControlServer:
    """`with ControlServer(...) as url:` serves while the block runs.

    The run's folder gets `control_address.json` (url, token_file, pid; gone at the end) and `control.log`.

    Args:
        app_for: makes the application for the port that was bound.
    """

    def __init__(
        self, settings: ControlSettings, token: Token, run_folder: Path, app_for: Callable[[int], App]
    ) -> None:
        self._token, self._folder = token, run_folder
        self._socket = _bound(settings.port)
        port = self._socket.getsockname()[1]
        self.url = f"http://{HOST}:{port}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app_for(port),
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=settings.concurrency_limit,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=2,
            )
        )
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._log_handler: logging.Handler | None = None

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def __enter__(self) -> str:
        try:
            self._open_log()
            self._thread.start()
            deadline_s = time.monotonic() + _START_S
            while not self._server.started:
                if not self._thread.is_alive() or time.monotonic() > deadline_s:
                    raise StorageError("the control plane did not start", where=self.url, remedy="see the bot's log")
                time.sleep(0.005)
            file = str(self._token.file) if self._token.file else None
            write_json(self._folder / ADDRESS_FILE, {"url": self.url, "token_file": file, "pid": os.getpid()})
        except BaseException:
            self._close()
            raise
        return self.url

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        """End what was begun, however far it got."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
        self._socket.close()
        for file in (self._folder / ADDRESS_FILE, self._token.file):
            if file is not None:
                with suppress(OSError):
                    file.unlink()
        if self._log_handler:
            log.removeHandler(self._log_handler)
            self._log_handler.close()

    def _open_log(self) -> None:
        path = self._folder / LOG_FILE
        try:
            handler = logging.handlers.RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
        except OSError as error:
            raise StorageError(
                f"cannot write: {error.strerror}", where=str(path), remedy="make the folder writable, then run again"
            ) from error
        formatter = logging.Formatter("%(asctime)sZ %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
        self._log_handler = handler


def _bound(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((HOST, port))
        found.listen()  # two that are bound and listen later would both believe to have the port
    except OSError as error:
        found.close()
        raise StorageError(
            f"cannot listen: {error.strerror}", where=f"{HOST}:{port}", remedy="set port to 0 in config/control.json"
        ) from error
    return found
