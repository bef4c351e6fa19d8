"""The morning's decisions after a real soak: watched, confirmed, tuned, settled; done twice they end the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.champion.ledger import read_ledger
from engine.champion.store import ChampionStore
from engine.events import PROMOTED, read_events
from engine.market.simulator import generate_tape, read_settings
from engine.night import confirm_challengers, settings_of, settle_tune, tuning_of, watch_and_roll_back, write_night
from engine.params import Params
from engine.paths import Paths
from engine.proposals import find_origin, propose
from engine.report.record import RECOMMENDED
from engine.search.settings import TuneSettings
from engine.search.tune import TuneResult, finish, publish, run_tune
from engine.soak import RunPlan, SoakSettings
from engine.soak_plan import make_plan
from engine.soak_recipe import run_soak
from engine.soak_steps import measure
from engine.warehouse.db import Warehouse

ROOT = Path(__file__).resolve().parents[1]
SYMBOL = "SIMUSDT"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
FOUND = Params().with_changes({"base_spread_bps_delta": 0.4})
FEW = TuneSettings(profile="quick", trials=4, lanes=4)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> RunPlan:
    """A soak that is over and ingested, with a challenger beside the champion."""
    home = tmp_path_factory.mktemp("night")
    shutil.copytree(ROOT / "config", home / "config")
    paths = Paths(config=home / "config", datasets=home / "datasets", reports=home / "reports")
    market = read_settings(paths.config, "s1").with_run(seed=9, duration_s=90)
    tape = generate_tape(paths.datasets / "market", market)
    ChampionStore(paths, SYMBOL).propose(
        Params().with_changes({"base_spread_bps_delta": 0.3}), why="test", origin="test", at_utc=LONG_AGO
    )
    plan = make_plan(SoakSettings(tape=str(tape.path), iterations=1, window_seconds=5), paths)
    run_soak(plan)
    measure(plan, 0)
    return plan


@pytest.fixture(scope="module")
def tuned(plan: RunPlan) -> TuneResult:
    """A real search; what it found is replaced, so that these tests do not rest on its luck."""
    result = run_tune(tuning_of(plan, FEW), plan.paths)
    return replace(result, verdict="INCONCLUSIVE", challenger=FOUND)


def test_a_night_without_tape_feed_and_seed_has_the_market_of_its_day() -> None:
    day = date(2026, 11, 20)
    assert settings_of(SoakSettings(hours=1.0), day) == SoakSettings(hours=1.0, seed=20261120)
    for own in (SoakSettings(seed=0), SoakSettings(tape="x"), SoakSettings(feed="bybit", symbols=("BTCUSDT",))):
        assert settings_of(own, day) == own


def test_nothing_stands_against_a_champion_that_has_hardly_run(plan: RunPlan) -> None:
    watched = watch_and_roll_back(plan)
    assert watched.rolled_back is None
    assert watched.guarded.champion.id in watched.sentence


def test_a_challenger_with_few_windows_waits_and_says_how_many_nights_are_missing(plan: RunPlan) -> None:
    (confirmed,) = confirm_challengers(plan)
    assert confirmed.judgement.verdict == "INCONCLUSIVE" and confirmed.promoted is None and confirmed.grant is None
    assert confirmed.judgement.windows_usable == 17  # of 18 windows the tape's end cuts the last one short
    assert "1 more night like these" in confirmed.reason
    assert [one.id for one in ChampionStore(plan.paths, SYMBOL).challengers()] == [confirmed.challenger.id]
    assert not read_ledger(plan.paths, SYMBOL).confirmations  # what is not final costs nothing


def test_a_challenger_that_did_not_run_is_not_judged(plan: RunPlan) -> None:
    store = ChampionStore(plan.paths, SYMBOL)
    late = store.propose(Params().with_changes({"min_interval_ms": 200}), why="test", origin="test", at_utc=LONG_AGO)
    ran, waits = confirm_challengers(plan)
    assert waits.challenger == late and ran.challenger != late
    assert waits.judgement.verdict == "INCONCLUSIVE" and waits.grant is None
    assert "no window is known for both lanes" in waits.reason and "17 usable windows" in ran.reason
    assert ran.gates.failed == ran.gates.missing == () and len(waits.gates.missing) == 5
    assert ran.market == waits.market and ran.market is not None and ran.market.kind == "generated"
    store.forget(late)


def test_a_champion_that_was_changed_by_hand_meanwhile_begins_everything_anew(plan: RunPlan) -> None:
    """The night's windows are of one that is no more; nothing is known of the new one, and it is not taken back."""
    store = ChampionStore(plan.paths, SYMBOL)
    state = {file: file.read_bytes() for file in store.folder.iterdir()}
    by_hand = store.promote(Params().with_changes({"min_interval_ms": 250}), who="operator", why="test")
    watched = watch_and_roll_back(plan)
    assert watched.guarded.watch.verdict == "nodata" and watched.guarded.watch.windows == 0
    assert f"nothing can be said yet of {by_hand.id} in 0 windows" in watched.sentence
    (waits,) = confirm_challengers(plan)
    assert waits.champion_id == by_hand.id and waits.judgement.windows_usable == 0 and waits.grant is None
    assert "ended after 17 windows, no look was taken and nothing paid" in waits.reason
    store.rollback(who="operator", why="test", at_utc=datetime(2999, 1, 1, tzinfo=UTC))  # by a clock that stood wrong
    sentence = watch_and_roll_back(plan).sentence
    assert "took effect at 2999-01-01" in sentence and "still to come by this machine's clock" in sentence
    for file in store.folder.iterdir():
        file.unlink()
    for file, content in state.items():
        file.write_bytes(content)


