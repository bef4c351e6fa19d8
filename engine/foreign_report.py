"""The report of a run that only the warehouse knows: another bot's, from its journal or from an export of its trades.

Gates, expectations, documents and charts are those of a soak. What a journal cannot have is said and never passed: a
replay needs a tape, a package our own bot's parameters. `latest` moves to such a report if the run was the last one
read, so that it means the same run as in `nightsoak kpis latest`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mode
from typing import Any

import pyarrow as pa

from engine.files import sha256_file
from engine.paths import Paths
from engine.quality import frames, inspector, quality_check
from engine.report.artefacts import publish, storage_errors
from engine.report.index import point_latest_at
from engine.report.record import JOURNAL, RunRecord
from engine.soak_state import utc_now
from engine.tuning.bands import load_gates
from engine.tuning.data_checks import parity_check, windows_check, with_checks
from engine.tuning.gate import judge
from engine.warehouse.db import Warehouse
from engine.warehouse.edge import edge_report
from engine.warehouse.quality import run_checks
from engine.warehouse.runs import run_ids
from engine.warehouse.scope import load_run
from engine.warehouse.series import chart_series
from engine.warehouse.targets import NAME as TARGETS

_NO_TAPE = "not possible, there is no tape"
_HEAD = ("bot", "mode", "profile", "market", "latency_modelled", "window_seconds", "lanes")
_CONFIG = ("gates.json", TARGETS)


@dataclass(frozen=True)
class Read:
    """What the warehouse has of a run: fields of the RunRecord, the rows that expectations are held against, and
    whether it is the run that was read last."""

    fields: Mapping[str, Any]
    rows: dict[str, pa.Table]
    is_last: bool


def report_foreign(read: Read, paths: Paths) -> Path:
    """Write the report of the run that was read; its folder.

    Raises:
        ConfigError: the configuration of the gates is not what it must be.
        StorageError: the reports folder cannot be written; nothing is half-written.
    """
    started = utc_now()
    with inspector() as quality_inspector:
        record = make_record(read, paths.config, quality_inspector.inspect(read.rows))
    folder = publish(record, paths.reports, wall_clock={"started_utc": started, "finished_utc": utc_now()})
    if read.is_last:
        with storage_errors(paths.reports):
            point_latest_at(paths.reports, folder)
    return folder


def make_record(read: Read, config: Path, quality: Mapping[str, Any] | None) -> RunRecord:
    """The run as the report's record, judged.

    Args:
        config: the folder of gates.json.
        quality: engine.quality.Inspector.inspect of the run's rows.
    """
    edge, gates = read.fields["edge"], load_gates(config)
    checks = [quality_check(quality), parity_check(None, _NO_TAPE), windows_check(edge["windows"])]
    gate = judge(edge["totals"], gates, windows=edge["windows"]).to_json()
    return RunRecord(
        **read.fields,
        gate=with_checks(gate, checks, gates.actions),
        quality=quality,
        net_target_bps=gates.net_bps.ok_below,
    )


def read_run(wh: Warehouse, run_id: str, config: Path) -> Read:
    """What the run's journal says, and no more.

    Raises:
        JournalError: the run is unknown or cannot be told in lots.
        VerificationError: the components do not sum to the cash ledger.
    """
    edge = edge_report(wh, run_id)
    run, head, ended = load_run(wh, run_id), _head(wh, run_id), _ended(wh, run_id)
    parameters = _parameters(wh, run_id, run.start_ns, head["lanes"])
    lengths_ns = [window["end_ns"] - window["start_ns"] for window in edge["windows"]]
    journalled = _count(wh, run_id, "window_end")
    window_seconds = run.window_seconds
    if journalled and lengths_ns and head["window_seconds"] is None:
        window_seconds = max(1, round(mode(lengths_ns[:-1] or lengths_ns) / 10**9))
    gaps = wh.execute(
        "SELECT ts_ns, reason FROM raw_record WHERE run_id = ? AND type = 'gap' ORDER BY ts_ns, seq", [run_id]
    )
    notes = [
        *([] if ended else ["The journal has no run_end: the bot may still be running, or it died."]),
        *([] if journalled else [f"The bot journalled no windows: they are cut every {window_seconds} s."]),
        *(
            f"Check {check.name}: {check.offending} rows offend: {check.title}."
            for check in run_checks(wh, run_id)
            if not check.passed
        ),
    ]
    fields = {
        "run_id": run_id,
        "plan": {
            "foreign": {"bot": head["bot"] or "", "market": head["market"] or ""},
            "mode": head["mode"] or "",
            "venue": run.instrument.venue,
            "symbol": run.symbol,
            "quote_currency": run.instrument.quote_currency or None,
            "profile": head["profile"],
            "iterations": len(edge["iterations"]),
            "windows": len(edge["windows"]),
            "window_seconds": window_seconds,
            "start_ns": run.start_ns,
            "end_ns": run.end_ns,
            "auto_tune": False,
            "latency_modelled": bool(head["latency_modelled"]),
            "tape": None,
        },
        "edge": edge,
        "params_start": parameters[0]["params"] if parameters else {},
        "params_final": parameters[-1]["params"] if parameters else {},
        "parameters": parameters,
        "series": chart_series(wh, run_id),
        "data_quality": {
            # A bot that journals no gap may have had some: only those that are told of are known.
            "gaps": [{"ts_ns": ts_ns, "reason": reason or ""} for ts_ns, reason in gaps] or None,
            "ingest": counts_of(wh, run_id),
            "notes": notes,
        },
        "inputs": _inputs(wh, run_id, config),
    }
    return Read(fields, frames(wh, run_id), run_id == run_ids(wh)[-1])


def _head(wh: Warehouse, run_id: str) -> dict[str, Any]:
    """What the run's first run_start says; null where it does not."""
    (row,) = wh.execute(
        f"SELECT {', '.join(_HEAD)} FROM raw_record WHERE run_id = ? AND type = 'run_start' ORDER BY seq LIMIT 1",
        [run_id],
    )
    return dict(zip(_HEAD, row, strict=True))


