"""The quality of a run's rows: are they what a bot can have done, and what that means for the verdict.

Lines that are no records went to quarantine when they were read. What is judged here are genuine records: one that
fails an expectation stays in the ledger, is flagged by its key (lane, seq), and keeps the verdict at WARN; where a
critical expectation fails the sums mean nothing and the verdict is NODATA. The suite is engine/quality_suite.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from engine.errors import RunError
from engine.paths import CHECKOUT
from engine.quality_suite import run_suite, write_frames
from engine.tuning.data_checks import EXPECTATIONS
from engine.warehouse.db import Warehouse

_TIMEOUT_S = 300.0
_ORDERED = "WHERE run_id = ? AND type = ? ORDER BY file_id, line"

_FILLS = """
WITH run AS (
    SELECT
        coalesce(position_start, 0) AS position_start,
        coalesce(json_extract_string(instrument, '$.contract'), 'linear') = 'inverse' AS inverse,
        coalesce(json_extract_string(instrument, '$.contract_size')::DOUBLE, 1) AS contract_size,
        json_extract_string(instrument, '$.pnl_currency') AS pnl_currency,
        json_extract_string(instrument, '$.maker_fee_bps')::DOUBLE AS maker_bps,
        json_extract_string(instrument, '$.taker_fee_bps')::DOUBLE AS taker_bps
    FROM raw_record WHERE run_id = ? AND type = 'run_start' ORDER BY seq LIMIT 1
), walked AS (
    SELECT
        f.*,
        CASE f.side WHEN 'buy' THEN f.qty WHEN 'sell' THEN -f.qty END AS signed_qty,
        row_number() OVER by_lane AS place,
        lag(f.position_after) OVER by_lane AS position_before
    FROM raw_record AS f WHERE f.run_id = ? AND f.type = 'fill'
    WINDOW by_lane AS (PARTITION BY f.lane ORDER BY f.seq)
), valued AS (
    SELECT
        w.*,
        CASE WHEN w.place = 1 THEN run.position_start ELSE w.position_before END AS held,
        w.qty::DOUBLE * run.contract_size * CASE WHEN run.inverse THEN 1 / w.price::DOUBLE ELSE w.price::DOUBLE END
            AS notional,
        CASE w.liquidity WHEN 'maker' THEN run.maker_bps WHEN 'taker' THEN run.taker_bps END AS tier_bps,
        w.fee_currency IS NULL OR w.fee_currency = run.pnl_currency AS comparable
    FROM walked AS w CROSS JOIN run
)
SELECT
    seq, lane, ts_ns, side, liquidity, price::DOUBLE AS price, qty::DOUBLE AS qty, latency_ms, order_age_ms,
    (position_after - held - signed_qty)::DOUBLE AS position_jump,
    CASE WHEN fill_mid > 0 THEN 1e4 * abs(price - fill_mid)::DOUBLE / fill_mid::DOUBLE END AS off_mid_bps,
    CASE WHEN comparable THEN sign(fee)::DOUBLE * sign(tier_bps) END AS fee_sign,
    CASE WHEN comparable AND notional > 0 THEN 1e4 * fee::DOUBLE / notional - tier_bps END AS fee_off_tier_bps
FROM valued ORDER BY file_id, line
"""
_ORDERS = f"""
SELECT
    seq, lane, ts_ns, side, event, price::DOUBLE AS price, qty::DOUBLE AS qty, latency_ms,
    CASE WHEN quote_mid > 0 THEN 1e4 * abs(price - quote_mid)::DOUBLE / quote_mid::DOUBLE END AS off_mid_bps
FROM raw_record {_ORDERED}
"""
_MARKS = f"""
SELECT
    seq, lane, ts_ns, mid::DOUBLE AS mid, (ask - bid)::DOUBLE AS spread,
    CASE WHEN ask > bid THEN (mid - bid)::DOUBLE / (ask - bid)::DOUBLE END AS mid_share
