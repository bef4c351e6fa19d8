"""Series thinned to what a chart can show, by rules that do not depend on anything but the data.

A line keeps the first, lowest, highest and last point of each of equal spans of time, so no excursion is lost.
Fills are kept one in k; the report says so. The full series stay in the journal and the warehouse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LINE_POINTS = 800
FILL_POINTS = 800
_PER_BIN = 4
COLUMNS = {"marks": ("ts_ns", "mid"), "fills": ("ts_ns", "price", "side"), "position": ("ts_ns", "qty")}
"""What charts need of engine.warehouse.series.chart_series."""


def thin_series(series: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of COLUMNS, each bounded; `fills_shown_one_in` says how fills were thinned.

    A series that is already thin is returned unchanged, so thinning twice is thinning once.
    """
    result: dict[str, Any] = {}
    for name, columns in COLUMNS.items():
        given = series.get(name)
        if not given:
            continue
        if name == "fills":
            step = max(1, -(-len(given["ts_ns"]) // FILL_POINTS))
            keep: Sequence[int] = range(0, len(given["ts_ns"]), step)
            result["fills_shown_one_in"] = step * series.get("fills_shown_one_in", 1)
        else:
            keep = line_indices(given["ts_ns"], given[columns[1]])
        result[name] = {column: [given[column][i] for i in keep] for column in columns}
    return result


def line_indices(ts_ns: Sequence[int], values: Sequence[float | None]) -> list[int]:
    """Indices of the points to keep of a line, in order; all of them when there are at most LINE_POINTS."""
    if len(ts_ns) <= LINE_POINTS:
        return list(range(len(ts_ns)))
    bins = LINE_POINTS // _PER_BIN
    start, width = ts_ns[0], (ts_ns[-1] - ts_ns[0]) // bins + 1
    members: dict[int, list[int]] = {}
    for i, ts in enumerate(ts_ns):
        if values[i] is not None:
            members.setdefault((ts - start) // width, []).append(i)
    keep: set[int] = set()
    for group in members.values():
        ordered = sorted(group, key=lambda i: (values[i], i))
        keep |= {group[0], ordered[0], ordered[-1], group[-1]}
    return sorted(keep)
