"""A run's progress in Prefect's UI: a bar that follows the bot's messages, a few times a minute."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from engine.bot.protocol import Message
from engine.report.copies import artefact_key
from engine.soak import RunPlan
from tasks.listening import also_listening

_EVERY_S = 3.0


@contextmanager
def publishing_progress(plans: Sequence[RunPlan]) -> Iterator[None]:
    """Publish the progress of the runs inside the block. A server that does not answer is not asked again."""
    with ExitStack() as bars:
        for plan in plans:
            bars.enter_context(_bar(plan))
        yield


@contextmanager
def _bar(plan: RunPlan) -> Iterator[None]:
    key = artefact_key("soak", plan.symbol, "progress")
    try:
        artifact_id = create_progress_artifact(0.0, key=key, description=f"run {plan.run_id}")
    except httpx.HTTPError as error:
        get_run_logger().warning("no progress in the UI: %s", error or type(error).__name__)
        yield
        return
    assert isinstance(artifact_id, UUID)
    with also_listening(_Bar(artifact_id, plan)):
        yield


class _Bar:
    def __init__(self, artifact_id: UUID, plan: RunPlan) -> None:
        self.artifact_id, self.plan = artifact_id, plan
        self._next_s = 0.0

    def __call__(self, message: Message) -> None:
        if message["event"] != "progress" or message["symbol"] != self.plan.symbol:
            return
        done, windows = message["window"] + 1, message["windows"]
        now_s = time.monotonic()
        if now_s < self._next_s and done < windows:
            return
        self._next_s = now_s + _EVERY_S
        try:
            said = f"run {self.plan.run_id}: window {done} of {windows}"
            update_progress_artifact(self.artifact_id, progress=100.0 * done / windows, description=said)
        except httpx.HTTPError:
            self._next_s = float("inf")
