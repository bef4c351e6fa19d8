"""One soak at a time: on this machine by the lock file, and among all workers of a server by a lease it gives.

The lease is taken where the server has the global concurrency limit `soak-warehouse`, which `nightsoak up` makes on
PostgreSQL. It is renewed while the soak runs; a soak that cannot renew it ends, since another may begin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.objects import ConcurrencyLeaseHolder, ConcurrencyLimitStrategy, FlowRun
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from engine.errors import LockHeldError, RunError
from engine.locks import FileLock
from engine.paths import Paths
from engine.soak_plan import soak_lock

LEASE_S = 300.0
"""How long a server may be away, and how long the lease of a killed soak stands."""


@contextmanager
def one_soak() -> Iterator[FileLock]:
    """Hold lease and lock for the block.

    Raises:
        LockHeldError: another soak holds one of them. A run whose deployment's collision strategy is ENQUEUE waits
            for the lease instead.
        RunError: the lease could not be renewed.
    """
    paths = Paths.from_environment()
    with _lease(limit_name(paths)), soak_lock(paths) as lock:
        yield lock


def limit_name(paths: Paths) -> str:
    return f"soak-{paths.warehouse.stem}"


def make_limit() -> None:
    """The global concurrency limit on the server; one that is there stays as it is."""
    limit = GlobalConcurrencyLimitCreate(name=limit_name(Paths.from_environment()), limit=1)
    with get_client(sync_client=True) as client:
        try:
            client.create_global_concurrency_limit(limit)
        except ObjectAlreadyExists:
            return


@contextmanager
def _lease(name: str) -> Iterator[None]:
    where = f"global concurrency limit {name}"
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            yield
            return
        run = _flow_run()
        retries = None if run is not None and _waits(client, run) else 0
    holder = None if run is None else ConcurrencyLeaseHolder(type="flow_run", id=run.id)
    is_held = is_done = False
    try:
        with concurrency(name, lease_duration=LEASE_S, strict=True, max_retries=retries, holder=holder):
            is_held = True
            yield
            is_done = True
    except ConcurrencySlotAcquisitionError as error:
        if is_held:
            raise
        remedy = "wait until it has finished; runs of a deployment with the collision strategy ENQUEUE wait"
        raise LockHeldError("another soak runs under this server", where=where, remedy=remedy) from error
    except asyncio.CancelledError as error:
        remedy = "see why the server was away; the journal is on disk"
        raise RunError("the lease could not be renewed, another soak may begin", where=where, remedy=remedy) from error
    except httpx.HTTPError:
        if not is_done:  # else the lease of a soak that is done could not be given back, and ends by itself
            raise


def _flow_run() -> FlowRun | None:
    context = FlowRunContext.get()
    return context.flow_run if context else None


def _waits(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Whether the run's deployment says that who comes second waits."""
    if run.deployment_id is None:
        return False
    options = client.read_deployment(run.deployment_id).concurrency_options
    return options is not None and options.collision_strategy == ConcurrencyLimitStrategy.ENQUEUE
