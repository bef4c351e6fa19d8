"""What each chart shows, as numbers: taken from a RunRecord, None where there is nothing to show.

`prepare` decides which charts exist; the view-model links those and `charts.py` draws those, so that a link never
points at a file that is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.metrics import COMPONENTS
from engine.params import PARAMETERS
from engine.report.record import RunRecord

_Z95 = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""


@dataclass(frozen=True)
class WindowsChart:
    """net_bps by window; None where a window had no fills. Times in ns UTC."""

    start_ns: list[int]
    end_ns: list[int]
    net_bps: list[float | None]
    total_bps: float | None
    low_bps: float | None
    high_bps: float | None
    target_bps: float
    iteration_starts: list[tuple[int, int]]
    """(iteration, start_ns) of each iteration; edges between them are drawn."""


@dataclass(frozen=True)
class WaterfallChart:
    """The components in the order in which they are added, and the targets known for them."""

    names: list[str]
    bps: list[float]
    targets: list[float | None]
    net_bps: float
    target_bps: float


@dataclass(frozen=True)
class MarkoutsChart:
    """`curves`: (side, cost in bps per horizon or None, half-width of its 95 % interval); both, buy, sell."""

    horizons_s: list[int]
    curves: list[tuple[str, list[float | None], list[float]]]


@dataclass(frozen=True)
class PriceChart:
    ts_ns: list[int]
    mid: list[float]
    currency: str
    buys: tuple[list[int], list[float]]
    sells: tuple[list[int], list[float]]
    shown_one_in: int
    bounds_ns: tuple[int, int]


@dataclass(frozen=True)
class PositionChart:
    """A step line: the position holds until the next time; the last one holds to the end of the run."""

    ts_ns: list[int]
    qty: list[float]
    bounds_ns: tuple[int, int]


@dataclass(frozen=True)
class BlocksChart:
    """Reasons by share of all intents, largest first."""

    reasons: list[str]
    ratios_pct: list[float]
    counts: list[int]


@dataclass(frozen=True)
class ParametersChart:
    """`values[i]` are those of parameter `names[i]`, one per iteration."""

    iterations: list[int]
    names: list[str]
    values: list[list[float]]


@dataclass(frozen=True)
class ControlChart:
    """Cumulated PnL difference, tuned minus control, at the end of each window; `steps` are the window's own."""

    end_ns: list[int]
    cumulated_quote: list[float]
    steps_quote: list[float]
    currency: str


@dataclass(frozen=True)
class ChartData:
    windows: WindowsChart | None
    waterfall: WaterfallChart | None
    markouts: MarkoutsChart | None
    price: PriceChart | None
    position: PositionChart | None
    blocks: BlocksChart | None
    parameters: ParametersChart | None
    control: ControlChart | None

    def names(self) -> tuple[str, ...]:
        return tuple(name for name in self.__dataclass_fields__ if getattr(self, name) is not None)


def prepare(record: RunRecord) -> ChartData:
    return ChartData(
        windows=_windows(record),
        waterfall=_waterfall(record),
        markouts=_markouts(record),
        price=_price(record),
        position=_position(record),
        blocks=_blocks(record),
        parameters=_parameters(record),
        control=_control(record),
    )


def parameters_by_iteration(record: RunRecord) -> list[tuple[int, dict[str, float]]]:
    """(iteration, parameters in force during it) for every iteration that ran."""
    in_force = dict(record.params_start)
    after = {decision["iteration"]: decision["params_after"] for decision in record.decisions}
    rows = []
    for iteration in sorted({slice_["iteration"] for slice_ in record.edge.get("iterations", [])} | after.keys()):
        rows.append((iteration, in_force))
        in_force = after.get(iteration) or in_force
    return rows


def _windows(record: RunRecord) -> WindowsChart | None:
    windows = record.edge.get("windows", [])
    if not any(window["net_bps"] is not None for window in windows):
        return None
    interval = record.net_interval or {}
    return WindowsChart(
        start_ns=[window["start_ns"] for window in windows],
        end_ns=[window["end_ns"] for window in windows],
        net_bps=[window["net_bps"] for window in windows],
        total_bps=record.edge["totals"]["net_bps"],
        low_bps=interval.get("low"),
        high_bps=interval.get("high"),
        target_bps=record.net_target_bps,
        iteration_starts=[(i["iteration"], i["start_ns"]) for i in record.edge.get("iterations", [])],
    )


