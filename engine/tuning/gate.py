"""The verdict on a run, the worst of the net_bps band and of the other gates, and what to do next.

Missing data is never a pass: without net_bps or a critical KPI the verdict is NODATA, without another one it
is WARN at best, and the check says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.params import Params
from engine.tuning.bands import BOUND_OF, SEVERITY, Bound, Criticality, Gates, KpiGate, Label, NetBands
from engine.tuning.guardrails import Change, Wanted, apply_guarded
from engine.tuning.interval import (
    MIN_WINDOWS,
    PHI_WARNING,
    Interval,
    band_probabilities,
    interval_of_windows,
    windows_with_fills,
)
from engine.tuning.kpis import kpi_value, show, unit_of, why_null
from engine.tuning.rules import Packages

_BOUND_WORDS: Mapping[Label, str] = {"FAIL": "the fail bound", "WARN": "the warn bound", "OK": "the ideal"}


@dataclass(frozen=True)
class Check:
    """One KPI against its bounds. `limit` is the bound that decided, the strictest one where all are met; `bound` says
    which of them that is."""

    name: str
    metric: str
    unit: str
    criticality: Criticality
    observed: float | None
    limit: float
    label: Label
    reason: str
    bound: Bound

    @property
    def caps_at(self) -> Label:
        """The best verdict that this check leaves possible."""
        if self.criticality == "report-only":
            return "SUCCESS"
        if self.label == "NODATA" and self.criticality == "normal":
            return "WARN"
        return self.label

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Proposal:
    """A targeted package for a WARN verdict: proposed, not applied. `changes` are what the package would do
    to the run's last parameters, limits applied; empty where those were not given."""

    package: str
    driver: str
    effect: str
    moves: Mapping[str, float]
    changes: tuple[Change, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "package": self.package,
            "driver": self.driver,
            "effect": self.effect,
            "moves": dict(self.moves),
            "changes": [change.to_json() for change in self.changes],
            "applied": False,
        }


@dataclass(frozen=True)
class GateResult:
    """`checks[0]` is net_bps, the others stand in the configuration's order. `interval` is None where it
    cannot be given, `interval_note` says why, or what to mind about it."""

    verdict: Label
    reason: str
    action: str
    proposal: Proposal | None
    checks: tuple[Check, ...]
    interval: Interval | None
    interval_note: str
    probabilities: Mapping[str, float] | None

    @property
    def passed(self) -> bool:
        """Whether the verdict is a pass, as `--gate` understands it."""
        return self.verdict in ("SUCCESS", "OK")

    def to_json(self) -> dict[str, Any]:
        """The object of KPI_GATE.json."""
        interval = None
        if self.interval and self.probabilities:
            interval = {**self.interval.to_json(), "bands": dict(self.probabilities)}
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "action": self.action,
            "action_package": self.proposal.to_json() if self.proposal else None,
            "checks": [check.to_json() for check in self.checks],
            "net_bps": {
                "observed": self.checks[0].observed,
                "interval": interval,
                "interval_note": self.interval_note,
            },
        }


@dataclass(frozen=True)
class Objections:
    """What gates have against a promotion, a sentence each: `failed` a fail bound, `missing` has no data, which is
    neither a pass nor a failure."""

    failed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def objections(kpis: Mapping[str, Any], gates: Gates) -> Objections:
    """The gates' word on a challenger's KPIs. The band of net_bps is none of them: whether it earns more is what the
    paired test asks; nor is a gate that is reported only."""
    checks = [_check(kpis, gate) for gate in gates.gates if gate.criticality != "report-only"]
    failed, missing = (
        tuple(f"{c.metric}: {c.reason}" for c in checks if c.label == label) for label in ("FAIL", "NODATA")
    )
    return Objections(failed, missing)


