"""The simulated markets: the same bytes everywhere, whole messages, a sane book, adverse selection."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ConfigError, TapeError
from engine.files import sha256_file
from engine.market import simulator_core as core
from engine.market.book_scan import scan_book
from engine.market.checks import FAIL, check_columns
from engine.market.events import BUY, CLEAR, DEPTH, LAST, MARKER, TRADE, Columns
from engine.market.facts import stylised_facts
from engine.market.simulator import (
    SimulatorSettings,
    column_digests,
    generate_chunks,
    generate_columns,
    generate_tape,
    read_settings,
)
from engine.market.simulator_tables import exponential_table, loglogistic_table
from engine.market.tape import Tape, verify_tape

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIG = CHECKOUT / "config"
MARKETS = ("s1", "tight")
MS = 1_000_000


def columns_of(chunks: list[Columns]) -> Columns:
    return Columns(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))


@pytest.fixture(scope="module", params=MARKETS)
def twenty_minutes(request: pytest.FixtureRequest) -> tuple[SimulatorSettings, Columns]:
    settings = read_settings(CONFIG, request.param).with_run(seed=3, duration_s=1200)
    return settings, generate_columns(settings)


def digest_of(market: str, seed: int, duration_s: int) -> str:
    columns = generate_columns(read_settings(CONFIG, market).with_run(seed=seed, duration_s=duration_s))
    return f"{len(columns.kind)} {hashlib.sha256(repr(column_digests(columns)).encode()).hexdigest()}"


@pytest.mark.parametrize("market", MARKETS)
def test_the_bytes_do_not_depend_on_compilation(market: str) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_simulator as t; "
        "print(t.digest_of(sys.argv[2], 5, 13))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(Path(__file__).parent), market],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
        cwd=CHECKOUT,
    )
    interpreted = done.stdout.strip()
    assert interpreted == digest_of(market, 5, 13)
    assert int(interpreted.split()[0]) > 2000


def test_the_default_tape_is_the_committed_one() -> None:
    settings = read_settings(CONFIG, "s1")
    assert settings.expected_sha256 is not None
    columns = generate_columns(settings)  # raises where a column differs
    assert column_digests(columns) == settings.expected_sha256
    assert 2_300_000 <= len(columns.kind) <= 2_700_000
    assert settings.duration_s == 10_800


def test_a_column_that_is_not_the_expected_one_is_named(tmp_path: Path) -> None:
    settings = read_settings(CONFIG, "s1").with_run(duration_s=5)
    digests = column_digests(generate_columns(settings))
    wrong = settings.model_copy(update={"expected_sha256": {**digests, "price_ticks": "0" * 64}})
    with pytest.raises(TapeError, match="price_ticks"):
        generate_tape(tmp_path / "tape", wrong)
    assert not (tmp_path / "tape").exists()
    generate_columns(settings.model_copy(update={"expected_sha256": digests}))


def test_the_seed_decides() -> None:
    assert digest_of("s1", 1, 20) == digest_of("s1", 1, 20)
    assert digest_of("s1", 1, 20) != digest_of("s1", 2, 20)


def test_rows_do_not_depend_on_the_chunks() -> None:
    settings = read_settings(CONFIG, "s1").with_run(seed=4, duration_s=60)
    whole = generate_columns(settings)
    for chunk_rows in (1, 700, 5000):
        cut = list(generate_chunks(settings, chunk_rows=chunk_rows))
        assert all(chunk.flags[-1] & LAST for chunk in cut)
        assert column_digests(columns_of(cut)) == column_digests(whole)


def test_a_longer_run_begins_with_the_shorter_one() -> None:
    short = generate_columns(read_settings(CONFIG, "s1").with_run(seed=4, duration_s=30))
    long = generate_columns(read_settings(CONFIG, "s1").with_run(seed=4, duration_s=60))
    assert column_digests(long.part(0, len(short.kind))) == column_digests(short)


def test_events_are_what_a_tape_may_hold(twenty_minutes: tuple[SimulatorSettings, Columns]) -> None:
    settings, columns = twenty_minutes
    assert [finding for finding in check_columns(columns) if finding.label == FAIL] == []
    scan = scan_book(columns)
    assert scan.crossed_message_ends == 0
    assert scan.empty_side_ends == 0
    assert scan.gap_count == 0
    assert columns.kind[0] == MARKER and columns.flags[0] & CLEAR
    assert (columns.kind == MARKER).sum() == 1
    trades, priced = columns.kind == TRADE, columns.kind != MARKER
    assert columns.qty_lots[trades].min() > 0
    low = settings.start_price_ticks * (1 - settings.window_share_permille / 1000)
    high = settings.start_price_ticks * (1 + settings.window_share_permille / 1000)
    assert low <= columns.price_ticks[priced].min() and columns.price_ticks[priced].max() < high


def test_clocks(twenty_minutes: tuple[SimulatorSettings, Columns]) -> None:
    settings, columns = twenty_minutes
    ends = np.flatnonzero(columns.flags & LAST)
    assert (np.diff(columns.exch_ts_ns[ends]) >= 1000).all()
    assert (np.diff(columns.local_ts_ns) >= 0).all()
    latency = columns.local_ts_ns - columns.exch_ts_ns
    assert latency.min() >= settings.latency_low_us * 1000
    assert latency.max() <= settings.latency_high_us * 1000
    assert columns.exch_ts_ns[0] > settings.start_ns
    assert columns.exch_ts_ns[-1] < settings.start_ns + settings.duration_s * 10**9


def test_trades_eat_what_is_displayed_and_the_depth_rows_say_so(
    twenty_minutes: tuple[SimulatorSettings, Columns],
) -> None:
    """Replayed in plain Python: a trade is at a level of the other side, and the level falls by its size."""
    columns = twenty_minutes[1].part(0, 40_000)
    books: tuple[dict[int, int], dict[int, int]] = ({}, {})
    eaten: dict[tuple[int, int], int] = {}
    seen = 0
    rows = zip(*(column.tolist() for column in columns[2:]), strict=True)
    for kind, flags, price, qty in rows:
        if kind == TRADE:
            side = 1 if flags & BUY else 0  # a buyer eats asks
            best = min(books[1]) if side else max(books[0])
            assert price == best or (side, price - (1 if side else -1)) in eaten or (price - best) * (2 * side - 1) > 0
            assert books[side][price] >= qty
            eaten[side, price] = qty
        elif kind == DEPTH:
            side = 0 if flags & BUY else 1
            if (side, price) in eaten:
                assert qty == books[side][price] - eaten.pop((side, price))
                seen += 1
            books[side].pop(price, None)
            if qty:
                books[side][price] = qty
        if flags & LAST:
            assert not eaten
            assert max(books[0]) < min(books[1])
    assert seen > 1000


def test_one_depth_row_a_level_in_a_message(twenty_minutes: tuple[SimulatorSettings, Columns]) -> None:
    columns = twenty_minutes[1]
    message = np.cumsum(np.concatenate([[0], (columns.flags[:-1] & LAST) != 0]))
    depth = columns.kind == DEPTH
    keys = (message[depth] << 24 | columns.price_ticks[depth]) * 2 + (columns.flags[depth] & BUY)
    assert len(np.unique(keys)) == len(keys)


S1_BANDS = {
    "events_per_s": (150, 330),
    "trade_share_pct": (9, 15),
    "spread_bps_mean": (6, 9),
    "return_sd_60s_bps": (4, 16),
    "markout_5s_bps": (0.05, 2.0),
    "sign_autocorrelation_1": (0.1, 0.7),
    "abs_return_autocorrelation_1": (0.03, 0.6),
    "latency_p50_ms": (8, 10),
}
TIGHT_BANDS = {
    "spread_ticks_p50": (1, 1),
    "trade_share_pct": (3, 15),
    "return_sd_60s_bps": (1, 12),
    "markout_5s_bps": (0.02, 2.0),
}


def test_stylised_facts_stay_in_their_bands(twenty_minutes: tuple[SimulatorSettings, Columns]) -> None:
    settings, columns = twenty_minutes
    facts = stylised_facts(columns)
    bands = S1_BANDS if settings.market == "s1" else TIGHT_BANDS
    outside = {name: facts[name] for name, (low, high) in bands.items() if not low <= (facts[name] or 0.0) <= high}
    assert outside == {}


def test_makers_learn_what_the_informed_knew(twenty_minutes: tuple[SimulatorSettings, Columns]) -> None:
    """Adverse selection needs informed orders: without them the mid does not follow the order."""
    settings, columns = twenty_minutes
    if settings.market != "s1":
        pytest.skip("the bands of the tight market are checked above")
    blind = settings.model_copy(
        update={"informed_permille": 0, "sweep_impact_millitick": 0, "order_impact_millitick": 0}
    )
    markout, without = (stylised_facts(c)["markout_5s_bps"] for c in (columns, generate_columns(blind)))
    assert markout is not None and without is not None
    assert markout > without + 0.1


def test_the_generator_is_xorwow() -> None:
    """Against Marsaglia's xorwow written anew, on unbounded integers."""
    state, counter = [1, 2, 3, 4, 5], 6
    rng = np.array([*state, counter], np.int64)
    for _ in range(1000):
        t = state[0] ^ (state[0] >> 2)
        v = state[4]
        state = [*state[1:], (v ^ (v << 4) ^ t ^ (t << 1)) % 2**32]
        counter = (counter + 362437) % 2**32
        assert core._bits32(rng) == (state[4] + counter) % 2**32


