"""What the commands make of a server's answers, over a real connection."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from engine.errors import RunError
from flows.api import Api


class Busy(BaseHTTPRequestHandler):
    """Answers 503 as often as `busy` says, as Prefect does while its database is locked."""

    busy = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).busy -= 1
        body = b"[]"
        self.send_response(503 if type(self).busy >= 0 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


def test_a_server_whose_database_is_locked_is_asked_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.api._BUSY_PAUSES_S", (0.01, 0.01))
    with Api(url) as api:
        Busy.busy = 2
        assert api.deployments() == {}
        Busy.busy = 3
        with pytest.raises(RunError, match="refused: 503"):
            api.deployments()


class Recorder(BaseHTTPRequestHandler):
    """Keeps what was posted; answers as the server does of a run that was made."""

    posted: list[tuple[str, object]] = []  # noqa: RUF012  (one list for all requests is what is wanted)

    def do_POST(self) -> None:
        self.posted.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        self._answer({"id": "r", "name": "n", "state_type": "SCHEDULED", "state_name": "Scheduled"})

    def do_GET(self) -> None:
        self._answer({"name": "report"})

    def _answer(self, value: dict[str, str | None]) -> None:
        row = {"flow_id": "f", "deployment_id": "d", "expected_start_time": "", "start_time": None, "state": None}
        body = json.dumps(row | value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def test_a_run_is_started_with_the_parameters_that_were_given() -> None:
    with HTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            with Api(f"http://127.0.0.1:{server.server_port}/api") as api:
                api.start("d", {"run": "latest"})
        finally:
            server.shutdown()
            thread.join()
    assert Recorder.posted == [("/api/deployments/d/create_flow_run", {"parameters": {"run": "latest"}})]
