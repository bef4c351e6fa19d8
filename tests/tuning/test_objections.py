"""What gates have against a promotion: fail bounds that are missed, data that is missing."""

from __future__ import annotations

import pytest

from engine.paths import CHECKOUT
from engine.tuning.bands import load_gates
from engine.tuning.gate import Objections, objections

GATES = load_gates(CHECKOUT / "config")
GOOD = {
    "cancel_ratio": 0.1,
    "maker_share_pct": 100.0,
    "adverse_bps_p95": 9.0,  # an ideal that is missed stands against nobody
    "slippage_cost_bps_p95": 1.0,
    "order_age_p95_ms": 100.0,
}


def test_the_net_band_is_not_asked_and_a_missed_fail_bound_is() -> None:
    assert objections(GOOD | {"net_bps": None}, GATES) == objections(GOOD | {"net_bps": -9.0}, GATES) == Objections()
    found = objections(GOOD | {"cancel_ratio": 0.7}, GATES)
    assert found == Objections(failed=("cancel_ratio: 0.7 is above the fail bound 0.65",))


@pytest.mark.parametrize("metric", sorted(GOOD))
def test_a_gate_without_data_is_missing_and_no_failure(metric: str) -> None:
    found = objections(GOOD | {metric: None, "null_reasons": {metric: "no fills"}}, GATES)
    assert found.failed == () and len(found.missing) == 1
    assert found.missing[0].startswith(f"{metric}: no data: no fills")


def test_one_that_is_reported_only_says_nothing() -> None:
    quiet = GATES.model_copy(
        update={"gates": tuple(gate.model_copy(update={"criticality": "report-only"}) for gate in GATES.gates)}
    )
    assert objections({}, quiet) == Objections()
