"""Markouts: what the mid did after a fill, by horizon and side."""

from __future__ import annotations

from typing import Any

from engine.warehouse.build import build
from engine.warehouse.db import Warehouse


def markouts(wh: Warehouse, run_id: str, lane: int = 0) -> list[dict[str, Any]]:
    """{horizon_s, side, n, missing, markout_bps, stderr_bps} by horizon, then side: both, buy, sell.

    `markout_bps` is a notional-weighted cost, + is bad, as adverse_bps, which is the 5 s one of both sides; null
    without data. `missing` counts the side's fills that have no mid of their own or none in time after the horizon;
    `stderr_bps` takes fills as independent. A side without fills has no rows.
    """
    build(wh, run_id)
    rows = wh.execute(
        "SELECT horizon_s, side, n, missing, numerator, denominator, stderr_bps FROM attr_markout WHERE lane = ? "
        "ORDER BY horizon_s, side",
        [lane],
    )
    return [
        {
            "horizon_s": horizon_s,
            "side": side,
            "n": n,
            "missing": missing,
            "markout_bps": numerator / denominator if denominator else None,
            "stderr_bps": stderr_bps,
        }
        for horizon_s, side, n, missing, numerator, denominator, stderr_bps in rows
    ]
