from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from prefect.exceptions import ParameterTypeError

from engine.baseline.ladder import (
    BaselineSettings,
    Market,
    check_baseline,
    make_ladder,
    mock_market,
    plan_attempt,
    preset_params,
    soak_settings,
)
from engine.baseline.presets import Presets
from engine.errors import FeedError, InputError
from engine.instrument import Instrument
from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape, write_tape
from engine.params import Params
from engine.paths import CHECKOUT, Paths
from engine.profile import load_profile
from engine.soak import RunPlan
from flows.baseline import baseline


def mock(**changes: object) -> BaselineSettings:
    given = {"symbols": ("BTCUSDT",), "profile": "S1", "mock": True, "iterations": 2, "window_seconds": 10}
    return BaselineSettings.model_validate(given | changes)


def test_a_mock_market_has_the_exchanges_grid_and_each_symbol_its_own_seed(paths: Paths) -> None:
    settings = mock(symbols=("BTCUSDT", "ETHUSDT"), profile="moderate")
    one, other = (mock_market(settings, paths, symbol) for symbol in settings.symbols)
    assert (one.market, str(one.tick), str(one.lot)) == ("tight", "0.1", "0.001")
    assert (other.market, str(other.tick), str(other.lot)) == ("tight", "0.01", "0.01")
    assert one.duration_s == other.duration_s == 20
    assert one.seed != other.seed
    assert mock_market(mock(seed=5), paths, "BTCUSDT").seed != mock_market(mock(seed=6), paths, "BTCUSDT").seed
    assert mock_market(settings, paths, "SIMBTC").symbol == "SIMBTC"


def test_a_ladder_generates_its_tapes_once(paths: Paths) -> None:
    ladder = make_ladder(mock(symbols=("BTCUSDT", "XRPUSDT")), paths)
    again = make_ladder(mock(symbols=("BTCUSDT", "XRPUSDT")), paths)
    assert [market.symbol for market in ladder.markets] == ["BTCUSDT", "XRPUSDT"]
    assert [market.tape for market in ladder.markets] == [market.tape for market in again.markets]
    assert Tape.open(ladder.markets[0].tape, verify=True).meta.symbol == "BTCUSDT"
    assert str(paths.datasets) not in json.dumps([market.shown for market in ladder.markets])


def test_an_attempts_plan_is_a_soaks_with_the_presets_parameters_and_no_path_of_this_machine(paths: Paths) -> None:
    ladder = make_ladder(mock(), paths)
    preset = ladder.presets.presets[2]
    plan, notes = plan_attempt(ladder, preset, ladder.markets[0])
    assert notes == ()
    assert dict(plan.params) == dict(Params().with_changes({"touch_dwell_ms": 45, "min_lot": 5}))
    assert (plan.schedule.iterations, plan.schedule.windows, plan.schedule.window_seconds) == (2, 2, 10)
    assert plan.params_source == "baseline preset B"
    assert RunPlan.read(plan.file) == plan
    assert str(paths.datasets) not in json.dumps([plan.settings.model_dump(mode="json"), plan.tape_facts])
    assert (paths.datasets.parent / plan.settings.overrides).is_file()


def test_an_order_below_the_presets_smallest_quote_is_said(paths: Paths) -> None:
    ladder = make_ladder(mock(profile="moderate"), paths)
    _, notes = plan_attempt(ladder, ladder.presets.presets[3], ladder.markets[0])
    (note,) = notes
    assert note.startswith("BTCUSDT: the profile's order of 500 USDT is 0.008, less than the smallest quote of 0.010")


def test_without_mock_and_tape_it_is_the_exchanges_live_feed(paths: Paths, btc: Instrument) -> None:
    settings = BaselineSettings(exchange="binance", symbols=("BTCUSDT",), iterations=3, endpoint="ws://127.0.0.1:1")
    check_baseline(settings, paths)
    soak = soak_settings(settings, Market("BTCUSDT", None, "binance, live", False, btc, None))
    assert (soak.feed, soak.endpoint, soak.tape, soak.symbols) == ("binance", "ws://127.0.0.1:1", "", ("BTCUSDT",))
    assert (soak.iterations, soak.window_seconds, soak.hours) == (3, 60, 0.05)
    with pytest.raises(FeedError, match="does not answer"):
        make_ladder(settings, paths)


