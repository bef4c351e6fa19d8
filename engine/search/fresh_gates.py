"""What the soak's gates speak of, for lanes in a replay: the warehouse's KPIs, computed in memory.

Tails over fills, cancels over ended orders. What the gates then have against a challenger is
engine.tuning.gate.objections, as in a night.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.maker.state import REC_FILL, Array
from engine.market.tape import Tape
from engine.profile import Profile
from engine.search.trial_windows import LaneWindows, end_ns, start_session
from engine.warehouse.limits import LIMITS

_NS_PER_S = 1_000_000_000
_MARKOUT_S = 5


def lane_kpis(
    tapes: Sequence[Tape], profile: Profile, lanes: Sequence[Mapping[str, float]], windows: LaneWindows
) -> list[dict[str, float | None]]:
    """Per lane the KPIs that gates speak of; None without data.

    Args:
        windows: the same lanes over the same tapes, for net_bps and cancel_ratio.
    """
    tails = [_tails(tape, profile, lanes) for tape in tapes]
    return [_kpis([tape[lane] for tape in tails], windows, lane) for lane in range(len(lanes))]


def _tails(tape: Tape, profile: Profile, lanes: Sequence[Mapping[str, float]]) -> list[dict[str, Array]]:
    """Per lane: markout and slippage cost in bps of the fills whose mids are known, age of all fills' quotes in ms.

    The mid after the horizon is the first one at or behind it, a second apart, and unknown where it comes later than
    the warehouse takes it: at the tape's end, or where the book was empty for so long.
    """
    session, order = start_session(tape, lanes, profile)
    start, end = tape.meta.first_exch_ts_ns, end_ns(tape)
    parts, mids = [], []
    edges = (*range(start + _NS_PER_S, end, _NS_PER_S), end)
    for edge in edges:
        records = session.advance(tape.columns, edge, order)
        parts.append(records[records["kind"] == REC_FILL])
        mids.append(session.touch()[0])
    fills = np.concatenate(parts)
    later_mid2 = _mid2_after(fills["ts_ns"] + _MARKOUT_S * _NS_PER_S, np.array(edges), np.array(mids))
    known = (fills["fill_mid2"] > 0) & (later_mid2 > 0)
    quoted = (fills["fill_mid2"] > 0) & (fills["quote_mid2"] > 0)
    adverse = _cost(fills, fills["fill_mid2"], later_mid2, tape)
    slippage = _cost(fills, fills["quote_mid2"], fills["fill_mid2"], tape)
    of = [fills["lane"] == lane for lane in range(len(lanes))]
    return [
        {"adverse": adverse[mine & known], "slippage": slippage[mine & quoted], "age_ms": fills["age_ns"][mine] / 1e6}
        for mine in of
    ]


def _mid2_after(at_ns: Array, edges_ns: Array, mid2: Array) -> Array:
    """The first known mid at or behind each time, 0 where there is none that is not too late."""
    never = np.iinfo(np.int64).max
    times, known = np.append(edges_ns[mid2 > 0], never), np.append(mid2[mid2 > 0], 0)
    place = np.searchsorted(times, at_ns)
    return np.where(times[place] - at_ns <= LIMITS["markout_late_ns"], known[place], 0)


def _cost(fills: Array, before: Array, after: Array, tape: Tape) -> Array:
    """-1e4 s (v(after) - v(before)) / |v(p)| for mids in half ticks; for both kinds of contract."""
    price2 = 2.0 * fills["price_ticks"]
    moved = fills["side"] * (after - before)
    if tape.meta.contract == "inverse":  # -1/after + 1/before = (after - before) / (after before)
        scale = np.divide(price2, 1.0 * after * before, out=np.zeros(len(fills)), where=(after > 0) & (before > 0))
        return np.asarray(-1e4 * moved * scale)
    return np.asarray(-1e4 * moved / price2)


def _kpis(parts: Sequence[Mapping[str, Array]], windows: LaneWindows, lane: int) -> dict[str, float | None]:
    def p95(name: str) -> float | None:
        joined = np.concatenate([part[name] for part in parts])
        return float(np.quantile(joined, 0.95)) if len(joined) else None

    def ratio(part: Any, whole: Any, scale: float) -> float | None:
        total = float(np.nansum(whole[lane]))
        return scale * float(np.nansum(part[lane])) / total if total > 0 else None

    fills = float(np.nansum(windows.fills[lane]))
    return {
        "net_bps": ratio(windows.pnl_quote, windows.notional_quote, 1e4),
        "net_pnl_quote": float(np.nansum(windows.pnl_quote[lane])),
        "notional_quote": float(np.nansum(windows.notional_quote[lane])),
        "fills": fills,
        "cancel_ratio": ratio(windows.cancelled, windows.ended, 1.0),
        "maker_share_pct": 100.0 if fills else None,  # post-only
        "adverse_bps_p95": p95("adverse"),
        "slippage_cost_bps_p95": p95("slippage"),
        "order_age_p95_ms": p95("age_ms"),
    }
