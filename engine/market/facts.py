"""Stylised facts of a tape: what its market looks like, in numbers that can stand beside another's.

`python -m engine.market.facts TAPE...` prints them side by side in Markdown.

Notation: t_m local time and mid_m mid price at the end of message m (NaN where the book is not two-sided or
crossed); mid(t) the mid of the last message received by t. An *aggressive order* is a run of trades of one
side and one exchange time; s its sign. Returns are 1e4 * (mid(t + h) / mid(t) - 1) on a grid of whole seconds.
    markout(h) = mean of 1e4 * s * (mid(t + h) / mid just before the order - 1)        (bps, + the taker was right)
    burstiness = (sd - mean) / (sd + mean) of the times between orders: 0 Poisson, towards 1 bursts
               (Goh and Barabasi 2008)
A fact that the tape is too short for is None, never 0.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import NightsoakError
from engine.jit import allocating
from engine.market.book_scan import rank_prices, touch_at
from engine.market.events import BUY, CLEAR, DEPTH, LAST, MARKER, TRADE, Array, Columns
from engine.market.tape import Tape

NS_PER_S = 1_000_000_000
MARKOUT_S = (1, 5, 10, 60)
_LEVELS = 10
_LEAST_SAMPLES = 30

FACTS: dict[str, tuple[str, int]] = {
    "duration_s": ("length, s", 0),
    "events_per_s": ("events per second", 1),
    "rows_per_message": ("rows per message", 2),
    "trade_share_pct": ("trade rows, %", 1),
    "orders_per_s": ("aggressive orders per second", 2),
    "order_gap_median_ms": ("time between orders, median, ms", 0),
    "order_gap_burstiness": ("time between orders, burstiness", 2),
    "sign_autocorrelation_1": ("order sign autocorrelation, lag 1", 2),
    "sign_autocorrelation_10": ("order sign autocorrelation, lag 10", 2),
    "spread_ticks_mean": ("spread, mean, ticks", 2),
    "spread_ticks_p50": ("spread, median, ticks", 0),
    "spread_ticks_p95": ("spread, 95th percentile, ticks", 0),
    "spread_bps_mean": ("spread, mean, bps", 3),
    "spread_bps_p50": ("spread, median, bps", 3),
    "spread_bps_p95": ("spread, 95th percentile, bps", 3),
    "touch_depth_trades": ("size at the touch, median, in median orders", 1),
    "ten_level_depth_trades": ("size in ten levels, median, in median orders", 1),
    "mid_changes_per_s": ("mid changes per second", 2),
    "return_sd_1s_bps": ("mid return over 1 s, sd, bps", 2),
    "return_sd_60s_bps": ("mid return over 60 s, sd, bps", 2),
    "return_kurtosis_1s": ("1 s return, excess kurtosis", 1),
    "return_autocorrelation_1s": ("1 s return, autocorrelation, lag 1", 2),
    "abs_return_autocorrelation_1": ("absolute 1 s return, autocorrelation, lag 1", 2),
    "abs_return_autocorrelation_10": ("absolute 1 s return, autocorrelation, lag 10", 2),
    **{f"markout_{h}s_bps": (f"markout of orders after {h} s, bps", 2) for h in MARKOUT_S},
    "latency_p50_ms": ("exchange to local, median, ms", 1),
    "latency_p95_ms": ("exchange to local, 95th percentile, ms", 1),
}
"""Every fact: its label and the digits it is shown with; in the order of the table."""


@dataclass(frozen=True)
class _Mids:
    """The touch at message ends: rows (positions in the tape), local times, mid2 and spread in ticks (NaN)."""

    rows: Array
    ts_ns: Array
    mid2: Array
    spread: Array

    def at(self, ts_ns: Array) -> Array:
        """mid2 of the last message received by `ts_ns`; NaN before the first and after the last."""
        found = self.mid2[np.searchsorted(self.ts_ns, ts_ns, side="right") - 1]
        return np.where((ts_ns >= self.ts_ns[0]) & (ts_ns <= self.ts_ns[-1]), found, np.nan)


def stylised_facts(columns: Columns) -> dict[str, float | None]:
    """Facts by name (see FACTS) of events in order of receipt, as from a tape's `columns`."""
    facts: dict[str, float | None] = dict.fromkeys(FACTS)
    if len(columns.kind) < _LEAST_SAMPLES or columns.local_ts_ns[-1] == columns.local_ts_ns[0]:
        return facts
    mids = _mids(columns)
    seconds = (int(columns.local_ts_ns[-1]) - int(columns.local_ts_ns[0])) / NS_PER_S
    trades = np.flatnonzero(columns.kind == TRADE)
    latency_ms = (columns.exch_ts_ns - columns.local_ts_ns)[mids.rows] / -1e6
    facts |= {
        "duration_s": seconds,
        "events_per_s": len(columns.kind) / seconds,
        "rows_per_message": len(columns.kind) / len(mids.rows),
        "trade_share_pct": 100.0 * len(trades) / len(columns.kind),
        "latency_p50_ms": float(np.quantile(latency_ms, 0.5)),
        "latency_p95_ms": float(np.quantile(latency_ms, 0.95)),
    }
    facts |= _spread_facts(mids)
    facts |= _return_facts(mids, seconds)
    if len(trades):
        facts |= _trade_facts(columns, trades, mids, seconds)
    return facts


