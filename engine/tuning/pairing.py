"""Two lanes' window series, and their pairing by window id.

Notation: P_w net PnL of window w and V_w its notional, both in quote currency; N the champion's mean V_w over the
windows used.

    d_w = 1e4 (P_challenger,w - P_champion,w) / N          bps of the champion's mean window

A window without fills and without PnL counts as PnL 0; one without fills that has PnL (a held position moved) keeps
it. A window is missing where only one lane has it, or where a lane has notional but unknown PnL, or unknown
notional. Windows before the first or after the last that both lanes cover are outside, not missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InputError


@dataclass(frozen=True)
class WindowSeries:
    """One lane: window ids int64[n], rising; PnL and notional in quote currency float64[n], NaN where unknown.
    Build it with `window_series`."""

    window: NDArray[np.int64]
    pnl_quote: NDArray[np.float64]
    notional_quote: NDArray[np.float64]
    name: str = ""


def window_series(
    window: Sequence[int] | NDArray[np.int64], pnl_quote: ArrayLike, notional_quote: ArrayLike, *, name: str = ""
) -> WindowSeries:
    """Checked, in order of window id (which is the order of time). None counts as NaN, unknown.

    Raises:
        InputError: lengths differ, an id stands twice, a value is infinite, or a notional negative.
    """
    ids = np.asarray(window, dtype=np.int64)
    pnl, notional = np.array(pnl_quote, dtype=np.float64), np.array(notional_quote, dtype=np.float64)
    if not ids.ndim == pnl.ndim == notional.ndim == 1 or not len(ids) == len(pnl) == len(notional):
        raise InputError("ids, PnL and notional must be lists of one length", where=name, remedy="give one of each")
    order = np.argsort(ids, kind="stable")
    ids, pnl, notional = ids[order], pnl[order], notional[order]
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        raise InputError(f"window {twice[0]} stands twice", where=name, remedy="give every window its own id")
    for label, values in (("PnL", pnl), ("notional", notional)):
        if np.isinf(values).any():
            at = ids[np.isinf(values)][0]
            raise InputError(f"{label} of window {at} is infinite", where=name, remedy="leave unknown values empty")
    if (notional < 0).any():
        raise InputError(f"notional of window {ids[notional < 0][0]} is negative", where=name, remedy="correct it")
    pnl[np.isnan(pnl) & (notional == 0)] = 0.0
    return WindowSeries(ids, pnl, notional, name)


@dataclass(frozen=True)
class Pairs:
    """The usable windows, in order: arrays of one length n.

    `slot[i]` is the place of usable window i among all windows of the common span, missing ones included, so that
    slot[i] + 1 - (i + 1) windows are missing before it.
    """

    window: NDArray[np.int64]
    champion_pnl: NDArray[np.float64]
    challenger_pnl: NDArray[np.float64]
    champion_notional: NDArray[np.float64]
    challenger_notional: NDArray[np.float64]
    slot: NDArray[np.int64]
    only_champion: int
    only_challenger: int
    unknown: int
    outside: int

    @property
    def missing(self) -> int:
        return self.only_champion + self.only_challenger + self.unknown

    def __len__(self) -> int:
        return len(self.window)

    def missing_before(self, count: int) -> int:
        """Missing windows before the `count`-th usable one."""
        return int(self.slot[count - 1]) + 1 - count if count else 0


def pair(champion: WindowSeries, challenger: WindowSeries) -> Pairs:
    """Pair by window id; what cannot be paired is counted, never filled in."""
    union = np.union1d(champion.window, challenger.window)
    if len(champion.window) and len(challenger.window):
        first = max(champion.window[0], challenger.window[0])
        last = min(champion.window[-1], challenger.window[-1])
        span = union[(union >= first) & (union <= last)]
    else:
        span = union[:0]
    a, b = _at(champion, span), _at(challenger, span)
    usable = a.known & b.known
    return Pairs(
        window=span[usable],
        champion_pnl=a.pnl[usable],
        challenger_pnl=b.pnl[usable],
        champion_notional=a.notional[usable],
        challenger_notional=b.notional[usable],
        slot=np.flatnonzero(usable).astype(np.int64),
        only_champion=int((a.present & ~b.present).sum()),
        only_challenger=int((b.present & ~a.present).sum()),
        unknown=int((a.present & b.present & ~usable).sum()),
        outside=len(union) - len(span),
    )


def differences_bps(
    champion_pnl: NDArray[np.float64], champion_notional: NDArray[np.float64], pnl: NDArray[np.float64]
) -> NDArray[np.float64]:
    """d_w of lanes float64[..., W] against a champion's windows [W], the paired comparison wherever one is made.

    N is the champion's mean over its known windows, one for all lanes, so that rows can be compared. NaN where either
    side is unknown, and everywhere where the champion has not traded.
    """
    known = champion_notional[np.isfinite(champion_notional)]
    scale = float(known.mean()) if len(known) else 0.0
    if scale <= 0:
        return np.full(pnl.shape, np.nan)
    d: NDArray[np.float64] = 1e4 * (pnl - champion_pnl) / scale
    return d


def levels_bps(pairs: Pairs, count: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Champion's and challenger's PnL per window in bps of N, of the first `count` usable windows (all by default).

    Raises:
        InputError: the champion has no notional in them.
    """
    mean_notional = float(pairs.champion_notional[:count].mean()) if len(pairs) else 0.0
    if mean_notional <= 0:
        raise InputError("the champion has no notional in these windows", remedy="judge windows in which it traded")
    return 1e4 * pairs.champion_pnl[:count] / mean_notional, 1e4 * pairs.challenger_pnl[:count] / mean_notional


@dataclass(frozen=True)
class _OnSpan:
    present: NDArray[np.bool_]
    known: NDArray[np.bool_]
    pnl: NDArray[np.float64]
    notional: NDArray[np.float64]


def _at(series: WindowSeries, span: NDArray[np.int64]) -> _OnSpan:
    present = np.isin(span, series.window)
    pnl, notional = np.full(len(span), np.nan), np.full(len(span), np.nan)
    inside = np.isin(series.window, span)
    pnl[present], notional[present] = series.pnl_quote[inside], series.notional_quote[inside]
    return _OnSpan(present, np.isfinite(pnl) & np.isfinite(notional), pnl, notional)
