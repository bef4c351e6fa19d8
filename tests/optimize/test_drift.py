"""The verdict on the champion's windows since its promotion, and taking it back."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.champion.store import ChampionStore
from engine.events import read_events
from engine.market.simulator import SimulatorSettings, generate_tape, read_settings
from engine.market.tape import Tape
from engine.optimize.drift import Drift, FreshWindows, Window, fresh_windows, judge_drift, take_back
from engine.optimize.record import WatchedLevel
from engine.params import Params
from engine.paths import Paths

SYMBOL = "SIMUSDT"
CHAMPION: dict[str, Any] = {
    "id": "c1",
    "since_utc": "T",
    "params": dict(Params()),
    "former": {"id": "baseline", "params": dict(Params())},
}
FIRST = CHAMPION | {"id": "baseline", "since_utc": "", "former": None}


def rows(own: float, former: float | None, count: int, seed: int = 1) -> tuple[Window, ...]:
    """Windows whose PnL scatters around what is asked for; notional 10,000, so that 1 quote is 1 bps."""
    draws = np.random.default_rng(seed).normal(0.0, 1.0, (2, count))
    made = []
    for common, single in draws.T.tolist():
        row: Window = (own + common, 1e4)
        made.append(row if former is None else (*row, former + common + 0.3 * single, 1e4))
    return tuple(made)


def fresh(rows: tuple[Window, ...], rate: float = 1.0, currency: str = "USDT") -> FreshWindows:
    return FreshWindows(rows, (rate,) * len(rows), currency)


def watched(healthy: tuple[Window, ...], windows: tuple[Window, ...] = ()) -> WatchedLevel:
    return WatchedLevel(champion="c1", since_utc="T", healthy=healthy, windows=windows)


def test_as_good_as_at_its_confirmation_it_stays(paths: Paths) -> None:
    drift = judge_drift(paths, CHAMPION, watched(rows(3, 2, 96)), fresh(rows(3, 2, 60, seed=2)))
    assert drift.rollback == "" and drift.done.startswith("c1 stays")
    told = drift.to_json()
    assert told["label"] == "HEALTHY" and told["statistic_sd"] < told["limit_sd"]
    assert told["windows"] == told["windows_this_round"] == 60
    assert told["net_bps_this_round"] == pytest.approx(sum(row[0] for row in drift.watched.windows) / 60)


def test_worse_than_the_former_one_beside_it_goes(paths: Paths) -> None:
    drift = judge_drift(paths, CHAMPION, watched(rows(3, 2, 96)), fresh(rows(3, 4, 60, seed=2)))
    assert "CUSUM" in drift.rollback and drift.to_json()["verdict"] == "rollback"
    assert drift.to_json()["label"] == "HEALTHY"  # its own level has not moved


def test_a_market_in_which_both_earn_less_is_drift_and_no_rollback(paths: Paths) -> None:
    drift = judge_drift(paths, CHAMPION, watched(rows(3, 2, 96)), fresh(rows(1, 0, 60, seed=2)))
    assert drift.to_json()["label"] == "ROLLBACK" and drift.rollback == ""
    assert "stays although its level drifted" in drift.done and "the former baseline made" in drift.done


@pytest.mark.parametrize("former_bps", [-0.9, -4.0])
def test_a_level_that_fell_goes_if_the_former_one_earned_no_less(former_bps: float, paths: Paths) -> None:
    """The difference to a former lane that earns 0.1 bps more says nothing yet."""
    wild = np.random.default_rng(3).normal(0.0, 1.0, 24)
    wild -= wild.mean()
    new = tuple((-1.0, 1e4, former_bps + one, 1e4) for one in wild.tolist())
    noisy = tuple((3.0 + one, 1e4, 3.0 - one, 1e4) for one in np.random.default_rng(4).normal(0.0, 1.0, 96).tolist())
    drift = judge_drift(paths, CHAMPION, watched(noisy), fresh(new))
    assert drift.level.verdict == "rollback"
    assert drift.difference is not None and drift.difference.verdict != "rollback"
    if former_bps > -1.0:
        assert drift.rollback.endswith("made -21.6 USDT on the same windows, no less than -24")
    else:
        assert drift.rollback == "" and "stays although its level drifted" in drift.done


def test_the_loss_breaker_takes_back(paths: Paths) -> None:
    drift = judge_drift(paths, CHAMPION, watched(rows(3, 2, 96)), fresh(((-300.0, 1e4, -301.0, 1e4),)))
    assert "loss" in drift.rollback and drift.difference is not None and drift.difference.verdict == "rollback"


@pytest.mark.parametrize(("coins", "trips"), [(-0.006, True), (-0.003, False)])
def test_of_an_inverse_contract_the_breaker_takes_coins_at_the_mid(paths: Paths, coins: float, trips: bool) -> None:
    """0.006 coins at 60,000 are 360 in quote currency, of which 250 may be lost; neither is 250 coins."""
    drift = judge_drift(paths, CHAMPION, watched(()), fresh(((coins, 0.2, 0.0, 0.2),), 60_000.0, "BTC"))
    assert drift.level.pnl_quote == pytest.approx(coins * 60_000)
    assert drift.to_json()["pnl_quote"] == drift.level.pnl_quote
    assert ("loss of 360 in quote currency" in drift.rollback) == trips == bool(drift.rollback)
    assert drift.watched.quote_per_pnl == (60_000.0,)


def test_an_inverse_tape_brings_the_mids_of_its_windows(paths: Paths, tmp_path: Path) -> None:
    market = read_settings(paths.config, "s1").with_run(seed=3, duration_s=20)
    coins = {"contract": "inverse", "contract_size": Decimal(100), "quote_currency": "USD", "pnl_currency": "SIM"}
    tape = generate_tape(tmp_path / "tape", SimulatorSettings.model_validate(market.model_dump() | coins))
    found = fresh_windows(paths, [tape.path], FIRST, 5, "S1")
    assert found.pnl_currency == "SIM" and len(found.rows) == 4
    assert found.quote_per_pnl == pytest.approx([25.0] * 4, abs=0.1)  # the price; a window's PnL is a share of a coin
    assert 0 < abs(found.rows[-1][0] or 0.0) < 0.1


def test_windows_of_an_older_state_have_no_price_and_are_unknown_where_one_is_needed(paths: Paths) -> None:
    old = watched((), ((-300.0, 1e4, 0.0, 1e4),))
    assert "loss of 300" in judge_drift(paths, CHAMPION, old, fresh(rows(3, 2, 1))).rollback[:60]
    drift = judge_drift(paths, CHAMPION, old, fresh(((0.0, 1.0, 0.0, 1.0),), 60_000.0, "BTC"))
    assert drift.rollback == "" and "1 of 2 windows without data" in drift.level.findings["breaker"]["reason"]


def test_the_first_champion_has_nothing_to_go_back_to(paths: Paths) -> None:
    drift = judge_drift(paths, FIRST, None, fresh(((-300.0, 1e4),)))
    assert drift.rollback == "" and "no former champion to go back to" in drift.done and drift.difference is None


def test_windows_of_former_rounds_count_and_those_of_another_champion_do_not(paths: Paths) -> None:
    before = rows(3, 2, 40)
    assert judge_drift(paths, CHAMPION, watched((), before), fresh(before)).level.windows == 80
    other = watched((), before).model_copy(update={"since_utc": "U"})
    assert judge_drift(paths, CHAMPION, other, fresh(before)).level.windows == 40


def test_too_few_windows_are_no_pass(paths: Paths) -> None:
    drift = judge_drift(paths, CHAMPION, None, fresh(rows(3, 2, 10)))
    assert drift.to_json()["label"] == "NODATA" and "needs" in drift.done


def test_two_losing_windows_are_said(paths: Paths) -> None:
    new = (*rows(3, 2, 30, seed=2), (-1.0, 1e4, -1.0, 1e4), (-1.0, 1e4, -1.0, 1e4))
    drift = judge_drift(paths, CHAMPION, watched(rows(3, 2, 96)), fresh(new))
    assert drift.rollback == "" and "windows in a row below 0" in drift.done


def test_the_champion_and_its_former_one_are_replayed(paths: Paths, tapes: list[Tape]) -> None:
    other = dict(Params().with_changes({"base_spread_bps_delta": 0.5}))
    champion = CHAMPION | {"params": other}
    both = fresh_windows(paths, [tapes[1].path], champion, 1, "S1")
    assert len(both.rows) == 60 and {len(row) for row in both.rows} == {4}
    assert set(both.quote_per_pnl) == {1.0} and both.pnl_currency == "USDT"
    alone = fresh_windows(paths, [tapes[1].path], FIRST, 1, "S1")
    assert [row[2:] for row in both.rows] == list(alone.rows)
    assert [row[:2] for row in both.rows] != list(alone.rows)


def test_taken_back_twice_is_taken_back_once(paths: Paths) -> None:
    store = ChampionStore(paths, SYMBOL)
    bad = store.promote(Params().with_changes({"tail_age_ms": 700}), who="optimize", why="test")
    drift = judge_drift(paths, CHAMPION, watched(rows(3, 2, 96)), fresh(rows(3, 4, 60, seed=2)))
    assert isinstance(drift, Drift)
    first, again = (take_back(paths, SYMBOL, bad.id, drift) for _ in range(2))
    assert first is not None and again is not None and first.rollback_id == again.rollback_id
    assert [change.kind for change in store.history()] == ["promote", "rollback"]
    assert len(read_events(paths)) == 1 and first.report.is_file()
    assert store.history()[-1].evidence["watch"]["watched"] == "difference"
    store.promote(Params().with_changes({"tail_age_ms": 800}), who="operator", why="test")
    assert take_back(paths, SYMBOL, bad.id, drift) is None
