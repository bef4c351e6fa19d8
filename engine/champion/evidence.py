"""Paired windows of two parameter sets over every run in the warehouse: what nights add up to.

A run gives pairs where one of its lanes ran the champion's set (lane 0, or the frozen control) and one the
challenger's. What set a lane ran is read from run_start and the `params` records behind it, so a lane 0 that was tuned
on the way counts only up to its first change. A pair is left out, and counted, where

    changed     a lane ran another set in the window, or changed inside it
    other_length   the window is not of the length asked for (a short last one, another profile)
    not_fresh   it began before the market time from which windows are fresh
    repeated    the same stretch of the same market was counted before (a tape that was soaked twice)
    unsound     its run's numbers contradict each other

Ids are unique across nights: run number * 100,000 + window, runs in the order in which they began.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from engine.champion.change import params_sha256
from engine.errors import NightsoakError, VerificationError
from engine.instrument import UNITS_PER_QUOTE
from engine.params import Params
from engine.soak import WINDOW_SECONDS
from engine.tuning.judge import Judgement
from engine.tuning.pairing import WindowSeries, window_series
from engine.warehouse.build import build
from engine.warehouse.db import Warehouse
from engine.warehouse.quality import require_sound
from engine.warehouse.scope import MOST_WINDOWS

LEFT_OUT = ("changed", "other_length", "not_fresh", "repeated", "unsound")
_STAMP = re.compile(r"(\d{8}T\d{6})-")
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


@dataclass(frozen=True)
class LaneHistory:
    """`sets`: (time of effect in ns, digest of the set), in order; the first holds from the run's start."""

    lane: int
    role: str
    sets: tuple[tuple[int, str], ...]

    def ran(self, sha256: str, start_ns: int, end_ns: int) -> bool:
        """Whether the lane ran that set, and no other, all through the window."""
        in_force = [digest for at_ns, digest in self.sets if at_ns <= start_ns][-1:]
        inside = [digest for at_ns, digest in self.sets if start_ns < at_ns < end_ns]
        return {*in_force, *inside} == {sha256}


@dataclass(frozen=True)
class RunFacts:
    """`begun_ns`: when the run was started by the wall clock where its id says so, else by the market's."""

    run_id: str
    mode: str
    start_ns: int
    begun_ns: int
    lanes: tuple[LaneHistory, ...]


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
    left_out = dict.fromkeys(LEFT_OUT, 0)
    runs: list[RunWindows] = []
    ids: list[int] = []
    values: list[tuple[tuple[float, float], ...]] = []
    seen: set[tuple[Any, ...]] = set()
    for number, run in enumerate(run_facts(wh, symbol)):
        lanes = [lane for digest, roles in wanted if (lane := _lane(run, digest, roles)) is not None]
        if len(lanes) < len(wanted) or (run.mode == REPLAY and not _after(run, since_utc, run.start_ns)):
            continue
        rows = _rows(wh, run.run_id, lanes)
        if rows is None:
            left_out["unsound"] += 1
            continue
        first_id, before = number * MOST_WINDOWS, len(ids)
        for row in rows:
            if not _after(run, since_utc, row.start_ns):
                continue
            reason = ""
            if not all(
                lane.ran(digest, row.start_ns, row.end_ns) for lane, (digest, _) in zip(lanes, wanted, strict=True)
            ):
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
            values.append(row.values)
        runs.append(RunWindows(run.run_id, first_id, len(ids) - before, tuple(lane.lane for lane in lanes)))
    series = [
        window_series(ids, [row[at][0] for row in values], [row[at][1] for row in values], name=digest[:8])
        for at, (digest, _) in enumerate(wanted)
    ]
    return series, tuple(runs), left_out


