"""What a tape's columns must hold, checked column by column; writing and verifying share these checks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.market.events import (
    BUY,
    CLEAR,
    COLUMN_DTYPES,
    DEPTH,
    GAP,
    LAST,
    MARKER,
    TIMES_END_NS,
    TRADE,
    Array,
    Columns,
)

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Finding:
    """One check's outcome: `label` is ok, warn or fail, `row` the first offending event, if any."""

    label: str
    what: str
    row: int | None = None


def check_columns(columns: Columns) -> list[Finding]:
    """Order of receipt, whole messages, kinds, flags, prices and sizes; one finding a check, none left out.

    The columns must have the dtypes of COLUMN_DTYPES and one length; otherwise that is the only finding.
    """
    shapes = {name: column.shape for name, column in zip(COLUMN_DTYPES, columns, strict=True)}
    for name, column in zip(COLUMN_DTYPES, columns, strict=True):
        if column.dtype != COLUMN_DTYPES[name]:
            return [Finding(FAIL, f"column {name} is {column.dtype}, not {COLUMN_DTYPES[name]}")]
    if len(set(shapes.values())) != 1 or len(columns.kind.shape) != 1:
        return [Finding(FAIL, f"columns differ in shape: {shapes}")]
    if not len(columns.kind):
        return [Finding(FAIL, "there are no events")]
    exch, local, kind, flags, price, qty = columns
    last = (flags & LAST) != 0
    inside = ~last[:-1]  # event i and i + 1 belong to one message
    split = inside & ((np.diff(exch) != 0) | (np.diff(local) != 0))
    marker = kind == MARKER
    wrong_flag = (flags & ~np.uint8(BUY | LAST | GAP | CLEAR)) != 0
    wrong_flag |= (flags & (GAP | CLEAR) != 0) != marker
    outside = (exch < 0) | (exch >= TIMES_END_NS) | (local < 0) | (local >= TIMES_END_NS)
    return [
        _check("times are in ns since 1970", outside),
        _check("local time never falls", np.diff(local) < 0, shift=1),
        _check("the rows of a message share both times", split, shift=1),
        _check("the final event ends a message", ~last[-1:], shift=len(last) - 1),
        _check("every event is depth, trade or marker", (kind != DEPTH) & (kind != TRADE) & ~marker),
        _check("flags are known; markers say gap or clear", wrong_flag),
        _check("prices are positive", ~marker & (price <= 0)),
        _check("trades have a positive size", (kind == TRADE) & (qty <= 0)),
        _check("levels have no negative size", (kind == DEPTH) & (qty < 0)),
    ]


def _check(what: str, offending: Array, *, shift: int = 0) -> Finding:
    rows = np.flatnonzero(offending)
    if not len(rows):
        return Finding(OK, what)
    return Finding(FAIL, f"{what}: {len(rows)} events do not", int(rows[0]) + shift)
