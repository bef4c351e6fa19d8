"""Prefect's own commands inside this project: the server of `nightsoak up`, and deployments by their bare name.

An entry point of the group `prefect.plugins`, enabled by prefect.toml. Prefect calls the hook while it is imported.
A PREFECT_API_URL that is set anyhow wins. Names are looked up by `prefect deployment run` alone; every other process
that imports Prefect is left alone.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any, NoReturn

from prefect.plugins import HookContext, SetupResult, register_hook

from flows.server_record import prefect_home, running_server

PREFECT_PLUGIN_API_REQUIRES = ">=0.1,<1"
_GROUPS = ("deployment", "deployments")


@register_hook
def setup_environment(*, ctx: HookContext) -> SetupResult | None:
    """Name the server that is up, and teach `deployment run` bare names."""
    is_by_name = _is_deployment_run(sys.argv)
    if is_by_name:
        _resolve_bare_names()
    if ctx.api_url is not None:
        return None
    record = running_server(prefect_home())
    if record is None:
        if is_by_name and "--help" not in sys.argv:
            _exit("error: no Prefect server is up: run nightsoak up in another shell, or set PREFECT_API_URL")
        return None
    return SetupResult(env={"PREFECT_API_URL": record.api_url}, note="the server of nightsoak up")


def _is_deployment_run(argv: list[str]) -> bool:
    return any(first in _GROUPS and second == "run" for first, second in pairwise(argv))


def _resolve_bare_names() -> None:
    """The client looks up a name without a slash among all deployments."""
    from prefect.client.orchestration import PrefectClient

    theirs = PrefectClient.read_deployment_by_name

    async def read_deployment_by_name(self: Any, name: str) -> Any:
        if "/" in name:
            return await theirs(self, name)
        found = await self.read_deployments(deployment_filter=_named(name))
        flows = [await self.read_flow(deployment.flow_id) for deployment in found]
        return await theirs(self, _full_name(name, [flow.name for flow in flows]))

    PrefectClient.read_deployment_by_name = read_deployment_by_name  # type: ignore[method-assign]


def _named(name: str) -> Any:
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    return DeploymentFilter(name=DeploymentFilterName(any_=[name]))


def _full_name(name: str, flow_names: list[str]) -> str:
    """flow/deployment where one flow has such a deployment; for none, what Prefect raises for an unknown one."""
    from prefect.exceptions import ObjectNotFound

    if len(flow_names) > 1:
        candidates = ", ".join(sorted(f"{flow}/{name}" for flow in flow_names))
        _exit(f"error: several deployments are named {name}: name one of {candidates}")
    if not flow_names:
        raise ObjectNotFound(http_exc=LookupError(name))
    return f"{flow_names[0]}/{name}"


def _exit(message: str) -> NoReturn:
    sys.stderr.write(message + "\n")
    raise SystemExit(1)
