"""config/presets.json: the ladder's presets, thresholds and recommendations.

A preset's smallest quote is given in the base coin (0.001 BTC), as an operator thinks of it; the parameter `min_lot`
counts the venue's minimum. `min_lot_of` converts it for one instrument and says where the answer is not exact.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.config import ConfigModel, load_config
from engine.instrument import Instrument
from engine.params import PARAMETERS

FILE = "presets.json"
Kpi = Literal["maker_taker_ratio", "net_bps", "p95_latency_ms", "risk_ratio"]


class Preset(ConfigModel):
    """One rung: what it changes in the starting parameters. `min_lot_base` is in units of the base coin."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")]
    touch_dwell_ms: Annotated[int, Field(ge=0, le=100)]
    min_lot_base: Annotated[Decimal, Field(gt=0)]

    @property
    def title(self) -> str:
        """`Baseline`, `Attempt A`."""
        return self.name if self.name == "Baseline" else f"Attempt {self.name}"


class Threshold(ConfigModel):
    """A bound that a KPI must meet: exactly one of `at_least` and `at_most`."""

    metric: Kpi
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Threshold:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"{self.metric}: give at_least or at_most")
        if self.limit <= 0:
            raise ValueError(f"{self.metric}: the bound must be above 0, a miss is a share of it")
        return self

    @property
    def limit(self) -> float:
        return self.at_least if self.at_least is not None else float(self.at_most or 0.0)

    @property
    def sign(self) -> int:
        """+1 where the KPI must be at least the limit, -1 where it must be at most that."""
        return 1 if self.at_least is not None else -1


class Recommendation(ConfigModel):
    """What to do where `metric` failed by `miss_from_pct` % of its threshold or more, or has no data."""

    metric: Kpi
    text: str
    miss_from_pct: Annotated[float | None, Field(ge=0)] = None
    no_data: bool = False

    @model_validator(mode="after")
    def _one_case(self) -> Recommendation:
        if (self.miss_from_pct is not None) == self.no_data:
            raise ValueError(f"{self.metric}: give miss_from_pct or no_data")
        return self


class DataRecommendations(ConfigModel):
    coverage: str
    few_windows: str


class NextSteps(ConfigModel):
    go: str = Field(alias="GO")
    no_go: str = Field(alias="NO-GO")


class Presets(ConfigModel):
    """The file. `mock_markets` names the generated market of a profile; `min_coverage_pct` is asked of every symbol."""

    presets: Annotated[tuple[Preset, ...], Field(min_length=1)]
    thresholds: Annotated[tuple[Threshold, ...], Field(min_length=1)]
    min_coverage_pct: Annotated[float, Field(ge=0, le=100)]
    few_windows: Annotated[int, Field(ge=0)]
    mock_markets: dict[str, str]
    recommendations: tuple[Recommendation, ...]
    data_recommendations: DataRecommendations
    next: NextSteps

    @model_validator(mode="after")
    def _complete(self) -> Presets:
        names = [preset.name for preset in self.presets] + [str(threshold.metric) for threshold in self.thresholds]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} stands twice")
        for threshold in self.thresholds:
            rows = [row for row in self.recommendations if row.metric == threshold.metric]
            if not any(row.no_data for row in rows) or not any(row.miss_from_pct == 0 for row in rows):
                raise ValueError(f"{threshold.metric} needs a recommendation from 0 % and one without data")
        return self


def load_presets(config: Path) -> Presets:
    """The ladder of the configuration folder `config`.

    Raises:
        ConfigError: names file, key and remedy.
    """
    return load_config(config / FILE, Presets)


def min_lot_of(base_qty: Decimal, instrument: Instrument, mid: Decimal) -> tuple[int, str]:
    """`base_qty` of the base coin as a multiple of the instrument's smallest order, and a note where it is not exact.

    Rounded up, then kept within the range of the parameter `min_lot`. A linear contract is `contract_size` base
    coins, an inverse one `contract_size / mid` of them.
    """
    per_contract = instrument.contract_size if instrument.contract == "linear" else instrument.contract_size / mid
    minimum_base = per_contract * instrument.lot * instrument.min_qty_lots
    exact = base_qty / minimum_base
    row = PARAMETERS["min_lot"]
    wanted = int(exact.to_integral_value(ROUND_CEILING))
    multiple = int(min(max(wanted, row.low), row.high))
    if exact == multiple:
        return multiple, ""
    why = "below the venue's minimum" if exact < row.low else f"{exact:.6g} times the venue's minimum"
    limit = f", the most that min_lot allows being {row.high:g}" if wanted > row.high else ""
    return multiple, (
        f"{instrument.symbol}: {base_qty} is {why} of {minimum_base.normalize():f}{limit}; "
        f"{multiple} x the minimum is used."
    )