def test_the_market_of_a_run_is_in_its_journal(plan: RunPlan) -> None:
    with Warehouse(plan.paths.warehouse) as warehouse:
        rows = warehouse.execute(
            "SELECT market, tape_digest, length(generator) FROM raw_record WHERE type = 'run_start'"
        )
    assert rows == [("generated", plan.tape_facts["digest"], 64)]


def test_the_search_is_on_the_night_s_tape_alone(plan: RunPlan, tuned: TuneResult) -> None:
    assert [tape["digest"] for tape in tuned.document["tapes"]] == [plan.tape_facts["digest"]]


def test_what_the_search_found_waits_for_fresh_windows_and_is_counted_once(plan: RunPlan, tuned: TuneResult) -> None:
    store = ChampionStore(plan.paths, SYMBOL)
    before = {one.id for one in store.challengers()}
    said = settle_tune(tuned, plan.paths)
    assert settle_tune(tuned, plan.paths) == said and said.endswith("in the coming soaks.")
    late = settle_tune(replace(tuned, champion=Params().with_changes({"min_interval_ms": 250})), plan.paths)
    assert late == f"{said} It was found against another champion than baseline."
    (new,) = [one for one in store.challengers() if one.id not in before]
    assert new.params == tuned.challenger and new.id in said
    assert new.fresh_after_ns > plan.schedule.end_ns - 10**9  # what the search saw is no confirmation
    assert new.seen_tapes == (plan.tape_facts["digest"],)
    (trial,) = read_ledger(plan.paths, SYMBOL).trials
    assert trial.trials == tuned.evidence["trials"] and trial.lanes == 4
    assert trial.market_start_ns == plan.schedule.start_ns and trial.market_end_ns == new.fresh_after_ns - 1
    store.forget(new)


def test_on_a_generated_market_another_seed_confirms_and_the_searched_one_does_not(
    plan: RunPlan, tuned: TuneResult
) -> None:
    store = ChampionStore(plan.paths, SYMBOL)
    file = publish(finish(tuned), plan.paths) / RECOMMENDED
    origin = find_origin(file, None, plan.paths.reports, SYMBOL, who="op")
    assert propose(store, FOUND, origin, why="by hand").seen_tapes == (plan.tape_facts["digest"],)
    market = read_settings(plan.paths.config, "s1").with_run(seed=10, duration_s=30)
    other = generate_tape(plan.paths.datasets / "other", market)
    usable, reasons = [], []
    for tape in (str(plan.tape), str(other.path)):
        night = make_plan(plan.settings.model_copy(update={"tape": tape}), plan.paths)
        run_soak(night)
        measure(night, 0)
        first, found = confirm_challengers(night)
        assert found.challenger.params == FOUND
        usable.append(found.judgement.windows_usable)
        reasons.append((first.reason, found.reason))
    assert usable[0] == 0
    left_out = "nothing new tonight, 18 windows left out: of another length (1), "
    assert f"{left_out}the search had seen them (17); 24 windows to the next look" in reasons[0][1]
    assert f"{left_out}this tape was counted already (17)" in reasons[0][0] and "like these" not in reasons[0][0]
    assert not any("nothing new" in reason for reason in reasons[1])
    assert usable[1] >= 5  # of 6 windows the tape's end may cut the last one short
    store.forget(found.challenger)


@pytest.mark.parametrize(("verdict", "challenger"), [("REJECT", "own"), ("HOLD", "own"), ("INCONCLUSIVE", "champion")])
def test_nothing_waits_that_is_shown_to_be_no_better(
    plan: RunPlan, tuned: TuneResult, verdict: Any, challenger: str
) -> None:
    store = ChampionStore(plan.paths, SYMBOL)
    before = store.challengers()
    params = store.current().params if challenger == "champion" else FOUND
    said = settle_tune(replace(tuned, verdict=verdict, challenger=params), plan.paths)
    assert said.startswith("Nothing new to confirm") and store.challengers() == before


def test_the_night_is_written_beside_the_run(plan: RunPlan, tuned: TuneResult, tmp_path: Path) -> None:
    confirmed = confirm_challengers(plan)
    night = write_night(plan.paths, tmp_path, watch_and_roll_back(plan), confirmed, tuned, "It waits.")
    text, value = night.file.read_text(encoding="utf-8"), json.loads((tmp_path / "NIGHT.json").read_bytes())
    assert value["tune"]["verdict"] == "INCONCLUSIVE" and value["rolled_back"] is None
    assert text.splitlines()[2] == "- Champion: baseline stays" and night.in_force.move == ""
    for said in (value["watch"]["sentence"], value["confirmations"][0]["reason"], tuned.tune_id, "It waits."):
        assert said in text


def test_a_promotion_behind_the_watch_stands_first_and_is_told(plan: RunPlan, tmp_path: Path) -> None:
    store = ChampionStore(plan.paths, SYMBOL)
    state = {file: file.read_bytes() for file in store.folder.iterdir()}
    watched = watch_and_roll_back(plan)
    made = store.promote(FOUND, who="nightsoak", why="better")
    for _ in range(2):  # the second after a kill
        night = write_night(plan.paths, tmp_path, watched, (), None, "No search was made.")
    assert night.in_force.move == f"baseline -> {made.id}"
    assert night.file.read_text().splitlines()[2] == f"- Champion: baseline -> {made.id}, 1 parameter changed"
    assert json.loads((tmp_path / "NIGHT.json").read_bytes())["champion"]["now"] == made.id
    (event,) = [event for event in read_events(plan.paths) if event.payload["to"] == made.id]
    assert event.name == PROMOTED
    for file in store.folder.iterdir():
        file.unlink()
    for file, content in state.items():
        file.write_bytes(content)
