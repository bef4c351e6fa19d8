"""Has the champion stopped being good? What the windows since its promotion say.

Notation: P_w PnL of the champion in window w, F_w that of the former champion in its shadow lane, N the former's mean
notional per window.

    watched       x_w = 1e4 (P_w - F_w) / N, target 0, where the former runs beside it; else the level 1e4 P_w / N
                  (N the champion's own), target its healthy mean
    rollback      the winsorised CUSUM of x_w alarms, or the loss breaker trips on the sum of P_w
                  (engine/tuning/cusum.py)
    fallback      P_w < 0 in the last two windows that are known: the calming package until a window is not negative,
                  and no rollback: healthy nights do that too (docs/promotion.md)

The healthy sd of x comes from windows before the promotion where there are enough (the confirmation); if not, from the
first of those watched: a shift does not change an sd, so the paired difference watches them too; the level takes its
mean from them and begins behind them. All is recomputed from the windows, so there is no state to lose.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.params import PARAMETERS, Params
from engine.tuning.cusum import Baseline, Breaker, Cusum, Finding, level_baseline, paired_baseline
from engine.tuning.judge import JudgeSettings
from engine.tuning.pairing import WindowSeries, differences_bps, pair
from engine.tuning.rules import FallbackPackage, is_calming

Verdict = Literal["ok", "fallback", "rollback", "nodata"]
Array = NDArray[np.float64]

BASELINE_WINDOWS = 24
"""So many windows make a baseline, of the confirmation or of those watched."""
NEGATIVES = 2


@dataclass(frozen=True)
class Watch:
    """What to do, and what was seen.

    Attributes:
        verdict: rollback, fallback, ok; nodata where nothing can be said.
        since_window: id of the window that decided (the first negative one for a fallback); None for ok and nodata.
        watched: "difference" (to the former champion) or "level".
        statistic, limit: the CUSUM and its alarm, in sd.
        findings: cusum, breaker and negatives, each with label, reason, observed, limit.
        reasons: what the verdict rests on, in words.
    """

    verdict: Verdict
    since_window: int | None
    watched: str
    windows: int
    missing: int
    statistic: float
    limit: float
    baseline: dict[str, float] | None
    pnl_quote: float
    drawdown_quote: float
    findings: dict[str, dict[str, Any]]
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"reasons": list(self.reasons)}


def watch_champion(
    champion: WindowSeries,
    former: WindowSeries | None,
    settings: JudgeSettings,
    *,
    healthy: tuple[WindowSeries, WindowSeries | None] | None = None,
    quote_per_pnl: Array | None = None,
) -> Watch:
    """The verdict on the windows since the champion took effect, in order.

    Args:
        champion: its windows.
        former: the shadow lane's, same ids; None where none ran.
        healthy: (champion's, former's) windows from before the promotion, for the baseline.
        quote_per_pnl: per window, what PnL is multiplied by to be in the quote currency of the breaker's limits: the
            mid where the contract is inverse, NaN where that is unknown; 1 by default.
    """
    ids, pnl, values, paired = _watched(champion, former)
    baseline, origin, start = _baseline(values, paired, healthy)
    cusum, alarm = _run_cusum(values, baseline, start, settings)
    breaker, trip = _run_breaker(pnl if quote_per_pnl is None else pnl * quote_per_pnl, settings)
    negative_since = _negatives(ids, pnl)

    cusum_finding = (
        cusum.finding(settings.cusum)
        if baseline
        else Finding("NODATA", f"{origin}: the CUSUM waits", 0.0, settings.cusum.h_sd)
    )
    breaker_finding = breaker.finding(settings.breaker)
    known = pnl[np.isfinite(pnl)]
    negatives = Finding(
        "ROLLBACK" if negative_since is not None else "HEALTHY" if len(known) else "NODATA",
        f"PnL of the last windows {', '.join(f'{value:+.4g}' for value in known[-NEGATIVES:])}",
        float((known[-NEGATIVES:] < 0).sum()),
        NEGATIVES,
    )
    verdict: Verdict
    since: int | None = None
    if alarm is not None or trip is not None:
        verdict = "rollback"
        since = int(ids[min(at for at in (alarm, trip) if at is not None)])
        reasons = [finding.reason for finding in (cusum_finding, breaker_finding) if finding.label == "ROLLBACK"]
    elif negative_since is not None:
        verdict, since = "fallback", negative_since
        reasons = [f"{NEGATIVES} windows in a row below 0: {negatives.reason}"]
    elif breaker_finding.label == "NODATA" or cusum_finding.label == "NODATA":
        verdict = "nodata"
        reasons = [finding.reason for finding in (cusum_finding, breaker_finding) if finding.label == "NODATA"]
    else:
        verdict, reasons = "ok", [cusum_finding.reason, breaker_finding.reason]
    return Watch(
        verdict=verdict,
        since_window=since,
        watched="difference" if paired else "level",
        windows=len(ids),
        missing=int((~np.isfinite(values)).sum()),
        statistic=cusum.total_sd,
        limit=settings.cusum.h_sd,
        baseline=None if baseline is None else asdict(baseline),
        pnl_quote=breaker.pnl_quote,
        drawdown_quote=breaker.drawdown_quote,
        findings={
            "cusum": cusum_finding.to_json() | {"baseline_from": origin},
            "breaker": breaker_finding.to_json(),
            "negatives": negatives.to_json() | {"label": "FALLBACK" if negative_since is not None else negatives.label},
        },
        reasons=tuple(reasons),
    )


def fallback_params(params: Params, package: FallbackPackage) -> Params:
    """The set in force with the package's values where those are calmer, within the table and its largest rise."""
    changes = {}
    for name, value in package.values.items():
        if is_calming(name, value - params[name]):
            row = PARAMETERS[name]
            changes[name] = row.clamp(min(value, round(params[name] + row.max_step_up, 6)))
    return params.with_changes(changes)


