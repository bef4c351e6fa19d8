"""Stylised facts against tapes whose answers are known, and against plain slow versions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.market import facts as module
from engine.market.events import BUY, CLEAR, DEPTH, LAST, MARKER, TRADE, Columns
from engine.market.facts import FACTS, facts_table, main, stylised_facts
from engine.market.simulator import generate_columns, generate_tape, read_settings

CONFIG = Path(__file__).resolve().parents[2] / "config"
S = 1_000_000_000
Row = tuple[int, int, int, int, int]


def tape(rows: list[Row], latency_ns: int = 5_000_000) -> Columns:
    """Columns from (exchange time, kind, flags, price, lots)."""
    exch, kind, flags, price, lots = (np.array(values) for values in zip(*rows, strict=True))
    columns = Columns.empty(len(rows))
    for column, values in zip(columns, (exch, exch + latency_ns, kind, flags, price, lots), strict=True):
        column[:] = values
    return columns


def book(ts: int, bid: int, ask: int) -> list[Row]:
    """A snapshot: ten levels a side of 7 lots, 20 at the touch."""
    rows: list[Row] = [(ts, MARKER, CLEAR, 0, 0)]
    for k in range(10):
        rows.append((ts, DEPTH, BUY, bid - k, 20 if k == 0 else 7))
        rows.append((ts, DEPTH, 0, ask + k, 20 if k == 0 else 7))
    ts, kind, flags, price, lots = rows[-1]
    return [*rows[:-1], (ts, kind, flags | LAST, price, lots)]


@pytest.fixture(scope="module")
def rising() -> dict[str, float | None]:
    """Each second the book moves up by 10 ticks; 0.1 s before it a buyer takes 2 lots, in two rows."""
    rows: list[Row] = []
    for second in range(200):
        rows += book(second * S, 10_000 + 10 * second, 10_004 + 10 * second)
        t = second * S + 900_000_000
        rows.append((t, TRADE, BUY, 10_004 + 10 * second, 1))
        rows.append((t, TRADE, BUY | LAST, 10_004 + 10 * second, 1))
    return stylised_facts(tape(rows))


def test_spread_depth_and_rates(rising: dict[str, float | None]) -> None:
    assert rising["spread_ticks_mean"] == rising["spread_ticks_p50"] == rising["spread_ticks_p95"] == 4
    assert rising["spread_bps_p50"] == pytest.approx(4e4 / 11_000, rel=0.01)
    assert rising["touch_depth_trades"] == 10
    assert rising["ten_level_depth_trades"] == (20 + 9 * 7) / 2
    assert rising["trade_share_pct"] == pytest.approx(100 * 2 / 23)
    assert rising["orders_per_s"] == pytest.approx(1.0, rel=0.01)
    assert rising["order_gap_median_ms"] == 1000
    assert rising["order_gap_burstiness"] == pytest.approx(-1.0)
    assert rising["mid_changes_per_s"] == pytest.approx(1.0, rel=0.01)
    assert rising["latency_p50_ms"] == rising["latency_p95_ms"] == 5
    assert rising["rows_per_message"] == 23 / 2


def test_markout_is_what_the_mid_did_after_the_order(rising: dict[str, float | None]) -> None:
    mids = 10_002 + 10 * np.arange(200)
    for h in (1, 5, 10, 60):
        expected = np.mean(1e4 * (mids[h:] / mids[:-h] - 1))
        assert rising[f"markout_{h}s_bps"] == pytest.approx(expected, rel=1e-9)


def test_a_seller_before_a_fall_is_right_too() -> None:
    rows: list[Row] = []
    for second in range(100):
        rows += book(second * S, 10_000 - 10 * second, 10_004 - 10 * second)
        rows.append((second * S + S // 2, TRADE, LAST, 10_000 - 10 * second, 1))
    assert (stylised_facts(tape(rows))["markout_5s_bps"] or 0) > 40


def test_too_short_a_tape_has_no_facts_rather_than_zeros() -> None:
    assert set(stylised_facts(tape(book(0, 100, 102)[:5])).values()) == {None}
    facts = stylised_facts(tape(book(0, 100, 102) + book(S, 100, 102)))
    assert facts["markout_5s_bps"] is None and facts["return_sd_60s_bps"] is None
    assert facts["spread_ticks_mean"] == 2


def test_a_tape_of_one_moment_or_of_one_order_has_no_rates() -> None:
    rows = [*book(0, 10_000, 10_004), *book(0, 10_000, 10_004)]
    assert stylised_facts(tape(rows)) == dict.fromkeys(FACTS)
    order = [(S, TRADE, BUY, 10_004, 1)] * 40 + [(S, TRADE, BUY | LAST, 10_004, 1)]
    facts = stylised_facts(tape([*rows, *order, *book(9 * S, 10_000, 10_004)]))
    assert facts["trade_share_pct"] > 0 and facts["orders_per_s"] is None and facts["order_gap_burstiness"] is None


def test_against_a_plain_python_reading() -> None:
    """Mids, spread and 1 s returns of a simulated minute, from a book kept in dicts."""
    columns = generate_columns(read_settings(CONFIG, "s1").with_run(seed=8, duration_s=90))
    books: tuple[dict[int, int], dict[int, int]] = ({}, {})
    times, mids, spreads = [], [], []
    for _, local, kind, flags, price, qty in zip(*(c.tolist() for c in columns), strict=True):
        if kind == DEPTH:
            side = books[0 if flags & BUY else 1]
            side.pop(price, None)
            if qty:
                side[price] = qty
        if flags & LAST:
            bid, ask = max(books[0]), min(books[1])
            times.append(local)
            mids.append((bid + ask) / 2)
            spreads.append(ask - bid)
    stood = np.diff(times)
    facts = stylised_facts(columns)
    assert facts["spread_ticks_mean"] == pytest.approx(np.average(spreads[:-1], weights=stood))
    grid = np.arange(times[0], times[-1] + 1, S)
    at = np.array([mids[np.flatnonzero(np.array(times) <= t)[-1]] for t in grid])
    returns = 1e4 * (at[1:] / at[:-1] - 1)
    assert facts["return_sd_1s_bps"] == pytest.approx(returns.std())
    lagged = np.mean((returns[1:] - returns.mean()) * (returns[:-1] - returns.mean())) / returns.var()
    assert facts["return_autocorrelation_1s"] == pytest.approx(lagged)


def test_the_table_has_every_fact_once_and_dashes_for_none(rising: dict[str, float | None]) -> None:
    lines = facts_table({"a": rising, "b": dict.fromkeys(FACTS)}).splitlines()
    assert lines[0] == "| | a | b |"
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == [label for label, _ in FACTS.values()]
    assert all(line.endswith("| - |") for line in lines[2:])


def test_the_command_prints_tapes_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (1, 2):
        generate_tape(tmp_path / f"tape{seed}", read_settings(CONFIG, "s1").with_run(seed=seed, duration_s=20))
    assert main([str(tmp_path / "tape1"), str(tmp_path / "tape2")]) == 0
    assert capsys.readouterr().out.startswith("| | tape1 | tape2 |\n")
    assert main([]) == 2
    assert main([str(tmp_path / "absent")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_autocorrelation_of_an_alternating_series() -> None:
    assert module._autocorrelation(np.tile([1.0, -1.0], 50), 1) == pytest.approx(-1.0)
    assert module._autocorrelation(np.ones(100), 1) is None