def test_tables_are_quantiles() -> None:
    exponential, loglogistic = exponential_table(), loglogistic_table(2000)
    assert (np.diff(exponential) >= 0).all() and (np.diff(loglogistic) >= 0).all()
    assert exponential.mean() / core.ONE == pytest.approx(1.0, abs=1e-3)
    u = (np.arange(2048) + 0.5) / 2048
    assert np.abs(exponential / core.ONE + np.log1p(-u)).max() < 1e-5
    assert np.abs(loglogistic / core.ONE - np.sqrt(u / (1 - u))).max() < 1e-5
    assert Fraction(int(loglogistic_table(1000)[0]), core.ONE) == round(Fraction(1, 4095) * core.ONE) / Fraction(
        core.ONE
    )


def test_progress_rises_to_the_end() -> None:
    seen: list[float] = []
    generate_columns(read_settings(CONFIG, "s1").with_run(duration_s=3000), progress=seen.append)
    assert len(seen) > 1 and seen == sorted(seen) and 0.99 < seen[-1] <= 1.0


def test_a_generated_tape_verifies_and_says_how_it_was_made(tmp_path: Path) -> None:
    settings = read_settings(CONFIG, "s1").with_run(seed=9, duration_s=30)
    tape = generate_tape(tmp_path / "tape", settings)
    assert verify_tape(tmp_path / "tape").ok
    assert tape.meta.order == "exchange" and tape.meta.symbol == "SIMUSDT"
    again = SimulatorSettings.model_validate_json(json.dumps(tape.meta.generated))
    assert again == settings.model_copy(update={"comment": ""})
    with pytest.raises(TapeError, match="already"):
        generate_tape(tmp_path / "tape", settings)


