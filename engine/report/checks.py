"""The checks of the gate as a table in words, and the sentence that says why the verdict is what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.metrics import METRICS
from engine.report.format import NO_DATA, and_list, beside_limit, number, plain, unit_digits
from engine.report.record import RunRecord
from engine.report.table import Table
from engine.tuning.data_checks import BETTER

_BLOCK_PREFIX = "block_ratios."
_BANDS = ("FAIL", "WARN", "OK", "SUCCESS")
_OUTCOMES = ("breached", "without data", "not ideal", "met", "reported only")
"""What a rule came to, the worst first: the order of the table and of the counts."""
_OF_LABEL = {"FAIL": "breached", "WARN": "breached", "OK": "not ideal", "SUCCESS": "met"}
_VERBS = {"fail": "fails", "warn": "warns"}


@dataclass(frozen=True)
class Checks:
    """`rows` feed both the Markdown table and the one on the terminal; `labels` are the gate's, row by row."""

    title: str
    rows: tuple[tuple[str, str, str, str, str], ...]
    labels: tuple[str, ...]
    why: str
    notes: tuple[str, ...]
    reasons: tuple[str, ...]
    passed: int
    breached_rules: tuple[str, ...]
    breached: tuple[str, ...]
    unresolved: tuple[str, ...]
    without_data: tuple[str, ...]

    @property
    def table(self) -> Table:
        return Table(("Rule", "Observed [95 %]", "n", "Limit", "Status"), "lrrrl", self.rows, whole=True)


def build_checks(record: RunRecord) -> Checks:
    checks = sorted(record.gate["checks"], key=lambda check: _OUTCOMES.index(_outcome(check)))
    unresolved = tuple(check["metric"] for check in checks if is_unresolved(record, check))
    tally = {outcome: sum(_outcome(check) == outcome for check in checks) for outcome in _OUTCOMES}
    shown = [f"{tally[outcome]} {outcome}" for outcome in _OUTCOMES if tally[outcome] or outcome != "reported only"]
    return Checks(
        title=", ".join(shown) + (f"; unresolved: {and_list(unresolved)}" if unresolved else ""),
        rows=tuple(_row(record, check, unresolved) for check in checks),
        labels=tuple(check["label"] for check in checks),
        why=_why(record, unresolved),
        notes=_notes(record, unresolved),
        reasons=tuple(f"{check['metric']}: {check['reason']}" for check in checks),
        passed=len(checks) - tally["breached"] - tally["without data"],
        breached_rules=tuple(check["metric"] for check in checks if _outcome(check) == "breached"),
        breached=tuple(
            f"{check['metric']} {observed_text(record, check['metric'])} ({_bound_in_words(check)})"
            for check in checks
            if _outcome(check) == "breached"
        ),
        unresolved=unresolved,
        without_data=tuple(check["metric"] for check in checks if _outcome(check) == "without data"),
    )


def interval_of(record: RunRecord, metric: str) -> Mapping[str, Any] | None:
    """{low, high} of a KPI of the run, where it has an interval."""
    if metric == "net_bps":
        return record.net_interval
    bounds: Mapping[str, Any] | None = (record.kpi_intervals or {}).get(metric)
    return bounds


def is_unresolved(record: RunRecord, check: Mapping[str, Any]) -> bool:
    """Whether the KPI's interval has the check's limit strictly inside: more data could turn the label."""
    bounds, limit = interval_of(record, check["metric"]), check["limit"]
    return bounds is not None and limit is not None and bounds["low"] < limit < bounds["high"]


def observed_text(record: RunRecord, metric: str) -> str:
    """`2.71 [1.90, 3.50]`; the value alone where there is no interval; `no data`."""
    check = next((c for c in record.gate["checks"] if c["metric"] == metric), None)
    value = check["observed"] if check else record.edge["totals"].get(metric)
    digits = _digits(metric)
    if value is None:
        return NO_DATA
    limit = check["limit"] if check else None
    shown = beside_limit(value, limit, digits)
    bounds = interval_of(record, metric)
    if bounds is None or bounds["low"] == bounds["high"]:
        return shown
    return f"{shown} [{beside_limit(bounds['low'], limit, digits)}, {beside_limit(bounds['high'], limit, digits)}]"


