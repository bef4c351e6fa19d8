"""The search's batches: ask, replay, score, write. What was written is what the next batch is made from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.params import Params
from engine.search.ask_tell import Observation, ask
from engine.search.objective import Scoring, score
from engine.search.space import params_of, point_of, trust_region
from engine.search.state import TuneState
from engine.search.trial_windows import LaneWindows, join_windows
from engine.search.tune_plan import TunePlan
from engine.tuning.pairing import differences_bps

Floats = NDArray[np.float64]
Listener = Callable[[dict[str, Any]], None]


@dataclass
class Stopwatch:
    """Seconds by what they were spent on: real times, which no result depends on."""

    seconds: dict[str, float]

    def run(self, name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


@dataclass(frozen=True)
class Searched:
    """`batches` as stored; `cut_short` says why fewer trials were made than asked for, "" if all were."""

    batches: tuple[dict[str, Any], ...]
    cut_short: str

    @property
    def trials(self) -> list[dict[str, Any]]:
        """All trials in order; trial number t stands at t - 1."""
        return [trial for batch in self.batches for trial in batch["trials"]]


def scoring_of(plan: TunePlan) -> Scoring:
    cancel = next((gate.fail for gate in plan.gates.gates if gate.metric == "cancel_ratio"), None)
    return Scoring(plan.search.penalties, plan.judge, cancel, plan.effort.walkforward_windows + 1)


def search(
    plan: TunePlan, state: TuneState, watch: Stopwatch, tell: Listener, seconds_left: float | None = None
) -> tuple[Searched, list[str]]:
    """Run the batches that are missing in `state`; the second value says what of it was damaged.

    Args:
        seconds_left: where --max-runtime-sec bounds more than this search, what of it is left.
    """
    began = time.monotonic()
    batches, notes = state.load_batches()
    effort, wanted = plan.effort, plan.effort.trials
    cut_short = ""
    while (done := sum(len(batch["trials"]) for batch in batches)) < wanted:
        if _is_over(plan, done, time.monotonic() - began, seconds_left):
            limit_s = plan.settings.max_runtime_sec or 0.0
            cut_short = f"{done} of {wanted} trials were made in the {limit_s:g} s of --max-runtime-sec"
            break
        batch = _batch(plan, batches, min(effort.lanes, wanted - done), watch)
        batches.append(batch)
        state.save_batch(len(batches), batch)
        values = [t["objective"]["value_bps"] for b in batches for t in b["trials"]]
        best = max((value for value in values if value is not None), default=None)
        tell({"event": "tuning", "done": len(values), "trials": wanted, "best_bps": best})
        if not any(value is not None for value in values):
            cut_short = f"no trial of the first {len(values)} could be scored: {_why(batches)}"
            break
    return Searched(tuple(batches), cut_short), notes


def _is_over(plan: TunePlan, done: int, spent_s: float, seconds_left: float | None) -> bool:
    """Whether no further batch begins. The first always does; a tune that is done again stops at its record's count."""
    if plan.stop_after is not None:
        return done >= plan.stop_after
    limit_s = plan.settings.max_runtime_sec if seconds_left is None else seconds_left
    return done > 0 and limit_s is not None and spent_s >= limit_s


def observations(plan: TunePlan, trials: Sequence[dict[str, Any]]) -> list[Observation]:
    """The champion with its difference of 0, then the trials."""
    first = Observation(point_of(plan.champion), 0.0, 0)
    return [
        first,
        *(Observation(tuple(trial["point"]), trial["objective"]["value_bps"], trial["batch"]) for trial in trials),
    ]


def evaluate_sets(plan: TunePlan, sets: Sequence[Params], batch: int) -> list[dict[str, Any]]:
    """Trials on all selection windows, as they are stored. The champion runs beside them in lane 0."""
    windows = plan.evaluate(plan.selection, plan.profile, [plan.champion, *sets], plan.settings.window_seconds)
    return [_trial(plan, one, batch, windows, lane) for lane, one in enumerate(sets, start=1)]


def difference_matrix(trials: Sequence[dict[str, Any]], champion: dict[str, Any]) -> Floats:
    """d_w float64[T, W] of stored trials against the champion's stored windows; NaN where unknown."""
    pnl = np.stack([_floats(trial["pnl_quote"]) for trial in trials])
    return differences_bps(_floats(champion["pnl_quote"]), _floats(champion["notional_quote"]), pnl)


def stored_windows(windows: LaneWindows, lane: int) -> dict[str, Any]:
    return {
        "pnl_quote": _jsonable(windows.pnl_quote[lane]),
        "notional_quote": _jsonable(windows.notional_quote[lane]),
        "fills": _jsonable(windows.fills[lane]),
    }


def _batch(plan: TunePlan, batches: Sequence[dict[str, Any]], count: int, watch: Stopwatch) -> dict[str, Any]:
    number = len(batches) + 1
    space = trust_region(plan.champion, plan.search.trust_radius)
    seen = observations(plan, [trial for batch in batches for trial in batch["trials"]])
    points = watch.run(
        "search_s",
        lambda: ask(
            space, seen, seed=plan.settings.seed, batch=number, count=count, sobol=plan.search.sobol,
            kappa=plan.search.kappa,
        ),
    )  # fmt: skip
    sets = [params_of(point) for point in points]
    windows, stopped = watch.run("replay_s", lambda: _replay(plan, sets))
    trials = watch.run(
        "score_s",
        lambda: [
            _trial(plan, one, number, windows, lane, stopped=lane in stopped) for lane, one in enumerate(sets, start=1)
        ],
    )
    return {"batch": number, "champion": stored_windows(windows, 0), "trials": trials}


def _replay(plan: TunePlan, sets: Sequence[Params]) -> tuple[LaneWindows, set[int]]:
    """All lanes, champion first; with halving, the lanes that were stopped after the first half of the tapes.

    Their later windows are NaN.
    """
    lanes, seconds = [plan.champion, *sets], plan.settings.window_seconds
    tapes = plan.selection
    if not plan.effort.halving or len(tapes) < 2 or len(sets) < 2:
        return plan.evaluate(tapes, plan.profile, lanes, seconds), set()
    half = -(-len(tapes) // 2)
    first = plan.evaluate(tapes[:half], plan.profile, lanes, seconds)
    scoring, every = scoring_of(plan), np.arange(first.windows)
    champion = first.take(every, [0])
    values = {lane: score(champion, first.take(every, [lane]), scoring).value_bps for lane in range(1, len(lanes))}
    order = sorted(values, key=lambda lane: (-_or_worst(values[lane]), lane))
    kept = [0, *sorted(order[: -(-len(sets) // 2)])]
    later = plan.evaluate(tapes[half:], plan.profile, [lanes[lane] for lane in kept], seconds)
    return join_windows([first, later.spread(kept, len(lanes), half)]), set(range(len(lanes))) - set(kept)


def _trial(
    plan: TunePlan, params: Params, batch: int, windows: LaneWindows, lane: int, *, stopped: bool = False
) -> dict[str, Any]:
    every = np.arange(windows.windows)
    result = score(windows.take(every, [0]), windows.take(every, [lane]), scoring_of(plan))
    return {
        "batch": batch,
        "point": list(point_of(params)),
        "objective": result.to_json(),
        "stopped": stopped,
        **stored_windows(windows, lane),
    }


def _why(batches: Sequence[dict[str, Any]]) -> str:
    return str(batches[0]["trials"][0]["objective"]["reason"])


def _jsonable(values: Floats) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _floats(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _or_worst(value: float | None) -> float:
    return -np.inf if value is None else value
