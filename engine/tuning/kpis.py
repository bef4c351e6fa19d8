"""Reading one KPI from a slice of EDGE_REPORT.json; what is missing is None, with the reason, never a number.

A metric is named as in engine.metrics.METRICS; the block ratio of a reason is `block_ratios.<reason>`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from engine.errors import did_you_mean
from engine.metrics import METRICS

BLOCK_REASONS = ("min_interval", "throttle", "concurrency", "risk", "stale", "gap")
_BLOCK_PREFIX = "block_ratios."


def checked_metric(name: str) -> str:
    """`name`, if the metrics contract has it as a single number.

    Raises:
        ValueError: no such metric.
    """
    known = [metric for metric in METRICS if metric != "block_ratios"]
    known += [_BLOCK_PREFIX + reason for reason in BLOCK_REASONS]
    if name not in known:
        raise ValueError(f"no metric {name!r}; {did_you_mean(name, known)}")
    return name


def unit_of(metric: str) -> str:
    return "ratio" if metric.startswith(_BLOCK_PREFIX) else METRICS[metric].unit


def kpi_value(kpis: Mapping[str, Any], metric: str) -> float | None:
    """The number, or None where the slice has null, nothing, or a value that is not finite.

    A block reason that does not stand in `block_reasons` blocked nothing: 0. Without `block_reasons`: None.

    Raises:
        TypeError: the slice holds something else than a number.
    """
    if metric.startswith(_BLOCK_PREFIX):
        reasons = kpis.get("block_reasons")
        if reasons is None:
            return None
        entry = reasons.get(metric.removeprefix(_BLOCK_PREFIX), {"ratio": 0.0})
        value = entry["ratio"]
    else:
        value = kpis.get(metric)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"KPI {metric} must be a number or null, not {value!r}")
    return float(value) if math.isfinite(value) else None


def why_null(kpis: Mapping[str, Any], metric: str) -> str:
    """Why `kpi_value` is None, in the slice's own words where it has them."""
    reasons = kpis.get("null_reasons") or {}
    name = "block_ratios" if metric.startswith(_BLOCK_PREFIX) else metric
    return str(reasons.get(metric) or reasons.get(name) or "the report has no value for it")


def show(value: float) -> str:
    """A number for a sentence: six significant digits, so that 2.4999 does not read as the 2.5 it misses."""
    return f"{value:.6g}"
