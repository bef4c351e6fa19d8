"""Hour by hour over any span of market time, summed over the runs in it: a sum over a sum, in integers.

No market time counts twice: of runs of a symbol that overlap within an hour the one with more time in it counts, of
equals the one that was read last, and the others are named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from engine.errors import InputError, JournalError, did_you_mean
from engine.instrument import UNITS_PER_QUOTE
from engine.warehouse.build import build, queries
from engine.warehouse.db import Warehouse
from engine.warehouse.quality import require_sound
from engine.warehouse.runs import run_ids
from engine.warehouse.scope import MOST_WINDOWS

HOUR_NS = 3600 * 10**9
_SLIVER_NS = 10**6
"""A run begins and ends some us beside the full hour: nearer than this to an end of it, an edge cuts nothing off."""
_UNITS = ("net", "gross", "slippage", "fees", "inventory", "realised", "unrealised")
_SPLIT = ("gross", "slippage", "inventory")
_BPS = {"net": "net_bps", "gross": "gross_bps", "fees": "fees_eff_bps", "slippage": "slippage_bps",
        "inventory": "inventory_bps"}  # fmt: skip
_RATIOS = ("maker_share_pct", "maker_taker_ratio", "cancel_ratio", "risk_ratio", "adverse_bps", "coverage_pct")
HOUR_COLUMNS = (
    "hour", "start_ns", "end_ns", "symbol", "pnl_currency", "runs", "run_ids", "seconds", "net_bps",
    "gross_bps", "fees_eff_bps", "slippage_bps", "inventory_bps", "net_pnl_quote", "realised_pnl_quote",
    "unrealised_pnl_quote", "fills", "notional_quote", *_RATIOS,
)  # fmt: skip
"""What a row holds. Percentiles and drawdown are not there: they do not add up over runs."""


@dataclass(frozen=True)
class Hourly:
    """`rows` as HOUR_COLUMNS, by symbol and hour; `left_out`: run -> why it, or some hours of it, do not count."""

    rows: list[dict[str, Any]]
    left_out: dict[str, str]


@dataclass
class _Sums:
    """What runs add to one hour of a symbol. `units` and the numerators of `ratios` are None once a run's part is
    unknown."""

    runs: tuple[str, ...] = ()
    ns: int = 0
    fills: int = 0
    notional: int = 0
    units: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(_UNITS, 0))
    ratios: dict[str, tuple[int | None, int]] = field(default_factory=lambda: dict.fromkeys(_RATIOS, (0, 0)))

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(
            tuple(sorted({*self.runs, *other.runs})),
            self.ns + other.ns,
            self.fills + other.fills,
            self.notional + other.notional,
            {name: _plus(self.units[name], other.units[name]) for name in _UNITS},
            {
                name: (_plus(a, other.ratios[name][0]), b + other.ratios[name][1])
                for name, (a, b) in self.ratios.items()
            },
        )

    def row(self) -> dict[str, Any]:
        found: dict[str, Any] = {"runs": len(self.runs), "run_ids": " ".join(self.runs), "seconds": self.ns / 1e9}
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


@dataclass(frozen=True)
class _Part:
    """A run's time within one hour; `place`: when its run was read, later ones higher."""

    start_ns: int
    end_ns: int
    place: int
    run_id: str
    sums: _Sums


