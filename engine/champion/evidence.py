"""Paired windows of two parameter sets over every run in the warehouse: what nights add up to.

A run gives pairs where one of its lanes ran the champion's set (lane 0, or the frozen control) and one the
challenger's (engine/champion/windows.py): a lane 0 that was tuned on the way counts only while it ran it. A pair is
left out, and counted, where

    changed     a lane ran another set in the window, or changed inside it
    other_length   the window is not of the length asked for (a short last one, another profile)
    not_fresh   it began before the market time from which windows are fresh
    repeated    the same stretch of the same market was counted before (a tape that was soaked twice)
    unsound     its run's numbers contradict each other

Ids are unique across nights: run number * 100,000 + window, runs in the order in which they began.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from engine.champion.windows import gather_windows
from engine.instrument import UNITS_PER_QUOTE
from engine.soak import WINDOW_SECONDS
from engine.tuning.judge import Judgement
from engine.tuning.pairing import WindowSeries, window_series
from engine.warehouse.db import Warehouse
from engine.warehouse.scope import MOST_WINDOWS

LEFT_OUT = ("changed", "other_length", "not_fresh", "repeated", "unsound")
CHAMPION_ROLES, CHALLENGER_ROLES = ("champion", "control"), ("challenger",)
REPLAY = "replay"
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class RunWindows:
    """What one run gave: usable pairs, the id of its first window, and which lanes they are of."""

    run_id: str
    first_id: int
    pairs: int
    lanes: tuple[int, ...]


@dataclass(frozen=True)
class Paired:
    """Both series have the same ids; `left_out` counts by LEFT_OUT's reasons."""

    champion: WindowSeries
    challenger: WindowSeries
    runs: tuple[RunWindows, ...]
    left_out: dict[str, int]

    @property
    def windows_per_night(self) -> float | None:
        """The median over runs with pairs; None without any."""
        counts = [run.pairs for run in self.runs if run.pairs]
        return float(median(counts)) if counts else None

    def rows(self) -> list[tuple[float, float, float, float]]:
        """(champion's PnL, notional, challenger's PnL, notional) per window, in order of time; NaN where unknown."""
        one, other = self.champion, self.challenger
        columns = (one.pnl_quote, one.notional_quote, other.pnl_quote, other.notional_quote)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def place(self, window_id: int) -> str:
        """The id in words: run and window."""
        run = next((run for run in self.runs if run.first_id == window_id // MOST_WINDOWS * MOST_WINDOWS), None)
        return f"window {window_id % MOST_WINDOWS} of run {run.run_id}" if run else f"window {window_id}"

    def nights_missing(self, judgement: Judgement) -> tuple[int, int] | None:
        """(nights to the next look, nights at most) at so many windows a night; None while none gave any."""
        a_night = self.windows_per_night
        if a_night is None:
            return None
        return math.ceil(judgement.to_next_look / a_night), math.ceil(judgement.at_most_needed / a_night)


def paired_windows(
    wh: Warehouse,
    symbol: str,
    champion: str,
    challenger: str,
    *,
    window_seconds: int = WINDOW_SECONDS,
    fresh_after_ns: int | None = None,
    since_utc: str = "",
) -> Paired:
    """The windows in which the two sets ran side by side.

    Args:
        champion, challenger: `params_sha256` of the sets.
        fresh_after_ns: market time before which windows were seen by the search.
        since_utc: only what ran after this moment: replays begun since, live windows since.

    Raises:
        JournalError: a run's records cannot be told in lots.
    """
    wanted = ((champion, CHAMPION_ROLES), (challenger, CHALLENGER_ROLES))
    (one, other), runs, left_out = _gather(wh, symbol, wanted, window_seconds, fresh_after_ns, since_utc)
    return Paired(one, other, runs, left_out)


def champion_windows(
    wh: Warehouse, symbol: str, champion: str, *, window_seconds: int = WINDOW_SECONDS, since_utc: str = ""
) -> Paired:
    """The champion's own windows, whatever ran beside it: both series of the result are its own."""
    wanted = ((champion, CHAMPION_ROLES),)
    (own,), runs, left_out = _gather(wh, symbol, wanted, window_seconds, None, since_utc)
    return Paired(own, own, runs, left_out)


def _gather(
    wh: Warehouse,
    symbol: str,
    wanted: Sequence[tuple[str, Sequence[str]]],
    window_seconds: int,
    fresh_after_ns: int | None,
    since_utc: str,
) -> tuple[list[WindowSeries], tuple[RunWindows, ...], dict[str, int]]:
    """One series per wanted (digest, roles), over the same windows."""
    gather_windows(wh, symbol)
    since_ns = _since_ns(since_utc)
    left_out = dict.fromkeys(LEFT_OUT, 0)
    runs: list[RunWindows] = []
    ids: list[int] = []
    values: list[list[_Window]] = []
    seen: set[tuple[Any, ...]] = set()
    for number, (run_id, lanes) in enumerate(_runs(wh, symbol)):
        chosen = [lane for digest, roles in wanted if (lane := _lane(lanes, digest, roles)) is not None]
        if len(chosen) < len(wanted):
            continue
        first_id, before = number * MOST_WINDOWS, len(ids)
        for rows in zip(*(lanes[lane] for lane in chosen), strict=True):
            row = rows[0]
            if (row.begun_ns if row.mode == REPLAY else row.start_ns) < since_ns:
                continue
            reason = ""
            if not row.sound:
                reason = "unsound"
            elif any(other.digest != digest for other, (digest, _) in zip(rows, wanted, strict=True)):
                reason = "changed"
            elif row.end_ns - row.start_ns != window_seconds * _NS_PER_S:
                reason = "other_length"
            elif fresh_after_ns is not None and row.start_ns < fresh_after_ns:
                reason = "not_fresh"
            elif row.market in seen:
                reason = "repeated"
            if reason:
                left_out[reason] += 1
                continue
            seen.add(row.market)
            ids.append(first_id + row.window)
            values.append(list(rows))
        runs.append(RunWindows(run_id, first_id, len(ids) - before, tuple(chosen)))
    series = [
        window_series(ids, [row[at].pnl for row in values], [row[at].notional for row in values], name=digest[:8])
        for at, (digest, _) in enumerate(wanted)
    ]
    return series, tuple(runs), left_out


@dataclass(frozen=True)
class _Window:
    """A row of evidence_window; PnL and notional in quote currency, NaN where unknown."""

    mode: str
    begun_ns: int
    role: str
    window: int
    start_ns: int
    end_ns: int
    digest: str | None
    pnl: float
    notional: float
    mids: tuple[Any, Any]
    sound: bool

    @property
    def market(self) -> tuple[Any, ...]:
        """The same for the same stretch of the same market."""
        return self.start_ns, self.end_ns, self.mids


def _runs(wh: Warehouse, symbol: str) -> list[tuple[str, dict[int, list[_Window]]]]:
    """(run, lane -> its windows), runs in the order in which they began."""
    found: dict[str, dict[int, list[_Window]]] = {}
    for run_id, lane, *head, net, notional, mid_start, mid_end, sound in wh.execute(
        'SELECT run_id, lane, mode, begun_ns, role, "window", start_ns, end_ns, params_sha256, net_units, '
        "notional_units, mid_start, mid_end, sound FROM evidence_window WHERE symbol = ? "
        'ORDER BY begun_ns, run_id, lane, "window"',
        [symbol],
    ):
        mode, begun_ns, role, window, start_ns, end_ns, digest = head
        mids = (mid_start, mid_end)
        row = _Window(
            mode, begun_ns, role, window, start_ns, end_ns, digest, _quote(net), _quote(notional), mids, sound
        )
        found.setdefault(run_id, {}).setdefault(lane, []).append(row)
    return list(found.items())


def _lane(lanes: dict[int, list[_Window]], digest: str, roles: Sequence[str]) -> int | None:
    """The lane of that role that ran the set in most windows, the lowest number among equals."""
    counts = {lane: sum(row.digest == digest for row in rows if row.role in roles) for lane, rows in lanes.items()}
    best = min(counts, key=lambda lane: (-counts[lane], lane))
    return best if counts[best] else None


def _since_ns(since_utc: str) -> int:
    """In whole seconds, which is what run ids count in; far back for an empty text."""
    return int(datetime.fromisoformat(since_utc).timestamp()) * _NS_PER_S if since_utc else -(1 << 63)


def _quote(units: int | None) -> float:
    return math.nan if units is None else int(units) / UNITS_PER_QUOTE
