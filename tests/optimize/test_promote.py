"""What becomes of a candidate, by verdict, budget, limit and the champion's state."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.champion.ledger import read_ledger
from engine.champion.store import ChampionStore
from engine.optimize.promote import Became, settle
from engine.params import Params
from engine.paths import Paths
from engine.search.tune import TuneResult

SYMBOL = "SIMUSDT"
Plant = Callable[..., TuneResult]


def done(result: TuneResult, paths: Paths, least_bps: float = 0.0) -> Became:
    """Settled twice, as after a kill."""
    first = settle(result, paths, number=1, min_delta_bps=least_bps)
    again = settle(result, paths, number=1, min_delta_bps=least_bps)
    assert (again.done, again.grant) == (first.done, first.grant)
    return first


@pytest.fixture
def store(paths: Paths) -> ChampionStore:
    return ChampionStore(paths, SYMBOL)


def test_what_the_budget_covers_is_promoted_once(
    tuned: TuneResult, planted: Plant, paths: Paths, store: ChampionStore
) -> None:
    result = planted(tuned, 1.5)
    assert result.verdict == "PROMOTE"
    became = done(result, paths)
    champion = store.current()
    assert became.promoted is not None and became.promoted.id == champion.id
    assert champion.params == result.challenger and champion.who == "optimize"
    assert champion.evidence["origin"] == tuned.tune_id and champion.evidence["p_value"] == result.p_value
    assert "is the champion instead of baseline: covered" in became.done
    ledger = read_ledger(paths, SYMBOL)
    assert [spent.promoted for spent in ledger.confirmations] == [True]
    assert [trial.tune_id for trial in ledger.trials] == [tuned.tune_id]
    assert len(store.history()) == 1


def test_what_the_budget_does_not_cover_is_not(
    tuned: TuneResult, planted: Plant, paths: Paths, store: ChampionStore
) -> None:
    config = paths.datasets.parent / "config"
    shutil.copytree(paths.config, config)
    evidence = json.loads((config / "evidence.json").read_text()) | {"max_level": 1e-9}
    (config / "evidence.json").write_text(json.dumps(evidence))
    became = done(planted(tuned, 1.5), replace(paths, config=config))
    assert became.promoted is None and became.grant is not None and not became.grant.promoted
    assert became.done.startswith("Not promoted: not covered: p ")
    assert store.history() == () and store.challengers() == ()
    assert len(read_ledger(paths, SYMBOL).confirmations) == 1


def test_an_effect_below_the_least_is_paid_for_and_not_promoted(
    tuned: TuneResult, planted: Plant, paths: Paths, store: ChampionStore
) -> None:
    result = planted(tuned, 1.5)
    effect = result.evidence["effect"]["mean_bps"]
    became = done(result, paths, effect * 1.01)
    assert became.promoted is None and "below --min-objective-delta" in became.done
    assert [spent.decision for spent in read_ledger(paths, SYMBOL).confirmations] == ["HOLD"]
    assert store.history() == ()


@pytest.mark.parametrize("why", ["frozen", "changed"])
def test_a_champion_that_is_frozen_or_another_by_now_costs_nothing(
    why: str, tuned: TuneResult, planted: Plant, paths: Paths, store: ChampionStore
) -> None:
    if why == "frozen":
        store.freeze()
    else:
        store.promote(Params().with_changes({"tail_age_ms": 700}), who="operator", why="test")
    before = store.current()
    became = done(planted(tuned, 1.5), paths)
    assert became.promoted is None and became.grant is None and why in became.done
    assert store.current() == before
    assert [one.origin for one in store.challengers()] == [tuned.tune_id]
    assert read_ledger(paths, SYMBOL).confirmations == ()


def test_an_open_test_lets_its_candidate_wait_and_pays_for_its_looks(
    tuned: TuneResult, planted: Plant, paths: Paths, store: ChampionStore
) -> None:
    result = planted(tuned, 0.0, windows=30)
    assert result.verdict == "INCONCLUSIVE" and len(result.document["judgement"]["looks"]) == 1
    became = done(result, paths)
    assert became.promoted is None and became.grant is not None
    assert [one.params for one in store.challengers()] == [result.challenger]
    assert [spent.decision for spent in read_ledger(paths, SYMBOL).confirmations] == ["HOLD"]


def test_without_a_look_nothing_is_paid(tuned: TuneResult, planted: Plant, paths: Paths, store: ChampionStore) -> None:
    result = planted(tuned, 1.5, windows=20)
    assert result.verdict == "INCONCLUSIVE" and result.p_value is None
    assert done(result, paths).grant is None
    assert len(store.challengers()) == 1
    screened = {**result.document, "verdict": "HOLD", "judgement": None}
    became = done(replace(result, verdict="HOLD", document=screened), paths)
    assert became.grant is None and became.done.startswith("Nothing new to confirm: HOLD")


def test_worse_is_paid_for_and_nothing_waits(
    tuned: TuneResult, planted: Plant, paths: Paths, store: ChampionStore
) -> None:
    result = planted(tuned, -1.5)
    assert result.verdict == "REJECT"
    became = done(result, paths)
    assert became.grant is not None and became.promoted is None and store.challengers() == ()
    assert [spent.decision for spent in read_ledger(paths, SYMBOL).confirmations] == ["REJECT"]
