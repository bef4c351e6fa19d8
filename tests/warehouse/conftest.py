"""Journals made by code, and a slow ledger in fractions to judge the warehouse by."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from engine.warehouse.db import Warehouse

START_NS = 1_723_161_600_000_000_000
SECOND_NS = 10**9
UNITS = 10**12

LINEAR = {
    "venue": "binance-usdm",
    "tick": "0.1",
    "lot": "0.001",
    "contract": "linear",
    "contract_size": "1",
    "quote_currency": "USDT",
    "pnl_currency": "USDT",
}
INVERSE = LINEAR | {
    "venue": "binance-coinm",
    "lot": "1",
    "contract": "inverse",
    "contract_size": "100",
    "quote_currency": "USD",
    "pnl_currency": "BTC",
}


class Journal:
    """Records of one run, in order of writing; `seq` is counted here."""

    def __init__(self, run_id: str = "20261120T020000-BTCUSDT-1f2e") -> None:
        self.run_id = run_id
        self.records: list[dict[str, Any]] = []

    def add(self, type_: str, at_s: float, lane: int = 0, **fields: Any) -> Journal:
        self.records.append(
            {
                "v": 1,
                "type": type_,
                "run_id": self.run_id,
                "seq": len(self.records),
                "ts_ns": START_NS + round(at_s * SECOND_NS),
                "symbol": "BTCUSDT",
                "lane": lane,
                **fields,
            }
        )
        return self

    def start(self, instrument: dict[str, Any] = LINEAR, lanes: int = 2, **fields: Any) -> Journal:
        roles = ("champion", "control", "challenger")
        return self.add(
            "run_start",
            0,
            **{
                "bot": "nightsoak/0.1.0",
                "mode": "replay",
                "profile": "S1",
                "lanes": [
                    {"lane": i, "role": roles[min(i, 2)], "params": {"min_interval_ms": 70}} for i in range(lanes)
                ],
                "instrument": instrument,
                "position_start": "0",
                "position_cap_qty": "1.000",
                "window_seconds": 300,
                "latency_modelled": False,
                "git": "39d2fec",
            }
            | fields,
        )

    def mark(self, at_s: float, mid: str) -> Journal:
        return self.add("mark", at_s, mid=mid, bid=mid, ask=mid)

    def fill(self, at_s: float, side: str, qty: str, price: str, lane: int = 0, **fields: Any) -> Journal:
        base = {"order_id": len(self.records), "liquidity": "maker", "fee": "0", "fee_currency": "USDT"}
        return self.add("fill", at_s, lane, side=side, qty=qty, price=price, **(base | fields))

    def window_end(self, at_s: float, window: int, start_s: float, iteration: int = 0, **fields: Any) -> Journal:
        return self.add(
            "window_end",
            at_s,
            window=window,
            iteration=iteration,
            start_ns=START_NS + round(start_s * SECOND_NS),
            **({"iteration_end": False, "valid_book_ms": 1000 * (at_s - start_s), "events": 9} | fields),
        )

    def lines(self) -> list[bytes]:
        return [json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in self.records]

    def write(self, path: Path, lines: Iterable[bytes] | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(self.lines() if lines is None else lines))
        return path


@dataclass
class Point:
    """A fill, a funding payment or a window edge of one lane, as the ledger keeps it."""

    at_ns: int
    window: int
    v: int
    signed_lots: int = 0
    v_price: int = 0
    v_quote: int = 0
    fee: int = 0
    funding: int = 0
    is_edge: bool = False


@dataclass
class RandomRun:
    """A journal and, independently of the warehouse, what it should come to."""

    journal: Journal
    windows: int
    edges: dict[int, tuple[int, int]]
    """window -> (start_ns, end_ns)"""
    position_start: int
    cap_lots: int
    points: dict[int, list[Point]] = field(default_factory=dict)

    def expected(self, lane: int, first: int, last: int) -> dict[str, float | None]:
        """Windows first..last of a lane by the formulas of the metrics contract, in exact fractions."""
        points = self.points[lane]
        position, cash_before = self.position_start, None
        net = gross = slippage = fees = inventory = held = notional = 0
        fills = 0
        pnl = peak = worst = 0
        opening = closing = 0
        cash = 0
        previous = points[0]
        for point in points[1:]:
            inside = first <= point.window <= last
            if inside and cash_before is None:
                cash_before, opening = True, -position * previous.v
            if inside:
                step = position * (point.v - previous.v)
                inventory += step + point.funding
                held += abs(position) * (point.at_ns - previous.at_ns)
                own = point.signed_lots * (point.v_quote - point.v_price)
                slip = point.signed_lots * (point.v - point.v_quote) if point.signed_lots else 0
                gross, slippage, fees = gross + own, slippage + slip, fees + point.fee
                cash -= point.signed_lots * point.v_price
                notional += abs(point.signed_lots * point.v_price)
                fills += point.signed_lots != 0
                pnl += step + own + slip + point.fee + point.funding
                peak = max(peak, pnl)
                worst = max(worst, peak - pnl)
                net += point.fee + point.funding
            position += point.signed_lots
            if inside:
                closing = position * point.v
            previous = point
        net += cash + closing + opening
        span = self.edges[last][1] - self.edges[first][0]

        def bps(units: int) -> float | None:
            return float(Fraction(10_000 * units, notional)) if notional else None

        return {
            "net_bps": bps(net),
            "gross_bps": bps(gross),
            "slippage_bps": bps(slippage),
            "slippage_cost_bps": bps(-slippage),
            "fees_eff_bps": bps(fees),
            "inventory_bps": bps(inventory),
            "net_pnl_quote": float(Fraction(net, UNITS)),
            "max_drawdown_quote": float(Fraction(worst, UNITS)),
            "notional_quote": float(Fraction(notional, UNITS)),
            "fills": fills,
            "risk_ratio": float(Fraction(held, self.cap_lots * span)),
        }


def value_units(instrument: dict[str, str], price: Decimal | Fraction) -> int:
    """The value function of docs/metrics_contract.md, written again."""
    lot_size = Fraction(instrument["contract_size"]) * Fraction(instrument["lot"]) * UNITS
    return (
        round(lot_size * Fraction(price)) if instrument["contract"] == "linear" else round(-lot_size / Fraction(price))
    )


def make_random_run(seed: int, instrument: dict[str, str] = LINEAR, *, windows: int = 4) -> RandomRun:
    """Two lanes, fills, fees, funding, a last window that is short and one without fills; journal and ledger."""
    rng = random.Random(seed)
    journal = Journal(f"20261120T020000-BTCUSDT-{seed:04x}")
    tick, lot = Decimal(instrument["tick"]), Decimal(instrument["lot"])
    position_start, cap_lots = rng.randrange(-50, 50), rng.randrange(20, 200)
    journal.start(
        instrument, position_start=str(position_start * lot), position_cap_qty=str(cap_lots * lot), window_seconds=60
    )
    mid2 = rng.randrange(500_000, 1_300_000)

    def price_of(ticks2: int) -> Decimal:
        return tick * ticks2 / 2

    def v(ticks2: int) -> int:
        return value_units(instrument, price_of(ticks2))

    run = RandomRun(journal, windows, {}, position_start, cap_lots)
    positions = {0: position_start, 1: position_start}
    run.points = {lane: [Point(START_NS, -1, v(mid2), is_edge=True)] for lane in positions}
    journal.mark(0, str(price_of(mid2)))
    at_s = 0.0
    for window in range(windows):
        start_s = at_s
        seconds = 60 if window < windows - 1 else 17
        quiet = window == 1
        for second in range(seconds):
            if second:
                mid2 += rng.randrange(-60, 61)
                journal.mark(at_s + second, str(price_of(mid2)))
            for lane in positions:
                if quiet or rng.random() < 0.6:
                    continue
                when = round((at_s + second + rng.randrange(1, 999) / 1000) * 1000) / 1000
                if rng.random() < 0.04:
                    amount = Decimal(rng.randrange(-(10**9), 10**9)).scaleb(-12)
                    journal.add("funding", at_s + second, lane, amount=str(amount))
                    now = START_NS + round((at_s + second) * SECOND_NS)
                    run.points[lane].append(Point(now, window, v(mid2), funding=int(amount.scaleb(12))))
                lots, sign = rng.randrange(1, 20), rng.choice((-1, 1))
                quote2, fill2 = mid2 + rng.randrange(-30, 31), mid2 + rng.randrange(-30, 31)
                price2 = quote2 - sign * rng.randrange(0, 80)
                fee = Decimal(rng.randrange(-(10**10), 10**10)).scaleb(-12)
                positions[lane] += sign * lots
                journal.fill(
                    when,
                    "buy" if sign > 0 else "sell",
                    str(lots * lot),
                    str(price_of(price2)),
                    lane,
                    fee=str(fee),
                    fee_currency=instrument["pnl_currency"],
                    quote_mid=str(price_of(quote2)),
                    fill_mid=str(price_of(fill2)),
                    order_age_ms=rng.randrange(1, 900),
                    position_after=str(positions[lane] * lot),
                )
                now = START_NS + round(when * SECOND_NS)
                run.points[lane].append(
                    Point(now, window, v(fill2), sign * lots, v(price2), v(quote2), int(fee.scaleb(12)))
                )
        at_s += seconds
        mid2 += rng.randrange(-60, 61)
        journal.mark(at_s, str(price_of(mid2)))
        journal.window_end(at_s, window, start_s, iteration=window // 2, iteration_end=window % 2 == 1)
        run.edges[window] = (START_NS + round(start_s * SECOND_NS), START_NS + round(at_s * SECOND_NS))
        for lane in positions:
            run.points[lane].append(Point(run.edges[window][1], window, v(mid2), is_edge=True))
    journal.add("run_end", at_s, reason="complete")
    for lane in positions:
        run.points[lane].sort(key=lambda p: (p.window, p.is_edge, p.at_ns))
    return run


@pytest.fixture
def new_journal() -> type[Journal]:
    return Journal


@pytest.fixture
def random_run() -> Callable[..., RandomRun]:
    return make_random_run


@pytest.fixture
def lot_value() -> Callable[[dict[str, str], Decimal], int]:
    return value_units


@pytest.fixture
def instruments() -> dict[str, dict[str, str]]:
    return {"linear": LINEAR, "inverse": INVERSE}


@pytest.fixture
def open_warehouse(tmp_path: Path) -> Callable[..., Warehouse]:
    """A warehouse file of the test's own; another name is another file."""

    def opened(name: str = "warehouse") -> Warehouse:
        return Warehouse(tmp_path / f"{name}.duckdb")

    return opened
