"""The KPIs that gates speak of, window by window of every challenger's lane, and pooled over any windows of any runs.

A ratio is pooled as sum over sum, a percentile over fills as that of all the windows' fills: over the windows of one
whole run both are the KPI of engine/warehouse/sql/kpi. Anything else (a percentile over orders, a drawdown, a block
ratio) is not kept from night to night: pooled it has no value, which is no pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from engine.metrics import METRICS
from engine.warehouse.db import Warehouse

RATIOS = tuple(
    name for name, metric in METRICS.items() if metric.unit in ("bps", "%", "ratio") and not name.endswith("_p95")
)
TAILS = {
    "adverse_bps_p95": (
        "-1e4 * f.side_sign * (f.v_markout - f.v_fill)::DOUBLE / abs(f.v_price)::DOUBLE",
        "f.v_markout IS NOT NULL AND NOT f.stale",
    ),
    "slippage_cost_bps_p95": (
        "-1e4 * f.side_sign * (f.v_fill - f.v_quote)::DOUBLE / abs(f.v_price)::DOUBLE",
        "f.v_fill IS NOT NULL AND f.v_quote IS NOT NULL AND NOT f.stale",
    ),
    "order_age_p95_ms": ("f.order_age_ms::DOUBLE", "f.order_age_ms IS NOT NULL"),
}
"""Percentile over fills -> (a fill's value, the fills that have one), as in the KPI's own file."""
_LANES = "core_slice AS c JOIN core_lane AS l ON l.lane = c.lane AND l.role = 'challenger'"
_PLACES = pa.schema([("run_id", pa.string()), ("lane", pa.int64()), ("window", pa.int64())])


def write_gate_windows(wh: Warehouse, symbol: str, run_id: str) -> None:
    """Add the run's rows of evidence_gate, from the tables that were built for it."""
    tables = sorted({f"kpi_{PurePath(METRICS[name].sql).stem}" for name in RATIOS})
    ratios = " UNION ALL ".join(f"SELECT slice_id, metric, numerator, denominator FROM {table}" for table in tables)
    wh.execute(
        "INSERT INTO evidence_gate SELECT ?, ?, c.lane, c.first_window, k.metric, k.numerator, k.denominator, NULL "
        f"FROM ({ratios}) AS k JOIN {_LANES} ON c.slice_id = k.slice_id "
        "WHERE c.grain = 'window' AND k.metric IN (SELECT unnest(?))",
        [symbol, run_id, list(RATIOS)],
    )
    tails = " UNION ALL ".join(
        f"SELECT c.lane, c.first_window, '{metric}', coalesce(list({value} ORDER BY f.seq) FILTER (f.seq IS NOT NULL), "
        f"[]) FROM {_LANES} LEFT JOIN core_fill_value AS f ON f.lane = c.lane AND f.window_id = c.first_window "
        f"AND {known} WHERE c.grain = 'window' GROUP BY c.lane, c.first_window"
        for metric, (value, known) in TAILS.items()
    )
    wh.execute(
        f'INSERT INTO evidence_gate SELECT ?, ?, lane, "window", metric, NULL, NULL, fills '
        f'FROM ({tails}) AS t (lane, "window", metric, fills)',
        [symbol, run_id],
    )


def pooled_kpis(wh: Warehouse, symbol: str, places: Sequence[tuple[str, int, int]]) -> dict[str, Any]:
    """The KPIs over windows, as a slice of the edge report has them: null with a reason where they are not known.

    Args:
        places: (run id, lane, window) of each; their runs were gathered (engine.champion.windows).
    """
    rows = [dict(zip(_PLACES.names, place, strict=True)) for place in places]
    with wh.incoming(pa.Table.from_pylist(rows, schema=_PLACES)):
        found = wh.execute(
            "WITH here AS (SELECT g.* FROM evidence_gate AS g JOIN incoming AS i "
            'ON i.run_id = g.run_id AND i.lane = g.lane AND i."window" = g."window" WHERE g.symbol = ?), '
            "tail AS (SELECT metric, quantile_cont(fill, 0.95) AS p95 FROM (SELECT metric, unnest(fills) AS fill "
            "FROM here) GROUP BY metric) "
            "SELECT here.metric, count(*), sum(numerator), sum(denominator) FILTER (numerator IS NOT NULL), "
            "any_value(p95) FROM here LEFT JOIN tail ON tail.metric = here.metric GROUP BY here.metric",
            [symbol],
        )
    kpis: dict[str, Any] = {"null_reasons": dict.fromkeys(METRICS, "is not kept from night to night")}
    for metric in (*RATIOS, *TAILS):
        kpis["null_reasons"][metric] = f"{len(places)} of {len(places)} windows have no record of it"
    for metric, known, numerator, denominator, p95 in found:
        value = p95 if metric in TAILS else int(numerator) / int(denominator) if denominator else None
        if known < len(places):
            kpis["null_reasons"][metric] = f"{len(places) - known} of {len(places)} windows have no record of it"
        elif value is None:
            kpis["null_reasons"][metric] = f"none in any of {len(places)} windows"
        else:
            kpis[metric] = value
            del kpis["null_reasons"][metric]
    return kpis
