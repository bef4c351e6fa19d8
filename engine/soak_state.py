"""What a soak has come to so far: <run folder>/state.json, written whole after every step.

A report, partial or full, is made of plan, state, journal and warehouse alone, so it can be made by whoever is
still there when the bot or the flow is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

from engine.errors import InputError
from engine.files import write_json
from engine.soak import RunPlan


@dataclass(frozen=True)
class RunState:
    """`params` are lane 0's in force, as the bot told.

    `refused` holds {ts_ns, reason} of every overrides file that the bot did not take; `ended` is the reason of
    the run's end, empty while it runs. `wall_clock` holds real times and durations and is no part of a result.
    """

    params: Mapping[str, float]
    decisions: tuple[Mapping[str, Any], ...] = ()
    refused: tuple[Mapping[str, Any], ...] = ()
    ended: str = ""
    wall_clock: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, plan: RunPlan) -> Self:
        """The state in the run's folder.

        Raises:
            InputError: it is not there or not readable.
        """
        try:
            value = json.loads(plan.state_file.read_text(encoding="utf-8"))
            return cls(**{**value, "decisions": tuple(value["decisions"]), "refused": tuple(value["refused"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"is not a run's state: {error}", where=str(plan.state_file), remedy="start a new soak"
            ) from error

    @classmethod
    def begin(cls, plan: RunPlan) -> Self:
        """The state of a run that has not begun, written."""
        state = cls(params=dict(plan.params), wall_clock={"started_utc": utc_now()})
        state.write(plan)
        return state

    def write(self, plan: RunPlan) -> None:
        write_json(plan.state_file, asdict(self))

    def updated(self, plan: RunPlan, **changes: Any) -> Self:
        """The state with `changes`, written."""
        new = replace(self, **changes)
        new.write(plan)
        return new


def utc_now() -> str:
    """For wall_clock.json, the one artefact that holds real times."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
