"""Ingest beside DuckDB's own strict JSON reader: CPU of whole processes, on the same file, in the same run.

    python benchmarks/ingest.py [--mb 200] [--reps 3]

Makes two journals of `--mb` megabytes: one without a fault, and one of which every line is refused, for one of eleven
reasons in turn. Ours is `nightsoak ingest` into a new warehouse file, dedupe, watermark and quarantine included. The
peer is `read_ndjson` with explicit columns (the warehouse's own) into a table in memory, one thread like ours; on the
refused journal with `ignore_errors`, as it would stop at the first line. Prints JSON rows
{name, ours, peer, unit, ratio, bound, holds}; exit 1 if one does not hold.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUN_ID = "20261120T020000-BTCUSDT-1f2e"
START_NS = 1_723_161_600_000_000_000
CLEAN_BOUND, DIRTY_BOUND, MEMORY_BOUND_MB = 2.7, 4.5, 600
INSTRUMENT = {"tick": "0.1", "lot": "0.001", "contract": "linear", "contract_size": "1", "quote_currency": "USDT"}


def records(rng: random.Random) -> Iterator[str]:
    """Lines as the bot writes them: orders mostly, fills, marks, blocks."""

    def head(kind: str, seq: int, ts_ns: int, lane: int) -> str:
        return (
            f'{{"v":1,"run_id":"{RUN_ID}","seq":{seq},"symbol":"BTCUSDT","type":"{kind}","ts_ns":{ts_ns},"lane":{lane},'
        )

    start = {"bot": "bench", "mode": "replay", "lanes": [], "instrument": INSTRUMENT}
    yield head("run_start", 0, START_NS, 0) + json.dumps(start, separators=(",", ":"))[1:]
    seq, ts_ns, order, price = 1, START_NS, 1, 617_968
    asked = [
        ("new", ""),
        ("ack", "new"),
        ("ack", "amend"),
        ("amend", "tail_age"),
        ("amend", "price"),
        ("cancel", "stale"),
    ]
    while True:
        ts_ns += rng.randrange(100) * 1_000_000 + 5000
        price += rng.randrange(-5, 6)
        mid2, lane, qty = 2 * price + 1, rng.randrange(2), rng.randrange(1, 99)
        side, draw = rng.choice(("buy", "sell")), rng.random()
        quote = (
            f'"side":"{side}","price":"{price / 10:.1f}","qty":"0.{qty:03d}","price_ticks":{price},"qty_lots":{qty},'
            f'"quote_mid":"{mid2 / 20:.2f}","quote_mid2":{mid2},'
        )
        latency = f'"latency_ms":{5 + rng.randrange(10**6) / 1e6}}}'
        if draw < 0.04:
            yield head("mark", seq, ts_ns, 0) + (
                f'"mid":"{mid2 / 20:.2f}","bid":"{price / 10:.1f}","ask":"{(price + 1) / 10:.1f}",'
                f'"mid2":{mid2},"bid_ticks":{price},"ask_ticks":{price + 1}}}'
            )
        elif draw < 0.12:
            yield head("fill", seq, ts_ns, lane) + (
                f'"order_id":{order},{quote}"exch_ts_ns":{ts_ns - 5_000_000},"fill_mid":"{mid2 / 20 + 0.05:.2f}",'
                f'"fill_mid2":{mid2 + 1},"liquidity":"maker","fee":"-{price * qty * 1e-7:.8f}","fee_currency":"USDT",'
                f'"order_age_ms":{float(rng.randrange(3000))},"position_after":"-0.{qty:03d}",'
                f'"position_after_lots":-{qty},{latency}'
            )
        elif draw < 0.125:
            yield head("block", seq, ts_ns, lane) + f'"reason":"min_interval","side":"{side}","count":{qty}}}'
        else:
            event, reason = rng.choice(asked)
            order += event == "new"
            yield head("order", seq, ts_ns, lane) + (
                f'"order_id":{order},{quote}"event":"{event}","reason":"{reason}",{latency}'
            )
        seq += 1


def broken(line: bytes, number: int, rng: random.Random) -> bytes:
    """The line with a fault that has it refused."""
    seq, price = line.index(b'"seq":') + 6, line.find(b'"price":')
    faults = [
        lambda: line[: rng.randrange(1, len(line) - 1)],
        lambda: line[:seq] + b'"12"' + line[line.index(b",", seq) :],
        lambda: line[:seq] + b"1.7" + line[line.index(b",", seq) :],
        lambda: line[:seq] + b"true" + line[line.index(b",", seq) :],
        lambda: line[:-1] + b',"lane":1}',
        lambda: line[:-1] + b',"edge":NaN}',
        lambda: line[:-1] + b',"edge":1e400}',
        lambda: line.replace(b'"type":"', b'"type":"x'),
        lambda: line.replace(b'"symbol":"', b'"symbol":"\xff'),
        lambda: line.replace(b'"ts_ns":', b'"ts":'),
        lambda: line.replace(b'"price":"', b'"price":"$') if price > 0 else b"junk",
    ]
    return faults[number % len(faults)]()


def make_journal(path: Path, size: int, *, dirty: bool) -> int:
    """Write a journal of about `size` bytes; its lines."""
    rng, spoil = random.Random(20261120), random.Random(1)
    count = written = 0
    with path.open("wb") as file:
        for record in records(rng):
            line = record.encode()
            if dirty:
                line = broken(line, count, spoil)
            file.write(line + b"\n")
            written += len(line) + 1
            count += 1
            if written >= size:
                return count
    raise AssertionError("records never end")


OURS = """
import json, sys
from engine.warehouse.db import Warehouse
from engine.warehouse.ingest import ingest
with Warehouse(sys.argv[2]) as wh:
    result = ingest(wh, [sys.argv[1]])
