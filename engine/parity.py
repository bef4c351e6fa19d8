"""Parity: is what the running bot did what a replay of its tape does?

A run journals its fills as they happen. The same tape, with every lane's parameters and every action at their market
times, is replayed and its fills are compared with the journal's one by one: time of learning, side, price, quantity.
Of a replay run this proves that nothing but tape, parameters and code decided; of a shadow run, that the recorded tape
holds all that the bot acted on, in the order in which it acted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.maker.session import MakerSession
from engine.maker.state import REC_FILL, Array
from engine.market.tape import Tape
from engine.profile import Profile
from engine.run_changes import RunChange, perform
from engine.warehouse.build import build
from engine.warehouse.db import Warehouse

FILL_FIELDS = ("ts_ns", "side", "price_ticks", "qty_lots")


def journalled_fills(wh: Warehouse, run_id: str) -> dict[int, Array]:
    """{lane: int64[n, 4]}: FILL_FIELDS (side +1 buy, -1 sell), in the journal's order."""
    run = build(wh, run_id).run
    tick, lot = run.instrument.tick, run.instrument.lot
    fills: dict[int, list[tuple[int, int, int, int]]] = {lane: [] for lane, _ in run.lanes}
    rows = wh.execute("SELECT lane, ts_ns, side_sign, price, qty FROM core_fill ORDER BY lane, seq")
    for lane, ts_ns, side, price, qty in rows:
        fills[lane].append((ts_ns, side, round(price / tick), round(qty / lot)))
    return {lane: np.array(rows, np.int64).reshape(-1, 4) for lane, rows in fills.items()}


def replayed_fills(
    tape: Tape,
    profile: Profile,
    lanes: Sequence[Mapping[str, float]],
    changes: Sequence[RunChange],
    start_ns: int,
    end_ns: int,
    positions_lots: Sequence[int],
    reference_mid2: int,
) -> dict[int, Array]:
    """{lane: int64[n, 4]} of a replay over [start_ns, end_ns); the changes are made at their times.

    Args:
        positions_lots: one per lane, to start from.
        reference_mid2: bid + ask in ticks at which sizes in quote currency became lots.
    """
    meta = tape.meta
    arrival = meta.order == "arrival"
    config = profile.kernel_config(meta.instrument(), reference_mid2)._replace(arrival=int(arrival))
    window = (meta.price_low_ticks, meta.price_high_ticks + 1)
    session = MakerSession(config, lanes, window, start_ns, positions_lots=positions_lots)
    order = None if arrival else tape.exch_order
    parts = []
    for change in changes:
        parts.append(session.advance(tape.columns, change.ts_ns, order))
        perform(session, change, profile, meta.instrument(), reference_mid2)
    parts.append(session.advance(tape.columns, end_ns, order))
    rows = np.concatenate(parts)
    fills = rows[rows["kind"] == REC_FILL]
    return {
        lane: np.stack([fills[fills["lane"] == lane][name] for name in FILL_FIELDS], axis=1)
        for lane in range(len(lanes))
    }


def fills_digest(fills: Array) -> str:
    """sha256 of int64[n, 4] rows as `journalled_fills` gives them."""
    return hashlib.sha256(np.ascontiguousarray(fills, "<i8").tobytes()).hexdigest()


def compare_fills(journal: Mapping[int, Array], replay: Mapping[int, Array]) -> dict[str, Any]:
    """{"same": bool, "lanes": [{lane, journalled, replayed, digest, same, first_difference_ns}]}.

    Counts are of fills, the digest is the journal's, and the first difference is null where there is none.
    """
    nothing = np.zeros((0, len(FILL_FIELDS)), np.int64)
    rows = []
    for lane in sorted(journal.keys() | replay.keys()):
        was, now = journal.get(lane, nothing), replay.get(lane, nothing)
        at = _first_difference(was, now)
        rows.append(
            {
                "lane": lane,
                "journalled": len(was),
                "replayed": len(now),
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
