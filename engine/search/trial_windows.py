"""Parameter sets replayed over tapes, many lanes in a pass, cut into scoring windows.

A lane's result does not depend on the lanes beside it, so lanes are split over two threads (the kernel runs without
Python's lock) with the same result. Each tape starts flat; inside a tape the position is carried over window edges
and marked there at the mid. A window without any quotable book is unknown, and so is one that starts or ends with a
position and no mid: NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.maker.session import MakerSession
from engine.maker.state import (
    EVENT_ACK,
    EVENT_AMEND,
    EVENT_CANCEL,
    EVENT_EXPIRE,
    EVENT_NEW,
    REASON_CANCEL,
    REC_FILL,
    REC_ORDER,
    Array,
)
from engine.market.tape import Tape
from engine.market.tape_meta import TapeMeta
from engine.profile import Profile
from engine.search.window_ledger import window_sums
from engine.tuning.pairing import WindowSeries, window_series

_THREADS = 2
_NS_PER_S = 1_000_000_000
_SHORT_SHARE = 0.02
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LaneWindows:
    """K lanes over W windows, float64; money in the PnL currency. Windows run through all tapes in order.

    pnl_quote, notional_quote, fills, slippage_cost_quote   [K, W]
    blocked, intents    [K, W] blocked intents, and all intents to change a quote
    ended, cancelled    [K, W] orders that ended, and those that ended by cancel
    valid_share         [W] share of the window's time with a quotable book
    order_ack_ms        [W] from sending an order to its acknowledgement: in a replay a constant of the profile
    feed_p95_ms         [W] 95th percentile of the feed's latency, NaN without events
    quote_per_pnl       [W] what money is multiplied by to be in quote currency: 1, or where the contract is inverse
                        the mid at the window's end, NaN where that is unknown
    tape                int64[W] index of the tape
    """

    pnl_quote: Floats
    notional_quote: Floats
    fills: Floats
    slippage_cost_quote: Floats
    blocked: Floats
    intents: Floats
    ended: Floats
    cancelled: Floats
    valid_share: Floats
    order_ack_ms: Floats
    feed_p95_ms: Floats
    quote_per_pnl: Floats
    tape: NDArray[np.int64]

    @property
    def windows(self) -> int:
        return len(self.tape)

    @property
    def lanes(self) -> int:
        return len(self.pnl_quote)

    def take(self, windows: Array, lanes: Sequence[int] | None = None) -> LaneWindows:
        """Some windows, of all lanes or of some."""
        rows = np.arange(self.lanes) if lanes is None else np.asarray(lanes)
        cut = {
            f.name: value[np.ix_(rows, windows)] if value.ndim == 2 else value[windows]
            for f in fields(self)
            for value in [getattr(self, f.name)]
        }
        return LaneWindows(**cut)

    def spread(self, lanes: Sequence[int], count: int, first_tape: int) -> LaneWindows:
        """These lanes as `lanes` of `count`, the others unknown; tapes numbered from `first_tape`."""

        def wide(value: Floats) -> Floats:
            out = np.full((count, self.windows), np.nan)
            out[list(lanes)] = value
            return out

        named: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        grown: dict[str, Any] = {name: wide(value) if value.ndim == 2 else value for name, value in named.items()}
        return LaneWindows(**(grown | {"tape": self.tape + first_tape}))

    def series(self, lane: int, name: str = "", first: int = 0) -> WindowSeries:
        """A lane's windows as the promotion test takes them, numbered from `first`."""
        ids = np.arange(first, first + self.windows)
        return window_series(ids, self.pnl_quote[lane], self.notional_quote[lane], name=name)


def join_windows(parts: Sequence[LaneWindows]) -> LaneWindows:
    """The same lanes over one span after the other."""
    return LaneWindows(
        **{f.name: np.concatenate([getattr(p, f.name) for p in parts], axis=-1) for f in fields(parts[0])}
    )


def join_lanes(parts: Sequence[LaneWindows]) -> LaneWindows:
    """Further lanes on the same windows."""
    first = parts[0]
    return LaneWindows(
        **{
            f.name: np.concatenate([getattr(p, f.name) for p in parts]) if getattr(first, f.name).ndim == 2
            else getattr(first, f.name)
            for f in fields(first)
        }
    )  # fmt: skip


def whole_windows(meta: TapeMeta, window_seconds: int) -> int:
    """Whole windows of a tape; one that is short by no more than a fiftieth is whole."""
    return int(_span_s(meta) / window_seconds + _SHORT_SHARE)


def window_count(tape: Tape, window_seconds: int) -> int:
    """As `whole_windows`.

    Raises:
        InputError: not even one.
    """
    count = whole_windows(tape.meta, window_seconds)
    if count == 0:
        raise InputError(
            f"{_span_s(tape.meta):.0f} s of market time hold no window of {window_seconds} s",
            where=str(tape.path),
            remedy="give a longer tape, or shorter windows with --window-seconds",
        )
    return count


Evaluate = Callable[[Sequence[Tape], Profile, Sequence[Mapping[str, float]], int], LaneWindows]
"""What `evaluate` is, wherever the lanes are replayed: the result does not depend on it."""