print(json.dumps({"lines": result.lines, "accepted": result.accepted, "quarantined": result.quarantined}))
"""
PEER = """
import json, sys
import duckdb
connection = duckdb.connect(config={"threads": "1"})
connection.execute("SET enable_progress_bar = false")
options = ", ignore_errors=true" if sys.argv[3] == "dirty" else ""
connection.execute(f"CREATE TABLE t AS SELECT * FROM read_ndjson('{sys.argv[1]}', columns={sys.argv[2]}{options})")
print(json.dumps({"lines": connection.execute("SELECT count(*) FROM t").fetchall()[0][0]}))
"""
_TYPES = {"integer": "BIGINT", "id": "VARCHAR", "text": "VARCHAR", "boolean": "BOOLEAN", "nested": "JSON"}


def columns() -> str:
    """read_ndjson's columns: the journal's fields with the types they have in the warehouse."""
    sys.path.insert(0, str(ROOT))
    from engine.warehouse.fields import KINDS

    types = {name: _TYPES.get(kind, "DECIMAL(38, 18)") for name, kind in KINDS.items()}
    types |= {name: "DOUBLE" for name in KINDS if name.endswith("_ms")}
    return "{" + ", ".join(f"'{name}': '{type_}'" for name, type_ in types.items()) + "}"


def measured(code: str, *args: str) -> dict[str, Any]:
    """What a process printed, its CPU seconds from start to end, and its peak memory in MB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        [sys.executable, "-c", code + _PEAK, *args], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        out = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"error: a measurement ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said, peak = out.splitlines()
    cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return {**json.loads(said), "cpu_s": cpu, "peak_mb": int(peak) / 1024}


# not ru_maxrss: that starts from the peak of the process which forked this one
_PEAK = "import re; print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"


def compare(folder: Path, kind: str, size: int, reps: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Both sides' measurements, taken in turn on one file."""
    journal = folder / f"{kind}.0.jsonl"
    lines = make_journal(journal, size, dirty=kind == "dirty")
    ours, peers = [], []
    for rep in range(reps):
        warehouse = folder / f"{kind}{rep}.duckdb"
        ours.append(measured(OURS, str(journal), str(warehouse)))
        warehouse.unlink()
        peers.append(measured(PEER, str(journal), columns(), kind))
    journal.unlink()
    for one in ours:
        expected = (lines, 0, lines) if kind == "dirty" else (lines, lines, 0)
        if (one["lines"], one["accepted"], one["quarantined"]) != expected:
            raise SystemExit(f"error: {kind} journal of {lines} lines came to {one}")
    return ours, peers


def cpu_row(name: str, ours: list[dict[str, Any]], peers: list[dict[str, Any]], bound: float) -> dict[str, Any]:
    own, peer = (round(median(one["cpu_s"] for one in side), 3) for side in (ours, peers))
    ratio = round(own / peer, 2)
    return {
        "name": name,
        "ours": own,
        "peer": peer,
        "unit": "s",
        "ratio": ratio,
        "bound": f"at most {bound} times",
        "holds": ratio <= bound,
    }


def rows(quick: bool = False, mb: int = 500, reps: int = 1) -> list[dict[str, Any]]:
    """The benchmark's rows; `quick`: 300 MB, once. In smaller files our second of start-up is what is measured."""
    if quick:
        mb, reps = 300, 1
    sys.path.insert(0, str(ROOT))
    from engine.warehouse.columns import Scanner

    Scanner().scan(b"{}\n", 1)  # compile, which is done once per installation
    with tempfile.TemporaryDirectory() as made:
        clean = compare(Path(made), "clean", mb * 1_000_000, reps)
        dirty = compare(Path(made), "dirty", mb * 1_000_000, reps)
    peak = round(max(one["peak_mb"] for one in (*clean[0], *dirty[0])))
    peer_peak = round(max(one["peak_mb"] for one in (*clean[1], *dirty[1])))
    return [
        cpu_row(f"ingest, {mb} MB without a fault: CPU", *clean, CLEAN_BOUND),
        cpu_row(f"ingest, {mb} MB of which every line is refused: CPU", *dirty, DIRTY_BOUND),
        {
            "name": f"ingest, {mb} MB: peak memory",
            "ours": peak,
            "peer": peer_peak,
            "unit": "MB",
            "ratio": round(peak / peer_peak, 2),
            "bound": f"at most {MEMORY_BOUND_MB} MB",
            "holds": peak <= MEMORY_BOUND_MB,
        },
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=200, help="megabytes of each journal (default 200)")
    parser.add_argument("--reps", type=int, default=3, help="measurements of each side, of which the median counts")
    args = parser.parse_args()
    found = rows(mb=args.mb, reps=args.reps)
    print(json.dumps(found, indent=2))
    return 0 if all(row["holds"] for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
