"""The verdict of a tune: screen on the selection windows, then the promotion test on windows the search never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.search.fresh_gates import lane_kpis
from engine.search.rounds import stored_windows
from engine.search.select import Candidate, Selection
from engine.search.trial_windows import LaneWindows
from engine.search.tune_plan import TunePlan
from engine.tuning.gate import objections
from engine.tuning.judge import Judgement, Screen, Verdict, judge_challenger, screen
from engine.tuning.pairing import WindowSeries, window_series

_ONE_TAPE = "one tape only: all its windows were seen by the search, so that confirmation is impossible"


@dataclass(frozen=True)
class Fresh:
    """What the fresh part showed. `windows`: per lane (champion, challenger) as stored; `starts_ns`: of each window."""

    judgement: Judgement
    kpis: tuple[Mapping[str, float | None], Mapping[str, float | None]]
    windows: tuple[dict[str, Any], dict[str, Any]]
    starts_ns: tuple[int, ...]


@dataclass(frozen=True)
class Decided:
    """`fresh` is None where the fresh windows were not spent."""

    verdict: Verdict
    reason: str
    screen: Screen | None
    fresh: Fresh | None
    windows_missing: int


def decide(plan: TunePlan, selection: Selection | None, champion: Mapping[str, Any] | None, why_not: str) -> Decided:
    """The verdict.

    Args:
        selection: None where the search had nothing to score; `why_not` then says why.
        champion: the champion's stored selection windows.
    """
    first_look = plan.judge.confirm.looks[0]
    if selection is None or champion is None:
        return Decided("INCONCLUSIVE", why_not, None, None, first_look)
    candidate = selection.candidate
    if candidate is None:
        return Decided("HOLD", selection.reason, None, None, 0)
    seen = screen(
        _stored(champion, "champion"), _stored(selection.trials[candidate.trial - 1], "challenger"), plan.judge
    )
    impossible = seen.z is None  # too few windows, or the champion did not trade in them
    if not seen.passed and not impossible:
        unspent = "the fresh windows were not spent" if plan.fresh else _ONE_TAPE
        reason = f"the best candidate did not pass the screen ({seen.reason}); {unspent}"
        return Decided("HOLD", reason, seen, None, 0)
    if not plan.fresh:
        return Decided(
            "INCONCLUSIVE",
            f"{_ONE_TAPE}; give a second, later tape with at least {first_look} windows. Screen: {seen.reason}",
            seen,
            None,
            first_look,
        )
    if impossible:
        return Decided(
            "INCONCLUSIVE",
            f"the screen on the selection windows is not possible ({seen.reason}); the fresh windows were not spent",
            seen,
            None,
            max(plan.judge.screen.windows - seen.windows, 0) or first_look,
        )
    fresh = confirm(plan, candidate)
    judgement = fresh.judgement
    return Decided(judgement.verdict, judgement.reason, seen, fresh, judgement.to_next_look)


def confirm(plan: TunePlan, candidate: Candidate) -> Fresh:
    """Champion and challenger over the fresh tapes, and the promotion test on them, gates included."""
    lanes = [plan.champion, candidate.params]
    windows = plan.evaluate(plan.fresh, plan.profile, lanes, plan.settings.window_seconds)
    kpis = lane_kpis(plan.fresh, plan.profile, lanes, windows)
    judgement = judge_challenger(
        windows.series(0, "champion"), windows.series(1, "challenger"), plan.judge, objections(kpis[1], plan.gates)
    )
    stored = (stored_windows(windows, 0), stored_windows(windows, 1))
    return Fresh(judgement, (kpis[0], kpis[1]), stored, tuple(_starts_ns(plan, windows)))


def _stored(windows: Mapping[str, Any], name: str) -> WindowSeries:
    pnl, notional = (
        [np.nan if value is None else value for value in windows[key]] for key in ("pnl_quote", "notional_quote")
    )
    return window_series(range(len(pnl)), pnl, notional, name=name)


def _starts_ns(plan: TunePlan, windows: LaneWindows) -> list[int]:
    step_ns = plan.settings.window_seconds * 1_000_000_000
    starts: list[int] = []
    for number, tape in enumerate(plan.fresh):
        count = int((windows.tape == number).sum())
        starts += [tape.meta.first_exch_ts_ns + w * step_ns for w in range(count)]
    return starts