def _mids(columns: Columns) -> _Mids:
    rows = np.flatnonzero(columns.flags & LAST)
    bid, _, ask, _ = touch_at(columns, rows)
    good = (bid > 0) & (ask > bid)
    mid2 = np.where(good, (bid + ask).astype(float), np.nan)
    spread = np.where(good, (ask - bid).astype(float), np.nan)
    return _Mids(rows, np.asarray(columns.local_ts_ns[rows]), mid2, spread)


def _spread_facts(mids: _Mids) -> dict[str, float | None]:
    """Weighted by the time for which the spread stood."""
    stood_ns = np.diff(mids.ts_ns)
    good = np.isfinite(mids.mid2[:-1]) & (stood_ns > 0)
    weight, ticks = stood_ns[good], mids.spread[:-1][good]
    bps = 2e4 * ticks / mids.mid2[:-1][good]
    facts: dict[str, float | None] = {}
    for unit, values in (("ticks", ticks), ("bps", bps)) if len(weight) else ():
        order = np.argsort(values, kind="stable")
        share = np.cumsum(weight[order]) / weight.sum()
        facts[f"spread_{unit}_mean"] = float((values * weight).sum() / weight.sum())
        for name, level in (("p50", 0.5), ("p95", 0.95)):
            facts[f"spread_{unit}_{name}"] = float(values[order][np.searchsorted(share, level)])
    return facts


def _return_facts(mids: _Mids, seconds: float) -> dict[str, float | None]:
    changes = np.diff(mids.mid2)
    facts: dict[str, float | None] = {
        "mid_changes_per_s": float(np.count_nonzero(changes[np.isfinite(changes)])) / seconds
    }
    grid = np.arange(int(mids.ts_ns[0]), int(mids.ts_ns[-1]) + 1, NS_PER_S)
    mid = mids.at(grid)
    one = 1e4 * (mid[1:] / mid[:-1] - 1)
    one = one[np.isfinite(one)]
    minute = 1e4 * (mid[60:] / mid[:-60] - 1)
    minute = minute[np.isfinite(minute)]
    if len(minute) >= 2 * 60:
        facts["return_sd_60s_bps"] = float(minute.std())
    if len(one) >= _LEAST_SAMPLES and one.std() > 0:
        facts["return_sd_1s_bps"] = float(one.std())
        facts["return_kurtosis_1s"] = float(((one - one.mean()) ** 4).mean() / one.var() ** 2 - 3.0)
        facts["return_autocorrelation_1s"] = _autocorrelation(one, 1)
        facts["abs_return_autocorrelation_1"] = _autocorrelation(np.abs(one), 1)
        facts["abs_return_autocorrelation_10"] = _autocorrelation(np.abs(one), 10)
    return facts