def test_the_sample_tape_is_what_its_settings_generate(tmp_path: Path) -> None:
    sample = CHECKOUT / "datasets" / "sample"
    tape = Tape.open(sample, verify=True)
    assert sum(file.stat().st_size for file in sample.iterdir()) <= 2_000_000
    assert tape.meta.generated is not None
    settings = SimulatorSettings.model_validate_json(json.dumps(tape.meta.generated))
    generate_tape(tmp_path / "again", settings)
    assert {f.name: sha256_file(f) for f in (tmp_path / "again").iterdir()} == {
        f.name: sha256_file(f) for f in sample.iterdir()
    }


def test_an_unknown_market_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no market 'gold'.*s1, tight"):
        read_settings(CONFIG, "gold")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("informed_permille", 1001, "informed_permille"), ("react_ms", 0, "react_ms"), ("speed", 3, "speed")],
)
def test_bad_settings_are_refused_by_name(tmp_path: Path, key: str, value: int, message: str) -> None:
    settings = json.loads((CONFIG / "simulator" / "s1.json").read_text())
    (tmp_path / "simulator").mkdir()
    (tmp_path / "simulator" / "mine.json").write_text(json.dumps({**settings, key: value}))
    with pytest.raises(ConfigError, match=message):
        read_settings(tmp_path, "mine")


def test_with_run_keeps_expectations_only_for_the_same_run() -> None:
    settings = read_settings(CONFIG, "s1")
    assert settings.with_run() is settings
    assert settings.with_run(seed=settings.seed, duration_s=settings.duration_s) is settings
    assert settings.with_run(seed=settings.seed + 1).expected_sha256 is None
    assert settings.with_run(duration_s=60).expected_sha256 is None


@pytest.mark.parametrize("run", [{"seed": -1}, {"duration_s": 0}])
def test_a_run_that_cannot_be_is_refused_by_name(run: dict[str, int]) -> None:
    (name,) = run
    with pytest.raises(ConfigError, match=f"market s1: {name} {run[name]} is below"):
        read_settings(CONFIG, "s1").with_run(**run)
