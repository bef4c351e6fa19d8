"""One-at-a-time sweeps: what each parameter does, by lanes that differ in that parameter alone.

All lanes share one market and one pass, so that the differences are the parameter's and not the market's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from engine.ledger import Valuer, lane_components
from engine.maker.state import (
    BLOCK_NAMES,
    EVENT_AMEND,
    EVENT_CANCEL,
    EVENT_NEW,
    REC_FILL,
    REC_ORDER,
    Array,
)
from engine.market.tape import Tape
from engine.params import PARAMETERS, Params
from engine.profile import Profile
from engine.search.trial_windows import start_session

_NS_PER_S = 1_000_000_000
_MARKOUT_S = 5


def sweep_values(name: str, count: int = 5) -> list[float]:
    """`count` values over the parameter's range, both ends included."""
    row = PARAMETERS[name]
    return [row.clamp(row.low + (row.high - row.low) * i / (count - 1)) for i in range(count)]


def sweep(tapes: Sequence[Tape], profile: Profile, name: str, values: Sequence[float]) -> list[dict[str, float]]:
    """One row of effects per value of parameter `name`, all others initial, summed over `tapes`."""
    lanes = [dict(Params().with_changes({name: value})) for value in values]
    return lane_effects(tapes, profile, lanes)


def lane_effects(
    tapes: Sequence[Tape], profile: Profile, lanes: Sequence[Mapping[str, float]]
) -> list[dict[str, float]]:
    """Per lane: the bps components, notional, fills, tail KPIs, quote changes and the blocked share by reason."""
    runs = [_run(tape, profile, lanes) for tape in tapes]
    return [_row([run[lane] for run in runs]) for lane in range(len(lanes))]


def _run(tape: Tape, profile: Profile, lanes: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    session, order = start_session(tape, lanes, profile)
    start, end = tape.meta.first_exch_ts_ns, tape.meta.last_local_ts_ns + 1
    parts, mids = [], []
    for edge in (*range(start + _NS_PER_S, end, _NS_PER_S), end):
        parts.append(session.advance(tape.columns, edge, order))
        mids.append(session.touch()[0])
    records, mid2 = np.concatenate(parts), np.array(mids)
    value = Valuer(tape.meta.instrument())
    fee_rate = Fraction(profile.maker_fee_rate)
    blocks = session.take_blocks().sum(axis=1)
    first, last = int(mid2[mid2 > 0][0]), int(mid2[mid2 > 0][-1])
    return [
        {
            "components": lane_components(records, lane, value, fee_rate, first, last),
            "blocks": blocks[lane],
            **_lane_counts(records[records["lane"] == lane], mid2, start),
        }
        for lane in range(len(lanes))
    ]


def _lane_counts(mine: Array, mid2: Array, start: int) -> dict[str, Any]:
    fills = mine[mine["kind"] == REC_FILL]
    orders = mine[mine["kind"] == REC_ORDER]
    later = np.minimum((fills["exch_ts_ns"] - start) // _NS_PER_S + _MARKOUT_S, len(mid2) - 1)
    known = (fills["fill_mid2"] > 0) & (mid2[later] > 0)
    moved = fills["side"] * (fills["fill_mid2"] - mid2[later]) / (2.0 * fills["price_ticks"])
    return {
        "adverse_bps": 1e4 * moved[known],
        "age_ms": fills["age_ns"] / 1e6,
        "changes": int(np.isin(orders["code"], (EVENT_NEW, EVENT_AMEND, EVENT_CANCEL)).sum()),
        "cancels": int((orders["code"] == EVENT_CANCEL).sum()),
        "quote_lots": orders["qty_lots"][orders["code"] == EVENT_NEW],
    }


def _row(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    parts = [run["components"] for run in runs]
    notional = sum(part.notional_units for part in parts)
    changes = sum(run["changes"] for run in runs)
    blocks = sum(run["blocks"] for run in runs)
    intents = changes + int(blocks.sum())

    def bps(name: str) -> float:
        return 1e4 * sum(getattr(part, name) for part in parts) / notional if notional else float("nan")

    def joined(name: str) -> Array:
        return np.concatenate([run[name] for run in runs])

    return {
        "net_bps": bps("net_units"),
        "gross_bps": bps("gross_units"),
        "slippage_bps": bps("slippage_units"),
        "inventory_bps": bps("inventory_units"),
        "net_pnl_quote": sum(part.net_units for part in parts) / 1e12,
        "notional_quote": notional / 1e12,
        "fills": float(sum(part.fills for part in parts)),
        "adverse_bps_p95": float(np.quantile(joined("adverse_bps"), 0.95)),
        "order_age_p95_ms": float(np.quantile(joined("age_ms"), 0.95)),
        "quote_lots_mean": float(joined("quote_lots").mean()),
        "changes": float(changes),
        "cancels": float(sum(run["cancels"] for run in runs)),
        **{f"blocked.{reason}": float(blocks[i]) / intents for i, reason in enumerate(BLOCK_NAMES)},
    }
