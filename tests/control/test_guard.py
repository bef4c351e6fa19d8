"""Who is let in, on a real bot: whatever the header, what is not ours changes nothing."""

from __future__ import annotations

import itertools
import json
import socket
from typing import Any

import httpx
import pytest

ACTION = "/control/reload_risk"
BODY = b'{"order_notional_quote": 100.0}'
JSON = {"Content-Type": "application/json"}


def ask(served: Any, headers: dict[str, str], *, token: bool = True, body: bytes = BODY, path: str = ACTION) -> int:
    given = {"Authorization": f"Bearer {served.token}"} if token else {}
    with httpx.Client(base_url=served.url, timeout=10) as client:
        return client.post(path, content=body, headers={**given, **headers}).status_code


def raw(served: Any, lines: list[str], body: bytes = b"") -> bytes:
    """A request as it stands, for what no client would send."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        peer.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
        answer = b""
        while part := peer.recv(65536):
            answer += part
    return answer


@pytest.fixture
def untouched(served_at_edge: Any) -> Any:
    """The bot; afterwards no action may have been taken from whatever the test sent."""
    actions = served_at_edge.actions()
    yield served_at_edge
    assert served_at_edge.actions() == actions


TOKENS = {
    "none": None,
    "empty": "",
    "wrong": "Bearer " + "x" * 43,
    "no scheme": "{token}",
    "basic": "Basic {token}",
    "prefix": "Bearer {token}x",
    "cut": "Bearer {cut}",
}


@pytest.mark.parametrize("given", TOKENS.values(), ids=TOKENS)
def test_without_the_token_nothing_but_health(untouched: Any, given: str | None) -> None:
    token = untouched.token
    headers = {} if given is None else {"Authorization": given.format(token=token, cut=token[:-1])}
    assert ask(untouched, {**headers, **JSON}, token=False) == 401
    for path in ("/state/pnl", "/metrics", "/openapi.json", f"/state/pnl?token={token}"):
        answer = httpx.get(untouched.url + path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert httpx.get(untouched.url + "/health", headers=headers).status_code == 200


HOSTS = ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:{port}", ""]


@pytest.mark.parametrize("host", HOSTS)
def test_foreign_hosts_are_refused_token_or_not(untouched: Any, host: str) -> None:
    name = host.format(port=untouched.url.rsplit(":", 1)[1])
    assert ask(untouched, {"Host": name, **JSON}) == 403
    assert httpx.get(untouched.url + "/health", headers={"Host": name}).status_code == 403


ORIGINS = [
    "https://evil.example",
    "null",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://localhost.evil.example",
    "file://",
]


@pytest.mark.parametrize(("origin", "body", "token"), list(itertools.product(ORIGINS, [BODY, b""], [True, False])))
def test_foreign_origins_are_refused_with_and_without_body(
    untouched: Any, origin: str, body: bytes, token: bool
) -> None:
    headers = {"Origin": origin, **(JSON if body else {})}
    assert ask(untouched, headers, token=token, body=body) == 403
    assert ask(untouched, headers, token=token, body=b"", path="/control/pause") == 403


def test_a_page_gets_no_leave_from_a_preflight(untouched: Any) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = httpx.options(untouched.url + ACTION, headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert ask(untouched, {"Sec-Fetch-Site": "cross-site", **JSON}) == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", None])
def test_a_body_must_be_declared_as_json(untouched: Any, kind: str | None) -> None:
    assert ask(untouched, {} if kind is None else {"Content-Type": kind}) == 415


BODIES = {
    "NaN": b'{"order_notional_quote": NaN}',
    "Infinity": b'{"order_notional_quote": Infinity}',
    "beyond a double": b'{"order_notional_quote": 1e999}',
    "negative": b'{"order_notional_quote": -1}',
    "a text": b'{"order_notional_quote": "5"}',
    "null": b'{"order_notional_quote": null}',
    "unknown key": b'{"order_notional_quote": 100.0, "leverage": 3}',
    "twice": b'{"order_notional_quote": 100.0, "order_notional_quote": 200.0}',
    "a list": b"[1]",
    "no JSON": b"{",
    "not UTF-8": b'{"order_notional_quote": "\xff"}',
    "deep": b"[" * 8000,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_bad_bodies_answer_422_and_change_nothing(untouched: Any, body: bytes) -> None:
    assert ask(untouched, JSON, body=body) == 422
    assert ask(untouched, JSON, body=body, path="/control/pause") == 422


def test_values_that_do_not_fit_those_in_force_are_a_conflict(untouched: Any) -> None:
    assert ask(untouched, JSON, body=b'{"order_notional_quote": 1e6}') == 409


def test_a_body_that_is_too_long_is_not_read_to_its_end(untouched: Any) -> None:
    assert ask(untouched, JSON, body=b" " * 20_000 + BODY) == 413


def test_headers_that_stand_twice_are_not_guessed_at(untouched: Any) -> None:
    port = untouched.url.rsplit(":", 1)[1]
    host, auth = f"Host: 127.0.0.1:{port}", f"Authorization: Bearer {untouched.token}"
    start = "POST /control/pause HTTP/1.1"
    assert raw(untouched, [start, host, "Host: evil.example", auth])[9:12] in (b"400", b"403")
    assert raw(untouched, [start, host, auth, "Authorization: Bearer x"])[9:12] == b"401"
    assert raw(untouched, [start, host, auth, f"Origin: http://127.0.0.1:{port}", "Origin: null"])[9:12] == b"403"
    assert raw(untouched, ["POST /control/pause HTTP/1.0", auth])[9:12] == b"403"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
def test_other_methods_are_refused_and_do_nothing(untouched: Any, method: str) -> None:
    for path in ("/state/pnl", "/health", "/control/pause"):
        answer = untouched.client.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == ("POST" if "control" in path else "GET")
        assert (answer.content == b"") == (method == "HEAD")
    assert httpx.request(method, f"{untouched.url}/control/pause").status_code == 401


def test_its_own_origin_and_names_are_let_in(served_at_edge: Any) -> None:
    port = served_at_edge.url.rsplit(":", 1)[1]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        answer = served_at_edge.client.get("/state/pnl", headers={"Host": host, "Origin": f"http://localhost:{port}"})
        assert answer.status_code == 200


def test_refusals_are_logged_without_headers_queries_or_bodies(served_at_edge: Any) -> None:
    httpx.get(f"{served_at_edge.url}/a%0Ab?secret=1", headers={"Cookie": "secret=2"})
    log = (served_at_edge.plan.folder / "control.log").read_text()
    assert log.splitlines()[-1].endswith(" GET /a%0Ab 401")
    assert "secret" not in log
    assert served_at_edge.token not in log
    assert json.dumps(served_at_edge.said).count(served_at_edge.token) == 0
