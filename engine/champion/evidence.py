"""Paired windows of two parameter sets over every run of one market: what nights add up to.

A run gives pairs where one of its lanes ran the champion's set (lane 0, or the frozen control) and one the
challenger's (engine/champion/windows.py): a lane 0 that was tuned on the way counts only while it ran it. Only runs on
one market with one profile count together (engine/champion/market.py). A pair is left out, and counted, where

    changed     a lane ran another set in the window, or changed inside it
    other_length   the window is not of the length asked for (a short last one, another profile)
    not_fresh   the search had seen it: it began before the market time from which windows are fresh; of a generated
                market, it is of a tape that the search saw
    repeated    the same market was counted before, or had run before the moment asked for. Of a venue's market: the
                window overlaps another in time, since a live night and the replay of its tape are cut differently. Of
                a generated one, where every tape begins at the same time: same edges and same mids. Of an endpoint or
                of an unknown market: either of the two
    unsound     its run's numbers contradict each other

Ids are unique across nights: run number * 100,000 + window, runs in the order in which they began.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.champion.market import GENERATED, RECORDED, Market
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
_EVER = 1 << 63


@dataclass(frozen=True)
class RunWindows:
    """What one run gave: usable pairs, the id of its first window, and which lanes they are of."""

    run_id: str
    first_id: int
    pairs: int
    lanes: tuple[int, ...]


@dataclass(frozen=True)
class Paired:
    """Both series have the same ids; `left_out` counts by LEFT_OUT's reasons. `market`: the one they are of, None where
    the champion has run on none. `quote_per_pnl`: per window, what PnL and notional are multiplied by to be in quote
    currency: 1, or the mid where the contract is inverse."""

    champion: WindowSeries
    challenger: WindowSeries
    runs: tuple[RunWindows, ...]
    left_out: dict[str, int]
    market: Market | None
    quote_per_pnl: NDArray[np.float64]

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

    def places(self) -> list[tuple[str, int, int]]:
        """(run id, the second set's lane, window) of every window."""
        found, ids = [], self.challenger.window
        for run in self.runs:
            inside = ids[(ids >= run.first_id) & (ids < run.first_id + MOST_WINDOWS)]
            found += [(run.run_id, run.lanes[-1], int(window) - run.first_id) for window in inside]
        return found

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
    seen_tapes: Collection[str] = (),
    since_utc: str = "",
    until_utc: str = "",
    market: Market | None = None,
) -> Paired:
    """The windows in which the two sets ran side by side.

    Args:
        champion, challenger: `params_sha256` of the sets.
        fresh_after_ns: market time before which windows were seen by the search.
        seen_tapes: digests of the tapes that the search saw.
        since_utc: only what ran after this moment: replays begun since, live windows since.
        until_utc: only what ran before this one, which is counted likewise; no end by default.
        market: by default the one that the champion ran on last.

    Raises:
        JournalError: a run's records cannot be told in lots.
    """
    wanted = ((champion, CHAMPION_ROLES), (challenger, CHALLENGER_ROLES))
    until_ns = _since_ns(until_utc) if until_utc else _EVER
    asked = _Asked(window_seconds, fresh_after_ns, frozenset(seen_tapes), _since_ns(since_utc), until_ns)
    return _gather(wh, symbol, wanted, asked, market)


def champion_windows(
    wh: Warehouse,
    symbol: str,
    champion: str,
    *,
    window_seconds: int = WINDOW_SECONDS,
    since_utc: str = "",
    market: Market | None = None,
) -> Paired:
    """The champion's own windows, whatever ran beside it: both series of the result are its own."""
    asked = _Asked(window_seconds, since_ns=_since_ns(since_utc))
    return _gather(wh, symbol, ((champion, CHAMPION_ROLES),), asked, market)


def last_market(wh: Warehouse, symbol: str, champion: str) -> Market | None:
    """The market of the last run that ran the champion's set in its champion's or control lane; None without one."""
    gather_windows(wh, symbol)
    found = wh.execute(
        f"SELECT {_MARKET} FROM evidence_run WHERE symbol = ? AND run_id IN (SELECT run_id FROM evidence_window "
        "WHERE symbol = ? AND params_sha256 = ? AND role IN (SELECT unnest(?))) "
        "ORDER BY begun_ns DESC, run_id DESC LIMIT 1",
        [symbol, symbol, champion, list(CHAMPION_ROLES)],
    )
    return Market(*found[0]) if found else None


def market_of(wh: Warehouse, symbol: str, run_id: str) -> Market | None:
    """The market of a run; None where it is not known or cannot be read as a run."""
    gather_windows(wh, symbol)
    found = wh.execute(
        f"SELECT {_MARKET} FROM evidence_run WHERE symbol = ? AND run_id = ? AND unusable IS NULL", [symbol, run_id]
    )
    return Market(*found[0]) if found else None


_MARKET = "market, venue, grid, generator, profile"


@dataclass(frozen=True)
class _Asked:
    window_seconds: int
    fresh_after_ns: int | None = None
    seen_tapes: frozenset[str] = frozenset()
    since_ns: int = -_EVER
    until_ns: int = _EVER


