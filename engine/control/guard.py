"""What every request passes before any route sees it: host, origin, token, content type, size of the body.

Loopback is not authentication: any page in a browser and any user of the machine can reach the port. The Host allowlist
keeps out names that were rebound to 127.0.0.1, the origin check keeps out pages, the token everybody else.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from engine.control.settings import ControlSettings, Token

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/health",)
_BODY_TIMEOUT_S = 5.0
_LONGEST_LOGGED_PATH = 200
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]


class RefusedError(Exception):
    """The request goes no further."""

    def __init__(self, status: int, what: str, remedy: str) -> None:
        self.status, self.what, self.remedy = status, what, remedy
        super().__init__(what)


class Guard:
    """ASGI middleware around the whole application, its errors and its OpenAPI document included.

    Args:
        port: the port it is served on; Host and Origin must name it.
        log: gets method, path and status of writes and refusals; never a header, a query or a body.
    """

    def __init__(self, app: App, token: Token, settings: ControlSettings, port: int, log: logging.Logger) -> None:
        self._app, self._settings, self._log = app, settings, log
        self._token = token.value.encode()
        names = [f"{host}:{port}" for host in ("127.0.0.1", "localhost")]
        self._hosts = {name.encode() for name in names}
        self._origins = {f"http://{name}".encode() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(scope, int(message["status"]))
            await send(message)

        try:
            self._check(scope)
            body = await self._body(scope, receive)
        except RefusedError as refused:
            await _refuse(refused, send_logged)
            return
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, receive_again, send_logged)

    def _check(self, scope: Scope) -> None:
        def header(name: bytes) -> list[bytes]:
            return [value for key, value in scope["headers"] if key == name]

        hosts, origins = header(b"host"), header(b"origin")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            raise RefusedError(403, "unknown host", "address it as 127.0.0.1 or localhost, with the port")
        if any(origin.lower() not in self._origins for origin in origins) or any(
            site in (b"cross-site", b"same-site") for site in header(b"sec-fetch-site")
        ):
            raise RefusedError(403, "foreign origin", "ask from outside a browser")
        if scope["path"] in OPEN_PATHS:
            return
        given = header(b"authorization")
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        if not hmac.compare_digest(token.strip(), self._token) or scheme.lower() != b"bearer":
            raise RefusedError(401, "no valid token", "send Authorization: Bearer TOKEN")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        break
                    body += message.get("body", b"")
                    more = bool(message.get("more_body"))
                    if len(body) > self._settings.body_limit_bytes:
                        limit = self._settings.body_limit_bytes
                        raise RefusedError(413, "the body is too long", f"send at most {limit} bytes")
        except TimeoutError:
            raise RefusedError(408, "the body did not arrive", "send it at once") from None
        kinds = [value for key, value in scope["headers"] if key == b"content-type"]
        is_json = len(kinds) == 1 and kinds[0].partition(b";")[0].strip().lower() == b"application/json"
        if body and not is_json:
            raise RefusedError(415, "the body is not declared as JSON", "send Content-Type: application/json")
        return bytes(body)

    def _note(self, scope: Scope, status: int) -> None:
        if scope["method"] == "POST" or status >= 400:
            path = scope.get("raw_path", b"").partition(b"?")[0].decode("ascii", "backslashreplace")
            self._log.info("%s %s %d", scope["method"], path[:_LONGEST_LOGGED_PATH], status)


async def _refuse(refused: RefusedError, send: Send) -> None:
    headers = list(_HEADERS)
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    body = json.dumps({"what": refused.what, "where": "request", "remedy": refused.remedy}).encode()
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
