"""Hour by hour over any span of market time, summed over the runs in it: a sum over a sum, in integers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from engine.errors import InputError, JournalError
from engine.instrument import UNITS_PER_QUOTE
from engine.warehouse.build import build, queries
from engine.warehouse.db import Warehouse
from engine.warehouse.quality import require_sound
from engine.warehouse.scope import MOST_WINDOWS

HOUR_NS = 3600 * 10**9
_UNITS = ("net", "gross", "slippage", "fees", "inventory", "realised", "unrealised")
_SPLIT = ("gross", "slippage", "inventory")
_BPS = {"net": "net_bps", "gross": "gross_bps", "fees": "fees_eff_bps", "slippage": "slippage_bps",
        "inventory": "inventory_bps"}  # fmt: skip
_RATIOS = ("maker_share_pct", "maker_taker_ratio", "cancel_ratio", "risk_ratio", "adverse_bps", "coverage_pct")
HOUR_COLUMNS = (
    "hour", "start_ns", "end_ns", "symbol", "pnl_currency", "runs", "seconds", "net_bps", "gross_bps", "fees_eff_bps",
    "slippage_bps", "inventory_bps", "net_pnl_quote", "realised_pnl_quote", "unrealised_pnl_quote", "fills",
    "notional_quote", *_RATIOS,
)  # fmt: skip
"""What a row holds. Percentiles and drawdown are not there: they do not add up over runs."""


@dataclass(frozen=True)
class Hourly:
    """`rows` as HOUR_COLUMNS, by symbol and hour; `left_out`: run -> why it could not be told."""

    rows: list[dict[str, Any]]
    left_out: dict[str, str]


@dataclass
class _Sums:
    """One hour of one symbol. `units` and the numerators of `ratios` are None once a run's part is unknown."""

    runs: set[str] = field(default_factory=set)
    ns: int = 0
    fills: int = 0
    notional: int = 0
    units: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(_UNITS, 0))
    ratios: dict[str, tuple[int | None, int]] = field(default_factory=lambda: dict.fromkeys(_RATIOS, (0, 0)))

    def row(self) -> dict[str, Any]:
        found: dict[str, Any] = {"runs": len(self.runs), "seconds": self.ns / 1e9}
        if not self.runs:
            return found | dict.fromkeys(HOUR_COLUMNS[HOUR_COLUMNS.index("net_bps") :])
        for name, bps in _BPS.items():
            units = self.units[name]
            found[bps] = 10_000 * units / self.notional if units is not None and self.notional else None
        for name in ("net", "realised", "unrealised"):
            units = self.units[name]
            found[f"{name}_pnl_quote"] = None if units is None else units / UNITS_PER_QUOTE
        found |= {"fills": self.fills, "notional_quote": self.notional / UNITS_PER_QUOTE}
        for name, (numerator, denominator) in self.ratios.items():
            found[name] = numerator / denominator if numerator is not None and denominator else None
        return found