FROM raw_record {_ORDERED}
"""


def frames(wh: Warehouse, run_id: str) -> dict[str, pa.Table]:
    """A run's fills, orders and marks as they were read, with the columns that the suite judges.

    position_jump: position_after - the position before - the signed quantity, of one lane; fee_sign: +1 where fee and
    tier agree in sign, -1 where they do not; fee_off_tier_bps: fee / notional - tier; mid_share: place of the mid
    between bid (0) and ask (1). Null where the journal does not say.
    """
    return {
        "fills": wh.columns(_FILLS, [run_id, run_id]),
        "orders": wh.columns(_ORDERS, [run_id, "order"]),
        "marks": wh.columns(_MARKS, [run_id, "mark"]),
    }


class Inspector:
    """Holds one run's rows against the suite."""

    def inspect(self, rows: dict[str, pa.Table]) -> dict[str, Any]:
        """RunRecord.quality: {rows: {table: count}, expectations: [engine.quality_suite.run_suite], error}.

        `error` says why nothing could be judged; it is empty otherwise.
        """
        expectations, error = [], ""
        try:
            expectations = self._run(rows)
        except Exception as failure:  # whatever it is: the report is to be written, and says that nothing was judged
            error = f"{type(failure).__name__}: {failure}".splitlines()[0]
        counts = {table: frame.num_rows for table, frame in rows.items()}
        return {"rows": counts, "expectations": expectations, "error": error}

    def _run(self, rows: dict[str, pa.Table]) -> list[dict[str, Any]]:
        return run_suite(rows)


class ProcessInspector(Inspector):
    """Leaves it to a process that imports Great Expectations while the rows are still being put together."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def _run(self, rows: dict[str, pa.Table]) -> list[dict[str, Any]]:
        out, err = self._process.communicate(write_frames(rows), timeout=_TIMEOUT_S)
        if self._process.returncode:
            words = err.decode("utf-8", "replace").strip().splitlines() or ["no word of it"]
            raise RunError(words[-1], where="engine.quality_suite")
        results: list[dict[str, Any]] = json.loads(out)
        return results


@contextmanager
def inspector() -> Iterator[Inspector]:
    """An inspector for the length of the block: in this process where Great Expectations is imported already."""
    if "great_expectations" in sys.modules:
        yield Inspector()
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.quality_suite"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONUTF8": "1"},
        start_new_session=True,  # a Ctrl-C is for the soak, which then ends this
    )
    try:
        yield ProcessInspector(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def quality_check(quality: Mapping[str, Any] | None) -> dict[str, Any]:
    """The check of KPI_GATE.json: observed failures, or null where nothing was judged."""
    check = {"name": "Data expectations", "metric": EXPECTATIONS, "unit": "count", "limit": 0, "criticality": "normal"}
    check["bound"] = "warn"
    if quality is None or quality["error"]:
        why = f" ({quality['error']})" if quality else ""
        reason = f"no data: not checked{why}; WARN at best without it"
        return check | {"observed": None, "label": "NODATA", "reason": reason}
    broken = [one for one in quality["expectations"] if one["failed"]]
    critical = [one for one in broken if one["critical"]]
    judged = sum(1 for one in quality["expectations"] if one["checked"])
    if not judged:
        return check | {"observed": None, "label": "NODATA", "reason": "no data: no rows; WARN at best without it"}
    if not broken:
        rows = ", ".join(f"{count} {table}" for table, count in sorted(quality["rows"].items()))
        return check | {"observed": 0, "label": "SUCCESS", "reason": f"{judged} expectations are met by {rows}"}
    failed = "; ".join(f"{one['table']}: {one['title']}: {one['failed']} of {one['checked']} fail" for one in broken)
    label = "NODATA" if critical else "WARN"
    if critical:
        failed += "; sums over such rows mean nothing, so there is no verdict"
    return check | {
        "criticality": "critical" if critical else "normal",
        "observed": sum(one["failed"] for one in broken),
        "label": label,
        "reason": failed,
    }
