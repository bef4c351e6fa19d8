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
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

import numpy as np
from numpy.typing import NDArray

from engine.champion.evidence_rows import Run, Seen, Window, lane_of, runs_of
from engine.champion.market import GENERATED, MARKET_COLUMNS, Market
from engine.champion.windows import gather_windows
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
    """What one run gave: usable pairs, the id of its first window, which lanes they are of, and what was left out."""

    run_id: str
    first_id: int
    pairs: int
    lanes: tuple[int, ...]
    left_out: dict[str, int]


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
        f"SELECT {MARKET_COLUMNS} FROM evidence_run WHERE symbol = ? AND run_id IN (SELECT run_id FROM evidence_window "
        "WHERE symbol = ? AND params_sha256 = ? AND role IN (SELECT unnest(?))) "
        "ORDER BY begun_ns DESC, run_id DESC LIMIT 1",
        [symbol, symbol, champion, list(CHAMPION_ROLES)],
    )
    return Market(*found[0]) if found else None


def market_of(wh: Warehouse, symbol: str, run_id: str) -> Market | None:
    """The market of a run; None where it is not known or cannot be read as a run."""
    gather_windows(wh, symbol)
    found = wh.execute(
        f"SELECT {MARKET_COLUMNS} FROM evidence_run WHERE symbol = ? AND run_id = ? AND unusable IS NULL",
        [symbol, run_id],
    )
    return Market(*found[0]) if found else None


@dataclass(frozen=True)
class _Asked:
    window_seconds: int
    fresh_after_ns: int | None = None
    seen_tapes: frozenset[str] = frozenset()
    since_ns: int = -_EVER
    until_ns: int = _EVER

    def reach(self, run: Run, row: Window) -> bool:
        """Whether it ran in the time that is asked for."""
        return self.since_ns <= (run.begun_ns if run.mode == REPLAY else row.start_ns) < self.until_ns

    def is_fresh(self, run: Run, row: Window, seen: Seen) -> bool:
        if run.tape_digest in self.seen_tapes:
            return False
        if run.market == GENERATED and self.seen_tapes:  # all tapes begin at one time: it says nothing
            return bool(run.tape_digest) and row.cut not in seen.searched
        return self.fresh_after_ns is None or row.start_ns >= self.fresh_after_ns


def _gather(
    wh: Warehouse, symbol: str, wanted: Sequence[tuple[str, Sequence[str]]], asked: _Asked, market: Market | None
) -> Paired:
    """One series per wanted (digest, roles), over the same windows."""
    market = market or last_market(wh, symbol, wanted[0][0])
    gather_windows(wh, symbol)
    found = [] if market is None else runs_of(wh, symbol, market)
    seen = Seen({row.cut for run in found if run.tape_digest in asked.seen_tapes for row in run.rows})
    runs: list[RunWindows] = []
    ids: list[int] = []
    values: list[list[Window]] = []
    for number, run in enumerate(found):
        chosen = [lane for digest, roles in wanted if (lane := lane_of(run.lanes, digest, roles)) is not None]
        if len(chosen) < len(wanted):
            continue
        first_id, before, without = number * MOST_WINDOWS, len(ids), dict.fromkeys(LEFT_OUT, 0)
        for rows in zip(*(run.lanes[lane] for lane in chosen), strict=True):
            row = rows[0]
            reason = ""
            if not run.sound:
                reason = "unsound"
            elif any(other.digest != digest for other, (digest, _) in zip(rows, wanted, strict=True)):
                reason = "changed"
            elif row.end_ns - row.start_ns != asked.window_seconds * _NS_PER_S:
                reason = "other_length"
            elif not asked.is_fresh(run, row, seen):
                reason = "not_fresh"
            elif not seen.is_new(run, row):
                reason = "repeated"
            else:
                seen.add(row)
            if not asked.reach(run, row):
                continue
            if reason:
                without[reason] += 1
                continue
            ids.append(first_id + row.window)
            values.append(list(rows))
        runs.append(RunWindows(run.run_id, first_id, len(ids) - before, tuple(chosen), without))
    series = [
        window_series(ids, [row[at].pnl for row in values], [row[at].notional for row in values], name=digest[:8])
        for at, (digest, _) in enumerate(wanted)
    ]
    inverse = market is not None and market.is_inverse
    rate = np.array([row[0].mid if inverse else 1.0 for row in values], np.float64)
    left_out = {reason: sum(run.left_out[reason] for run in runs) for reason in LEFT_OUT}
    return Paired(series[0], series[-1], tuple(runs), left_out, market, rate)


def _since_ns(since_utc: str) -> int:
    """In whole seconds, which is what run ids count in; far back for an empty text."""
    return int(datetime.fromisoformat(since_utc).timestamp()) * _NS_PER_S if since_utc else -_EVER
