"""`nightsoak up`, `run` and `status`: Prefect's server and worker, one run of a deployment, and how things stand."""

from __future__ import annotations

import argparse
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from nightsoak.arguments import port
from nightsoak.console import emit_json, hint, paragraph, say

if TYPE_CHECKING:
    from engine.locks import FileLock
    from engine.paths import Paths
    from flows.api import Api, Run
    from flows.up import Crew

PORT = 4200
_POLL_S = 1.0
_SHOWN = 5
_WATCHED = 50


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this group's commands."""
    up = commands.add_parser(
        "up",
        help="Prefect's server, UI, deployments and worker, until Ctrl-C",
        description="Everything runs on this machine, on the loopback address, and ends with this command. "
        "NIGHTSOAK_TIMEZONE is the time zone of the nightly run (default UTC).",
    )
    up.add_argument("--port", type=port, help=f"the server's port (default {PORT}, or a free one where that is taken)")
    up.add_argument("--queues", nargs="+", default=(), metavar="NAME", help="take runs of these work queues only")
    up.add_argument("--join", metavar="URL", default="", help="a worker alone, for the server of another host")
    up.set_defaults(run=_up)

    run = commands.add_parser("run", help="run a deployment by its bare name, and wait for it")
    run.add_argument("deployment", help="such as soak-3h, or soak/soak-3h")
    run.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a parameter of the flow, its value JSON or plain text, as prefect deployment run takes it; repeatable",
    )
    run.add_argument("--json", action="store_true", help="print one JSON object")
    run.set_defaults(run=_run)

    status = commands.add_parser("status", help="server, worker, last and next runs, lock and champion in a few lines")
    status.add_argument("--json", action="store_true", help="print one JSON object")
    status.set_defaults(run=_status)


def _up(args: argparse.Namespace) -> int:
    from engine.environment import check_names, check_notices, check_time_zone
    from engine.paths import Paths
    from flows.database import check_database
    from flows.environment import free_port
    from flows.server_record import STARTING, prefect_home, up_lock
    from flows.up import Crew, PortTakenError

    check_names()
    check_time_zone()
    check_notices(Paths.from_environment())
    join = _joined(args)
    database = None if join else check_database()
    # A shell's `&` leaves SIGINT ignored; both signals are how this command ends.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    home = prefect_home()
    began = time.monotonic()
    with up_lock(home) as lock:
        lock.describe("", doing=STARTING)
        port = 0 if join else _port(args.port)
        parts = f"a worker for {join}" if join else "Prefect's server, the deployments and a worker"
        say(f"starting {parts}; logs: {home}/*.log")
        if database:
            say(f"database: {database}")
        try:
            _live(Crew(home, port, queues=args.queues, join=join), lock, began)
        except PortTakenError as error:
            if args.port is not None:
                raise
            say(f"{error.what}; starting again on a free port")
            _live(Crew(home, free_port(), queues=args.queues), lock, began)
    return 0


def _live(crew: Crew, lock: FileLock, began: float) -> None:
    """From start to end, of which the lock tells.

    Raises:
        PortTakenError: its port was taken before the server had it.
        RunError: a part did not start, or keeps dying.
    """
    from flows.server_record import ENDING

    with crew:
        crew.wait_until_ready()
        lock.describe("", doing="up")
        print(f"UI: {crew.ui_url}", flush=True)
        say(f"ready after {time.monotonic() - began:.0f} s; Ctrl-C ends everything")
        hint("in another shell: prefect deployment run soak-3h, or nightsoak run soak-3h; nightsoak status")
        try:
            _stream(crew)
        except KeyboardInterrupt:
            lock.describe("", doing=ENDING)
            say("ending worker, runs and server")


def _stream(crew: Crew) -> None:
    """One line for each change of a run's state, until interrupted."""
    from datetime import UTC, datetime, timedelta

    from engine.errors import RunError
    from flows.api import Api

    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    seen: dict[str, str] = {}
    is_news = False  # what had ended before is none
    with Api(crew.api_url) as api:
        while True:
            for name in crew.revive():
                say(f"{name} died and is started again")
            try:
                runs = api.runs(limit=_WATCHED, since=since)
            except RunError:
                runs = []  # the server is on its way back
            for run in reversed(runs):
                line = _line(run)
                if seen.get(run.id) != line:
                    seen[run.id] = line
                    if is_news or not run.is_final:
                        print(line, flush=True)
            is_news = True
            time.sleep(_POLL_S)


def _run(args: argparse.Namespace) -> int:
    from engine.errors import RunError
    from flows.api import Api

    parameters = dict(map(_parameter, args.param))
    with Api(_server_url()) as api:
        name, deployment_id = api.find_deployment(args.deployment)
        run = api.start(deployment_id, parameters)
        say(f"{name} started as {run.name}")
        try:
            _wait_for(api, run)
        except KeyboardInterrupt:
            say(f"the run goes on; prefect flow-run cancel {run.id} ends it")
            raise
        run = api.run(run.id)
    if run.state_type != "COMPLETED":
        raise RunError(run.message or "it says no more", where=f"{name}: {run.state}", remedy="see the UI")
    if args.json:
        emit_json(vars(run))
    else:
        print(run.message)
    hint("nightsoak report latest")
    return 0


def _parameter(text: str) -> tuple[str, Any]:
    """A value that does not begin as JSON's texts, lists and objects do may be a bare text."""
    import json

    from engine.errors import InputError

    key, is_given, value = text.partition("=")
    try:
        if not (key and is_given):
            raise ValueError
        return key, json.loads(value)
    except ValueError:
        if key and is_given and not value.startswith(("{", "[", '"')):
            return key, value
    raise InputError("is not KEY=VALUE with a value of JSON", where=f"--param {text}", remedy="write run=latest")