def hourly(wh: Warehouse, from_ns: int, to_ns: int, symbol: str | None = None) -> Hourly:
    """Lane 0 of the runs with market time in [from_ns, to_ns), cut at each full hour UTC.

    Each symbol (and PnL currency) has a row for every hour; runs 0 and nulls where there is no data. Runs one after
    the other within an hour are added up, `seconds` is their time in it; for those that overlap see the module's text.
    What is unknown in one run is null in the hour.

    Raises:
        InputError: the span is empty or has more than MOST_WINDOWS hours; nobody traded the symbol.
        VerificationError: a run's numbers contradict themselves.
    """
    edges = tuple(_edges(from_ns, to_ns))
    hours: dict[tuple[str, str], dict[int, list[_Part]]] = {}
    left_out: dict[str, str] = {}
    places = {run_id: place for place, run_id in enumerate(run_ids(wh))}
    for run_id, run_symbol, first_ns, last_ns in _runs(wh, from_ns, to_ns, symbol):
        cuts = tuple(edge for edge in edges if min(abs(edge - first_ns), abs(edge - last_ns)) > _SLIVER_NS)
        try:
            run = build(wh, run_id, edges_ns=cuts).run
        except JournalError as error:
            left_out[run_id] = str(error)
            continue
        require_sound(wh, run_id, edges_ns=cuts)
        parts = hours.setdefault((run_symbol, run.instrument.pnl_currency), {})
        for part in _parts(wh, run_id, places[run_id], from_ns, to_ns):
            parts.setdefault((part.start_ns + part.end_ns) // 2 // HOUR_NS, []).append(part)
    rows: list[dict[str, Any]] = []
    passed_over: dict[str, list[str]] = {}
    for (name, currency), parts in sorted((hours or {(symbol or "", ""): {}}).items()):
        counted = {hour: _without_overlap(those, passed_over) for hour, those in parts.items()}
        rows += [
            {
                "hour": datetime.fromtimestamp((start + _SLIVER_NS) // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "start_ns": start,
                "end_ns": end,
                "symbol": name,
                "pnl_currency": currency,
            }
            | counted.get((start + end) // 2 // HOUR_NS, _Sums()).row()
            for start, end in pairwise(edges)
        ]
    for run_id, others in sorted(passed_over.items()):
        hours_of = f"{len(others)} hour{'s' if len(others) > 1 else ''} of it"
        left_out[run_id] = f"{hours_of}: the same market time is counted in {', '.join(sorted(set(others)))}"
    return Hourly(rows, left_out)


def _without_overlap(parts: list[_Part], passed_over: dict[str, list[str]]) -> _Sums:
    """The sum of those that share no time, the longest first, of equals the latest read."""
    taken: list[_Part] = []
    for part in sorted(parts, key=lambda one: (one.start_ns - one.end_ns, -one.place)):
        rival = next((one for one in taken if one.start_ns < part.end_ns and part.start_ns < one.end_ns), None)
        if rival is None:
            taken.append(part)
        else:
            passed_over.setdefault(part.run_id, []).append(rival.run_id)
    return sum((part.sums for part in taken), _Sums())


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
    inner = range((from_ns // HOUR_NS + 1) * HOUR_NS, to_ns, HOUR_NS)
    yield from_ns
    yield from (edge for edge in inner if min(edge - from_ns, to_ns - edge) > _SLIVER_NS)
    yield to_ns


def _runs(wh: Warehouse, from_ns: int, to_ns: int, symbol: str | None) -> list[tuple[str, str, int, int]]:
    """(run, symbol, first and last time) of those with more than a sliver in the span."""
    found = wh.execute("SELECT run_id, min(symbol), min(ts_ns), max(ts_ns) FROM raw_record GROUP BY run_id ORDER BY 1")
    known = sorted({str(row[1]) for row in found})
    if symbol is not None and symbol not in known:
        raise InputError(f"no run of {symbol!r}", where="--symbol", remedy=did_you_mean(symbol, known))
    return [
        (str(run_id), str(name), first, last)
        for run_id, name, first, last in found
        if symbol in (None, name)
        and (first >= from_ns or last - from_ns > _SLIVER_NS)
        and (last < to_ns or to_ns - first > _SLIVER_NS)
        and first < to_ns
        and last >= from_ns
    ]


def _parts(wh: Warehouse, run_id: str, place: int, from_ns: int, to_ns: int) -> list[_Part]:
    """What the session's tables say of lane 0, window by window."""
    inside = "c.grain = 'window' AND c.lane = 0 AND c.start_ns >= ? AND c.end_ns <= ?"
    span = [from_ns - _SLIVER_NS, to_ns + _SLIVER_NS]
    rows = wh.execute(
        "SELECT c.start_ns, c.end_ns, s.fills, s.notional, s.components_known, s.net, s.gross, "
        "s.slippage, s.fees, s.inventory, s.realised + s.fees + s.funding, s.unrealised "
        f"FROM attr_slice AS s JOIN core_slice AS c ON c.slice_id = s.slice_id WHERE {inside}",
        span,
    )
    found = {}
    for start_ns, end_ns, fills, notional, components_known, *values in rows:
        units = {
            name: None if name in _SPLIT and not components_known else value
            for name, value in zip(_UNITS, values, strict=True)
        }
        sums = _Sums((run_id,), end_ns - start_ns, fills, notional, units)
        found[start_ns] = _Part(start_ns, end_ns, place, run_id, sums)
    for table in sorted(name for name in queries() if name.startswith("kpi_") and name != "kpi_block_ratios"):
        rows = wh.execute(
            f"SELECT c.start_ns, k.metric, k.numerator, k.denominator FROM {table} AS k "
            f"JOIN core_slice AS c ON c.slice_id = k.slice_id WHERE {inside}",
            span,
        )
        for start_ns, metric, numerator, denominator in rows:
            if metric in _RATIOS and denominator:
                found[start_ns].sums.ratios[metric] = (numerator, denominator)
    return list(found.values())


def _plus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
