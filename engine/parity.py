"""Parity: is what the running bot did what a replay of its tape does?

A run journals its fills as they happen. The same tape, with every lane's parameters at their market times, is replayed
and its fills are compared with the journal's one by one: time of learning, side, price and quantity. Of a replay run
this proves that nothing but tape, parameters and code decided; of a shadow run, that the recorded tape holds all that
the bot acted on, in the order in which it acted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.lane_replay import LaneReplay
from engine.maker.state import Array
from engine.warehouse.build import build
from engine.warehouse.db import Warehouse


def journalled_fills(wh: Warehouse, run_id: str) -> dict[int, Array]:
    """{lane: int64[n, 4]}: ts_ns, side (+1 buy, -1 sell), price in ticks, quantity in lots, in the journal's order."""
    run = build(wh, run_id).run
    tick, lot = run.instrument.tick, run.instrument.lot
    fills: dict[int, list[tuple[int, int, int, int]]] = {lane: [] for lane, _ in run.lanes}
    rows = wh.execute("SELECT lane, ts_ns, side_sign, price, qty FROM core_fill ORDER BY lane, seq")
    for lane, ts_ns, side, price, qty in rows:
        fills[lane].append((ts_ns, side, round(price / tick), round(qty / lot)))
    return {lane: np.array(rows, np.int64).reshape(-1, 4) for lane, rows in fills.items()}


def fills_digest(fills: Array) -> str:
    """sha256 of int64[n, 4] rows as `journalled_fills` gives them."""
    return hashlib.sha256(np.ascontiguousarray(fills, "<i8").tobytes()).hexdigest()


def measure_parity(lanes: Sequence[LaneReplay], journal: Mapping[int, Array]) -> dict[str, Any]:
    """Replays every lane and compares.

    Args:
        lanes: lane 0, 1, ... as they ran.

    Returns:
        {"same": bool, "lanes": [{lane, journalled, replayed, digest, same, first_difference_ns}]}; counts are of
        fills, the digest is the journal's, and the first difference is null where there is none.
    """
    rows = []
    for number, lane in enumerate(lanes):
        (outcome,) = lane.run_all([lane.unchanged()])
        was = journal.get(number, np.zeros((0, 4), np.int64))
        at = _first_difference(was, outcome.fills)
        rows.append(
            {
                "lane": number,
                "journalled": len(was),
                "replayed": len(outcome.fills),
                "digest": fills_digest(was),
                "same": at is None,
                "first_difference_ns": at,
            }
        )
    return {"same": all(row["same"] for row in rows), "lanes": rows}


def _first_difference(one: Array, other: Array) -> int | None:
    """Time of the first fill that only one has, or that differs."""
    common = min(len(one), len(other))
    differs = np.flatnonzero((one[:common] != other[:common]).any(axis=1))
    if len(differs):
        return int(min(one[differs[0], 0], other[differs[0], 0]))
    if len(one) == len(other):
        return None
    return int((one if len(one) > common else other)[common, 0])