def _wait_for(api: Api, run: Run) -> None:
    """Wait for a run's end; a line for each state before it."""
    said = ""
    while not run.is_final:
        if run.state != said:
            said = run.state
            say(_line(run))
        time.sleep(_POLL_S)
        run = api.run(run.id)


def _server_url() -> str:
    """PREFECT_API_URL, else the server of `nightsoak up`."""
    from engine.errors import RunError
    from flows.server_record import prefect_home, running_server, up_there

    url = os.environ.get("PREFECT_API_URL")
    if url:
        return url
    record = running_server(prefect_home())
    if record is None:
        what, remedy = "no Prefect server is up", "run nightsoak up in another shell"
        if up := up_there(prefect_home()):
            what = f"no Prefect server answers: nightsoak up (process {up.get('pid')}) is {up.get('doing') or 'there'}"
            remedy = "wait until it says where the UI is; its logs are there"
        raise RunError(what, where=str(prefect_home()), remedy=remedy)
    return record.api_url


def _status(args: argparse.Namespace) -> int:
    from engine.errors import NightsoakError
    from engine.paths import Paths
    from flows.database import database_url, masked
    from flows.server_record import prefect_home, up_there

    paths = Paths.from_environment()
    try:
        server = _server_status(_server_url())
    except NightsoakError as error:
        server = {"url": None, "error": str(error), "workers": [], "runs": [], "next": None}
    database = masked(database_url() or "") or None
    facts = {
        "server": server,
        "database": database,
        "lock": _lock(paths),
        "champions": _champions(paths),
        "report": _latest(paths),
    }
    if args.json:
        server["runs"] = [vars(run) for run in server["runs"]]
        server["next"] = vars(server["next"]) if server["next"] else None
        emit_json(facts)
        return 0
    rows = [("server", server["url"] or server["error"]), ("worker", ", ".join(server["workers"]) or "none is online")]
    rows += [("database", database)] if database else []
    rows += [("run", _line(run)) for run in server["runs"]]
    rows += [("next", _line(server["next"]))] if server["next"] else []
    rows += [("soak lock", facts["lock"] or "free")]
    rows += [("champion", line) for line in facts["champions"] or ["none yet: runs start from the initial parameters"]]
    rows += [("report", facts["report"] or "none yet")]
    for word, text in rows:
        print(paragraph(text, f"{word:10}"))
    is_there = up_there(prefect_home()) is not None
    hint("nightsoak report latest" if server["url"] else "nightsoak status" if is_there else "nightsoak up")
    return 0


def _server_status(url: str) -> dict[str, Any]:
    from flows.api import Api

    with Api(url) as api:
        planned = api.runs(limit=1, planned=True)
        runs = api.runs(limit=_SHOWN)
        workers = api.workers_online()
    return {"url": url, "workers": workers, "runs": runs, "next": planned[0] if planned else None}


def _lock(paths: Paths) -> str | None:
    """Who holds the lock of soaks; None: nobody."""
    from engine.errors import LockHeldError
    from engine.soak_plan import soak_lock

    try:
        with soak_lock(paths):
            return None
    except LockHeldError as error:
        return error.what


def _champions(paths: Paths) -> list[str]:
    from engine.champion.store import ChampionStore
    from engine.errors import NightsoakError

    lines = []
    for symbol in paths.champion_symbols():
        try:
            champion = ChampionStore(paths, symbol).current()
        except NightsoakError as error:
            lines.append(f"{symbol} {error}")
            continue
        frozen = ", frozen" if champion.frozen else ""
        since = f" since {champion.since_utc[:16].replace('T', ' ')} UTC" if champion.since_utc else ""
        lines.append(f"{symbol} {champion.id}{since}{frozen}")
    return lines


def _latest(paths: Paths) -> str | None:
    """The first line of the newest report's notice."""
    from engine.errors import InputError
    from engine.report.copies import read_copy
    from engine.report.index import resolve_run

    try:
        copy = read_copy(resolve_run("latest", paths.reports))
    except InputError:
        return None
    return f"{copy.run_id}: {copy.message}"


def _line(run: Run) -> str:
    """2026-11-20 22:00:01 UTC soak/nightly-soak lively-cow Completed: what it says."""
    moment = run.at[:19].replace("T", " ")
    return f"{moment} UTC {run.deployment} {run.name} {run.state}" + (f": {run.message}" if run.message else "")


def _port(asked: int | None) -> int:
    from engine.errors import RunError
    from flows.environment import free_port, is_free

    port = PORT if asked is None else asked
    if is_free(port):
        return port
    if asked is not None:
        raise RunError("the port is taken", where=f"--port {port}", remedy="name another, or leave --port out")
    return free_port()


def _joined(args: argparse.Namespace) -> str:
    """The API's URL that --join means, "" without one."""
    from engine.errors import InputError, RunError
    from flows.server_record import answers

    if not args.join:
        return ""
    if args.port is not None:
        raise InputError("a worker alone has no port", where="--port", remedy="leave it out, or --join")
    url = str(args.join).rstrip("/").removesuffix("/api")
    if not url.startswith("http://"):
        raise InputError("is no URL", where=f"--join {args.join}", remedy="write http://127.0.0.1:4200")
    if not answers(f"{url}/api/health"):
        remedy = "see that nightsoak up runs there, and the tunnel to it (docs/scale.md)"
        raise RunError("no Prefect server answers", where=f"--join {args.join}", remedy=remedy)
    return f"{url}/api"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