def judge(
    totals: Mapping[str, Any],
    gates: Gates,
    *,
    windows: Sequence[Mapping[str, Any]] = (),
    packages: Packages | None = None,
    params: Params | None = None,
) -> GateResult:
    """The verdict on a slice of the edge report.

    Args:
        totals: the slice, usually `totals` of EDGE_REPORT.json.
        gates: config/gates.json.
        windows: the `windows` of the same report, in time order, for the interval of net_bps.
        packages: config/packages.json; without it a WARN verdict proposes nothing.
        params: the run's last parameters, for the values that a proposed package would lead to.
    """
    checks = (_check_net(totals, gates.net_bps), *(_check(totals, gate) for gate in gates.gates))
    verdict = max((check.caps_at for check in checks), key=SEVERITY.__getitem__)
    interval = interval_of_windows(windows)
    return GateResult(
        verdict=verdict,
        reason=_reason(verdict, checks),
        action=getattr(gates.actions, verdict),
        proposal=_proposal(totals, checks, packages, params) if verdict == "WARN" and packages else None,
        checks=checks,
        interval=interval,
        interval_note=_interval_note(interval, windows),
        probabilities=band_probabilities(interval, gates.net_bps) if interval else None,
    )


def _check_net(totals: Mapping[str, Any], bands: NetBands) -> Check:
    value = kpi_value(totals, "net_bps")
    label: Label = "NODATA" if value is None else bands.label(value)
    limit = bands.limit(label)
    if value is None:
        reason = f"no data: {why_null(totals, 'net_bps')}"
    elif label == "SUCCESS":
        reason = f"{show(value)} is at or above {show(limit)}"
    else:
        reason = f"{show(value)} is below {_BOUND_WORDS[label]} {show(limit)}"
    bound = BOUND_OF.get(label, "ideal")
    return Check("Net edge", "net_bps", "bps", "critical", value, limit, label, reason, bound)


def _check(totals: Mapping[str, Any], gate: KpiGate) -> Check:
    value = kpi_value(totals, gate.metric)
    label: Label
    if value is None:
        label, limit = "NODATA", gate.best_limit
        outcome = {
            "critical": "no verdict without it",
            "normal": "WARN at best without it",
            "report-only": "report only",
        }[gate.criticality]
        reason = f"no data: {why_null(totals, gate.metric)}; {outcome}"
    else:
        missed = gate.missed(value)
        label, limit = missed if missed else ("SUCCESS", gate.best_limit)
        side = "above" if gate.better < 0 else "below"
        words = _BOUND_WORDS.get(label)
        reason = f"{show(value)} is {side} {words} {show(limit)}" if words else f"meets {show(limit)}"
        if gate.criticality == "report-only":
            reason += "; report only"
    if gate.note:
        reason += f" ({gate.note})"
    bound = BOUND_OF.get(label, gate.best_bound)
    return Check(gate.name, gate.metric, unit_of(gate.metric), gate.criticality, value, limit, label, reason, bound)


def _reason(verdict: Label, checks: Iterable[Check]) -> str:
    """The checks that made the verdict, and any known failure that NODATA would hide."""
    deciding = [c for c in checks if c.caps_at == verdict and c.criticality != "report-only"]
    if verdict == "SUCCESS":
        return "Every gate meets its ideal."
    if verdict == "NODATA":
        deciding += [c for c in checks if c.caps_at == "FAIL"]
    return "; ".join(f"{c.metric}: {c.reason}" for c in deciding) + "."


def _proposal(
    totals: Mapping[str, Any], checks: tuple[Check, ...], packages: Packages, params: Params | None
) -> Proposal | None:
    """The package of the worst driver that has one. Where net_bps itself is at WARN the components below
    target come first, in the report's order; else the KPI whose gate warns."""
    components = list(totals.get("neg_edge_drivers") or ())
    warned = [c.metric for c in checks[1:] if c.label == "WARN" and c.caps_at == "WARN"]
    for driver in (components if checks[0].label == "WARN" else []) + warned:
        package = packages.for_driver(driver)
        if package is None:
            continue
        changes: tuple[Change, ...] = ()
        if params is not None:
            wanted = [Wanted(package.name, k, v, f"{driver} is the worst driver") for k, v in package.changes.items()]
            changes, _ = apply_guarded(wanted, params, max_changes=1)
        return Proposal(package.name, driver, package.effect, package.changes, changes)
    return None


def _interval_note(interval: Interval | None, windows: Sequence[Mapping[str, Any]]) -> str:
    if interval is None:
        filled = windows_with_fills([window["notional_quote"] for window in windows])
        return f"no interval: {filled} windows with fills, at least {MIN_WINDOWS} are needed"
    if interval.phi > PHI_WARNING:
        return f"windows are too short: their autocorrelation {interval.phi:.2f} is above {PHI_WARNING}"
    return ""
