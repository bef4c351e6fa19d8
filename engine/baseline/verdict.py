"""From the edge reports of an attempt's runs to GO or NO-GO.

Over the windows of one symbol a KPI is averaged with what it rests on: maker_taker_ratio by fills, net_bps by
notional, risk_ratio by time (each then is a sum over a sum), p95_latency_ms plainly over the windows that have one.
Over symbols maker_taker_ratio and net_bps are again sums over sums, p95_latency_ms and risk_ratio are the worst
symbol's. A symbol without data leaves a KPI without data: missing data is never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.baseline.presets import Presets, Threshold

GO, NO_GO = "GO", "NO-GO"
OVER_SYMBOLS = {
    "maker_taker_ratio": "sum over sum",
    "net_bps": "sum over sum",
    "p95_latency_ms": "worst symbol",
    "risk_ratio": "worst symbol",
}
KPIS = tuple(OVER_SYMBOLS)


@dataclass(frozen=True)
class SymbolResult:
    """One run of an attempt. `kpis` are the averages over its windows, None with the reason in `null_reasons`."""

    symbol: str
    run_id: str
    kpis: Mapping[str, float | None]
    null_reasons: Mapping[str, str]
    windows: Sequence[Mapping[str, Any]]
    fills: int
    notional_quote: float
    net_pnl_quote: float
    pnl_currency: str
    coverage_pct: float | None


@dataclass(frozen=True)
class Check:
    """A threshold against the symbols together. `label`: PASS, FAIL or NODATA; `miss_pct` of the limit, None if met."""

    metric: str
    limit: float
    sign: int
    observed: float | None
    label: str
    reason: str
    miss_pct: float | None


@dataclass(frozen=True)
class Verdict:
    """`data` says what is wrong with the data itself, symbol by symbol; any of it is a NO-GO."""

    decision: str
    checks: Sequence[Check]
    data: Sequence[str]
    recommendations: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def symbol_result(edge: Mapping[str, Any]) -> SymbolResult:
    """The four KPIs of a run from its EDGE_REPORT.json object."""
    totals, reasons = edge["totals"], dict(edge["totals"].get("null_reasons") or {})
    fills = int(totals["fills"] or 0)
    kpis = {name: _finite(totals[name]) for name in KPIS}
    late = [value for value in (_finite(row["p95_latency_ms"]) for row in edge["windows"]) if value is not None]
    kpis["p95_latency_ms"] = math.fsum(late) / len(late) if late else None
    if not fills:
        kpis["risk_ratio"], reasons["risk_ratio"] = None, "no fills, so no position was held"
    return SymbolResult(
        symbol=edge["symbol"],
        run_id=edge["run_id"],
        kpis=kpis,
        null_reasons={name: reasons.get(name) or "no data" for name in KPIS if kpis[name] is None},
        windows=[
            {name: row[name] for name in ("window", "start_ns", "end_ns", "fills", "notional_quote", *KPIS)}
            for row in edge["windows"]
        ],
        fills=fills,
        notional_quote=float(totals["notional_quote"] or 0.0),
        net_pnl_quote=float(totals["net_pnl_quote"] or 0.0),
        pnl_currency=str(edge["pnl_currency"]),
        coverage_pct=_finite(totals["coverage_pct"]),
    )


def together(results: Sequence[SymbolResult]) -> tuple[dict[str, float | None], dict[str, str]]:
    """The KPIs over all symbols, and why each that is None is."""
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name in KPIS:
        missing = [f"{one.symbol}: {one.null_reasons[name]}" for one in results if one.kpis[name] is None]
        currencies = sorted({one.pnl_currency for one in results})
        if name == "net_bps" and len(currencies) > 1:
            missing.append(f"{' and '.join(currencies)} cannot be added")
        values[name] = None if missing else _over_symbols(name, results)
        if missing:
            reasons[name] = "; ".join(missing)
    return values, reasons


def _over_symbols(name: str, results: Sequence[SymbolResult]) -> float:
    values = [float(one.kpis[name] or 0.0) for one in results]
    if name == "net_bps":
        return 1e4 * math.fsum(one.net_pnl_quote for one in results) / math.fsum(one.notional_quote for one in results)
    if name == "maker_taker_ratio":
        maker = sum(round(value * one.fills) for value, one in zip(values, results, strict=True))
        return maker / sum(one.fills for one in results)
    return max(values)


def judge_attempt(results: Sequence[SymbolResult], presets: Presets) -> Verdict:
    """GO where every threshold is met by every symbol's data; values are compared unrounded."""
    values, reasons = together(results)
    checks = [_check(threshold, values[threshold.metric], reasons) for threshold in presets.thresholds]
    data = [
        f"{one.symbol}: a whole book in {_pct(one.coverage_pct)} of the time, less than {presets.min_coverage_pct:g} %"
        for one in results
        if one.coverage_pct is None or one.coverage_pct < presets.min_coverage_pct
    ]
    passed = not data and all(check.label == "PASS" for check in checks)
    windows = min(len(one.windows) for one in results)
    return Verdict(GO if passed else NO_GO, checks, data, _recommend(presets, checks, data, windows))


def _check(threshold: Threshold, observed: float | None, reasons: Mapping[str, str]) -> Check:
    limit, sign = threshold.limit, threshold.sign
    words = ("below", "above") if sign > 0 else ("above", "below")
    if observed is None:
        return Check(threshold.metric, limit, sign, None, "NODATA", reasons[threshold.metric], None)
    if sign * (observed - limit) >= 0:
        return Check(threshold.metric, limit, sign, observed, "PASS", f"not {words[0]} {limit:g}", None)
    miss_pct = 100 * sign * (limit - observed) / limit
    reason = f"{words[0]} {limit:g} by {abs(limit - observed):.4g}, {miss_pct:.3g} % of it"
    return Check(threshold.metric, limit, sign, observed, "FAIL", reason, miss_pct)


def _recommend(presets: Presets, checks: Sequence[Check], data: Sequence[str], windows: int) -> list[str]:
    """One sentence per KPI that failed, in the thresholds' order, then those on the data."""
    found = []
    for check in checks:
        rows = [row for row in presets.recommendations if row.metric == check.metric]
        if check.label == "NODATA":
            found += [row.text for row in rows if row.no_data][:1]
        elif check.miss_pct is not None:
            reached = [row for row in rows if row.miss_from_pct is not None and row.miss_from_pct <= check.miss_pct]
            found.append(max(reached, key=lambda row: row.miss_from_pct or 0.0).text)
    if data:
        found.append(presets.data_recommendations.coverage)
    if windows < presets.few_windows:
        found.append(presets.data_recommendations.few_windows)
    return found


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _pct(value: float | None) -> str:
    return "no part" if value is None else f"{value:.1f} %"
