"""The rows that evidence is made of, and what of a market was seen; engine.champion.evidence has the rules."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

from engine.champion.market import GENERATED, MARKET_COLUMNS, RECORDED, Market
from engine.instrument import UNITS_PER_QUOTE
from engine.warehouse.db import Warehouse


@dataclass(frozen=True)
class Window:
    """A row of evidence_window; PnL and notional in the PnL currency, `mid` that of the window's end, NaN where
    unknown. `cut`: the same for the same cut of the same generated market."""

    role: str
    window: int
    start_ns: int
    end_ns: int
    digest: str | None
    pnl: float
    notional: float
    mid: float
    cut: tuple[Any, ...]


@dataclass(frozen=True)
class Run:
    """A row of evidence_run with its lanes' windows."""

    run_id: str
    mode: str
    begun_ns: int
    sound: bool
    market: str
    tape_digest: str
    lanes: dict[int, list[Window]] = field(default_factory=dict)

    @property
    def rows(self) -> list[Window]:
        """The windows of one lane: the market is the same in all."""
        return next(iter(self.lanes.values()), [])


class Seen:
    """What was counted. `searched`: cuts of the tapes that the search saw."""

    def __init__(self, searched: set[tuple[Any, ...]]) -> None:
        self.searched = searched
        self._cuts: set[tuple[Any, ...]] = set()
        self._spans: list[tuple[int, int]] = []  # in order

    def is_new(self, run: Run, row: Window) -> bool:
        if run.market != RECORDED and row.cut in self._cuts:
            return False
        return run.market == GENERATED or not self._overlaps(row)

    def add(self, row: Window) -> None:
        self._cuts.add(row.cut)
        insort(self._spans, (row.start_ns, row.end_ns))

    def _overlaps(self, row: Window) -> bool:
        at = bisect_left(self._spans, (row.start_ns, row.end_ns))
        before, after = self._spans[max(0, at - 1) : at], self._spans[at : at + 1]
        return any(end_ns > row.start_ns for _, end_ns in before) or any(start < row.end_ns for start, _ in after)


def runs_of(wh: Warehouse, symbol: str, market: Market) -> list[Run]:
    """The market's runs in the order in which they began."""
    found = {
        row[0]: Run(*row)
        for row in wh.execute(
            "SELECT run_id, mode, begun_ns, sound, market, tape_digest FROM evidence_run "
            f"WHERE symbol = ? AND ({MARKET_COLUMNS}) = (?, ?, ?, ?, ?) AND unusable IS NULL ORDER BY begun_ns, run_id",
            [symbol, *astuple(market)],
        )
    }
    for run_id, lane, role, window, start_ns, end_ns, digest, net, notional, mid_start, mid_end in wh.execute(
        'SELECT run_id, lane, role, "window", start_ns, end_ns, params_sha256, net_units, notional_units, mid_start, '
        'mid_end FROM evidence_window WHERE symbol = ? ORDER BY run_id, lane, "window"',
        [symbol],
    ):
        if run_id not in found:
            continue
        mid = math.nan if mid_end is None else float(mid_end)
        cut = (start_ns, end_ns, mid_start, mid_end)
        row = Window(role, window, start_ns, end_ns, digest, _money(net), _money(notional), mid, cut)
        found[run_id].lanes.setdefault(lane, []).append(row)
    return list(found.values())


def lane_of(lanes: dict[int, list[Window]], digest: str, roles: Sequence[str]) -> int | None:
    """The lane of that role that ran the set in most windows, the lowest number among equals."""
    counts = {lane: sum(row.digest == digest for row in rows if row.role in roles) for lane, rows in lanes.items()}
    best = min(counts, key=lambda lane: (-counts[lane], lane), default=None)
    return best if best is not None and counts[best] else None


def _money(units: int | None) -> float:
    return math.nan if units is None else int(units) / UNITS_PER_QUOTE