def _watched(champion: WindowSeries, former: WindowSeries | None) -> tuple[NDArray[np.int64], Array, Array, bool]:
    """(ids, the champion's PnL, the watched value in bps or NaN, whether it is the difference)."""
    ids, pnl = champion.window, champion.pnl_quote
    values = np.full(len(ids), np.nan)
    if former is not None and len(former.window):
        both = pair(former, champion)
        found = differences_bps(both.champion_pnl, both.champion_notional, both.challenger_pnl)
        values[np.isin(ids, both.window)] = found
        return ids, pnl, values, True
    known = np.isfinite(pnl) & np.isfinite(champion.notional_quote)
    nothing = np.zeros(int(known.sum()))
    values[known] = differences_bps(nothing, champion.notional_quote[known], pnl[known])
    return ids, pnl, values, False


def _baseline(
    values: Array, paired: bool, healthy: tuple[WindowSeries, WindowSeries | None] | None
) -> tuple[Baseline | None, str, int]:
    """The baseline, where it comes from, and the place of the first window to watch."""
    if healthy is not None and (healthy[1] is not None or not paired):
        before = _watched(healthy[0], healthy[1] if paired else None)[2]
        before = before[np.isfinite(before)]
        if len(before) >= BASELINE_WINDOWS and before.std() > 0:
            made = paired_baseline(before) if paired else level_baseline(before)
            return made, f"{len(before)} windows before the promotion", 0
    places = np.flatnonzero(np.isfinite(values))
    if len(places) < BASELINE_WINDOWS:
        return None, f"{len(places)} windows of the {BASELINE_WINDOWS} that a baseline needs", 0
    own, origin = values[places[:BASELINE_WINDOWS]], f"the first {BASELINE_WINDOWS} windows watched"
    if own.std() == 0:
        return None, f"{origin} do not vary", 0
    if paired:
        return paired_baseline(own), origin, 0
    return level_baseline(own), origin, int(places[BASELINE_WINDOWS - 1]) + 1


def _run_cusum(
    values: Array, baseline: Baseline | None, start: int, settings: JudgeSettings
) -> tuple[Cusum, int | None]:
    """The state behind the last window, and the place of the window that alarmed."""
    state, alarm = Cusum(), None
    if baseline is None:
        return state, None
    for place in range(start, len(values)):
        state = state.after(float(values[place]), baseline, settings.cusum)
        if alarm is None and state.alarm_window is not None:
            alarm = place
    return state, alarm


def _run_breaker(pnl: Array, settings: JudgeSettings) -> tuple[Breaker, int | None]:
    state, trip = Breaker(), None
    for place, value in enumerate(pnl):
        state = state.after(float(value), settings.breaker)
        if trip is None and state.tripped is not None:
            trip = place
    return state, trip


def _negatives(ids: NDArray[np.int64], pnl: Array) -> int | None:
    """Id of the first of the negative windows at the end, if there are NEGATIVES of them; unknown ones are passed
    over."""
    known = np.isfinite(pnl)
    run = 0
    for value in pnl[known][::-1]:
        if value >= 0:
            break
        run += 1
    return int(ids[known][-run]) if run >= NEGATIVES else None
