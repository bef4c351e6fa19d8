"""Edge reports by hand, a ladder's record made of them, and the committed presets."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.baseline.ladder import BaselineSettings, Ladder, Market
from engine.baseline.presets import Presets, load_presets
from engine.baseline.record import AttemptRun, document, make_attempt
from engine.baseline.verdict import symbol_result
from engine.instrument import Instrument
from engine.paths import CHECKOUT, Paths

MINUTE_NS = 60_000_000_000
BTC = Instrument(
    venue="bybit-linear",
    symbol="BTCUSDT",
    tick=Decimal("0.1"),
    lot=Decimal("0.001"),
    contract="linear",
    contract_size=Decimal(1),
    quote_currency="USDT",
    pnl_currency="USDT",
)


def slice_of(
    pnl: float | None, notional: float, fills: int, latency: float | None, risk: float | None
) -> dict[str, Any]:
    """A slice as EDGE_REPORT.json has it, as far as the ladder reads it."""
    return {
        "fills": fills,
        "notional_quote": notional,
        "net_pnl_quote": pnl,
        "net_bps": 1e4 * pnl / notional if fills else None,
        "maker_taker_ratio": 1.0 if fills else None,
        "p95_latency_ms": latency,
        "risk_ratio": risk,
        "coverage_pct": 99.0,
        "null_reasons": {} if fills else {"net_bps": "no fills", "maker_taker_ratio": "no fills"},
    }


@pytest.fixture
def edge_of() -> Callable[..., dict[str, Any]]:
    """Two windows and their sum: (pnl, notional, fills, latency, risk) each."""

    def edge(symbol: str, *windows: tuple[float, float, int, float | None, float], **totals: Any) -> dict[str, Any]:
        rows = [
            slice_of(*values) | {"window": n, "start_ns": n * MINUTE_NS, "end_ns": (n + 1) * MINUTE_NS}
            for n, values in enumerate(windows)
        ]
        pnl, notional, fills, _, risk = (
            sum(column) for column in zip(*[(*w[:3], 0, w[4]) for w in windows], strict=True)
        )
        whole = slice_of(pnl, notional, fills, 11.0, risk / len(windows)) | totals
        return {
            "run_id": f"20261120T020000-{symbol}-1f2e",
            "symbol": symbol,
            "pnl_currency": "USDT",
            "totals": whole,
            "windows": rows,
        }

    return edge


@pytest.fixture
def btc() -> Instrument:
    """BTCUSDT of bybit-linear."""
    return BTC


@pytest.fixture
def presets() -> Presets:
    return load_presets(CHECKOUT / "config")


@pytest.fixture
def record_of(presets: Presets) -> Callable[..., dict[str, Any]]:
    """BASELINE.json of a ladder whose attempts came to these edge reports: one list of them per attempt."""

    def record(*attempts: list[dict[str, Any]], mock: bool = True) -> dict[str, Any]:
        symbols = tuple(edge["symbol"] for edge in attempts[0])
        tapes = () if mock else ("t",)
        settings = BaselineSettings(symbols=symbols, profile="moderate", mock=mock, tapes=tapes, iterations=2)
        markets = tuple(Market(s, Path("t"), f"datasets/tapes/tight-{s}", mock, BTC, 1_200_000) for s in symbols)
        note = "The market is generated: the ladder says nothing about bybit."
        ladder = Ladder(
            "20261120T020000-baseline-1f2e", settings, "moderate", presets, markets, (note,), {}, "",
            Paths.from_environment(),
        )  # fmt: skip
        done = []
        for preset, edges in zip(presets.presets, attempts, strict=False):
            params = {"touch_dwell_ms": preset.touch_dwell_ms, "min_lot": 1}
            runs = [
                AttemptRun(
                    result=symbol_result(edge),
                    folder=Path("reports/2026-11-20") / edge["run_id"],
                    verdict="FAIL",
                    params=params,
                    overrides=f"datasets/baseline/{edge['symbol']}-{preset.name}-00000000.json",
                    windows_s=60,
                    latency_modelled=True,
                    notes=(f"{edge['symbol']}: 1 x the minimum is used.",),
                )
                for edge in edges
            ]
            done.append(make_attempt(ladder, preset, runs))
        return document(ladder, done)

    return record
