"""The gate's thresholds (config/gates.json): the net_bps bands and the bounds of the other KPIs.

A bound is compared unrounded and strictly: a KPI where less is better fails above its FAIL bound and warns
above its WARN bound; one where more is better, below them. Missing an ideal caps the verdict at OK.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from engine.config import ConfigModel, load_config
from engine.metrics import METRICS
from engine.tuning.kpis import checked_metric

Label = Literal["SUCCESS", "OK", "WARN", "FAIL", "NODATA"]
Criticality = Literal["report-only", "normal", "critical"]
Bound = Literal["fail", "warn", "ideal"]
BOUND_OF: dict[Label, Bound] = {"FAIL": "fail", "WARN": "warn", "OK": "ideal"}
"""Label -> the bound that was missed."""
SEVERITY: dict[Label, int] = {"SUCCESS": 0, "OK": 1, "WARN": 2, "FAIL": 3, "NODATA": 4}
MetricName = Annotated[str, AfterValidator(checked_metric)]


class NetBands(ConfigModel):
    """Below `fail_below` FAIL, below `warn_below` WARN, below `ok_below` OK, else SUCCESS; in bps."""

    fail_below: float
    warn_below: float
    ok_below: float

    @model_validator(mode="after")
    def _ascending(self) -> NetBands:
        if not self.fail_below < self.warn_below < self.ok_below:
            raise ValueError("fail_below, warn_below and ok_below must rise")
        return self

    def label(self, net_bps: float) -> Label:
        if net_bps < self.fail_below:
            return "FAIL"
        if net_bps < self.warn_below:
            return "WARN"
        return "OK" if net_bps < self.ok_below else "SUCCESS"

    def limit(self, label: Label) -> float:
        """The bound that decided for `label`: the one missed, or the highest where none was."""
        return {"FAIL": self.fail_below, "WARN": self.warn_below}.get(label, self.ok_below)


class KpiGate(ConfigModel):
    """One KPI's bounds. `criticality` says what its absence means: `critical` no verdict at all, `normal`
    WARN at best; `report-only` stands in the checks and decides nothing. `note` is shown beside the check."""

    metric: MetricName
    name: str = Field(min_length=1)
    criticality: Criticality
    fail: float | None = None
    warn: float | None = None
    ideal: float | None = None
    note: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> KpiGate:
        if self.metric == "net_bps":
            raise ValueError("net_bps has its own bands")
        if self.better == 0:
            raise ValueError(f"{self.metric} has no better direction")
        bounds = [value for value in (self.fail, self.warn, self.ideal) if value is not None]
        if not bounds:
            raise ValueError("give fail, warn or ideal")
        if bounds != sorted(bounds, reverse=self.better < 0):
            raise ValueError("fail, warn and ideal must go from worse to better")
        return self

    @property
    def better(self) -> int:
        """+1 more is better, -1 less is better."""
        return -1 if self.metric.startswith("block_ratios.") else METRICS[self.metric].better

    def missed(self, value: float) -> tuple[Label, float] | None:
        """The worst bound that `value` misses, as its label and limit; None where it meets all."""
        bounds: tuple[tuple[Label, float | None], ...] = (
            ("FAIL", self.fail),
            ("WARN", self.warn),
            ("OK", self.ideal),
        )
        for label, limit in bounds:
            if limit is not None and (value - limit) * self.better < 0:
                return label, limit
        return None

    @property
    def best_bound(self) -> Bound:
        """The strictest bound there is."""
        return "ideal" if self.ideal is not None else "warn" if self.warn is not None else "fail"

    @property
    def best_limit(self) -> float:
        """Its value."""
        return next(value for value in (self.ideal, self.warn, self.fail) if value is not None)


class Actions(ConfigModel):
    """The decision matrix: what a person does next, one sentence per verdict."""

    SUCCESS: str
    OK: str
    WARN: str
    FAIL: str
    NODATA: str


class Gates(ConfigModel):
    net_bps: NetBands
    gates: tuple[KpiGate, ...]
    actions: Actions

    @model_validator(mode="after")
    def _once_each(self) -> Gates:
        metrics = [gate.metric for gate in self.gates]
        for metric in metrics:
            if metrics.count(metric) > 1:
                raise ValueError(f"{metric} has two gates")
        return self


def load_gates(config: Path) -> Gates:
    """The gates of the configuration folder `config`.

    Raises:
        ConfigError: names file, key and remedy.
    """
    return load_config(config / "gates.json", Gates)