def run_facts(wh: Warehouse, symbol: str) -> list[RunFacts]:
    """The symbol's runs in the order in which they began."""
    starts: dict[str, tuple[Any, ...]] = {}
    for run_id, mode, ts_ns, lanes in wh.execute(
        "SELECT run_id, mode, ts_ns, lanes FROM raw_record WHERE type = 'run_start' AND symbol = ? ORDER BY seq",
        [symbol],
    ):
        starts.setdefault(run_id, (mode or "", int(ts_ns), json.loads(lanes or "[]")))
    changes: dict[tuple[str, int], list[tuple[int, str]]] = {}
    for run_id, lane, at_ns, params in wh.execute(
        "SELECT run_id, lane, coalesce(effective_ts_ns, ts_ns), params FROM raw_record "
        "WHERE type = 'params' AND symbol = ? ORDER BY run_id, ts_ns, seq",
        [symbol],
    ):
        changes.setdefault((run_id, lane), []).append((int(at_ns), _digest(json.loads(params))))
    facts = []
    for run_id, (mode, start_ns, lanes) in starts.items():
        histories = tuple(
            LaneHistory(
                lane["lane"],
                lane["role"],
                ((start_ns, _digest(lane.get("params") or {})), *changes.get((run_id, lane["lane"]), ())),
            )
            for lane in lanes
        )
        facts.append(RunFacts(run_id, mode, start_ns, _begun_ns(run_id, start_ns), histories))
    return sorted(facts, key=lambda run: (run.begun_ns, run.run_id))


def _lane(run: RunFacts, sha256: str, roles: Sequence[str]) -> LaneHistory | None:
    """The lane of that role that ran the set: the one with the fewest changes, the lowest number among equals."""
    fitting = [lane for lane in run.lanes if lane.role in roles and any(digest == sha256 for _, digest in lane.sets)]
    return min(fitting, key=lambda lane: (len(lane.sets), lane.lane), default=None)


def _after(run: RunFacts, since_utc: str, start_ns: int) -> bool:
    """Whether a window came after that moment: of a replay, when the run was begun; of all else, by the market."""
    if not since_utc:
        return True
    since_ns = int(datetime.fromisoformat(since_utc).timestamp()) * _NS_PER_S  # run ids count whole seconds
    return (run.begun_ns if run.mode == REPLAY else start_ns) >= since_ns


@dataclass(frozen=True)
class _Row:
    """`market` is the same for the same stretch of the same market; `values`: (net, notional) per lane."""

    window: int
    start_ns: int
    end_ns: int
    market: tuple[Any, ...]
    values: tuple[tuple[float, float], ...]


def _rows(wh: Warehouse, run_id: str, lanes: Sequence[LaneHistory]) -> list[_Row] | None:
    """The run's windows in order; None where its numbers contradict each other."""
    build(wh, run_id)
    try:
        require_sound(wh, run_id)
    except VerificationError:
        return None
    found: dict[int, dict[int, tuple[Any, ...]]] = {}
    for lane, window, *rest in wh.execute(
        "SELECT c.lane, c.first_window, c.start_ns, c.end_ns, a.mid, b.mid, s.net, s.notional FROM core_slice AS c "
        "JOIN attr_slice AS s ON s.slice_id = c.slice_id "
        "LEFT JOIN core_edge AS a ON a.window_id = c.first_window - 1 "
        "LEFT JOIN core_edge AS b ON b.window_id = c.last_window WHERE c.grain = 'window'"
    ):
        found.setdefault(window, {})[lane] = tuple(rest)
    rows = []
    for window, by_lane in sorted(found.items()):
        mine = [by_lane[lane.lane] for lane in lanes]
        start_ns, end_ns = mine[0][:2]
        rows.append(_Row(window, start_ns, end_ns, mine[0][:4], tuple((_quote(m[4]), _quote(m[5])) for m in mine)))
    return rows


def _quote(units: int | None) -> float:
    return math.nan if units is None else int(units) / UNITS_PER_QUOTE


def _digest(params: dict[str, Any]) -> str:
    """The digest of a journalled set; what it leaves out has its initial value. Another bot's own words have none."""
    try:
        return params_sha256(Params().with_changes(params))
    except (NightsoakError, TypeError):
        return ""


def _begun_ns(run_id: str, start_ns: int) -> int:
    match = _STAMP.match(run_id)
    if match is None:
        return start_ns
    try:
        begun = datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return start_ns
    return int(begun.timestamp()) * _NS_PER_S
