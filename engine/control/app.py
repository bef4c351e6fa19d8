"""The routes. Reads come from the last snapshot; writes become actions, which say when they took effect."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from engine.control.board import Board, Outcome, QueueFullError, RunOverError
from engine.control.exposition import CONTENT_TYPE, registry_of, render
from engine.control.groups import ABSENT_GROUPS, GROUPS, Group
from engine.control.guard import App, Guard
from engine.control.settings import ControlSettings, Token
from engine.errors import NightsoakError
from engine.soak import RunPlan

log = logging.getLogger("nightsoak.control")

READS = {
    "/state/positions": ("positions", "Position of every lane, its share of the cap, the touch."),
    "/state/pnl": ("pnl", "Components of PnL of every lane, measurement so far."),
    "/report/shadow/live": ("shadow", "KPIs, windows, gate and live metrics, measurement so far."),
    "/report/shadow/final": ("shadow_final", "The same at the end of the last whole iteration."),
    "/report/pnl/by_engine": ("pnl_by_engine", "Components of PnL by engine; this bot has one."),
    "/report/toxicity/live": ("toxicity", "Adverse cost after fills, by side and horizon, measurement so far."),
    "/report/toxicity/final": ("toxicity_final", "The same at the end of the last whole iteration."),
}
"""Route -> (report of the snapshot, what it shows)."""
ACTIONS = {
    "pause": "Stop quoting in every lane and pull the quotes; positions stay.",
    "resume": "Quote again.",
    "flatten": "Close the positions of every lane.",
    "reset_shadow": "Begin the live measurement anew; journal and final report are not touched.",
}
"""Actions without values -> what they do."""
_SHOWN_STATUS = {"effective": 200, "pending": 202, "refused": 409, "expired": 409}


class Problem(BaseModel):
    """What is wrong, where, and what to do about it; `groups` where another group was asked for."""

    what: str
    where: str
    remedy: str
    groups: list[str] | None = None


class OutcomeModel(BaseModel):
    """What became of an action."""

    id: int
    action: str
    status: str
    effective_ts_ns: int | None
    changed: bool
    detail: str
    values: dict[str, Any]


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem} for status in statuses}


_ALWAYS = (401, 403)
_READ = _problems(*_ALWAYS, 404)
_WRITE = _problems(*_ALWAYS, 408, 409, 413, 415, 422, 429) | {202: {"model": OutcomeModel}}


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff", **(headers or {})}
    return Response(body, status, headers, "application/json")


def _problem(status: int, what: str, where: str = "", remedy: str = "", **more: Any) -> Response:
    return _json({"what": what, "where": where, "remedy": remedy, **more}, status)


def make_app(board: Board, plan: RunPlan, settings: ControlSettings, token: Token, port: int) -> App:
    """The application behind its guard."""
    app = FastAPI(
        title="Nightsoak bot",
        summary="Control plane of one running bot.",
        docs_url=None,  # the pages load scripts from other hosts
        redoc_url=None,
    )
    _add_reads(app, board)
    _add_writes(app, board, plan, settings)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        known = "see /openapi.json for the routes"
        response = _problem(error.status_code, str(error.detail), request.url.path, known)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def bad_request(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return _problem(422, str(first["msg"]), str(first["loc"][-1]), "see /openapi.json")

    document = app.openapi

    def secured() -> dict[str, Any]:
        schema = document()
        schema.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}]
        schema["paths"]["/health"]["get"]["security"] = []
        return schema

    app.openapi = secured  # type: ignore[method-assign]
    return Guard(app, token, settings, port, log)


def _add_reads(app: FastAPI, board: Board) -> None:
    @app.get("/health", responses=_problems(403), summary="Whether the bot runs, and its market time.")
    async def health() -> dict[str, Any]:
        return dict(board.snapshot.health)

    registry = registry_of(lambda: board.snapshot.metrics)
    text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @app.get(
        "/metrics", responses=text | _problems(*_ALWAYS), response_class=Response, summary="Live metrics, Prometheus."
    )
    async def metrics() -> Response:
        return Response(render(registry), headers={"cache-control": "no-store", "content-type": CONTENT_TYPE})

    def read(name: str) -> Callable[[], Awaitable[Response]]:
        async def report() -> Response:
            found = board.snapshot.reports.get(name)
            if found is None:
                return _problem(404, "no iteration is over yet", name, "ask again after the first one")
            return _json(found)

        return report

    for path, (name, summary) in READS.items():
        app.get(path, responses=_READ, response_model=dict[str, Any], summary=summary, name=name)(read(name))

    @app.get(
        "/control/actions/{action_id}",
        responses=_READ | _problems(422),
        response_model=OutcomeModel,
        summary="What became of an action.",
    )
    async def outcome(action_id: int) -> Response:
        found = board.outcome(action_id)
        if found is None:
            return _problem(404, "no such action", str(action_id)[:20], "the last 256 are kept")
        return _json(dataclasses.asdict(found))


def _add_writes(app: FastAPI, board: Board, plan: RunPlan, settings: ControlSettings) -> None:
    async def answer(name: str, values: Mapping[str, Any]) -> Response:
        try:
            action, future = board.submit(name, values)
        except QueueFullError:
            return _problem(429, "too many actions are waiting", name, "wait for their market time")
        except RunOverError:
            return _problem(409, "the run is over", name, "start a new soak")
        try:
            outcome = await asyncio.wait_for(asyncio.wrap_future(future), settings.wait_s)
        except TimeoutError:
            outcome = board.outcome(action.id) or Outcome(action.id, name, "pending")
        return _json(
            dataclasses.asdict(outcome),
            _SHOWN_STATUS[outcome.status],
            {"location": f"/control/actions/{outcome.id}"},
        )

    def plain(name: str) -> Callable[[Request], Awaitable[Response]]:
        async def act(request: Request) -> Response:
            if (await request.body()).strip() not in (b"", b"{}"):
                return _problem(422, f"{name} takes no values", "body", "send none")
            return await answer(name, {})

        return act

    def reload(group: Group) -> Callable[[Request], Awaitable[Response]]:
        async def act(request: Request) -> Response:
            body = await request.body()
            try:
                changes = group.parse(body.decode("utf-8")) if body.strip() else {}
                changes = changes or dict(group.read(plan))
            except NightsoakError as error:
                return _problem(422, error.what, error.where, error.remedy)
            except (UnicodeDecodeError, RecursionError):
                return _problem(422, "is not JSON", "body", "send one JSON object")
            try:
                group.merged(board.snapshot.reports["shadow"]["in_force"][group.name], changes)
            except NightsoakError as error:
                return _problem(409, error.what, error.where, error.remedy)
            return await answer(f"reload_{group.name}", changes)

        return act

    def missing(name: str) -> Callable[[], Awaitable[Response]]:
        async def act() -> Response:
            return _problem(404, f"this bot has no {name} part", "group", "reload one that it has", groups=list(GROUPS))

        return act

    for name, summary in ACTIONS.items():
        app.post(f"/control/{name}", responses=_WRITE, response_model=OutcomeModel, summary=summary, name=name)(
            plain(name)
        )
    for group in GROUPS.values():
        app.post(
            f"/control/reload_{group.name}",
            responses=_WRITE,
            response_model=OutcomeModel,
            summary=f"Put the body's values of group {group.name} in force; without a body, those of its file.",
            name=f"reload_{group.name}",
            openapi_extra={
                "requestBody": {"required": False, "content": {"application/json": {"schema": group.schema()}}}
            },
        )(reload(group))
    for name in ABSENT_GROUPS:
        app.post(
            f"/control/reload_{name}",
            status_code=404,
            response_model=Problem,
            responses=_problems(*_ALWAYS, 408, 413, 415),
            summary=f"Group {name}: this bot does not have that part.",
            name=f"reload_{name}",
        )(missing(name))
