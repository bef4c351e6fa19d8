"""What drives the result: every matrix row read against one KPI slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from engine.tuning.kpis import kpi_value, show, why_null
from engine.tuning.rules import DriverMatrix, Row

State = Literal["triggered", "quiet", "held", "unknown"]


@dataclass(frozen=True)
class Reading:
    """One row against the KPIs. `held`: beyond its threshold, but execution is not known to be healthy;
    `unknown`: its KPI has no data. `depth` is 0 at the threshold and 1 at twice it and beyond."""

    rule: str
    metric: str
    comparison: str
    threshold: float
    observed: float | None
    state: State
    depth: float
    reason: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_drivers(matrix: DriverMatrix, kpis: Mapping[str, Any]) -> tuple[Reading, ...]:
    """One reading per matrix row, in the matrix's order."""
    unhealthy = unhealthy_reason(matrix, kpis)
    return tuple(_read(row, kpis, unhealthy) for row in matrix.rows)


def unhealthy_reason(matrix: DriverMatrix, kpis: Mapping[str, Any]) -> str:
    """Why execution is not known to be healthy: the first bound missed or without data; "" when it is."""
    for bound in matrix.healthy_execution:
        value = kpi_value(kpis, bound.metric)
        if value is None:
            return f"{bound.metric} has no data ({why_null(kpis, bound.metric)})"
        if value > bound.at_most:
            return f"{bound.metric} {show(value)} > {show(bound.at_most)}"
    return ""


def _read(row: Row, kpis: Mapping[str, Any], unhealthy: str) -> Reading:
    trigger = row.trigger
    observed = kpi_value(kpis, trigger.metric)

    def reading(state: State, depth: float, reason: str) -> Reading:
        return Reading(row.name, trigger.metric, trigger.comparison, trigger.threshold, observed, state, depth, reason)

    if observed is None:
        return reading("unknown", 0.0, f"{trigger.metric} has no data: {why_null(kpis, trigger.metric)}")
    depth = trigger.depth(observed)
    if depth is None:
        return reading("quiet", 0.0, f"{trigger.metric} {show(observed)} is within {show(trigger.threshold)}")
    beyond = f"{trigger.metric} {show(observed)} {trigger.comparison} {show(trigger.threshold)}"
    if row.when_healthy and unhealthy:
        return reading("held", depth, f"{beyond}, but execution is not healthy: {unhealthy}")
    return reading("triggered", depth, beyond)
