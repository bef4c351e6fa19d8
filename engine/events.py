"""What happened that others should hear of: one JSON object a line in datasets/events.jsonl.

    {"id", "name", "at_utc", "payload"}

The file is for people and for whoever turns events into notices (engine knows no Prefect). An event has an id of its
own, and the same one is written once, so that a step done again after a kill does not tell its news twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.champion.log import append, locked, one_line, read_log
from engine.paths import Paths

PROMOTED, ROLLED_BACK = "champion.promoted", "champion.rolled_back"


@dataclass(frozen=True)
class Event:
    """`at_utc`: when it happened, ISO 8601; `payload`: JSON values."""

    id: str
    name: str
    at_utc: str
    payload: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def emit(paths: Paths, name: str, payload: Mapping[str, Any], *, event_id: str, at_utc: str) -> Event:
    """Write the event, durably, unless it stands there already.

    Raises:
        InputError: the payload is no JSON.
        StorageError: it could not be written.
    """
    event = Event(event_id, name, at_utc, dict(payload))
    line = one_line(event.to_json(), where=str(paths.events))
    with locked(paths.locks / "events.lock", what="the list of events"):
        if not any(known.id == event_id for known in read_events(paths)):
            append(paths.events, line)
    return event


def read_events(paths: Paths) -> list[Event]:
    """All events, oldest first; lines that are none are left out."""
    events = []
    for line in read_log(paths.events).lines:
        try:
            value = json.loads(line)
            events.append(Event(value["id"], value["name"], value["at_utc"], value["payload"]))
        except (ValueError, KeyError, TypeError):
            continue
    return events
