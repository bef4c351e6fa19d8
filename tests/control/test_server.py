"""A control plane that cannot start leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.control.app import log
from engine.control.server import ADDRESS_FILE, ControlServer
from engine.control.settings import ControlSettings, find_token
from engine.errors import StorageError


async def nothing(scope: object, receive: object, send: object) -> None:
    """An application that is never asked."""


def begun(folder: Path, what: Callable[[ControlServer], None]) -> ControlServer:
    """A server in `folder` that does not get further than `what`."""
    settings = ControlSettings()
    server = ControlServer(settings, find_token(settings, folder, folder), folder, lambda port: nothing)
    what(server)
    with pytest.raises((StorageError, RuntimeError)), server:
        raise AssertionError("it runs")
    return server


def no_thread(server: ControlServer) -> None:
    server._server.run = lambda sockets: None  # type: ignore[method-assign]


def no_address(server: ControlServer) -> None:
    (server._folder / ADDRESS_FILE).mkdir()


def no_log(server: ControlServer) -> None:
    (server._folder / "control.log").mkdir()


@pytest.mark.parametrize("what", [no_thread, no_address, no_log])
def test_what_was_begun_is_ended(what: Callable[[ControlServer], None], tmp_path: Path) -> None:
    handlers = list(log.handlers)
    server = begun(tmp_path, what)
    assert server._socket.fileno() == -1
    assert log.handlers == handlers
    assert not any(thread.name == "control" for thread in threading.enumerate())
    assert not (tmp_path / "control.token").exists() and not (tmp_path / ADDRESS_FILE).is_file()