def _waterfall(record: RunRecord) -> WaterfallChart | None:
    totals = record.edge["totals"]
    if totals["net_bps"] is None or any(totals[name] is None for name in COMPONENTS):
        return None
    targets = {driver["name"]: driver["target_bps"] for driver in totals.get("edge_drivers", [])}
    return WaterfallChart(
        names=list(COMPONENTS),
        bps=[totals[name] for name in COMPONENTS],
        targets=[targets.get(name) for name in COMPONENTS],
        net_bps=totals["net_bps"],
        target_bps=record.net_target_bps,
    )


def _markouts(record: RunRecord) -> MarkoutsChart | None:
    rows = record.edge.get("markouts") or []
    if not any(row["markout_bps"] is not None for row in rows):
        return None
    horizons = sorted({row["horizon_s"] for row in rows})
    by_place = {(row["side"], row["horizon_s"]): row for row in rows}
    curves = []
    for side in ("both", "buy", "sell"):
        found = [by_place.get((side, horizon), {}) for horizon in horizons]
        errors = [_Z95 * (row.get("stderr_bps") or 0.0) for row in found]
        curves.append((side, [row.get("markout_bps") for row in found], errors))
    return MarkoutsChart(horizons, curves)


def _price(record: RunRecord) -> PriceChart | None:
    marks, fills = record.series.get("marks"), record.series.get("fills")
    if not marks or len(marks["ts_ns"]) < 2:
        return None

    def side(sign: int) -> tuple[list[int], list[float]]:
        if not fills:
            return [], []
        chosen = [i for i, s in enumerate(fills["side"]) if s == sign]
        return [fills["ts_ns"][i] for i in chosen], [fills["price"][i] for i in chosen]

    return PriceChart(
        ts_ns=marks["ts_ns"],
        mid=marks["mid"],
        currency=str(record.plan.get("quote_currency") or "quote"),
        buys=side(+1),
        sells=side(-1),
        shown_one_in=record.series.get("fills_shown_one_in", 1),
        bounds_ns=_bounds_ns(record, marks["ts_ns"]),
    )


def _position(record: RunRecord) -> PositionChart | None:
    position = record.series.get("position")
    if not position or len(position["ts_ns"]) < 2:
        return None
    bounds_ns = _bounds_ns(record, position["ts_ns"])
    return PositionChart([*position["ts_ns"], bounds_ns[1]], [*position["qty"], position["qty"][-1]], bounds_ns)


def _bounds_ns(record: RunRecord, ts_ns: list[int]) -> tuple[int, int]:
    """Start and end of the run: its windows, or the series itself before the first window was completed."""
    windows = record.edge.get("windows", [])
    ends = [*(window["end_ns"] for window in windows), ts_ns[-1]]
    return min([*(window["start_ns"] for window in windows), ts_ns[0]]), max(ends)


def _blocks(record: RunRecord) -> BlocksChart | None:
    reasons = record.edge["totals"].get("block_reasons") or {}
    rows = sorted(
        ((name, row) for name, row in reasons.items() if row["count"]), key=lambda item: (-item[1]["count"], item[0])
    )
    if not rows:
        return None
    return BlocksChart(
        reasons=[name for name, _ in rows],
        ratios_pct=[100 * (row["ratio"] or 0.0) for _, row in rows],
        counts=[row["count"] for _, row in rows],
    )


def _parameters(record: RunRecord) -> ParametersChart | None:
    if record.foreign:  # no limits are known, nor when within an iteration a set took effect
        return None
    rows = parameters_by_iteration(record)
    names = [name for name in PARAMETERS if rows and all(name in values for _, values in rows)]
    if not names:
        return None
    return ParametersChart(
        iterations=[iteration for iteration, _ in rows],
        names=names,
        values=[[values[name] for _, values in rows] for name in names],
    )


def _control(record: RunRecord) -> ControlChart | None:
    if record.control is None:
        return None
    steps = [w["tuned_pnl_quote"] - w["control_pnl_quote"] for w in record.control["windows"]]
    cumulated: list[float] = []
    for step in steps:
        cumulated.append(step + (cumulated[-1] if cumulated else 0.0))
    ends: list[Any] = [w["end_ns"] for w in record.control["windows"]]
    return ControlChart(ends, cumulated, steps, record.pnl_currency)