def evaluate(
    tapes: Sequence[Tape], profile: Profile, lanes: Sequence[Mapping[str, float]], window_seconds: int
) -> LaneWindows:
    """Every lane over every tape, in one pass a tape and thread."""
    size = -(-len(lanes) // _THREADS) if len(tapes) == 1 and len(lanes) > _THREADS else len(lanes)
    chunks = [lanes[i : i + size] for i in range(0, len(lanes), size)]
    jobs = [(number, tape, chunk) for number, tape in enumerate(tapes) for chunk in chunks]
    with ThreadPoolExecutor(_THREADS) as pool:
        done = list(pool.map(lambda job: _pass(job[0], job[1], job[2], profile, window_seconds), jobs))
    rows = [join_lanes(done[i : i + len(chunks)]) for i in range(0, len(done), len(chunks))]
    return join_windows(rows)


def _pass(
    number: int, tape: Tape, lanes: Sequence[Mapping[str, float]], profile: Profile, window_seconds: int
) -> LaneWindows:
    count, k = window_count(tape, window_seconds), len(lanes)
    session, order = start_session(tape, lanes, profile)
    start_ns, step_ns = tape.meta.first_exch_ts_ns, window_seconds * _NS_PER_S
    fills, where, mids = [], [], []
    blocked, intents, ended, cancelled = (np.zeros((k, count)) for _ in range(4))
    valid, held = np.zeros(count), np.zeros((k, count), bool)
    for window in range(count):
        edge_ns = min(start_ns + (window + 1) * step_ns, end_ns(tape))
        records = session.advance(tape.columns, edge_ns, order)
        is_fill, is_order = records["kind"] == REC_FILL, records["kind"] == REC_ORDER
        code = records["code"]
        fills.append(records[is_fill])
        where.append(np.full(len(fills[-1]), window))
        mids.append(session.touch()[0])
        held[:, window] = session.positions_lots != 0
        valid[window] = session.take_valid_ns(edge_ns) / (edge_ns - start_ns - window * step_ns)
        blocked[:, window] = session.take_blocks().sum(axis=(1, 2))
        by_cancel = is_order & (code == EVENT_ACK) & (records["reason"] == REASON_CANCEL)
        for into, rows in (
            (intents, is_order & np.isin(code, (EVENT_NEW, EVENT_AMEND, EVENT_CANCEL))),
            (cancelled, by_cancel),
            (ended, by_cancel | (is_fill & (records["over"] == 1)) | (is_order & (code == EVENT_EXPIRE))),
        ):
            into[:, window] = np.bincount(records["lane"][rows], minlength=k)
    known = np.array(mids, np.int64)
    first = int(known[known > 0][0]) if known.any() else 2
    sums = window_sums(
        np.concatenate(fills), np.concatenate(where), _last_known(known, first), first, k, tape.meta.instrument(),
        Fraction(profile.maker_fee_rate),
    )  # fmt: skip
    unvalued = held & (known <= 0)
    unknown = (valid <= 0) | unvalued
    unknown[:, 1:] |= unvalued[:, :-1]
    return LaneWindows(
        pnl_quote=np.where(unknown, np.nan, sums.net),
        notional_quote=np.where(unknown, np.nan, sums.notional),
        fills=sums.fills.astype(np.float64),
        slippage_cost_quote=-sums.slippage,
        blocked=blocked,
        intents=intents + blocked,
        ended=ended,
        cancelled=cancelled,
        valid_share=valid,
        order_ack_ms=np.full(count, (session.config.entry_ns + session.config.response_ns) / 1e6),
        feed_p95_ms=_feed_p95_ms(tape, start_ns, step_ns, count),
        quote_per_pnl=_quote_per_pnl(tape.meta, known),
        tape=np.full(count, number),
    )


def start_session(
    tape: Tape, lanes: Sequence[Mapping[str, float]], profile: Profile
) -> tuple[MakerSession, Array | None]:
    """A session at the tape's start, and the order in which its exchange sees the events."""
    meta = tape.meta
    config = profile.kernel_config(meta.instrument(), tape.reference_mid2())
    config = config._replace(arrival=int(meta.order == "arrival"))
    window = (meta.price_low_ticks, meta.price_high_ticks + 1)
    session = MakerSession(config, lanes, window, meta.first_exch_ts_ns)
    return session, None if config.arrival else tape.exch_order


def end_ns(tape: Tape) -> int:
    """Just behind the last event."""
    return _end_ns(tape.meta)


def _end_ns(meta: TapeMeta) -> int:
    return max(meta.last_exch_ts_ns, meta.last_local_ts_ns) + 1


def _span_s(meta: TapeMeta) -> float:
    return (_end_ns(meta) - meta.first_exch_ts_ns) / _NS_PER_S


def _last_known(mids: NDArray[np.int64], first: int) -> NDArray[np.int64]:
    """Each edge's mid, or the last one known before it."""
    at = np.maximum.accumulate(np.where(mids > 0, np.arange(len(mids)), -1))
    return np.where(at >= 0, mids[at], first)


def _quote_per_pnl(meta: TapeMeta, mid2: NDArray[np.int64]) -> Floats:
    if meta.contract != "inverse":
        return np.ones(len(mid2))
    return np.where(mid2 > 0, mid2 * float(meta.tick) / 2, np.nan)


def _feed_p95_ms(tape: Tape, start_ns: int, step_ns: int, count: int) -> Floats:
    edges = np.searchsorted(tape.columns.local_ts_ns, start_ns + step_ns * np.arange(count + 1))
    latency_ms = (tape.columns.local_ts_ns - tape.columns.exch_ts_ns) / 1e6
    parts = [latency_ms[low:high] for low, high in pairwise(edges.tolist())]
    return np.array([np.quantile(part, 0.95) if len(part) else np.nan for part in parts])