def _gather(
    wh: Warehouse, symbol: str, wanted: Sequence[tuple[str, Sequence[str]]], asked: _Asked, market: Market | None
) -> Paired:
    """One series per wanted (digest, roles), over the same windows."""
    market = market or last_market(wh, symbol, wanted[0][0])
    gather_windows(wh, symbol)
    found = [] if market is None else _runs(wh, symbol, market)
    seen = _Seen({row.cut for run in found if run.tape_digest in asked.seen_tapes for row in run.rows})
    left_out = dict.fromkeys(LEFT_OUT, 0)
    runs: list[RunWindows] = []
    ids: list[int] = []
    values: list[list[_Window]] = []
    for number, run in enumerate(found):
        chosen = [lane for digest, roles in wanted if (lane := _lane(run.lanes, digest, roles)) is not None]
        if len(chosen) < len(wanted):
            continue
        first_id, before = number * MOST_WINDOWS, len(ids)
        for rows in zip(*(run.lanes[lane] for lane in chosen), strict=True):
            row = rows[0]
            inside = asked.since_ns <= (run.begun_ns if run.mode == REPLAY else row.start_ns) < asked.until_ns
            reason = ""
            if not run.sound:
                reason = "unsound"
            elif any(other.digest != digest for other, (digest, _) in zip(rows, wanted, strict=True)):
                reason = "changed"
            elif row.end_ns - row.start_ns != asked.window_seconds * _NS_PER_S:
                reason = "other_length"
            elif not _is_fresh(run, row, asked, seen):
                reason = "not_fresh"
            elif not seen.is_new(run, row):
                reason = "repeated"
            else:
                seen.add(row)
            if not inside:
                continue
            if reason:
                left_out[reason] += 1
                continue
            ids.append(first_id + row.window)
            values.append(list(rows))
        runs.append(RunWindows(run.run_id, first_id, len(ids) - before, tuple(chosen)))
    series = [
        window_series(ids, [row[at].pnl for row in values], [row[at].notional for row in values], name=digest[:8])
        for at, (digest, _) in enumerate(wanted)
    ]
    inverse = market is not None and market.is_inverse
    rate = np.array([row[0].mid if inverse else 1.0 for row in values], np.float64)
    return Paired(series[0], series[-1], tuple(runs), left_out, market, rate)


@dataclass(frozen=True)
class _Window:
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
class _Run:
    """A row of evidence_run with its lanes' windows."""

    run_id: str
    mode: str
    begun_ns: int
    sound: bool
    market: str
    tape_digest: str
    lanes: dict[int, list[_Window]] = field(default_factory=dict)

    @property
    def rows(self) -> list[_Window]:
        """The windows of one lane: the market is the same in all."""
        return next(iter(self.lanes.values()), [])


class _Seen:
    """What was counted. `searched`: cuts of the tapes that the search saw."""

    def __init__(self, searched: set[tuple[Any, ...]]) -> None:
        self.searched = searched
        self._cuts: set[tuple[Any, ...]] = set()
        self._spans: list[tuple[int, int]] = []  # in order

    def is_new(self, run: _Run, row: _Window) -> bool:
        if run.market != RECORDED and row.cut in self._cuts:
            return False
        return run.market == GENERATED or not self._overlaps(row)

    def add(self, row: _Window) -> None:
        self._cuts.add(row.cut)
        insort(self._spans, (row.start_ns, row.end_ns))

    def _overlaps(self, row: _Window) -> bool:
        at = bisect_left(self._spans, (row.start_ns, row.end_ns))
        before, after = self._spans[max(0, at - 1) : at], self._spans[at : at + 1]
        return any(end_ns > row.start_ns for _, end_ns in before) or any(start < row.end_ns for start, _ in after)


def _is_fresh(run: _Run, row: _Window, asked: _Asked, seen: _Seen) -> bool:
    if run.tape_digest in asked.seen_tapes:
        return False
    if run.market == GENERATED and asked.seen_tapes:  # all tapes begin at one time: it says nothing
        return bool(run.tape_digest) and row.cut not in seen.searched
    return asked.fresh_after_ns is None or row.start_ns >= asked.fresh_after_ns


def _runs(wh: Warehouse, symbol: str, market: Market) -> list[_Run]:
    """The market's runs in the order in which they began."""
    found = {
        row[0]: _Run(*row)
        for row in wh.execute(
            "SELECT run_id, mode, begun_ns, sound, market, tape_digest FROM evidence_run "
            f"WHERE symbol = ? AND ({_MARKET}) = (?, ?, ?, ?, ?) AND unusable IS NULL ORDER BY begun_ns, run_id",
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
        row = _Window(role, window, start_ns, end_ns, digest, _money(net), _money(notional), mid, cut)
        found[run_id].lanes.setdefault(lane, []).append(row)
    return list(found.values())


def _lane(lanes: dict[int, list[_Window]], digest: str, roles: Sequence[str]) -> int | None:
    """The lane of that role that ran the set in most windows, the lowest number among equals."""
    counts = {lane: sum(row.digest == digest for row in rows if row.role in roles) for lane, rows in lanes.items()}
    best = min(counts, key=lambda lane: (-counts[lane], lane), default=None)
    return best if best is not None and counts[best] else None


def _since_ns(since_utc: str) -> int:
    """In whole seconds, which is what run ids count in; far back for an empty text."""
    return int(datetime.fromisoformat(since_utc).timestamp()) * _NS_PER_S if since_utc else -_EVER


def _money(units: int | None) -> float:
    return math.nan if units is None else int(units) / UNITS_PER_QUOTE
