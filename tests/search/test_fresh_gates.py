from __future__ import annotations

import pytest

from engine.market.tape import Tape
from engine.params import Params
from engine.paths import CHECKOUT
from engine.profile import Profile
from engine.search.fresh_gates import gate_failures, lane_kpis
from engine.search.trial_windows import evaluate
from engine.sweep import lane_effects
from engine.tuning.bands import load_gates

SETS = [Params(), Params().with_changes({"base_spread_bps_delta": 0.4, "tail_age_ms": 900})]
GATES = load_gates(CHECKOUT / "config")


def test_the_kpis_are_those_of_the_sweep(tapes: list[Tape], profile: Profile) -> None:
    windows = evaluate(tapes, profile, SETS, 450)
    found = lane_kpis(tapes, profile, SETS, windows)
    for mine, other in zip(found, lane_effects(tapes, profile, SETS), strict=True):
        assert mine["adverse_bps_p95"] == pytest.approx(other["adverse_bps_p95"], rel=1e-9)
        assert mine["order_age_p95_ms"] == pytest.approx(other["order_age_p95_ms"], rel=1e-9)
        assert mine["fills"] == other["fills"]
        assert mine["net_bps"] == pytest.approx(other["net_bps"], rel=1e-6)
        assert mine["notional_quote"] == pytest.approx(other["notional_quote"], rel=1e-9)
        assert 0 <= (mine["cancel_ratio"] or 0) < 0.2
        assert mine["maker_share_pct"] == 100.0


def test_the_net_band_is_not_asked_and_a_missed_fail_bound_is() -> None:
    good = {"net_bps": 0.1, "cancel_ratio": 0.1, "maker_share_pct": 100.0, "adverse_bps_p95": 9.0}
    assert gate_failures(good, GATES) == []  # an ideal that is missed rejects nobody, nor does the band
    (said,) = gate_failures(good | {"cancel_ratio": 0.7}, GATES)
    assert said == "cancel_ratio: 0.7 is above the fail bound 0.65"


def test_a_critical_gate_without_data_rejects() -> None:
    (said,) = gate_failures({"net_bps": 3.0, "maker_share_pct": 100.0, "cancel_ratio": None}, GATES)
    assert said.startswith("cancel_ratio: no data")