def test_the_parameters_of_a_deployment_are_settings() -> None:
    asked = baseline.validate_parameters({"settings": {"mock": True, "symbols": ["BTCUSDT", "ETHUSDT"]}})
    assert asked["settings"] == BaselineSettings(mock=True, symbols=("BTCUSDT", "ETHUSDT"))
    with pytest.raises(ParameterTypeError, match="symbols"):
        baseline.validate_parameters({"settings": {"symbols": [1]}})


def test_an_inverse_contract_cannot_be_converted_without_a_price(
    paths: Paths, btc: Instrument, presets: Presets
) -> None:
    inverse = Market("BTCUSD", None, "bybit, live", False, replace(btc, contract="inverse"), None)
    with pytest.raises(InputError, match="its price is not known before the run"):
        preset_params(presets.presets[0], inverse, load_profile(paths.config, "S1"))


def test_tapes_are_taken_in_the_order_of_the_symbols(paths: Paths, tmp_path: Path) -> None:
    folders = {}
    for market in ("s1", "tight"):
        settings = read_settings(CHECKOUT / "config", market).with_run(duration_s=5)
        folders[settings.symbol] = str(generate_tape(tmp_path / market, settings).path)
    tapes = (folders["SIMBTC"], folders["SIMUSDT"])
    check_baseline(BaselineSettings(tapes=tapes, iterations=1), paths)
    symbols = ("SIMUSDT", "SIMBTC")
    ladder = make_ladder(BaselineSettings(symbols=symbols, tapes=tapes, iterations=1), paths)
    assert [(market.symbol, market.shown) for market in ladder.markets] == [(s, folders[s]) for s in symbols]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"endpoint": "ws://127.0.0.1:1"}, "an endpoint is for a live feed"),
        ({"tapes": ("SHORT",)}, "--mock, --tape: both were given"),
        ({"symbols": ("DOGE",)}, "bybit has no DOGE here"),
        ({"symbols": ("BTCUSDT", "BTCUSDT")}, "BTCUSDT stands twice"),
        ({"profile": "S9"}, "no profile 'S9'"),
        ({"market": "nowhere"}, "no market 'nowhere'"),
        ({"mock": False, "tapes": ("nowhere",)}, "nowhere: is not a tape"),
        ({"mock": False, "tapes": ("SHORT", "SHORT"), "symbols": ()}, "a second tape of SIMUSDT"),
        ({"mock": False, "tapes": ("SHORT",)}, "BTCUSDT has no tape"),
        ({"mock": False, "tapes": ("SHORT",), "symbols": (), "iterations": 900}, "cannot be cut into 900 iterations"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    paths: Paths, short_tape: Tape, settings: dict[str, object], message: str
) -> None:
    if "tapes" in settings:
        settings = settings | {"tapes": tuple(t.replace("SHORT", str(short_tape.path)) for t in settings["tapes"])}
    with pytest.raises(InputError) as caught:
        check_baseline(mock(**settings), paths)
    assert message in str(caught.value)
    assert not (paths.datasets / "runs").exists() and not paths.tapes.exists()


def test_a_recorded_tape_of_another_exchange_is_refused(paths: Paths, short_tape: Tape, tmp_path: Path) -> None:
    instrument = replace(short_tape.meta.instrument(), venue="binance-usdm")
    tape = write_tape(tmp_path / "recorded", short_tape.columns, instrument=instrument)
    with pytest.raises(InputError, match=r"the tape is of binance-usdm, not of bybit; ask for --exchange binance"):
        check_baseline(BaselineSettings(tapes=(str(tape.path),)), paths)
    check_baseline(BaselineSettings(exchange="binance", tapes=(str(tape.path),)), paths)
