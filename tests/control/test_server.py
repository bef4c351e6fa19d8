"""The server alone: connections are bounded in number and time; one that cannot start leaves nothing behind."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

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


# --- connections -----------------------------------------------------------------------------------------------------

CONNECTIONS = 3


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, and answers."""
    while (await receive()).get("more_body"):
        """Not yet whole."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server that waits a second for a request."""
    monkeypatch.setattr("engine.control.server._REQUEST_S", 1.0)
    monkeypatch.setattr("engine.control.server._ANSWER_S", 0.2)
    settings = ControlSettings(concurrency_limit=CONNECTIONS)
    with ControlServer(settings, find_token(settings, tmp_path, tmp_path), tmp_path, lambda port: answer) as url:
        host, port = url.removeprefix("http://").split(":")
        yield host, int(port)


def ask(peer: socket.socket) -> bytes:
    """The status of an answer to a request, read to its end."""
    peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answered = b""
    while not answered.endswith((b"ok", b"Service Unavailable")):
        answered += peer.recv(65536)
    return answered[9:12]


def is_closed(peer: socket.socket) -> bool:
    """Whether the other side hangs up, without a word or with one."""
    with suppress(ConnectionResetError):
        while peer.recv(65536):
            """An answer before it."""
    return True


SLOW = {
    "says nothing": (b"", b""),
    "its request does not end": (b"GET / HTTP/1.1\r\n", b"X-Drip: 1\r\n"),
    "its body does not end": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n", b"x"),
}


@pytest.mark.parametrize(("start", "drip"), SLOW.values(), ids=SLOW)
def test_who_holds_connections_without_asking_is_hung_up_on_and_others_get_in(
    address: tuple[str, int], start: bytes, drip: bytes
) -> None:
    with ExitStack() as stack:
        peers = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(CONNECTIONS)]
        for peer in peers:
            peer.sendall(start)
        with socket.create_connection(address, timeout=10) as other:
            assert ask(other) == b"503"
        for _ in range(3):
            time.sleep(0.1)
            for peer in peers:
                with suppress(ConnectionError):  # one above the limit is told so and hung up on at once
                    peer.sendall(drip)
        assert all(is_closed(peer) for peer in peers)
    with socket.create_connection(address, timeout=10) as other:
        assert ask(other) == b"200"


def test_who_goes_on_asking_stays_connected(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as peer:
        for _ in range(4):
            assert ask(peer) == b"200"
            time.sleep(0.4)


def test_a_port_in_use_is_one_error_that_names_it(address: tuple[str, int], tmp_path: Path) -> None:
    settings = ControlSettings(port=address[1])
    with pytest.raises(StorageError, match="cannot listen: Address already in use") as caught:
        ControlServer(settings, find_token(settings, tmp_path, tmp_path), tmp_path, lambda port: answer)
    assert caught.value.where == f"127.0.0.1:{address[1]}" and "config/control.json" in caught.value.remedy
