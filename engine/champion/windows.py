"""Every lane's windows of every run, with the set that ran in them: the rows of evidence_run, evidence_window and, of
challengers, evidence_gate.

They are made once per run, and again where the run has got more records since, or the code that makes them is another.
What a lane ran is read from run_start and from the `params` records behind it. A run that cannot be built has a row
that says why, and no windows.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine import instrument
from engine.champion import gate_windows, market
from engine.champion.change import params_sha256
from engine.champion.gate_windows import write_gate_windows
from engine.champion.market import grid_of
from engine.errors import JournalError, NightsoakError, VerificationError
from engine.params import journalled
from engine.warehouse import build as building
from engine.warehouse import fees, fifo, scope
from engine.warehouse.build import build
from engine.warehouse.db import Warehouse
from engine.warehouse.quality import require_sound
from engine.warehouse.scope import load_run

_STAMP = re.compile(r"(\d{8}T\d{6})-")
_NS_PER_S = 1_000_000_000
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("symbol", "run_id", "role", "params_sha256", "net", "notional")),
        *((name, pa.int64()) for name in ("lane", "window", "start_ns", "end_ns")),
        *((name, pa.decimal128(38, 18)) for name in ("mid_start", "mid_end")),
    ]
)
_INSERT = (
    "INSERT INTO evidence_window BY NAME SELECT * EXCLUDE (net, notional), CAST(net AS HUGEINT) AS net_units, "
    "CAST(notional AS HUGEINT) AS notional_units FROM incoming"
)


@cache
def code_sha256() -> str:
    """Of what decides the rows: this module, the gates', the scope of a run, its money, and the SQL files."""
    modules = (building, fees, fifo, gate_windows, instrument, market, scope)
    files = [Path(inspect.getfile(module)) for module in modules]
    files += [Path(__file__), *building.SQL.glob("*/*.sql")]
    decide = [path for path in files if path.parent.name not in ("schema", "quality")]
    digest = hashlib.sha256()
    for path in sorted(decide, key=lambda path: (path.parent.name, path.name)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


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
    """Bring evidence_run and evidence_window up to date for the symbol's runs."""
    counted = dict(wh.execute("SELECT run_id, count(*) FROM raw_record WHERE symbol = ? GROUP BY run_id", [symbol]))
    known = {
        run_id: (records, code)
        for run_id, records, code in wh.execute(
            "SELECT run_id, records, code FROM evidence_run WHERE symbol = ?", [symbol]
        )
    }
    code = code_sha256()
    for run_id in sorted(run_id for run_id, records in counted.items() if known.get(run_id) != (records, code)):
        run, windows = _read(wh, symbol, run_id)
        run |= {"symbol": symbol, "run_id": run_id, "records": counted[run_id], "code": code}
        with wh.transaction():
            for table in ("evidence_run", "evidence_window", "evidence_gate"):
                wh.execute(f"DELETE FROM {table} WHERE symbol = ? AND run_id = ?", [symbol, run_id])
            names = ", ".join(run)
            wh.execute(f"INSERT INTO evidence_run ({names}) VALUES ({', '.join('?' * len(run))})", list(run.values()))
            with wh.incoming(pa.Table.from_pylist(windows, schema=_SCHEMA)):
                wh.execute(_INSERT)
            if not run.get("unusable"):
                write_gate_windows(wh, symbol, run_id)


def _read(wh: Warehouse, symbol: str, run_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(the run's row, its windows'); no windows where it cannot be read as a run."""
    run = dict.fromkeys(("mode", "market", "venue", "grid", "generator", "profile", "tape_digest"), "")
    try:
        build(wh, run_id)
        found = load_run(wh, run_id)
    except JournalError as error:
        return {**run, "begun_ns": 0, "sound": False, "unusable": error.what}, []
    try:
        require_sound(wh, run_id)
        sound = True
    except VerificationError:
        sound = False
    said = ("mode", "market", "generator", "profile", "tape_digest", "lanes", "ts_ns")
    first = wh.execute(
        f"SELECT {', '.join(said)} FROM raw_record WHERE type = 'run_start' AND run_id = ? ORDER BY seq LIMIT 1",
        [run_id],
    )[0]
    start = dict(zip(said, first, strict=True))
    run |= {name: start[name] or "" for name in said[:5]}
    run |= {"venue": found.instrument.venue, "grid": grid_of(found.instrument)}
    lanes = _lanes(wh, run_id, int(start["ts_ns"]), start["lanes"])
    return {**run, "begun_ns": _begun_ns(run_id, found.start_ns), "sound": sound}, _windows(wh, symbol, run_id, lanes)


def _windows(wh: Warehouse, symbol: str, run_id: str, lanes: Mapping[int, LaneSets]) -> list[dict[str, Any]]:
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
            }
        )
    return rows


def _lanes(wh: Warehouse, run_id: str, start_ns: int, lanes: str | None) -> dict[int, LaneSets]:
    """lane -> what it ran."""
    changes: dict[int, list[tuple[int, str]]] = {}
    for lane, at_ns, params in wh.execute(
        "SELECT lane, coalesce(effective_ts_ns, ts_ns), params FROM raw_record "
        "WHERE type = 'params' AND run_id = ? ORDER BY ts_ns, seq",
        [run_id],
    ):
        changes.setdefault(lane, []).append((int(at_ns), _digest(json.loads(params or "{}"))))
    found = {}
    for lane in json.loads(lanes or "[]"):
        first = (start_ns, _digest(lane.get("params") or {}))
        found[lane["lane"]] = LaneSets((first, *changes.get(lane["lane"], ())))
    return found


def _digest(params: Mapping[str, Any]) -> str:
    """The digest of a journalled set; what it leaves out has its initial value. Another bot's own words have none.

    The warehouse keeps decimals as the text that the journal had.
    """
    try:
        return params_sha256(journalled(params)) if params else ""
    except NightsoakError:
        return ""


def _begun_ns(run_id: str, start_ns: int) -> int:
    match = _STAMP.match(run_id)
    if match is not None:
        try:
            return int(datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()) * _NS_PER_S
        except ValueError:
            pass
    return start_ns
