"""The peer's side of the comparison; runs inside benchmarks/.peer, prints one JSON line.

    python peer_replay.py --tape DIR --queue power:3 --sets SETS.json [--trace OUT.npz] [--reps 5] [--warm TAPE]

It plays one of our tapes through hftbacktest with the symmetric rule of docs/fill-model.md, one pass per
parameter set, and reports CPU seconds of the passes (compiled before), peak memory, fills and positions.
"""

from __future__ import annotations

import argparse
import json
import resource
from importlib.metadata import version
from pathlib import Path

import numpy as np
from hftbacktest import BUY, GTX, LIMIT, BacktestAsset, ROIVectorMarketDepthBacktest
from hftbacktest.data import correct_event_order
from hftbacktest.types import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    event_dtype,
)
from numba import njit

MARKER, BID_OR_BUYER = 2, 1


def peer_events(folder: Path, meta: dict) -> np.ndarray:
    """Our columns as the peer's event rows; where the two clocks order them differently, a row per clock."""
    column = {name: np.load(folder / f"{name}.npy") for name in (
        "exch_ts_ns", "local_ts_ns", "kind", "flags", "price_ticks", "qty_lots")}  # fmt: skip
    keep = column["kind"] != MARKER
    column = {name: values[keep] for name, values in column.items()}
    rows = np.zeros(len(column["kind"]), event_dtype)
    kind = np.where(column["kind"] == 0, DEPTH_EVENT, TRADE_EVENT).astype(np.uint64)
    side = np.where(column["flags"] & BID_OR_BUYER, BUY_EVENT, SELL_EVENT).astype(np.uint64)
    rows["ev"] = kind | side
    rows["exch_ts"], rows["local_ts"] = column["exch_ts_ns"], column["local_ts_ns"]
    rows["px"] = column["price_ticks"] * float(meta["tick"])
    rows["qty"] = column["qty_lots"] * float(meta["lot"])
    if (np.diff(rows["exch_ts"]) >= 0).all():
        rows["ev"] |= np.uint64(EXCH_EVENT) | np.uint64(LOCAL_EVENT)
        return rows
    by_exchange = np.argsort(rows["exch_ts"], kind="stable")
    by_receipt = np.arange(len(rows))
    return correct_event_order(rows, by_exchange, by_receipt)


def backtest(data: np.ndarray, meta: dict, queue: str, latency_ns: int) -> ROIVectorMarketDepthBacktest:
    tick = float(meta["tick"])
    asset = (
        BacktestAsset()
        .data(data)
        .linear_asset(1.0)
        .constant_order_latency(latency_ns, latency_ns)
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(tick)
        .lot_size(float(meta["lot"]))
        .roi_lb(meta["price_low_ticks"] * tick)
        .roi_ub(meta["price_high_ticks"] * tick)
        .last_trades_capacity(0)
        .no_partial_fill_exchange()
    )
    model, _, power = queue.partition(":")
    asset = asset.risk_adverse_queue_model() if model == "risk" else asset.power_prob_queue_model(float(power))
    return ROIVectorMarketDepthBacktest([asset])


@njit
def quote(hbt, step_ns, half_spread, skew, order_qty, most_units, result, trace):
    """The symmetric rule: see docs/fill-model.md."""
    next_id = 1
    row = 0
    while hbt.elapse(step_ns) == 0:
        hbt.clear_inactive_orders(0)
        book = hbt.depth(0)
        if np.isnan(book.best_bid) or np.isnan(book.best_ask):
            continue
        best_bid, best_ask = book.best_bid_tick, book.best_ask_tick
        units = int(np.round(hbt.position(0) / order_qty))
        middle = 0.5 * (best_bid + best_ask)
        lean = skew * units
        bid = min(int(np.floor(middle - half_spread - lean)), best_bid)
        ask = max(int(np.ceil(middle + half_spread - lean)), best_ask)
        buy, sell, live = units < most_units, units > -most_units, 0
        orders = hbt.orders(0).values()
        while orders.has_next():
            order = orders.get()
            live += 1
            if order.side == BUY and buy and order.price_tick == bid:
                buy = False
            elif order.side != BUY and sell and order.price_tick == ask:
                sell = False
            elif order.cancellable:
                hbt.cancel(0, order.order_id, False)
        if buy:
            hbt.submit_buy_order(0, next_id, bid * book.tick_size, order_qty, GTX, LIMIT, False)
            next_id += 1
        if sell:
            hbt.submit_sell_order(0, next_id, ask * book.tick_size, order_qty, GTX, LIMIT, False)
            next_id += 1
        if row < trace.shape[0]:
            trace[row, 0] = hbt.current_timestamp
            trace[row, 1] = bid
            trace[row, 2] = ask
            trace[row, 3] = units
            trace[row, 4] = hbt.state_values(0).num_trades
            trace[row, 5] = live
        row += 1
    result[0] = hbt.state_values(0).num_trades
    result[1] = np.round(hbt.position(0) / order_qty)
    result[2] = row


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tape", type=Path, required=True)
    parser.add_argument("--queue", required=True)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--reps", type=int, default=1)
    parser.add_argument("--step-ms", type=float, default=100.0)
    parser.add_argument("--latency-ms", type=float, default=5.0)
    parser.add_argument("--order-lots", type=int, default=10)
    parser.add_argument("--most-units", type=int, default=10)
    args = parser.parse_args()
    meta = json.loads((args.tape / "meta.json").read_text())
    sets = json.loads(args.sets.read_text())
    data = peer_events(args.tape, meta)
    step_ns, latency_ns = round(args.step_ms * 1e6), round(args.latency_ms * 1e6)
    order_qty = args.order_lots * float(meta["lot"])
    span_ns = meta["last_local_ts_ns"] - meta["first_exch_ts_ns"]
    rows = int(span_ns / step_ns) + 1 if args.trace else 0

    def run(events: np.ndarray, one: dict, trace: np.ndarray) -> list[int]:
        result = np.zeros(3, np.int64)
        hbt = backtest(events, meta, args.queue, latency_ns)
        quote(
            hbt, step_ns, float(one["half_spread_ticks"]), float(one["skew_ticks"]), order_qty,
            args.most_units, result, trace,
        )  # fmt: skip
        hbt.close()
        return result.tolist()

    run(data[:20_000].copy(), sets[0], np.zeros((0, 6), np.int64))
    seconds, results, traces = [], [], {}
    for _ in range(args.reps):
        start = cpu_seconds()
        results = []
        for k, one in enumerate(sets):
            trace = np.zeros((rows, 6), np.int64)
            results.append(run(data, one, trace))
            traces[f"lane{k}"] = trace[: results[-1][2]]
        seconds.append(cpu_seconds() - start)
    if args.trace:
        np.savez(args.trace, **traces)
    status = Path("/proc/self/status").read_text().splitlines()  # getrusage starts from the parent's peak
    peak_mb = int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024
    print(json.dumps({
        "version": version("hftbacktest"), "cpu_s": seconds, "peak_mb": round(peak_mb, 1),
        "fills": [r[0] for r in results], "events": meta["count"],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