def hourly(wh: Warehouse, from_ns: int, to_ns: int, symbol: str | None = None) -> Hourly:
    """Lane 0 of every run with market time in [from_ns, to_ns), cut at each full hour UTC.

    Each symbol (and PnL currency) has a row for every hour; runs 0 and nulls where there is no data. Runs over the
    same hours are added up, be it the same market replayed twice: `runs` says how many, `seconds` their time in it.
    What is unknown in one run is null in the hour.

    Raises:
        InputError: the span is empty or has more than MOST_WINDOWS hours.
        VerificationError: a run's numbers contradict themselves.
    """
    edges = tuple(_edges(from_ns, to_ns))
    sums: dict[tuple[str, str], dict[int, _Sums]] = {}
    left_out: dict[str, str] = {}
    for run_id, run_symbol in _runs(wh, from_ns, to_ns, symbol):
        try:
            run = build(wh, run_id, edges_ns=edges).run
        except JournalError as error:
            left_out[run_id] = str(error)
            continue
        require_sound(wh, run_id, edges_ns=edges)
        hours = sums.setdefault((run_symbol, run.instrument.pnl_currency), {})
        _add_run(wh, run_id, hours, from_ns, to_ns)
    rows = [
        {
            "hour": datetime.fromtimestamp(start // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "start_ns": start,
            "end_ns": end,
            "symbol": name,
            "pnl_currency": currency,
        }
        | hours.get(start // HOUR_NS, _Sums()).row()
        for (name, currency), hours in sorted((sums or {(symbol or "", ""): {}}).items())
        for start, end in pairwise(edges)
    ]
    return Hourly(rows, left_out)


def recorded_span(wh: Warehouse) -> tuple[int, int]:
    """First and last market time of any record, ns; the second is exclusive.

    Raises:
        InputError: there are none.
    """
    [(first, last)] = wh.execute("SELECT min(ts_ns), max(ts_ns) FROM raw_record")
    if first is None:
        raise InputError("the warehouse holds no records", where=str(wh.path), remedy="ingest a journal first")
    return first, last + 1


def _edges(from_ns: int, to_ns: int) -> Iterator[int]:
    if from_ns >= to_ns:
        raise InputError("the span is empty", where="hourly", remedy="give a --from that lies before --to")
    if (to_ns - from_ns) // HOUR_NS >= MOST_WINDOWS:
        raise InputError(f"the span has more than {MOST_WINDOWS} hours", where="hourly", remedy="ask for less")
    yield from_ns
    yield from range((from_ns // HOUR_NS + 1) * HOUR_NS, to_ns, HOUR_NS)
    yield to_ns


def _runs(wh: Warehouse, from_ns: int, to_ns: int, symbol: str | None) -> list[tuple[str, str]]:
    rows = wh.execute(
        "SELECT run_id, min(symbol) FROM raw_record GROUP BY run_id "
        "HAVING max(ts_ns) >= ? AND min(ts_ns) < ? AND coalesce(min(symbol) = ?, TRUE) ORDER BY run_id",
        [from_ns, to_ns, symbol],
    )
    return [(str(run_id), str(run_symbol)) for run_id, run_symbol in rows]


def _add_run(wh: Warehouse, run_id: str, hours: dict[int, _Sums], from_ns: int, to_ns: int) -> None:
    """Add what the session's tables say of lane 0, window by window."""
    inside = "c.grain = 'window' AND c.lane = 0 AND c.start_ns >= ? AND c.end_ns <= ?"
    rows = wh.execute(
        "SELECT c.start_ns, c.end_ns - c.start_ns, s.fills, s.notional, s.components_known, s.net, s.gross, "
        "s.slippage, s.fees, s.inventory, s.realised + s.fees + s.funding, s.unrealised "
        f"FROM attr_slice AS s JOIN core_slice AS c ON c.slice_id = s.slice_id WHERE {inside}",
        [from_ns, to_ns],
    )
    for start_ns, ns, fills, notional, components_known, *units in rows:
        hour = hours.setdefault(start_ns // HOUR_NS, _Sums())
        hour.runs.add(run_id)
        hour.ns += ns
        hour.fills += fills
        hour.notional += notional
        for name, value in zip(_UNITS, units, strict=True):
            before = hour.units[name]
            unknown = before is None or value is None or (name in _SPLIT and not components_known)
            hour.units[name] = None if unknown else before + value
    for table in sorted(name for name in queries() if name.startswith("kpi_") and name != "kpi_block_ratios"):
        rows = wh.execute(
            f"SELECT c.start_ns, k.metric, k.numerator, k.denominator FROM {table} AS k "
            f"JOIN core_slice AS c ON c.slice_id = k.slice_id WHERE {inside}",
            [from_ns, to_ns],
        )
        for start_ns, metric, numerator, denominator in rows:
            if metric in _RATIOS and denominator:
                ratios = hours[start_ns // HOUR_NS].ratios
                known, total = ratios[metric]
                unknown = known is None or numerator is None
                ratios[metric] = (None if unknown else known + numerator, total + denominator)
