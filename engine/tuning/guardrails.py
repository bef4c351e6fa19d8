"""The guardrails between what the rules want and what the bot gets.

In this order, for every wanted move: the multi-fail guard (only calming moves pass while it holds), opposite
moves of one parameter (the calming one wins), the number of changes of a parameter, then the limits (the
parameter's range, its largest rise per iteration, whole numbers). The first three refuse a move, the limits
clamp it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from engine.params import PARAMETERS, Params
from engine.tuning.kpis import show
from engine.tuning.rules import is_calming

Status = Literal["fired", "clamped", "refused"]


@dataclass(frozen=True)
class Wanted:
    """A move a rule asks for: `change` in the parameter's unit, `reason` what the rule saw."""

    rule: str
    parameter: str
    change: float
    reason: str


@dataclass(frozen=True)
class Change:
    """What became of a wanted move: `wanted` is the value asked for, `after` the one that holds from here on
    (equal to `before` when refused, or when a limit left no room)."""

    rule: str
    parameter: str
    before: float
    wanted: float
    after: float
    status: Status
    reason: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def limit(parameter: str, wanted: float, start: float) -> tuple[float, str]:
    """The nearest allowed value to `wanted` in an iteration that began at `start`, and which limit was met
    ("" for none). Applying it to its own result changes nothing."""
    row = PARAMETERS[parameter]
    highest_step = round(start + row.max_step_up, 6)
    if wanted > highest_step and highest_step < row.high:
        bounded, met = highest_step, f"at most +{show(row.max_step_up)} per iteration"
    elif wanted > row.high:
        bounded, met = row.high, f"at most {show(row.high)} {row.unit}"
    elif wanted < row.low:
        bounded, met = row.low, f"at least {show(row.low)} {row.unit}"
    else:
        bounded, met = wanted, ""
    return row.clamp(bounded), met


def apply_guarded(
    moves: Sequence[Wanted], params: Params, *, max_changes: int, calming_only: str = ""
) -> tuple[tuple[Change, ...], Params]:
    """Apply `moves` in order to `params`, the set in force when the iteration ends.

    Args:
        max_changes: how many moves of one parameter may change it.
        calming_only: why only calming moves may pass; "" when all may.

    Returns:
        One change per move, in the same order, and the parameters that result.
    """
    values: dict[str, float] = dict(params)
    counts = dict.fromkeys(values, 0)
    changes = []
    for move in moves:
        before = values[move.parameter]
        wanted = wanted_value(move.parameter, before + move.change)
        refusal = _refusal(move, moves, counts[move.parameter], max_changes, calming_only)
        if refusal:
            changes.append(_change(move, before, wanted, before, "refused", refusal))
            continue
        after, met = limit(move.parameter, wanted, params[move.parameter])
        changes.append(_change(move, before, wanted, after, "clamped" if met else "fired", met))
        values[move.parameter] = after
        counts[move.parameter] += after != before
    return tuple(changes), params.with_changes(values)


def _refusal(move: Wanted, moves: Sequence[Wanted], changes_so_far: int, max_changes: int, calming_only: str) -> str:
    calming = is_calming(move.parameter, move.change)
    if calming_only and not calming:
        return f"{calming_only}: only calming moves"
    against = [m for m in moves if m.parameter == move.parameter and m.change * move.change < 0]
    if against and not calming:
        if any(is_calming(m.parameter, m.change) for m in against):
            return f"{against[0].rule} moves {move.parameter} the other way, and the calming move wins"
        return f"{against[0].rule} moves {move.parameter} the other way, and neither direction is calmer"
    if changes_so_far >= max_changes:
        return f"{move.parameter} was changed {changes_so_far} times in this iteration already"
    return ""


def wanted_value(parameter: str, value: float) -> float:
    """A value as asked for, before any limit: rounded the way the parameter is stored."""
    return round(value) if PARAMETERS[parameter].integer else round(value, 6)


def _change(move: Wanted, before: float, wanted: float, after: float, status: Status, guard: str) -> Change:
    if status == "clamped":
        room = "no room left" if after == before else f"{show(wanted)} became {show(after)}"
        guard = f"{room} ({guard})"
    reason = f"{move.reason}; {guard}" if guard else move.reason
    return Change(move.rule, move.parameter, before, wanted, after, status, reason)
