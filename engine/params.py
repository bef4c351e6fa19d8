"""The tuned parameters: one table from which validation, clamping, search space, docs and HTTP schema derive.

A parameter set reaches the bot as a flat JSON object (`runtime_overrides.json`). It is taken or refused as a
whole: an unknown key, a wrong type, NaN or a value out of range names the key and changes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import OverridesError, did_you_mean


@dataclass(frozen=True)
class Parameter:
    """One row of the table. `calm` is the direction that calms the bot (+1 up, -1 down, 0 neither)."""

    name: str
    unit: str
    low: float
    high: float
    initial: float
    integer: bool
    calm: int
    meaning: str
    max_step_up: float = math.inf

    def clamp(self, value: float) -> float:
        """The nearest allowed value; integers are rounded half to even first."""
        bounded = min(max(value, self.low), self.high)
        return round(bounded) if self.integer else round(bounded, 6)


PARAMETERS: dict[str, Parameter] = {
    p.name: p
    for p in (
        Parameter("min_interval_ms", "ms", 50, 300, 70, True, +1, "cadence at which quotes are re-evaluated; a change wanted again within the venue's own spacing is blocked (min_interval)"),
        Parameter("replace_rate_per_min", "1/min", 120, 360, 280, True, -1, "budget of amendments a minute; the excess is blocked (throttle); requests still in flight block the next (concurrency)"),
        Parameter("base_spread_bps_delta", "relative", 0.0, 0.6, 0.10, False, +1, "widening: half_spread = base_half_spread x (1 + delta)", 0.10),
        Parameter("tail_age_ms", "ms", 400, 1000, 650, True, +1, "a quote that has not been refreshed for so long is refreshed or pulled"),
        Parameter("impact_cap_ratio", "share", 0.04, 0.12, 0.09, False, -1, "quote size at most this share of the displayed depth near the touch"),
        Parameter("max_delta_ratio", "share", 0.10, 0.20, 0.14, False, -1, "a re-quote may tighten by at most this share of the spread"),
        Parameter("touch_dwell_ms", "ms", 0, 100, 25, True, +1, "the touch must have stood so long before we join it"),
        Parameter("min_lot", "x venue minimum", 1, 20, 1, True, 0, "smallest quote sent"),
    )
}  # fmt: skip
NAMES = tuple(PARAMETERS)


@dataclass(frozen=True)
class Params(Mapping[str, float]):
    """A complete, valid parameter set; iterates in table order."""

    min_interval_ms: int = 70
    replace_rate_per_min: int = 280
    base_spread_bps_delta: float = 0.10
    tail_age_ms: int = 650
    impact_cap_ratio: float = 0.09
    max_delta_ratio: float = 0.14
    touch_dwell_ms: int = 25
    min_lot: int = 1

    def __getitem__(self, name: str) -> float:
        if name not in PARAMETERS:
            raise KeyError(name)
        value: float = getattr(self, name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)

    def with_changes(self, changes: Mapping[str, Any], *, where: str = "parameters") -> Params:
        """A new set with `changes` applied, each checked against the table.

        Raises:
            OverridesError: unknown key, wrong type, not finite, or out of range; names key and range.
        """
        return Params(**{**dict(self), **{k: _checked(k, v, where) for k, v in changes.items()}})  # type: ignore[arg-type]


def _checked(name: str, value: Any, where: str) -> float:
    row = PARAMETERS.get(name)
    if row is None:
        raise OverridesError(f"unknown parameter {name!r}", where=where, remedy=did_you_mean(name, NAMES))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OverridesError(
            f"{name} must be a number, not {value!r}", where=where, remedy=f"give {row.low} to {row.high} {row.unit}"
        )
    if not row.low <= value <= row.high:  # nor is NaN
        shown = value if isinstance(value, float) else str(value)[:20]
        raise OverridesError(
            f"{name} {shown} is out of range", where=where, remedy=f"give {row.low} to {row.high} {row.unit}"
        )
    if row.integer and value != int(value):
        raise OverridesError(
            f"{name} {value} must be a whole number", where=where, remedy=f"give {row.low} to {row.high} {row.unit}"
        )
    return int(value) if row.integer else float(value)


def journalled(values: Mapping[str, Any]) -> Params:
    """The set that a journal's record has: its decimals may be text; what it leaves out has its initial value.

    Raises:
        OverridesError: it is no set of these parameters.
    """
    numbers = {}
    for name, value in values.items():
        try:
            numbers[name] = float(value) if isinstance(value, str) else value
        except ValueError as error:
            raise OverridesError(f"{name} {value!r} is no number", where="journal", remedy="correct it") from error
    return Params().with_changes(numbers, where="journal")


def read_overrides(path: Path, base: Params) -> Params:
    """`base` with the file's flat object applied; parameters the file leaves out keep their value.

    Raises:
        OverridesError: the file is refused as a whole, with the reason.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise OverridesError(f"cannot be read: {error.strerror}", where=str(path), remedy="check the path") from error
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise OverridesError(f"is not JSON: {error}", where=str(path), remedy="write one flat JSON object") from error
    if not isinstance(value, dict):
        raise OverridesError("is not a flat JSON object", where=str(path), remedy='write {"min_interval_ms": 70, ...}')
    return base.with_changes(value, where=str(path))


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"key {key!r} stands twice")
    return dict(pairs)
