"""Walk-forward: candidates are selected on past windows and scored on later ones; then a consensus of the best.

Notation: the selection windows are cut by time into F + 1 blocks of nearly equal length; fold f = 1..F selects on
blocks 0..f-1 and scores on block f. D[t, w] is d_w of trial t.

    kept_f     the trials with the best mean of D over the past, a quarter of them, at least 2 k
    wf_t       mean over the folds that kept t of its mean over the fold's block (None where none did)
    optimism   mean over folds of (past mean - later mean) of the one best on the past: the winner's curse, measured

The search itself saw all selection windows, so these scores choose among its trials and say how far a past winner
falls; they prove nothing. Proof is left to fresh windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

from engine.params import PARAMETERS, Params
from engine.search.objective import fold_edges

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fold:
    """Windows [0, past) select, [past, end) score. `best`: the trial best on the past, with both its means in bps."""

    past: int
    end: int
    best: int
    past_bps: float
    later_bps: float


@dataclass(frozen=True)
class WalkForward:
    """`scores[t]` is wf_t; `optimism_bps` is None without folds; `note` says why there are none."""

    folds: tuple[Fold, ...]
    scores: tuple[float | None, ...]
    optimism_bps: float | None
    note: str = ""


def walk_forward(d: Floats, folds: int, top_k: int) -> WalkForward:
    """Scores of all trials.

    Args:
        d: float64[T, W]; NaN windows are left out of means, trials without a known window are never kept.
    """
    trials, windows = d.shape
    if windows < folds + 1:
        return WalkForward((), (None,) * trials, None, f"{windows} windows are too few for {folds} folds")
    edges = fold_edges(windows, folds + 1)
    sums, counts = np.zeros(trials), np.zeros(trials, np.int64)
    done = []
    keep = min(trials, max(2 * top_k, -(-trials // 4)))
    for past, end in pairwise(edges[1:]):
        before, later = _means(d[:, :past]), _means(d[:, past:end])
        usable = np.isfinite(before) & np.isfinite(later)
        order = [t for t in np.argsort(-np.where(usable, before, -np.inf), kind="stable").tolist() if usable[t]]
        for trial in order[:keep]:
            sums[trial] += later[trial]
            counts[trial] += 1
        if order:
            best = order[0]
            done.append(Fold(past, end, best, float(before[best]), float(later[best])))
    scores = tuple(float(s / c) if c else None for s, c in zip(sums, counts, strict=True))
    optimism = float(np.mean([fold.past_bps - fold.later_bps for fold in done])) if done else None
    return WalkForward(tuple(done), scores, optimism)


def later_mean(d: Floats, folds: int) -> float | None:
    """wf of a trial that every fold keeps, d float64[W]: the mean over the folds of its mean on the fold's block."""
    if len(d) < folds + 1:
        return None
    blocks = np.concatenate([_means(d[None, low:high]) for low, high in pairwise(fold_edges(len(d), folds + 1)[1:])])
    return float(blocks.mean()) if np.isfinite(blocks).all() else None


def robust_rank(posterior: Sequence[tuple[int, float]], scores: Mapping[int, float | None]) -> list[tuple[int, float]]:
    """(trial, value) by the lower of posterior mean and walk-forward score, best first; a trial that no fold kept has
    no score and is left out."""
    ranked = [(t, min(mean, score)) for t, mean in posterior if (score := scores.get(t)) is not None]
    return sorted(ranked, key=lambda row: (-row[1], row[0]))


def consensus(sets: Sequence[Params]) -> Params:
    """The component-wise median, within the table; whole numbers rounded half to even."""
    return Params().with_changes(
        {name: row.clamp(median(one[name] for one in sets)) for name, row in PARAMETERS.items()}, where="consensus"
    )


def _means(d: Floats) -> Floats:
    known = np.isfinite(d)
    counts = known.sum(axis=1)
    sums = np.where(known, d, 0.0).sum(axis=1)
    means: Floats = np.divide(sums, counts, out=np.full(len(d), np.nan), where=counts > 0)
    return means
