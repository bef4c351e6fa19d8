"""Between the bot's loop and the server's thread: a snapshot one way, actions and their outcomes the other.

The loop publishes a `Snapshot` and takes `Action`s; the server reads and submits. Nothing else is shared, so a request
can neither see half of a second nor change the kernel while it runs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

Status = Literal["pending", "effective", "refused", "expired"]
KEPT_OUTCOMES = 256


@dataclass(frozen=True)
class Snapshot:
    """The bot as it stood at market time `ts_ns`; every mapping is JSON-ready and never changed again.

    `reports` by route name; one that is not there yet is missing. `metrics`: live metric -> number, None where it is
    not known, or {label value: number}.
    """

    ts_ns: int
    health: Mapping[str, Any]
    reports: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Action:
    """A wish: `values` are the checked changes to a parameter group, empty for actions without any."""

    id: int
    name: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of an action. `changed`: whether anything is different now. `values`: the group in force after it.

    `expired`: the run was over before its turn came.
    """

    id: int
    action: str
    status: Status
    effective_ts_ns: int | None = None
    changed: bool = False
    detail: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


class QueueFullError(Exception):
    """So many actions are waiting that no more are taken."""


class RunOverError(Exception):
    """The bot takes no more actions."""


class Board:
    """Safe for one loop and any number of server threads.

    Args:
        snapshot: what there is to see before the first second.
        queue_limit: how many actions may wait for their turn.
    """

    def __init__(self, snapshot: Snapshot, queue_limit: int) -> None:
        self._snapshot = snapshot
        self._queue_limit = queue_limit
        self._lock = threading.Lock()
        self._waiting: list[Action] = []
        self._futures: dict[int, Future[Outcome]] = {}
        self._outcomes: OrderedDict[int, Outcome] = OrderedDict()
        self._next_id = 1
        self._over = False

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    def publish(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def submit(self, name: str, values: Mapping[str, Any] | None = None) -> tuple[Action, Future[Outcome]]:
        """Queue an action; the future holds its outcome once it is known.

        Raises:
            QueueFullError, RunOverError
        """
        with self._lock:
            if self._over:
                raise RunOverError
            if len(self._waiting) >= self._queue_limit:
                raise QueueFullError
            action = Action(self._next_id, name, MappingProxyType(dict(values or {})))
            self._next_id += 1
            self._waiting.append(action)
            future: Future[Outcome] = Future()
            future.set_running_or_notify_cancel()  # whoever tires of waiting cannot cancel it
            self._futures[action.id] = future
            self._keep(Outcome(action.id, name, "pending"))
        return action, future

    def take(self) -> list[Action]:
        """The waiting actions in order of arrival; each must be resolved."""
        if not self._waiting:
            return []
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken

    def resolve(self, outcome: Outcome) -> None:
        with self._lock:
            self._keep(outcome)
            future = self._futures.pop(outcome.id, None)
        if future is not None:
            future.set_result(outcome)

    def outcome(self, action_id: int) -> Outcome | None:
        """What became of an action, None if it is unknown or long ago."""
        with self._lock:
            return self._outcomes.get(action_id)

    def close(self) -> None:
        """No more actions; those without an outcome expire, also one that the bot died of."""
        with self._lock:
            self._over = True
            self._waiting.clear()
            left = [self._outcomes[id] for id in self._futures if id in self._outcomes]
        for pending in left:
            self.resolve(replace(pending, status="expired", detail="the run was over before it took effect"))

    def _keep(self, outcome: Outcome) -> None:
        self._outcomes[outcome.id] = outcome
        self._outcomes.move_to_end(outcome.id)
        while len(self._outcomes) > KEPT_OUTCOMES:
            self._outcomes.popitem(last=False)
