"""From the trials of a search to one candidate: posterior mean, walk-forward, a consensus of the best, and the luck
in it all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.params import Params
from engine.search.ask_tell import recommend
from engine.search.overfitting import Overfitting, overfitting
from engine.search.rounds import Searched, difference_matrix, evaluate_sets, observations
from engine.search.space import params_of, trust_region
from engine.search.tune_plan import TunePlan
from engine.search.walkforward import WalkForward, consensus, later_mean, robust_rank, walk_forward


@dataclass(frozen=True)
class Candidate:
    """What the search proposes. `trial` is its number, counted from 1; `of` the trials of a consensus.

    In bps of the champion's mean window: `in_sample` its EV_net on the selection windows, `posterior` the process's
    mean of its objective and `posterior_sd`, `walk_forward` its score on later blocks, `shrunk` the least of the
    three, which is the most to expect on fresh windows.
    """

    params: Params
    trial: int
    of: tuple[int, ...]
    in_sample_bps: float
    posterior_bps: float
    posterior_sd_bps: float
    walk_forward_bps: float | None
    shrunk_bps: float


@dataclass(frozen=True)
class Selection:
    """`candidate` is None where nothing was better than the champion; `reason` then says so. `trials` are all of
    them, the consensus last if it was a set of its own; `posterior` and `scores` by trial number."""

    candidate: Candidate | None
    reason: str
    trials: tuple[dict[str, Any], ...]
    posterior: Mapping[int, tuple[float, float]]
    scores: Mapping[int, float | None]
    forward: WalkForward
    luck: Overfitting
    top: tuple[int, ...]


def select(plan: TunePlan, searched: Searched) -> Selection:
    """The candidate of a search of at least one trial."""
    trials, champion = list(searched.trials), searched.batches[0]["champion"]
    effort, best_mode = plan.effort, plan.settings.selection_mode == "best"
    forward = walk_forward(difference_matrix(trials, champion), effort.walkforward_windows, effort.top_k_consensus)
    scores = dict(enumerate(forward.scores, start=1))
    posterior = _posterior(plan, trials)
    ranked = _ranked(trials, posterior, scores, by_posterior=best_mode or not forward.folds)
    top = tuple(number for number, _ in ranked[: effort.top_k_consensus])
    agreed = _consensus(trials, top)
    if agreed is not None:
        new = evaluate_sets(plan, [agreed], batch=len(searched.batches) + 1)
        trials += new
        number = len(trials)
        scores[number] = later_mean(difference_matrix(new, champion)[0], effort.walkforward_windows)
        posterior = _posterior(plan, trials)
        ranked = _ranked(trials, posterior, scores, by_posterior=best_mode or not forward.folds)
    d = difference_matrix([trial for trial in trials if not trial["stopped"]], champion)
    candidate, reason = _candidate(trials, ranked, posterior, scores, top if agreed is not None else ())
    return Selection(candidate, reason, tuple(trials), posterior, scores, forward, overfitting(d), top)


def _posterior(plan: TunePlan, trials: Sequence[dict[str, Any]]) -> dict[int, tuple[float, float]]:
    """Mean and sd by trial number, for trials with a value."""
    space = trust_region(plan.champion, plan.search.trust_radius)
    return {number: (mean, sd) for number, mean, sd in recommend(space, observations(plan, trials)) if number}


def _ranked(
    trials: Sequence[dict[str, Any]],
    posterior: Mapping[int, tuple[float, float]],
    scores: Mapping[int, float | None],
    *,
    by_posterior: bool,
) -> list[tuple[int, float]]:
    whole = [(number, mean) for number, (mean, _) in posterior.items() if not trials[number - 1]["stopped"]]
    if by_posterior:
        return sorted(whole, key=lambda row: (-row[1], row[0]))
    return robust_rank(whole, scores)


def _consensus(trials: Sequence[dict[str, Any]], top: Sequence[int]) -> Params | None:
    """The consensus of the top trials, where it is a set that was not tried."""
    if len(top) < 2:
        return None
    agreed = consensus([params_of(trials[number - 1]["point"]) for number in top])
    tried = {tuple(trial["point"]) for trial in trials}
    return None if tuple(agreed.values()) in tried else agreed


def _candidate(
    trials: Sequence[dict[str, Any]],
    ranked: Sequence[tuple[int, float]],
    posterior: Mapping[int, tuple[float, float]],
    scores: Mapping[int, float | None],
    agreed_from: tuple[int, ...],
) -> tuple[Candidate | None, str]:
    if not ranked:
        return None, "no trial could be scored on past and later windows"
    number, value = ranked[0]
    if value <= 0:
        return None, f"no trial is expected to be better than the champion; the best stands at {value:+.3f} bps"
    trial = trials[number - 1]
    mean, sd = posterior[number]
    in_sample, forward = trial["objective"]["ev_net_bps"], scores.get(number)
    least = min(one for one in (in_sample, mean, forward) if one is not None)
    of = agreed_from if number == len(trials) and agreed_from else ()
    return Candidate(params_of(trial["point"]), number, of, in_sample, mean, sd, forward, least), ""
