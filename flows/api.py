"""What the commands ask of a Prefect server, over its HTTP API: importing Prefect would take seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from engine.errors import InputError, RunError, did_you_mean

_TIMEOUT_S = 10.0
_BUSY_PAUSES_S = (0.5, 1.0, 2.0, 4.0)
_MOST = 200
POOL = "local"
"""The work pool of every deployment."""
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class Run:
    """A flow run. `deployment` is flow/deployment, or the flow alone; `at` the state's or planned time, ISO 8601."""

    id: str
    name: str
    deployment: str
    state_type: str
    state: str
    message: str
    at: str

    @property
    def is_final(self) -> bool:
        return self.state_type in FINAL


class Api:
    """`with Api(url) as api:`; url ends with /api.

    Raises, from every method:
        RunError: the server does not answer, or not as expected.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=_TIMEOUT_S)
        self._names: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def deployments(self) -> dict[str, str]:
        """{flow/deployment: id} of all."""
        found = self._ask("POST", "/deployments/filter", {"limit": _MOST})
        return {f"{self._name('flows', row['flow_id'])}/{row['name']}": row["id"] for row in found}

    def find_deployment(self, name: str) -> tuple[str, str]:
        """(flow/deployment, id) of a deployment by its bare or full name.

        Raises:
            InputError: no deployment has the name, or several.
        """
        everything = self.deployments()
        found = sorted(full for full in everything if name in (full, full.partition("/")[2]))
        if len(found) == 1:
            return found[0], everything[found[0]]
        if found:
            raise InputError("several deployments have this name", where=name, remedy=f"name one of {', '.join(found)}")
        bare = sorted(full.partition("/")[2] for full in everything)
        remedy = did_you_mean(name.rpartition("/")[2], bare) if bare else "nightsoak up deploys them"
        raise InputError("no such deployment", where=name, remedy=remedy)

    def start(self, deployment_id: str, parameters: Mapping[str, Any]) -> Run:
        """A new run of a deployment, to be taken up by a worker at once; its own parameters but for those given."""
        body = {"parameters": dict(parameters)}
        return self._run(self._ask("POST", f"/deployments/{deployment_id}/create_flow_run", body))

    def run(self, run_id: str) -> Run:
        return self._run(self._ask("GET", f"/flow_runs/{run_id}"))

    def runs(self, *, limit: int, planned: bool = False, since: str | None = None) -> list[Run]:
        """The newest runs first; or those that are planned, the next one first.

        Args:
            since: only what started later, ISO 8601.
        """
        which = "any_" if planned else "not_any_"
        state: dict[str, Any] = {"type": {which: ["SCHEDULED"]}}
        chosen: dict[str, Any] = {"state": state}
        if since is not None:
            chosen["expected_start_time"] = {"after_": since}
        order = "EXPECTED_START_TIME_ASC" if planned else "EXPECTED_START_TIME_DESC"
        found = self._ask("POST", "/flow_runs/filter", {"flow_runs": chosen, "sort": order, "limit": limit})
        return [self._run(row) for row in found]

    def workers_online(self) -> list[str]:
        """Names of the workers that are online."""
        try:
            found = self._ask("POST", f"/work_pools/{POOL}/workers/filter", {})
        except _NotFoundError:
            return []
        return sorted(row["name"] for row in found if row["status"] == "ONLINE")

    def _run(self, row: dict[str, Any]) -> Run:
        state = row["state"] or {}
        name = self._name("flows", row["flow_id"])
        if row["deployment_id"]:
            name += "/" + self._name("deployments", row["deployment_id"])
        planned = row["state_type"] == "SCHEDULED"
        at = row["expected_start_time"] if planned else state.get("timestamp")
        message = state.get("message") or ""
        return Run(row["id"], row["name"], name, row["state_type"], row["state_name"], message, str(at))

    def _name(self, kind: str, of: str) -> str:
        if (kind, of) not in self._names:
            try:
                self._names[kind, of] = self._ask("GET", f"/{kind}/{of}")["name"]
            except _NotFoundError:  # deleted since
                self._names[kind, of] = "deleted"
        return self._names[kind, of]

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        remedy = "see nightsoak status"
        try:
            answer = self._client.request(method, path, json=body)
            for pause_s in _BUSY_PAUSES_S:
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    break
                time.sleep(pause_s)  # its database is locked; nothing was done
                answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise RunError(
                f"Prefect's server does not answer: {error or type(error).__name__}", where=self.url, remedy=remedy
            ) from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise _NotFoundError("is not there", where=f"{self.url}{path}", remedy=remedy)
        if answer.is_error:
            what = f"Prefect's server refused: {answer.status_code} {answer.text[:200]}"
            raise RunError(what, where=f"{self.url}{path}", remedy=remedy)
        return answer.json()


class _NotFoundError(RunError):
    """404."""