def _ended(wh: Warehouse, run_id: str) -> bool:
    return bool(_count(wh, run_id, "run_end"))


def _count(wh: Warehouse, run_id: str, kind: str) -> int:
    ((count,),) = wh.execute("SELECT count(*) FROM raw_record WHERE run_id = ? AND type = ?", [run_id, kind])
    return int(count)


def _parameters(wh: Warehouse, run_id: str, start_ns: int, lanes: str | None) -> list[dict[str, Any]]:
    """RunRecord.parameters: lane 0's set as run_start has it, then after each journalled change; [] without any."""
    sets = [lane.get("params") for lane in json.loads(lanes or "[]") if lane["lane"] == 0]
    values: dict[str, Any] = dict(sets[0]) if sets and isinstance(sets[0], dict) else {}
    rows = [{"effective_ts_ns": start_ns, "source": "start", "params": values}] if values else []
    changes = wh.execute(
        "SELECT coalesce(effective_ts_ns, ts_ns), source, params FROM raw_record "
        "WHERE run_id = ? AND type = 'params' AND lane = 0 ORDER BY ts_ns, seq",
        [run_id],
    )
    for ts_ns, source, params in changes:
        changed = json.loads(params) if params else None
        if isinstance(changed, dict):
            values = {**values, **changed}
            rows.append({"effective_ts_ns": int(ts_ns), "source": source or "journal", "params": values})
    return rows


def _files(wh: Warehouse, run_id: str, columns: str) -> list[tuple[Any, ...]]:
    return wh.execute(
        f"SELECT {columns} FROM raw_file WHERE file_id IN (SELECT DISTINCT file_id FROM raw_record WHERE run_id = ?) "
        "ORDER BY file_id",
        [run_id],
    )


def counts_of(wh: Warehouse, run_id: str) -> dict[str, int]:
    """The run's records, and the other lines of the files that they stand in."""
    ((accepted,),) = wh.execute("SELECT count(*) FROM raw_record WHERE run_id = ?", [run_id])
    rows = _files(wh, run_id, "duplicates, quarantined")
    counts = {"duplicates": sum(row[0] for row in rows), "quarantined": sum(row[1] for row in rows)}
    return {"files": len(rows), "accepted": int(accepted), **{name: int(count) for name, count in counts.items()}}


def _inputs(wh: Warehouse, run_id: str, config: Path) -> dict[str, str]:
    """{name: sha256} of the configuration, and of the journals, as far as they were read, that still lie there."""
    inputs = {f"config/{name}": sha256_file(config / name) for name in _CONFIG if (config / name).is_file()}
    for number, (path, offset, packed) in enumerate(_files(wh, run_id, "path, offset_bytes, packed_bytes")):
        file = Path(path)
        if file.is_file():
            name = f"{JOURNAL}.{number}/{file.name}" if number else f"{JOURNAL}/{file.name}"
            inputs[name] = sha256_file(file) if packed else sha256_file(file, offset)
    return inputs
