"""The duel: a companion lane against the champion's frozen lane on the same market, window by window and over nights.

Notation: P_w, V_w net PnL and notional of the champion in window w, Q_w those of the companion, N the mean V_w over
the windows used.

    d_w = 1e4 (Q_w - P_w) / N        bps of N; a window without fills counts with the PnL it has

Windows of earlier runs, as the plan brought them, come first; engine.tuning.judge decides on all of them in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.soak import Companion, RunPlan
from engine.tuning.judge import JudgeSettings, judge_challenger
from engine.tuning.pairing import WindowSeries, differences_bps, window_series

_Row = tuple[float | None, float | None, float | None, float | None]


def measure_duels(plan: RunPlan, edge: Mapping[str, Any], settings: JudgeSettings) -> list[dict[str, Any]]:
    """One row per companion, in the order of their lanes.

    Args:
        edge: EDGE_REPORT.json of the run so far.

    Returns:
        [{id, kind, lane, champion_lane, earlier_windows, windows, counted, nights_needed, champion, companion,
        judgement, by_window}]: `windows` are this run's, `counted` those of them that are evidence; the two sides are
        {net_bps, net_pnl_quote, notional_quote, fills}; `judgement` is engine.tuning.judge.Judgement.to_json();
        `by_window` has {window, counted, difference_bps, mean_bps, low_bps, high_bps, to_next_look} per window of
        this run, with what was known after it (null where nothing is yet).
    """
    lanes = {lane["lane"]: lane for lane in edge["lanes"]}
    first = plan.frozen_lane + 1
    return [
        _duel(one, plan, lanes[plan.frozen_lane], lanes[first + i], settings) for i, one in enumerate(plan.companions)
    ]


def _duel(
    one: Companion, plan: RunPlan, champion: Mapping[str, Any], lane: Mapping[str, Any], settings: JudgeSettings
) -> dict[str, Any]:
    of_champion = {window["window"]: window for window in champion["windows"]}
    of_companion = {window["window"]: window for window in lane["windows"]}
    shared = sorted(of_champion.keys() & of_companion.keys())
    tonight = [_row(of_champion[window], of_companion[window]) for window in shared]
    counted = [one.counted is None or window in one.counted for window in shared]
    rows = [*one.earlier, *(row for row, counts in zip(tonight, counted, strict=True) if counts)]
    judgement = judge_challenger(*_series(rows), settings)
    differences = _differences(tonight, rows or tonight)
    by_window = []
    for place, window in enumerate(shared):
        until = judge_challenger(*_series(rows[: len(one.earlier) + sum(counted[: place + 1])]), settings)
        running = until.running
        by_window.append(
            {
                "window": window,
                "counted": counted[place],
                "difference_bps": differences[place],
                "mean_bps": running.mean_bps if running else None,
                "low_bps": running.low_bps if running else None,
                "high_bps": running.high_bps if running else None,
                "to_next_look": until.to_next_look,
            }
        )
    return {
        "id": one.id,
        "kind": one.kind,
        "lane": lane["lane"],
        "champion_lane": champion["lane"],
        "earlier_windows": len(one.earlier),
        "windows": len(tonight),
        "counted": sum(counted),
        "nights_needed": -(-judgement.at_most_needed // max(1, plan.schedule.windows)),
        "champion": _side(champion),
        "companion": _side(lane),
        "judgement": judgement.to_json(),
        "by_window": by_window,
    }


def _row(champion: Mapping[str, Any], companion: Mapping[str, Any]) -> _Row:
    return (
        champion["net_pnl_quote"],
        champion["notional_quote"],
        companion["net_pnl_quote"],
        companion["notional_quote"],
    )


def _series(rows: Sequence[_Row]) -> tuple[WindowSeries, WindowSeries]:
    """The two lanes' series; a window's id is its place among all windows."""
    columns: list[Any] = [[row[i] for row in rows] for i in range(4)]
    ids = list(range(len(rows)))
    champion = window_series(ids, columns[0], columns[1], name="champion")
    return champion, window_series(ids, columns[2], columns[3], name="challenger")


def _differences(tonight: Sequence[_Row], counted: Sequence[_Row]) -> list[float | None]:
    """d_w of every window of the night, N that of the windows used."""
    now, used = (np.array(rows, np.float64).reshape(-1, 4).T for rows in (tonight, counted))
    return [float(d) if np.isfinite(d) else None for d in differences_bps(now[0], used[1], now[2])]


def _side(lane: Mapping[str, Any]) -> dict[str, Any]:
    return {name: lane.get(name) for name in ("net_bps", "net_pnl_quote", "notional_quote", "fills")}
