"""Stores in folders of their own, and journals whose lanes have given PnL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.champion.store import ChampionStore
from engine.params import Params
from engine.paths import CHECKOUT, Paths

START_NS = 1_790_000_000_000_000_000
NS = 1_000_000_000
A = Params(min_interval_ms=80)
B = Params(min_interval_ms=120)
C = Params(base_spread_bps_delta=0.123456789012345, tail_age_ms=500)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(config=CHECKOUT / "config", datasets=tmp_path / "datasets", reports=tmp_path / "reports")


@pytest.fixture
def store(paths: Paths) -> ChampionStore:
    return ChampionStore(paths, "BTCUSDT")


@pytest.fixture
def sets() -> tuple[Params, Params, Params]:
    return A, B, C


@pytest.fixture
def at() -> Callable[[float], datetime]:
    """A moment, so many days into the story."""
    return lambda days=0.0: datetime.fromtimestamp(1_795_000_000 + 86_400 * days, UTC)


@pytest.fixture
def write_run(paths: Paths) -> Callable[..., str]:
    """Writes a journal: one round trip a window and lane earns what is asked for; mids are flat at 100 + window.

    Args of the call: stamp, lanes {lane: (role, params)}, pnl {lane: [quote per window]}; mode; changes
    [(lane, at_s, params)]; window_s; market (added to the mids, another stretch of it); last_s (length of the last
    window); start_ns; more fields of run_start in `said` and of its instrument in `grid`; cancels {lane: orders
    cancelled a window, beside the two that are filled}, without which no order is journalled. The market is generated.
    """

    def write(
        stamp: str,
        lanes: Mapping[int, tuple[str, Params]],
        pnl: Mapping[int, Sequence[float | tuple[float, float, float] | None]],
        *,
        mode: str = "replay",
        changes: Sequence[tuple[int, float, Params]] = (),
        window_s: int = 300,
        market: int = 0,
        last_s: float | None = None,
        start_ns: int = START_NS,
        said: Mapping[str, object] | None = None,
        grid: Mapping[str, str] | None = None,
        cancels: Mapping[int, int] | None = None,
    ) -> str:
        run_id = f"{stamp}-BTCUSDT-{market:04x}"
        records: list[tuple[float, int, dict[str, object]]] = []
        count = max(len(values) for values in pnl.values())
        start = {
            "type": "run_start",
            "bot": "test",
            "mode": mode,
            "profile": "S1",
            "market": "generated",
            "generator": "s1",
            "tape_digest": f"tape {market}",
            "lanes": [{"lane": n, "role": role, "params": dict(params)} for n, (role, params) in lanes.items()],
            "instrument": {"tick": "0.01", "lot": "0.001", "contract": "linear", "contract_size": "1",
                           "quote_currency": "USDT", "pnl_currency": "USDT", "maker_fee_bps": "0",
                           "taker_fee_bps": "-5"},
            "position_start": "0", "position_cap_qty": "1000", "window_seconds": window_s, "latency_modelled": True,
            "git": "test",
        }  # fmt: skip
        start |= said or {}
        start["instrument"] = {**start["instrument"], **(grid or {})}
        records.append((0.0, 0, start | {"lane": 0}))
        for window in range(count):
            begin = window * window_s
            mid = f"{100 + market + window % 7}.00"
            length = last_s if last_s is not None and window == count - 1 else window_s
            for at_s in (*range(begin + 1, begin + int(length), 90), begin + 11.5):  # one 5 s after the fills
                records.append((at_s, 0, {"type": "mark", "lane": 0, "mid": mid, "bid": mid, "ask": mid}))
            for lane, values in pnl.items():
                value = values[window]
                if value is None:
                    continue
                # two fills of 10 that leave no position and `value` of PnL, or (bought at, sold at, quantity)
                low, high, qty = value if isinstance(value, tuple) else (100.0, 100.0 + value / 10, 10)
                for side, price, shift in (("buy", low, 5.0), ("sell", high, 6.0)):
                    fill = {"type": "fill", "lane": lane, "order_id": f"{lane}-{window}-{side}", "side": side,
                            "price": f"{price:.6f}", "qty": f"{qty:g}", "liquidity": "maker", "fee": "0",
                            "fee_currency": "USDT", "quote_mid": mid, "fill_mid": mid, "order_age_ms": 100}  # fmt: skip
                    records.append((begin + shift + lane * 0.1, 1, fill))
                    if lane in (cancels or {}):
                        order = {name: fill[name] for name in ("lane", "order_id", "side", "price", "qty", "quote_mid")}
                        records.append((begin + 1, 1, order | {"type": "order", "event": "new"}))
                for number in range((cancels or {}).get(lane, 0)):
                    ends = {"type": "order", "lane": lane, "order_id": f"{lane}-{window}-{number}", "side": "buy",
                            "price": "99.00", "qty": "1", "event": "cancel", "reason": "test"}  # fmt: skip
                    records.append((begin + 7, 1, ends))
            end = {"type": "window_end", "lane": 0, "window": window, "iteration": 0, "iteration_end": False,
                   "start_ns": start_ns + begin * NS, "valid_book_ms": 1000.0 * length}  # fmt: skip
            records.append((begin + length, 2, end))
        for lane, at_s, params in changes:
            change = {"type": "params", "lane": lane, "params": dict(params), "source": "test"}
            records.append((at_s, 3, change | {"effective_ts_ns": start_ns + round(at_s * NS)}))
        paths.journals.mkdir(parents=True, exist_ok=True)
        with (paths.journals / f"{run_id}.0.jsonl").open("w", encoding="utf-8") as file:
            ordered = sorted(records, key=lambda record: record[:2])
            for seq, (at_s, _, record) in enumerate(ordered):
                common = {
                    "v": 1,
                    "run_id": run_id,
                    "seq": seq,
                    "ts_ns": start_ns + round(at_s * NS),
                    "symbol": "BTCUSDT",
                }
                file.write(json.dumps(common | record) + "\n")
        return run_id

    return write
