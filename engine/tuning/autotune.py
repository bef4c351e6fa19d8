"""Between two iterations: KPIs in, the next parameters out, and why.

Two consecutive iterations with net_bps below 0 bring the conservative package instead of the matrix, after
which the row starts anew. An iteration without fills changes nothing and neither counts nor breaks that row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from engine.config import ConfigModel, parse_config
from engine.params import PARAMETERS, Params
from engine.tuning.drivers import Reading, read_drivers
from engine.tuning.guardrails import Change, Wanted, apply_guarded, wanted_value
from engine.tuning.kpis import kpi_value, show, why_null
from engine.tuning.rules import FallbackPackage, Rules, is_calming

Mode = Literal["matrix", "fallback", "no data"]


class TuneState(ConfigModel):
    """What one decision hands to the next; JSON by `to_json`, read again by `TuneState.from_json`."""

    iterations: int = Field(default=0, ge=0)
    negative_in_a_row: int = Field(default=0, ge=0)
    fallbacks: int = Field(default=0, ge=0)

    def to_json(self) -> dict[str, int]:
        return self.model_dump(exclude={"comment"})

    @classmethod
    def from_json(cls, text: str, *, where: str = "tuning state") -> TuneState:
        """Raises ConfigError where `text` is not a state."""
        return parse_config(text, cls, where=where)


@dataclass(frozen=True)
class Decision:
    """`iteration` counts decisions from 0; `note` says in a sentence what was done. `changes` holds every move
    that fired, was clamped or was refused, `readings` every matrix row with what it saw; `params` and `state`
    are the next ones."""

    iteration: int
    mode: Mode
    note: str
    readings: tuple[Reading, ...]
    changes: tuple[Change, ...]
    params: Params
    state: TuneState

    @property
    def triggers(self) -> tuple[str, ...]:
        """The names of the matrix rows that triggered."""
        return tuple(reading.rule for reading in self.readings if reading.state == "triggered")

    def to_json(self) -> dict[str, Any]:
        return {
            "iteration": self.iteration,
            "mode": self.mode,
            "note": self.note,
            "triggers": list(self.triggers),
            "readings": [reading.to_json() for reading in self.readings],
            "changes": [change.to_json() for change in self.changes],
            "params_after": dict(self.params),
            "state": self.state.to_json(),
        }


def decide(kpis: Mapping[str, Any], params: Params, history: TuneState, rules: Rules) -> Decision:
    """The decision after one iteration.

    Args:
        kpis: the iteration's slice of the edge report.
        params: the set in force during the iteration.
        history: the state of the decision before, `TuneState()` at first.
    """
    readings = read_drivers(rules.matrix, kpis)
    net_bps = kpi_value(kpis, "net_bps")
    if net_bps is None or kpis.get("fills") == 0:
        why = "no fills" if kpis.get("fills") == 0 else why_null(kpis, "net_bps")
        note = f"No change: net_bps has no data ({why})."
        return _decision("no data", note, readings, (), params, history, history.negative_in_a_row)

    negatives = history.negative_in_a_row + 1 if net_bps < 0 else 0
    if negatives >= rules.matrix.fallback_after_negative_iterations:
        seen = f"net_bps below 0 in {negatives} iterations in a row, {show(net_bps)} in the last"
        changes, after = apply_guarded(_package_moves(rules.fallback, params, seen), params, max_changes=1)
        note = f"{seen}: the {rules.fallback.name} package instead of the matrix."
        if not changes:
            note += " No change: every parameter is at least as calm already."
        return _decision("fallback", note, readings, changes, after, history, 0)

    changes, after = _matrix_changes(readings, params, rules)
    note = _matrix_note(readings, changes)
    return _decision("matrix", note, readings, changes, after, history, negatives)


def _decision(
    mode: Mode,
    note: str,
    readings: tuple[Reading, ...],
    changes: tuple[Change, ...],
    params: Params,
    history: TuneState,
    negatives: int,
) -> Decision:
    state = TuneState(
        iterations=history.iterations + 1,
        negative_in_a_row=negatives,
        fallbacks=history.fallbacks + (mode == "fallback"),
    )
    return Decision(history.iterations, mode, note, readings, changes, params, state)


def _package_moves(package: FallbackPackage, params: Params, reason: str) -> list[Wanted]:
    """The package's values as moves, those left out that would not calm the bot further."""
    moves = [
        Wanted(package.name, name, package.values[name] - params[name], reason)
        for name in PARAMETERS
        if name in package.values
    ]
    return [move for move in moves if is_calming(move.parameter, move.change)]


def _matrix_changes(readings: tuple[Reading, ...], params: Params, rules: Rules) -> tuple[tuple[Change, ...], Params]:
    """The moves of triggered rows through the guardrails; those of held rows stand refused beside them."""
    matrix = rules.matrix
    rows = {row.name: row for row in matrix.rows}
    triggered = [reading for reading in readings if reading.state == "triggered"]
    moves = [
        Wanted(reading.rule, move.parameter, move.change(reading.depth), reading.reason)
        for reading in triggered
        for move in rows[reading.rule].moves
    ]
    guard = ""
    if len(triggered) >= matrix.multi_fail_triggers:
        guard = f"{len(triggered)} rules triggered at once"
    changes, after = apply_guarded(moves, params, max_changes=matrix.max_changes_per_parameter, calming_only=guard)
    held = tuple(
        Change(
            rule=reading.rule,
            parameter=move.parameter,
            before=params[move.parameter],
            wanted=wanted_value(move.parameter, params[move.parameter] + move.change(reading.depth)),
            after=params[move.parameter],
            status="refused",
            reason=reading.reason,
        )
        for reading in readings
        if reading.state == "held"
        for move in rows[reading.rule].moves
    )
    return changes + held, after


def _matrix_note(readings: tuple[Reading, ...], changes: tuple[Change, ...]) -> str:
    """One sentence or two; KPIs without data are named, so that silence is not taken for health."""
    triggered = [reading.rule for reading in readings if reading.state == "triggered"]
    moved = sorted({change.parameter for change in changes if change.after != change.before})
    unknown = sorted({reading.metric for reading in readings if reading.state == "unknown"})
    if not triggered:
        text = "No change: no rule triggered."
    elif not moved:
        text = f"No change: {', '.join(triggered)} triggered, but every move was refused or had no room."
    else:
        text = f"{', '.join(triggered)} triggered; changed {', '.join(moved)}."
    return f"{text} Without data: {', '.join(unknown)}." if unknown else text
