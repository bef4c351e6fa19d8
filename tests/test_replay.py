"""Replays of parameter sets: lanes, threads and cuts change nothing; more latency does not pay."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputError
from engine.lane_replay import LaneReplay
from engine.ledger import Valuer, lane_components
from engine.maker.session import MakerSession
from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape
from engine.params import PARAMETERS, Params
from engine.paths import CHECKOUT
from engine.profile import Profile, load_profile
from engine.queue_bounds import queue_bounds
from engine.replay import ReplaySettings, kernel_config, read_parameter_sets, replay, run_session
from engine.soak import cut_span

CONFIG = CHECKOUT / "config"
GRID = [
    dict(Params().with_changes({"base_spread_bps_delta": round(0.07 * i, 2), "min_interval_ms": 60 + 30 * j}))
    for i in range(8)
    for j in range(8)
]


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile(CONFIG, "S1")


@pytest.fixture(scope="module")
def markets(tmp_path_factory: pytest.TempPathFactory) -> list[Tape]:
    """Ten minutes of the s1 market, twenty-four seeds."""
    folder = tmp_path_factory.mktemp("markets")
    settings = read_settings(CONFIG, "s1")
    return [generate_tape(folder / str(seed), settings.with_run(seed=seed, duration_s=600)) for seed in range(100, 124)]


def test_sixty_four_lanes_are_sixty_four_single_runs(markets: list[Tape], profile: Profile) -> None:
    together = replay(markets[0], GRID, profile, ReplaySettings(lanes=64))
    assert len({result.digest for result in together}) > 32
    for lanes in (1, 5):
        apart = replay(markets[0], GRID[::9], profile, ReplaySettings(lanes=lanes))
        assert [r.to_json() for r in apart] == [r.to_json() for r in together[::9]]


def test_order_of_lanes_does_not_matter(markets: list[Tape], profile: Profile) -> None:
    forward = replay(markets[1], GRID[:12], profile, ReplaySettings())
    backward = replay(markets[1], GRID[11::-1], profile, ReplaySettings())
    assert [r.digest for r in forward] == [r.digest for r in reversed(backward)]


@pytest.mark.parametrize("system", ["posix", "windows"])
def test_a_tape_read_in_pieces_gives_the_same_fills(
    markets: list[Tape], profile: Profile, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    """What was read is given back to the system, where that takes it: the kernel never looks there again."""
    whole = replay(markets[0], GRID[:3], profile, ReplaySettings())
    monkeypatch.setattr("engine.replay._EVENTS_AT_ONCE", 5_000)
    if system == "windows":
        monkeypatch.delattr("mmap.MADV_DONTNEED")
    assert len(markets[0].columns.kind) > 10_000
    assert [r.to_json() for r in replay(markets[0], GRID[:3], profile, ReplaySettings())] == [
        r.to_json() for r in whole
    ]


def test_symmetric_lanes_too(markets: list[Tape], profile: Profile) -> None:
    sets = [{"half_spread_ticks": h, "skew_ticks": 0.5, "min_interval_ms": 100.0} for h in (6.0, 8.0, 10.0)]
    settings = ReplaySettings(rule="symmetric", full_fill=True)
    together = replay(markets[0], sets, profile, settings, trace=True)
    assert all(result.fills for result in together)
    for one, result in zip(sets, together, strict=True):
        (alone,) = replay(markets[0], [one], profile, settings, trace=True)
        assert alone.digest == result.digest
        assert (alone.trace == result.trace).all()


def test_components_add_up_to_the_cash_ledger(markets: list[Tape], profile: Profile) -> None:
    """gross + slippage + fees + inventory = cash + position marked + fees, the two computed apart."""
    for tape in markets[:2]:
        (result,) = replay(tape, [dict(Params())], profile, ReplaySettings())
        value = Valuer(tape.meta.instrument())

        session = MakerSession(
            kernel_config(tape, profile, ReplaySettings()), [dict(Params())],
            (tape.meta.price_low_ticks, tape.meta.price_high_ticks + 1), tape.meta.first_exch_ts_ns,
        )  # fmt: skip
        records = run_session(session, tape, tape.meta.last_local_ts_ns + 1)
        mid2 = session.touch()[0]
        rate = Fraction(profile.maker_fee_rate)
        parts = lane_components(records, 0, value, rate, mid2, mid2)
        ledger = int(Decimal(result.cash).scaleb(12)) + result.position_lots * value(mid2) + parts.fee_units
        assert parts.net_units == ledger
        assert parts.fills == result.fills > 0


def test_more_latency_never_pays_on_average(markets: list[Tape], profile: Profile) -> None:
    """Mean net PnL over the markets, entry and response latency alike."""
    means = []
    for latency_ms in (0.0, 25.0, 100.0, 800.0):
        settings = ReplaySettings(entry_latency_ms=latency_ms, response_latency_ms=latency_ms)
        pnl = [replay(tape, [dict(Params())], profile, settings)[0].kpis["net_pnl_quote"] for tape in markets]
        means.append(sum(pnl) / len(pnl))
    assert means == sorted(means, reverse=True)


def test_queue_bounds_take_parameters_at_their_time(markets: list[Tape], profile: Profile) -> None:
    tape = markets[0]
    schedule = cut_span(tape.meta.first_exch_ts_ns, tape.meta.last_local_ts_ns, 2, 60)
    start, half = schedule.start_ns, schedule.window_end_ns(4)
    wide = Params().with_changes({"base_spread_bps_delta": 0.6})
    calm = queue_bounds(LaneReplay(tape, profile, schedule, [(start, wide)]))
    switched = queue_bounds(LaneReplay(tape, profile, schedule, [(start, Params()), (half, wide)]))
    lively = queue_bounds(LaneReplay(tape, profile, schedule, [(start, Params())]))
    assert calm["used"] == profile.queue
    for name in ("pessimistic", "optimistic"):
        assert calm[name]["fills"] < switched[name]["fills"] < lively[name]["fills"]


@pytest.mark.parametrize(
    ("rule", "text", "complaint"),
    [
        ("s1", "[]", "not a JSON list of objects"),
        ("s1", "{}", "not a JSON list of objects"),
        ("s1", "[{]", "no JSON list"),
        ("s1", '[{"half_spread_ticks": 1}]', "unknown parameter 'half_spread_ticks'"),
        ("s1", '[{"min_interval_ms": NaN}]', "min_interval_ms nan is out of range"),
        ("symmetric", '[{"half_spread_ticks": 1}]', "skew_ticks is missing"),
        ("symmetric", '[{"half_spread_ticks": Infinity, "skew_ticks": 0}]', "half_spread_ticks = inf"),
        ("symmetric", '[{"half_spread_ticks": true, "skew_ticks": 0}]', "half_spread_ticks = True"),
        ("symmetric", '[{"half_spread_ticks": 1e300, "skew_ticks": 0}]', r"half_spread_ticks = 1e\+300"),
        ("symmetric", '[{"half_spread_ticks": 1, "skew_ticks": 1' + "0" * 400 + "}]", "skew_ticks = 1000"),
    ],
)
def test_bad_parameter_files_are_named(tmp_path: Path, rule: str, text: str, complaint: str) -> None:
    path = tmp_path / "sets.json"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint.replace("[", r"\[")) as error:
        read_parameter_sets(path, rule)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "x"},
        {"queue": "power:0"},
        {"entry_latency_ms": float("nan")},
        {"response_latency_ms": -1.0},
        {"entry_latency_ms": 1e13},
    ],
)
def test_bad_settings_are_refused(markets: list[Tape], profile: Profile, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        replay(markets[0], [dict(Params())], profile, ReplaySettings(**changes))


@pytest.mark.parametrize("step_ms", [0.0, 1e-7, float("nan"), float("inf")])
def test_a_step_that_would_never_end_is_refused(tmp_path: Path, step_ms: float) -> None:
    path = tmp_path / "sets.json"
    path.write_text('[{"half_spread_ticks": 1, "skew_ticks": 0}]')
    with pytest.raises(InputError, match="a step of"):
        read_parameter_sets(path, "symmetric", step_ms)


def test_parameter_sets_start_from_the_initial_values(tmp_path: Path) -> None:
    path = tmp_path / "sets.json"
    path.write_text(json.dumps([{}, {"min_lot": 3}]))
    first, second = read_parameter_sets(path, "s1")
    assert first == {name: row.initial for name, row in PARAMETERS.items()}
    assert second == first | {"min_lot": 3}


def test_an_s1_trace_has_a_row_a_step_and_changes_nothing(markets: list[Tape], profile: Profile) -> None:
    sets = [dict(Params()), dict(Params().with_changes({"min_interval_ms": 150}))]
    plain = replay(markets[0], sets, profile, ReplaySettings())
    traced = replay(markets[0], sets, profile, ReplaySettings(), trace=True)
    assert [r.digest for r in plain] == [r.digest for r in traced]
    for lane, result in zip(sets, traced, strict=True):
        rows = result.trace
        assert len(rows) == pytest.approx(600_000 / lane["min_interval_ms"], rel=0.01)
        assert (rows[1:, 0] - rows[:-1, 0] == lane["min_interval_ms"] * 1_000_000).all()
        assert rows[-1, 4] == result.fills and (rows[1:, 4] >= rows[:-1, 4]).all()
        assert (rows[1:, 1] < rows[1:, 2]).all() and rows[:, 5].max() == 2
