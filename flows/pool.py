"""The work pool that the deployments name, and the automations; made once, found again afterwards."""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Crashed
from prefect.workers.process import ProcessWorker

from flows.api import POOL

HEARTBEAT_S = 30
"""The shortest interval of heartbeats that Prefect takes."""
_SILENCE_S = 3 * HEARTBEAT_S
_ENDED = ("Completed", "Failed", "Cancelled", "Crashed")
_HEARTBEAT = "prefect.flow-run.heartbeat"


def make_pool() -> None:
    """The pool of processes on this machine."""
    template = ProcessWorker.get_default_base_job_template()
    pool = WorkPoolCreate(name=POOL, type=ProcessWorker.type, base_job_template=template)
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(pool)


def crash_lost_runs() -> None:
    """End what a worker that was killed left in the books, and with it the place it takes of its deployment's one.

    Only where the database is this home's own: with a database of several hosts the run may be another worker's.
    Runs without a deployment are those of the command line.
    """
    if "PREFECT_SERVER_DATABASE_CONNECTION_URL" in os.environ:
        return
    unfinished = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    chosen = FlowRunFilter(state=FlowRunFilterState(type=unfinished))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=chosen):
            if run.deployment_id is not None:
                client.set_flow_run_state(run.id, Crashed(message="its worker was killed"))


def make_automations() -> None:
    """Every automation of the project, replacing what an older version made under the same name."""
    for automation in (_crash_the_silent(),):
        with contextlib.suppress(ValueError):  # there is none yet
            Automation.read(name=automation.name).delete()
        automation.create()


def _crash_the_silent() -> Automation:
    """A run that was killed together with its worker tells nobody; its heartbeat stops."""
    return Automation(
        name="nightsoak: a run without heartbeat has crashed",
        description=f"No heartbeat for {_SILENCE_S} s: its process is gone.",
        trigger=EventTrigger(
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *(f"prefect.flow-run.{state}" for state in _ENDED)},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=_SILENCE_S),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"no heartbeat for {_SILENCE_S} s")],
    )
