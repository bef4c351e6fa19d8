"""Where lanes are replayed makes no difference to a tune."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from engine.files import to_json
from engine.market.tape import Tape
from engine.paths import Paths
from engine.profile import Profile
from engine.search.settings import TuneSettings
from engine.search.trial_windows import LaneWindows, evaluate, join_lanes
from engine.search.tune import TuneResult, run_tune


def same(result: TuneResult) -> str:
    return to_json([dict(result.document), list(result.trials)]).replace(result.tune_id, "ID")


def test_lane_by_lane_a_tune_is_the_same(asked: Callable[..., TuneSettings], paths: Paths) -> None:
    calls: list[int] = []

    def one_by_one(
        tapes: Sequence[Tape], profile: Profile, lanes: Sequence[Mapping[str, float]], window_seconds: int
    ) -> LaneWindows:
        calls.append(len(lanes))
        return join_lanes([evaluate(tapes, profile, [lane], window_seconds) for lane in lanes])

    settings = asked(trials=8, window_seconds=60)
    apart = run_tune(settings, Paths(paths.config, paths.datasets / "apart", paths.reports), evaluate=one_by_one)
    whole = run_tune(settings, paths)
    assert calls[:2] == [5, 5]  # two batches of four, the champion beside them
    assert same(apart) == same(whole)
