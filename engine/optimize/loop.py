"""Rounds until told to stop: the stop file, a limit, no more tapes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError, LockHeldError
from engine.locks import FileLock
from engine.optimize.record import Record
from engine.optimize.rounds import play_round, report_of
from engine.optimize.settings import OptimizeSettings
from engine.paths import Paths
from engine.search.rounds import Listener

_NAP_S = 0.5


class _Stopped(Exception):  # noqa: N818  (an outcome, not a fault)
    """The stop file appeared between two batches."""


@dataclass(frozen=True)
class Outcome:
    """`rounds`: finished by this call; `stopped`: why no more; `last`: the newest round's entry of the state, null
    before the first; `report`: its tune's page."""

    rounds: int
    stopped: str
    last: dict[str, Any] | None
    report: Path | None
    state_file: Path
    audit_file: Path

    def to_json(self) -> dict[str, Any]:
        return {
            "rounds": self.rounds,
            "stopped": self.stopped,
            "last_round": self.last,
            "report": None if self.report is None else str(self.report),
            "state_file": str(self.state_file),
            "audit_file": str(self.audit_file),
        }


def optimize(settings: OptimizeSettings, paths: Paths, tell: Listener = lambda _: None) -> Outcome:
    """Play rounds; with `settings.continuous` until the stop file is there, else one.

    `tell` hears what a tune says, and {"event": "round", "round": entry} after each round.

    Raises:
        InputError: tapes, champion or configuration; a file that is given for two purposes.
        LockHeldError: another optimiser has the state file; or, unless continuous, the warehouse is in use.
        StorageError: something could not be written, or the state is damaged beyond restoring.
    """
    state_file, stop_file = settings.state_path(paths), settings.stop_path(paths)
    record = Record(state_file)
    _check_files(state_file, stop_file, record.audit_file)
    begun = time.monotonic()
    played = 0

    def outcome(stopped: str) -> Outcome:
        last = record.state.rounds[-1] if record.state.rounds else None
        report = report_of(last["tune_id"], paths) if last and "tune_id" in last else None
        return Outcome(played, stopped, last, report, state_file, record.audit_file)

    def seconds_left() -> float | None:
        limit = settings.max_runtime_sec
        return None if limit is None else max(1e-3, limit - (time.monotonic() - begun))

    def listen(message: dict[str, Any]) -> None:
        tell(message)
        if message["event"] == "tuning" and stop_file.exists():
            raise _Stopped

    there = f"the stop file {stop_file} is there"
    with FileLock(state_file.with_name(f".{state_file.name}.lock"), what="this optimiser's state"):
        for note in record.load():
            tell({"event": "note", "text": note})
        if stop_file.exists():
            return outcome(f"{there}, nothing was done; remove it to begin")
        told = ""
        while True:
            if stop_file.exists():
                return outcome(there)
            if settings.max_rounds is not None and played >= settings.max_rounds:
                return outcome(f"--max-rounds {settings.max_rounds} are played")
            if settings.max_runtime_sec is not None and time.monotonic() - begun >= settings.max_runtime_sec:
                return outcome(f"the {settings.max_runtime_sec:g} s of --max-runtime-sec are over")
            try:
                waiting = play_round(record, settings, paths, listen, seconds_left)
            except _Stopped:
                return outcome(f"{there}; round {record.state.round} goes on where it stopped with the next start")
            except LockHeldError as error:
                if not settings.continuous:
                    raise
                waiting = str(error)
            else:
                if waiting is None:
                    played += 1
                    told = ""
                    tell({"event": "round", "round": record.state.rounds[-1]})
                    if not settings.continuous:
                        return outcome("one round was asked for; --continuous goes on")
                    continue
                if not settings.continuous:
                    return outcome(f"{waiting}; nothing was done")
            if waiting != told:
                tell({"event": "note", "text": f"waits: {waiting}"})
                told = waiting
            _wait(settings.poll_seconds, seconds_left, stop_file.exists)


def _check_files(state_file: Path, stop_file: Path, audit_file: Path) -> None:
    state, stop, audit = (file.resolve() for file in (state_file, stop_file, audit_file))
    if stop in (state, audit):
        raise InputError("is the state's or the audit's file", where=str(stop_file), remedy="give another --stop-file")
    if state == audit:
        raise InputError("is the audit's file", where=str(state_file), remedy="give another --state-file")


def _wait(poll_s: float, seconds_left: Callable[[], float | None], stop: Callable[[], bool]) -> None:
    """Up to `poll_s`, no longer than is left, and no longer than until `stop`."""
    left = seconds_left()
    until = time.monotonic() + (poll_s if left is None else min(poll_s, left))
    while (rest := until - time.monotonic()) > 0 and not stop():
        time.sleep(min(_NAP_S, rest))