def _digits(metric: str) -> int:
    if metric in BETTER:
        return unit_digits("count")
    return unit_digits("ratio" if metric.startswith(_BLOCK_PREFIX) else METRICS[metric].unit)


def _outcome(check: Mapping[str, Any]) -> str:
    """One of _OUTCOMES. Data that is there and rules a verdict out breaks its rule: it is not without data."""
    if check.get("criticality") == "report-only":
        return "reported only"
    if check["label"] == "NODATA":
        return "without data" if check["observed"] is None else "breached"
    return _OF_LABEL[check["label"]]


def _row(record: RunRecord, check: Mapping[str, Any], unresolved: tuple[str, ...]) -> tuple[str, str, str, str, str]:
    metric, outcome = check["metric"], _outcome(check)
    status = (NO_DATA if outcome == "without data" else outcome) + ("?" if metric in unresolved else "")
    return (metric, observed_text(record, metric), _n(record, metric), _limit(check), status)


def _n(record: RunRecord, metric: str) -> str:
    counts = record.edge["totals"].get("n") or {}
    value = counts.get("block_ratios" if metric.startswith(_BLOCK_PREFIX) else metric)
    return "-" if value is None else number(value, 0)


def _limit(check: Mapping[str, Any]) -> str:
    """`fail < 2.5`, `ideal <= 0.55`: the bound that was crossed, else the next one that would be."""
    if check["limit"] is None:
        return "-"
    more_is_better, bound = _better(check) > 0, check.get("bound", "")
    if bound in _VERBS:
        sign = "<" if more_is_better else ">"
    else:
        sign = ">=" if more_is_better else "<="
    return f"{bound} {sign} {plain(check['limit'])}".strip()


def _bound_in_words(check: Mapping[str, Any]) -> str:
    """`fails below 2.5`, for a bound that was crossed."""
    word = _VERBS.get(check.get("bound", ""), "limit")
    return f"{word} {'below' if _better(check) > 0 else 'above'} {plain(check['limit'])}"


def _better(check: Mapping[str, Any]) -> int:
    metric = check["metric"]
    return BETTER.get(metric) or (-1 if metric.startswith(_BLOCK_PREFIX) else METRICS[metric].better)


def _why(record: RunRecord, unresolved: tuple[str, ...]) -> str:
    """The gate's own reason, and net_bps with its interval whatever decided."""
    reason = str(record.gate["reason"])
    named = "net_bps:" in reason
    if record.edge["totals"]["net_bps"] is None or (named and record.net_interval is None):
        return reason
    text = f"{reason} {'With its 95 % interval' if named else 'Observed'}: net_bps {observed_text(record, 'net_bps')}"
    if "net_bps" in unresolved:
        limit = next(check["limit"] for check in record.gate["checks"] if check["metric"] == "net_bps")
        text += f", unresolved against {plain(limit)}"
    return f"{text}."


def _notes(record: RunRecord, unresolved: tuple[str, ...]) -> tuple[str, ...]:
    notes = []
    net = record.gate.get("net_bps") or {}
    bands = (net.get("interval") or {}).get("bands")
    if bands:
        shares = ", ".join(f"{name} {number(100 * bands[name], 0)} %" for name in _BANDS)
        notes.append(f"Probability of each band of net_bps, given its interval: {shares}.")
    if net.get("interval_note"):
        notes.append(f"net_bps: {net['interval_note']}.")
    notes.append(
        "Limit: the bound that was crossed, else the next one that would be. Past a fail or warn bound a rule is "
        "breached; an ideal that is not met caps the verdict at OK."
    )
    if unresolved:
        notes.append(
            f"A question mark is unresolved: the interval of {and_list(unresolved)} has its limit inside, so more data "
            "could turn it. The verdict compares the observed value."
        )
    if any("p95" in check["metric"] and check["observed"] is not None for check in record.gate["checks"]):
        notes.append("A 95th percentile is shown without an interval; n is the number of data it rests on.")
    return tuple(notes)
