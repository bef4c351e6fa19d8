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


def thin_series(series: Mapping[str, Any]) -> dict[str, Any]:
    """`series` of a RunRecord with every column bounded; `fills_shown_one_in` says how fills were thinned.

    A series that is already thin is returned unchanged, so thinning twice is thinning once.
    """
    result: dict[str, Any] = dict(series)
    for name, value_key in (("marks", "mid"), ("position", "qty")):
        columns = series.get(name)
        if columns and columns["ts_ns"]:
            keep = line_indices(columns["ts_ns"], columns[value_key])
            result[name] = {key: [column[i] for i in keep] for key, column in columns.items()}
    fills = series.get("fills")
    if fills and fills["ts_ns"]:
        step = -(-len(fills["ts_ns"]) // FILL_POINTS)
        result["fills"] = {key: list(column[::step]) for key, column in fills.items()}
        result["fills_shown_one_in"] = step * series.get("fills_shown_one_in", 1)
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