def _trade_facts(columns: Columns, trades: Array, mids: _Mids, seconds: float) -> dict[str, float | None]:
    exch, sign = columns.exch_ts_ns[trades], np.where(columns.flags[trades] & BUY, 1, -1)
    fresh = np.concatenate([[True], (np.diff(exch) != 0) | (np.diff(sign) != 0)])
    starts = np.flatnonzero(fresh)
    if len(starts) < _LEAST_SAMPLES:
        return {}
    rows, sign = trades[starts], sign[starts]
    lots = np.add.reduceat(columns.qty_lots[trades], starts)
    ts = columns.local_ts_ns[rows]
    gap_ms = np.diff(ts) / 1e6
    touch, ten = _depth(columns, mids)
    facts: dict[str, float | None] = {
        "orders_per_s": len(rows) / seconds,
        "order_gap_median_ms": float(np.median(gap_ms)),
        "order_gap_burstiness": _ratio(gap_ms.std() - gap_ms.mean(), gap_ms.std() + gap_ms.mean()),
        "sign_autocorrelation_1": _autocorrelation(sign, 1),
        "sign_autocorrelation_10": _autocorrelation(sign, 10),
        "touch_depth_trades": float(np.median(touch) / np.median(lots)) if len(touch) else None,
        "ten_level_depth_trades": float(np.median(ten) / np.median(lots)) if len(ten) else None,
    }
    before = np.searchsorted(mids.rows, rows) - 1
    mid = np.where(before >= 0, mids.mid2[before], np.nan)
    for h in MARKOUT_S:
        markout = 1e4 * sign * (mids.at(ts + h * NS_PER_S) / mid - 1)
        markout = markout[np.isfinite(markout)]
        facts[f"markout_{h}s_bps"] = float(markout.mean()) if len(markout) >= _LEAST_SAMPLES else None
    return facts


def _depth(columns: Columns, mids: _Mids) -> tuple[Array, Array]:
    """Lots at the touch and in the ten best levels, mean of both sides, sampled once a second."""
    grid = np.arange(int(mids.ts_ns[0]), int(mids.ts_ns[-1]), NS_PER_S)
    ends = np.unique(np.searchsorted(mids.ts_ns, grid, side="right") - 1)
    ends = ends[np.isfinite(mids.mid2[ends])]
    levels, ranks = rank_prices(columns)
    half = 0.5 * mids.spread[ends]
    bid = np.searchsorted(levels, (0.5 * mids.mid2[ends] - half).astype(np.int64))
    ask = np.searchsorted(levels, (0.5 * mids.mid2[ends] + half).astype(np.int64))
    out = np.zeros((2, len(ends)))
    sizes = np.zeros((2, len(levels)), np.int64)
    _sum_levels(columns.kind, columns.flags, columns.qty_lots, ranks, mids.rows[ends], bid, ask, sizes, out)
    return out[0], out[1]


@allocating
def _sum_levels(
    kind: Array, flags: Array, qty_lots: Array, ranks: Array, rows: Array, bid: Array, ask: Array, sizes: Array,
    out: Array,
) -> None:  # fmt: skip
    """Sums at `rows` from the ranks `bid` and `ask` on; `sizes` int64[2, L] is room to keep the book in."""
    count = sizes.shape[1]
    n = 0
    for row in range(len(kind)):
        if n == len(rows):
            return
        if kind[row] == DEPTH:
            sizes[0 if flags[row] & BUY else 1, ranks[row]] = qty_lots[row]
        elif kind[row] == MARKER and flags[row] & CLEAR:
            sizes[:] = 0
        if rows[n] != row:
            continue
        for side in range(2):
            step = -1 if side == 0 else 1
            rank = bid[n] if side == 0 else ask[n]
            out[0, n] += 0.5 * sizes[side, rank]
            left = _LEVELS
            while left > 0 and 0 <= rank < count:
                if sizes[side, rank] > 0:
                    out[1, n] += 0.5 * sizes[side, rank]
                    left -= 1
                rank += step
        n += 1


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _autocorrelation(values: Array, lag: int) -> float | None:
    if len(values) < lag + _LEAST_SAMPLES:
        return None
    centred = values - values.mean()
    variance = float((centred * centred).mean())
    return float((centred[lag:] * centred[:-lag]).mean()) / variance if variance > 0 else None


def facts_table(tapes: Mapping[str, Mapping[str, float | None]]) -> str:
    """A Markdown table, one column a tape; a dash where a fact is None."""
    lines = ["| | " + " | ".join(tapes) + " |", "|---|" + "---:|" * len(tapes)]
    for name, (label, digits) in FACTS.items():
        cells = ["-" if facts[name] is None else f"{facts[name]:.{digits}f}" for facts in tapes.values()]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Print the table for tapes given as folders; returns the exit code."""
    if not arguments:
        sys.stderr.write("usage: python -m engine.market.facts TAPE...\n")
        return 2
    try:
        tapes = {f"{Path(name).name}": stylised_facts(Tape.open(Path(name)).columns) for name in arguments}
    except NightsoakError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(facts_table(tapes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
