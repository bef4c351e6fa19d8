"""The work pool that the deployments name, and the automations; made once, found again afterwards."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Cancelled, Crashed, State
from prefect.workers.process import ProcessWorker

from flows.api import POOL
from flows.database import SHARED
from flows.environment import HEARTBEAT_S

_SILENCE_S = 3 * int(HEARTBEAT_S)
_MISSED_S = 600
_ENDED = ("Completed", "Failed", "Cancelled", "Crashed")
_HEARTBEAT = "prefect.flow-run.heartbeat"


def make_pool() -> None:
    """The pool of processes on this machine."""
    template = ProcessWorker.get_default_base_job_template()
    pool = WorkPoolCreate(name=POOL, type=ProcessWorker.type, base_job_template=template)
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(pool)


def settle_books() -> None:
    """End what an earlier `up` left in the books: runs whose worker was killed, and planned ones that were missed.

    The former free their place of their deployment's one; the latter would begin now, at any hour. Runs without a
    deployment are those of the command line. Under a shared server they may be another host's.
    """
    if SHARED in os.environ:
        return
    late = datetime.now(UTC) - timedelta(seconds=_MISSED_S)
    unfinished = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    planned = FlowRunFilterStateType(any_=[StateType.SCHEDULED])
    lost = FlowRunFilter(state=FlowRunFilterState(type=unfinished))
    missed = FlowRunFilter(
        state=FlowRunFilterState(type=planned), expected_start_time=FlowRunFilterExpectedStartTime(before_=late)
    )
    with get_client(sync_client=True) as client:
        for chosen, end in ((lost, _crashed), (missed, _cancelled)):
            for run in client.read_flow_runs(flow_run_filter=chosen):
                if run.deployment_id is not None:
                    client.set_flow_run_state(run.id, end())


def _crashed() -> State[Any]:
    return Crashed(message="its worker was killed")


def _cancelled() -> State[Any]:
    return Cancelled(message="missed: no worker was up at its time")


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
