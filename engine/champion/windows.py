"""Every lane's windows of every run, with the set that ran in them: the rows of evidence_window.

They are made once per run, and again where the run has got more records since. What a lane ran is read from run_start
and from the `params` records behind it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from engine.champion.change import params_sha256
from engine.errors import JournalError, NightsoakError, VerificationError
from engine.params import Params
from engine.warehouse.build import build
from engine.warehouse.db import Warehouse
from engine.warehouse.quality import require_sound

_STAMP = re.compile(r"(\d{8}T\d{6})-")
_NS_PER_S = 1_000_000_000
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("symbol", "run_id", "mode", "role", "params_sha256", "net", "notional")),
        *((name, pa.int64()) for name in ("records", "begun_ns", "lane", "window", "start_ns", "end_ns")),
        *((name, pa.decimal128(38, 18)) for name in ("mid_start", "mid_end")),
        ("sound", pa.bool_()),
    ]
)
_INSERT = (
    "INSERT INTO evidence_window BY NAME SELECT * EXCLUDE (net, notional), CAST(net AS HUGEINT) AS net_units, "
    "CAST(notional AS HUGEINT) AS notional_units FROM incoming"
)


@dataclass(frozen=True)
class LaneSets:
    """What a lane ran. `sets`: (time of effect in ns, digest), in order; the first holds from the run's start."""

    sets: tuple[tuple[int, str], ...]

    def throughout(self, start_ns: int, end_ns: int) -> str | None:
        """The digest in force all through [start_ns, end_ns); None where it changed inside, or is not known."""
        before = [digest for at_ns, digest in self.sets if at_ns <= start_ns][-1:]
        inside = [digest for at_ns, digest in self.sets if start_ns < at_ns < end_ns]
        found = {*before, *inside}
        return (found.pop() or None) if len(found) == 1 else None


def gather_windows(wh: Warehouse, symbol: str) -> None:
    """Bring evidence_window up to date for the symbol's runs."""
    counted = dict(wh.execute("SELECT run_id, count(*) FROM raw_record WHERE symbol = ? GROUP BY run_id", [symbol]))
    known = dict(
        wh.execute("SELECT run_id, any_value(records) FROM evidence_window WHERE symbol = ? GROUP BY run_id", [symbol])
    )
    for run_id in sorted(run_id for run_id, records in counted.items() if known.get(run_id) != records):
        rows = _rows(wh, symbol, run_id, counted[run_id])
        with wh.transaction():
            wh.execute("DELETE FROM evidence_window WHERE symbol = ? AND run_id = ?", [symbol, run_id])
            with wh.incoming(pa.Table.from_pylist(rows, schema=_SCHEMA)):
                wh.execute(_INSERT)


def _rows(wh: Warehouse, symbol: str, run_id: str, records: int) -> list[dict[str, Any]]:
    """The run's rows; none where it cannot be read as a run."""
    try:
        build(wh, run_id)
    except JournalError:
        return []
    try:
        require_sound(wh, run_id)
        sound = True
    except VerificationError:
        sound = False
    mode, lanes = _lanes(wh, run_id)
    begun_ns = _begun_ns(wh, run_id)
    rows = []
    for lane, role, window, start_ns, end_ns, mid_start, mid_end, net, notional in wh.execute(
        "SELECT c.lane, l.role, c.first_window, c.start_ns, c.end_ns, a.mid, b.mid, s.net, s.notional "
        "FROM core_slice AS c JOIN core_lane AS l ON l.lane = c.lane JOIN attr_slice AS s ON s.slice_id = c.slice_id "
        "LEFT JOIN core_edge AS a ON a.window_id = c.first_window - 1 "
        "LEFT JOIN core_edge AS b ON b.window_id = c.last_window "
        "WHERE c.grain = 'window' ORDER BY c.lane, c.first_window"
    ):
        sets = lanes.get(lane)
        rows.append(
            {
                "symbol": symbol,
                "run_id": run_id,
                "records": records,
                "mode": mode,
                "begun_ns": begun_ns,
                "lane": lane,
                "role": role,
                "window": window,
                "start_ns": start_ns,
                "end_ns": end_ns,
                "params_sha256": sets.throughout(start_ns, end_ns) if sets else None,
                "net": None if net is None else str(net),
                "notional": None if notional is None else str(notional),
                "mid_start": mid_start,
                "mid_end": mid_end,
                "sound": sound,
            }
        )
    return rows


def _lanes(wh: Warehouse, run_id: str) -> tuple[str, dict[int, LaneSets]]:
    """(mode, lane -> what it ran)."""
    mode, start_ns, lanes = wh.execute(
        "SELECT mode, ts_ns, lanes FROM raw_record WHERE type = 'run_start' AND run_id = ? ORDER BY seq LIMIT 1",
        [run_id],
    )[0]
    changes: dict[int, list[tuple[int, str]]] = {}
    for lane, at_ns, params in wh.execute(
        "SELECT lane, coalesce(effective_ts_ns, ts_ns), params FROM raw_record "
        "WHERE type = 'params' AND run_id = ? ORDER BY ts_ns, seq",
        [run_id],
    ):
        changes.setdefault(lane, []).append((int(at_ns), _digest(json.loads(params or "{}"))))
    found = {}
    for lane in json.loads(lanes or "[]"):
        first = (int(start_ns), _digest(lane.get("params") or {}))
        found[lane["lane"]] = LaneSets((first, *changes.get(lane["lane"], ())))
    return mode or "", found


def _digest(params: Mapping[str, Any]) -> str:
    """The digest of a journalled set; what it leaves out has its initial value. Another bot's own words have none.

    The warehouse keeps decimals as the text that the journal had.
    """
    try:
        numbers = {name: float(value) if isinstance(value, str) else value for name, value in params.items()}
        return params_sha256(Params().with_changes(numbers)) if numbers else ""
    except (NightsoakError, ValueError):
        return ""


def _begun_ns(wh: Warehouse, run_id: str) -> int:
    match = _STAMP.match(run_id)
    if match is not None:
        try:
            return int(datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()) * _NS_PER_S
        except ValueError:
            pass
    return int(wh.execute("SELECT min(start_ns) FROM core_run")[0][0])
