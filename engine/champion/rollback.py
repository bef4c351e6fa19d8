"""Taking a champion back: former parameters in force again, byte for byte, with a report and an event.

The steps, each of which may be done again after a kill at any moment and then ends the same: the history and the state
(ChampionStore), datasets/overrides/<symbol>.json, which a running bot picks up, reports/<utc-date>/<rollback-id>/, and
a line in datasets/events.jsonl. All of them follow from the change in the history alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.champion.change import Champion, Change, change_id, differences
from engine.champion.reading import OnDisk, champion_of, last_taking_effect
from engine.champion.store import ChampionStore
from engine.champion.watch import Watch
from engine.errors import InputError
from engine.events import ROLLED_BACK, Event, emit, read_events
from engine.files import write_atomic
from engine.paths import Paths
from engine.report.rollback_artefacts import write_rollback


@dataclass(frozen=True)
class RolledBack:
    """`champion` is in force again instead of `from_id`; `event` is what the flow turns into a notice."""

    champion: Champion
    from_id: str
    rollback_id: str
    folder: Path
    report: Path
    event: Event

    def to_json(self) -> dict[str, Any]:
        return {
            "champion": self.champion.to_json(),
            "from_id": self.from_id,
            "rollback_id": self.rollback_id,
            "report": str(self.report),
            "event": self.event.to_json(),
        }


def roll_back(
    paths: Paths,
    symbol: str,
    *,
    why: str,
    who: str = "nightsoak",
    watch: Watch | None = None,
    evidence: Mapping[str, Any] | None = None,
    to: str | None = None,
    failing: str | None = None,
    at_utc: datetime | None = None,
) -> RolledBack:
    """Put a former champion back and tell everybody.

    Args:
        why: the reason with its numbers.
        watch: what the detector saw, for history and report.
        to: the id to go back to; by default the champion before this one.
        failing: the champion to take back. Where it was taken back already, what a kill left undone of that is done.

    Raises:
        InputError: nothing to go back to, no such id, or `failing` is not the champion.
        StorageError: something could not be written; call again to finish.
    """
    store = ChampionStore(paths, symbol)
    seen = dict(evidence or {}) | ({"watch": watch.to_json()} if watch is not None else {})
    change = store.rollback(to, who=who, why=why, evidence=seen, at_utc=at_utc, failing=failing)
    if change.kind != "rollback" or (failing is not None and change.instead_of != failing):
        raise InputError(f"{failing} is not the champion, {change.id} is", where=symbol, remedy="nothing was changed")
    return _tell(store, change)


def finish_rollback(paths: Paths, symbol: str) -> RolledBack | None:
    """What a kill left undone of the last rollback, if it is still in force; None where all of it was done.

    Raises:
        StorageError: as `roll_back`.
    """
    store = ChampionStore(paths, symbol)
    change = last_taking_effect(store.history())
    if change is None or change.kind != "rollback":
        return None
    if any(event.id == change_id(symbol, change) for event in read_events(paths)):
        return None  # the event is the last step
    return _tell(store, change)


def _tell(store: ChampionStore, change: Change) -> RolledBack:
    """Everything behind the change of the store: overrides, report, event."""
    paths, champion = store.paths, champion_of(OnDisk(change, (), ""), store.symbol)
    write_atomic(paths.overrides(store.symbol), champion.bytes)
    document = rollback_document(store, change)
    folder = paths.reports / change.when_utc[:10] / document["rollback_id"]
    report = write_rollback(document, folder)
    payload = {
        "symbol": store.symbol,
        "from": change.instead_of,
        "to": change.id,
        "why": change.why,
        "report": report.relative_to(paths.reports).as_posix(),
    }
    event = emit(paths, ROLLED_BACK, payload, event_id=document["rollback_id"], at_utc=change.when_utc)
    return RolledBack(champion, change.instead_of, document["rollback_id"], folder, report, event)


def rollback_document(store: ChampionStore, change: Change) -> dict[str, Any]:
    """ROLLBACK.json: all that the report says, from the history alone."""
    taken = last_taking_effect(
        [done for done in store.history() if done.id == change.instead_of and done.seq < change.seq]
    )
    failed = dict(store.params_of(change.instead_of))
    return {
        "rollback_id": change_id(store.symbol, change),
        "symbol": store.symbol,
        "when_utc": change.when_utc,
        "who": change.who,
        "why": change.why,
        "from": {
            "id": change.instead_of,
            "params": failed,
            "since_utc": taken.since_utc if taken else "",
            "promoted_why": taken.why if taken else "",
        },
        "to": {"id": change.id, "params": change.params, "params_sha256": change.params_sha256},
        "changes": differences(failed, change.params),
        "evidence": dict(change.evidence),
    }
