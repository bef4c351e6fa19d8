"""Which rows are new: (run_id, seq) names a record, and the first one of a name counts.

A later one is a duplicate if it says the same; if not, its file is of another telling of the run, and a sum over both
would be of neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.warehouse.arrow import numbers
from engine.warehouse.db import Feed, Warehouse
from engine.warehouse.fields import KINDS, SCHEMA

_UNKNOWN_BEFORE = ("market", "generator", "tape_digest")
"""Fields that schema version 4 brought: what was read before has null there, and is no other record for that."""
_DIFFERS = " OR ".join(
    f'(r."{name}" IS NOT NULL AND i."{name}" <> r."{name}")'
    if name in _UNKNOWN_BEFORE
    else f'i."{name}" IS DISTINCT FROM r."{name}"'
    for name in KINDS
)
_CONFLICTS = f"""
SELECT i."index", i.seq, i.run_id, f.path, r.line
FROM incoming_repeated AS i
JOIN raw_record AS r ON r.run_id = i.run_id AND r.seq = i.seq
LEFT JOIN raw_file AS f ON f.file_id = r.file_id
WHERE r.seq BETWEEN ? AND ? AND ({_DIFFERS})
ORDER BY i."index"
"""
REPEATED = pa.schema([*SCHEMA, ("index", pa.int32())])


def conflicts(wh: Warehouse, feed: Feed, repeated: pa.Table) -> list[tuple[int, int, str, str | None, int]]:
    """Of rows whose name the warehouse has, those that say something else.

    Args:
        feed: what SQL sees as incoming_repeated.
        repeated: rows with the columns of REPEATED.

    Returns:
        index, seq, run id, and the path and line of the one that was read first (no path: the file that is being read).
    """
    feed.table = repeated
    low, high = pc.min_max(repeated["seq"]).as_py().values()
    return wh.execute(_CONFLICTS, [low, high])  # type: ignore[return-value]


class Seen:
    """What the warehouse has, within one transaction. Rows given out as new are taken to be written before the next."""

    def __init__(self, wh: Warehouse) -> None:
        self._wh = wh
        self._highest: dict[str, int] = {}

    def new_rows(self, rows: pa.Table) -> NDArray[np.bool_]:
        """By row, whether it is the first of its name in order of `index`"""
        keep = np.zeros(rows.num_rows, np.bool_)
        index = numbers(rows["index"])
        order = np.arange(rows.num_rows) if _rises(index) else np.argsort(index, kind="stable")
        seqs = numbers(rows["seq"])[order]
        for run_id, at in _runs(rows["run_id"].combine_chunks(), order):
            own = seqs[at]
            highest = self._highest_of(run_id)
            if _rises(own) and own[0] > highest:
                keep[order[at]] = True
            else:
                unique, first = np.unique(own, return_index=True)
                new = unique > highest
                if not new.all():
                    new[~new] = ~np.isin(unique[~new], self._among(run_id, int(unique[0]), int(unique[-1])))
                keep[order[at[first[new]]]] = True
            self._highest[run_id] = max(highest, int(own.max()))
        return keep

    def _highest_of(self, run_id: str) -> int:
        if run_id not in self._highest:
            rows = self._wh.execute("SELECT coalesce(max(seq), -1) FROM raw_record WHERE run_id = ?", [run_id])
            self._highest[run_id] = int(rows[0][0])
        return self._highest[run_id]

    def _among(self, run_id: str, low: int, high: int) -> Any:
        """The seqs from `low` to `high` that the warehouse has."""
        table = self._wh.columns(
            "SELECT seq FROM raw_record WHERE run_id = ? AND seq BETWEEN ? AND ?", [run_id, low, high]
        )
        return numbers(table["seq"])


def _runs(run_ids: pa.StringArray, order: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Each run id with the positions in `order` of its rows."""
    rows = len(run_ids)
    offsets = np.frombuffer(run_ids.buffers()[1], np.int32, rows + 1, 4 * run_ids.offset)
    size = int(offsets[1] - offsets[0])
    # Nearly always a chunk is of one run, and that is seen far sooner than a dictionary is made.
    if size and (np.diff(offsets) == size).all():
        letters = np.frombuffer(run_ids.buffers()[2], np.uint8, rows * size, int(offsets[0])).reshape(rows, size)
        if (letters == letters[0]).all():
            yield run_ids[0].as_py(), np.arange(rows)
            return
    runs = run_ids.dictionary_encode()
    codes = np.asarray(runs.indices)[order]
    for code, run_id in enumerate(runs.dictionary.to_pylist()):
        yield run_id, np.flatnonzero(codes == code)


def _rises(values: NDArray[Any]) -> bool:
    return bool((values[1:] > values[:-1]).all())
