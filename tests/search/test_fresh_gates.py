from __future__ import annotations

import numpy as np
import pytest

from engine.maker.state import REC_FILL
from engine.market.tape import Tape
from engine.params import Params
from engine.paths import CHECKOUT
from engine.profile import Profile
from engine.search.fresh_gates import _mid2_after, lane_kpis
from engine.search.trial_windows import end_ns, evaluate, start_session
from engine.sweep import lane_effects
from engine.tuning.bands import load_gates

SETS = [Params(), Params().with_changes({"base_spread_bps_delta": 0.4, "tail_age_ms": 900})]
GATES = load_gates(CHECKOUT / "config")


def test_the_kpis_are_those_of_the_sweep(tapes: list[Tape], profile: Profile) -> None:
    """Its markouts are not: it takes the tape's last mid for fills less than the horizon before the end, which are
    unknown here as in the warehouse, and counts from the exchange's time, not from when the bot learnt of the fill."""
    windows = evaluate(tapes, profile, SETS, 450)
    found = lane_kpis(tapes, profile, SETS, windows)
    markouts = [np.concatenate(parts) for parts in zip(*(slow_markouts(tape, profile) for tape in tapes), strict=True)]
    for mine, other, known in zip(found, lane_effects(tapes, profile, SETS), markouts, strict=True):
        assert mine["adverse_bps_p95"] == pytest.approx(np.quantile(known, 0.95), rel=1e-12)
        assert mine["adverse_bps_p95"] == pytest.approx(other["adverse_bps_p95"], rel=0.05)
        assert 0 < len(known) <= other["fills"]
        assert mine["order_age_p95_ms"] == pytest.approx(other["order_age_p95_ms"], rel=1e-9)
        assert mine["fills"] == other["fills"]
        assert mine["net_bps"] == pytest.approx(other["net_bps"], rel=1e-6)
        assert mine["notional_quote"] == pytest.approx(other["notional_quote"], rel=1e-9)
        assert 0 <= (mine["cancel_ratio"] or 0) < 0.2
        assert mine["maker_share_pct"] == 100.0


def slow_markouts(tape: Tape, profile: Profile) -> list[list[float]]:
    """Per lane the 5 s markout cost of every fill with a mark at or behind its horizon and no more than 2 s late."""
    session, order = start_session(tape, SETS, profile)
    start_ns, end = tape.meta.first_exch_ts_ns, end_ns(tape)
    marks: list[tuple[int, int]] = []
    fills = []
    second = 0
    while not marks or marks[-1][0] < end:
        second += 1
        edge_ns = min(start_ns + second * 10**9, end)
        fills += [row for row in session.advance(tape.columns, edge_ns, order) if row["kind"] == REC_FILL]
        marks.append((edge_ns, int(session.touch()[0])))
    costs: list[list[float]] = [[] for _ in SETS]
    for row in fills:
        at_ns = int(row["ts_ns"]) + 5 * 10**9
        mid2 = next((mid2 for ts_ns, mid2 in marks if ts_ns >= at_ns and mid2 > 0 and ts_ns - at_ns <= 2 * 10**9), 0)
        if mid2 and row["fill_mid2"] > 0:
            moved = int(row["side"]) * (mid2 - int(row["fill_mid2"]))
            costs[row["lane"]].append(-1e4 * moved / (2.0 * int(row["price_ticks"])))
    return costs


def test_a_mid_that_comes_too_late_is_unknown() -> None:
    edges = np.arange(1, 11) * 10**9
    mid2 = np.array([5, 6, 7, 0, 0, 8, 0, 0, 0, 9])
    at_ns = np.array([0, 10**9, 10**9 + 1, 3 * 10**9 + 5, 4 * 10**9, 7 * 10**9, 8 * 10**9, 10**10, 10**10 + 1])
    assert _mid2_after(at_ns, edges, mid2).tolist() == [5, 5, 6, 0, 8, 0, 9, 9, 0]
    assert _mid2_after(at_ns, edges, np.zeros(10, np.int64)).tolist() == [0] * 9
