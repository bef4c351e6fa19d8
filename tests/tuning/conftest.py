from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.metrics import METRICS
from engine.paths import CHECKOUT
from engine.tuning.bands import Gates, load_gates
from engine.tuning.rules import Packages, Rules, load_packages, load_rules

CONFIG = CHECKOUT / "config"

# A run in which every gate meets its ideal and no matrix row triggers.
CALM = {
    "net_bps": 3.2,
    "gross_bps": 4.0,
    "fees_eff_bps": -0.1,
    "slippage_bps": -0.5,
    "inventory_bps": -0.2,
    "slippage_cost_bps": 0.5,
    "adverse_bps": 1.0,
    "adverse_bps_p95": 3.0,
    "slippage_cost_bps_p95": 2.0,
    "maker_share_pct": 100.0,
    "maker_taker_ratio": 1.0,
    "cancel_ratio": 0.30,
    "order_age_p95_ms": 300.0,
    "p95_latency_ms": 12.0,
    "order_ack_p95_ms": 11.0,
    "risk_ratio": 0.2,
    "net_pnl_quote": 32.0,
    "realised_pnl_quote": 30.0,
    "unrealised_pnl_quote": 2.0,
    "max_drawdown_quote": 4.0,
    "fills": 250,
    "notional_quote": 100_000.0,
    "coverage_pct": 100.0,
}


@pytest.fixture(scope="session")
def config() -> Path:
    return CONFIG


@pytest.fixture(scope="session")
def gates() -> Gates:
    return load_gates(CONFIG)


@pytest.fixture(scope="session")
def packages() -> Packages:
    return load_packages(CONFIG)


@pytest.fixture(scope="session")
def rules() -> Rules:
    """The matrix first proposed, in which every mechanism has a row."""
    return load_rules(CONFIG, "seed")


@pytest.fixture(scope="session")
def kpi_slice() -> Callable[..., dict[str, Any]]:
    """`kpi_slice(net_bps=2.9, blocks={"min_interval": 0.5})`: the calm slice with those KPIs planted."""
    assert set(CALM) == set(METRICS) - {"block_ratios"}

    def build(blocks: dict[str, float] | None = None, **kpis: Any) -> dict[str, Any]:
        ratios = {"min_interval": 0.1, "concurrency": 0.05} | (blocks or {})
        reasons = {reason: {"count": int(1000 * ratio), "ratio": ratio} for reason, ratio in ratios.items()}
        return {**CALM, "block_reasons": reasons, "neg_edge_drivers": [], "null_reasons": {}, **kpis}

    return build
