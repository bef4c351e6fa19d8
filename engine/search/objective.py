"""The objective of a trial: what it earns more than the champion on the same windows, less penalties, in bps.

Notation: w the windows in which both lanes are known; P_w PnL, N the champion's mean notional over these windows.

    EV_net    = mean_w d_w,   d_w = 1e4 (P_trial,w - P_champion,w) / N
    objective = EV_net - sum_i weight_i max(0, level_i(trial) - level_i(champion))

One denominator for both, in the currency of the PnL: not trading is no way to win. The levels:

    latency              an order's way to its acknowledgement, ms
    decision_compute     time to decide on a quote, ms; measured nowhere in a replay
    feed                 95th percentile of the feed's latency, ms, mean over windows
    block_ratio          blocked intents / all intents to change a quote
    execution_shortfall  slippage cost in bps of the lane's own notional
    data_valid           share of time without a quotable book
    instability          sd of the means of d_w over the folds (the champion's is 0)
    gate_fail            gates of the promotion test failed on these windows: notional floor, shortfall, cancel ratio

In a replay latency, feed and data_valid are the tape's and the profile's, the same in every lane: they cancel, and
their terms are 0. A term without a value is not measured: it is None and takes nothing off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.search.settings import Penalties
from engine.search.trial_windows import LaneWindows
from engine.tuning.judge import JudgeSettings
from engine.tuning.pairing import differences_bps
from engine.tuning.shortfall import check_shortfall

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Term:
    """`excess` in `unit`: by how much the trial is worse than the champion; None where it is not measured."""

    excess: float | None
    unit: str
    weight: float
    penalty_bps: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Objective:
    """`value_bps` is None where the trial failed; `reason` then says why. `windows`: those it rests on."""

    value_bps: float | None
    ev_net_bps: float | None
    terms: Mapping[str, Term]
    windows: int
    notional_share: float | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "terms": {name: term.to_json() for name, term in self.terms.items()}}


@dataclass(frozen=True)
class Scoring:
    """What objectives are computed with. `folds`: parts of the windows for the instability term."""

    penalties: Penalties
    judge: JudgeSettings
    cancel_ratio_fail: float | None
    folds: int


def fold_edges(windows: int, folds: int) -> list[int]:
    """Edges of `folds` parts of nearly equal length: folds + 1 rising numbers from 0 to `windows`."""
    return [round(i * windows / folds) for i in range(folds + 1)]


def score(champion: LaneWindows, trial: LaneWindows, scoring: Scoring) -> Objective:
    """The objective of one trial.

    Args:
        champion, trial: one lane each, arrays of shape [1, W], on the same windows.
    """
    both = np.flatnonzero(
        np.isfinite(champion.pnl_quote[0]) & np.isfinite(trial.pnl_quote[0]) & np.isfinite(champion.notional_quote[0])
    )
    if not len(both):
        return Objective(None, None, {}, 0, None, "no window is known for both lanes")
    a, b = champion.take(both), trial.take(both)
    if a.notional_quote.sum() <= 0:
        return Objective(None, None, {}, len(both), None, "the champion has not traded in these windows")
    d = differences_bps(a.pnl_quote[0], a.notional_quote[0], b.pnl_quote[0])
    ev_net = float(d.mean())
    share = float(b.notional_quote.sum() / a.notional_quote.sum())
    worse = {
        "latency": _excess(_mean(b.order_ack_ms), _mean(a.order_ack_ms)),
        "decision_compute": None,
        "feed": _excess(_mean(b.feed_p95_ms), _mean(a.feed_p95_ms)),
        "block_ratio": _excess(_ratio(b.blocked, b.intents), _ratio(a.blocked, a.intents)),
        "execution_shortfall": _excess(_bps(b), _bps(a)),
        "data_valid": _excess(_mean(1 - b.valid_share), _mean(1 - a.valid_share)),
        "instability": _instability(d, scoring.folds),
        "gate_fail": float(_gates_failed(a, b, d, share, scoring)),
    }
    terms = {}
    for name, excess in worse.items():
        penalty = getattr(scoring.penalties, name)
        off = penalty.bps_per_unit * max(0.0, excess) if excess is not None else 0.0
        terms[name] = Term(excess, penalty.unit, penalty.bps_per_unit, off)
    value = ev_net - sum(term.penalty_bps for term in terms.values())
    if not np.isfinite(value):
        return Objective(None, None, terms, len(both), share, "the objective is not a number")
    return Objective(value, ev_net, terms, len(both), share, "")


def _mean(level: Floats) -> float | None:
    known = level[np.isfinite(level)]
    return float(known.mean()) if len(known) else None


def _ratio(part: Floats, whole: Floats) -> float | None:
    return float(part.sum() / whole.sum()) if whole.sum() > 0 else None


def _bps(lane: LaneWindows) -> float | None:
    notional = float(lane.notional_quote.sum())
    return float(1e4 * lane.slippage_cost_quote.sum() / notional) if notional > 0 else None


def _excess(trial: float | None, champion: float | None) -> float | None:
    return None if trial is None or champion is None else max(0.0, trial - champion)


def _instability(d: Floats, folds: int) -> float | None:
    """sd over the folds' means; None below two windows a fold."""
    if len(d) < 2 * folds or folds < 2:
        return None
    means = [d[low:high].mean() for low, high in pairwise(fold_edges(len(d), folds))]
    return float(np.std(means, ddof=1))


def _gates_failed(a: LaneWindows, b: LaneWindows, d: Floats, share: float, scoring: Scoring) -> int:
    judge = scoring.judge
    scale = 1e4 / float(a.notional_quote.mean())
    last_look = judge.confirm.looks[-1]
    tail = check_shortfall(scale * a.pnl_quote[0], scale * b.pnl_quote[0], last_look, judge.shortfall)
    cancel, limit = _ratio(b.cancelled, b.ended), scoring.cancel_ratio_fail
    failed = (
        share < judge.min_notional_share,
        len(d) >= judge.confirm.looks[0] and not bool(tail.passed),
        limit is not None and cancel is not None and cancel > limit,
    )
    return sum(failed)
