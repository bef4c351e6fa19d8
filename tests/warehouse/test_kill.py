"""Exactly once under fire: a writer appends and rotates, the ingester is killed, again and again.

Real processes and SIGKILL. Some kills come at random moments, some are aimed: before and after the commit, at the n-th
statement, while the file is closed. Eight kills in every run of the suite, a hundred in `make soak-test`.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.warehouse.db import Warehouse
from engine.warehouse.ingest import ingest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")

# Appends in pieces that end anywhere; every eighth line or so is no record or stands twice; files are rotated, at times
# with a line left torn, as a killed bot leaves it, which the next file then begins with. It writes some hundred lines a
# second until its stdin is closed.
WRITER = """
import json, os, random, sys, threading, time
folder, seed = sys.argv[1], int(sys.argv[2])
told = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()
rng = random.Random(seed)
seq = number = 0
said = {"records": 0, "junk": 0, "twice": 0, "torn": 0}
def record(seq):
    return json.dumps({"v": 1, "type": "heartbeat", "run_id": "run", "seq": seq, "ts_ns": 10**18 + seq, "symbol": "S",
                       "lane": 0}) + "\\n"
while not told.is_set() or seq < 500:
    with open(f"{folder}/run.{number}.jsonl", "w", buffering=1) as file:
        rest = ""
        for _ in range(rng.randrange(20, 400)):
            draw = rng.random()
            if draw < 0.06:
                line = rng.choice(["junk\\n", "\\n", "{}\\n", '{"v":1\\n', record(seq).replace('": 0', '": "0"')])
                said["junk"] += 1
            elif draw < 0.12 and seq:
                line = record(rng.randrange(seq))
                said["twice"] += 1
            else:
                line = record(seq)
                said["records"] += 1
                seq += 1
            rest += line
            cut = rng.randrange(len(rest) + 1)
            os.write(file.fileno(), rest[:cut].encode())
            rest = rest[cut:]
            if rng.random() < 0.2 and not told.is_set():
                time.sleep(0.01)
        if rng.random() < 0.5:
            rest += record(seq)[: rng.randrange(1, 40)]
            said["torn"] += 1
        os.write(file.fileno(), rest.encode())
    number += 1
with open(f"{folder}/run.{number}.jsonl", "w") as file:
    file.write(record(seq))
said["records"] += 1
print(json.dumps(said))
"""

# `nightsoak ingest` with a bomb in it: argv is folder, warehouse, the statement that it goes off at, how many such
# statements pass before, and whether it goes off before the statement or after it.
BOMB = """
import os, signal, sys
import engine.warehouse.db as db
folder, path, statement, passed, when = sys.argv[1:]
left = int(passed)
def die():
    os.kill(os.getpid(), signal.SIGKILL)
execute, close = db.Warehouse.execute, db.Warehouse.close
def armed(self, sql, parameters=()):
    global left
    hit = sql.startswith(statement)
    if hit and left == 0 and when == "before":
        die()
    rows = execute(self, sql, parameters)
    if hit and left == 0:
        die()
    left -= hit
    return rows
db.Warehouse.execute = armed
from nightsoak.__main__ import main
sys.exit(main(["ingest", folder, "--db", path]))
"""
AIMS = [
    ("COMMIT", "0", "before"),
    ("COMMIT", "0", "after"),
    ("INSERT INTO raw_other", "0", "after"),
    ("INSERT INTO raw_quarantine", "1", "after"),
    ("UPDATE raw_file", "0", "after"),
    ("INSERT INTO raw_file", "0", "before"),
]


def start(*args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *args], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def killed_once(journals: Path, database: Path, number: int, rng: random.Random) -> bool:
    """Start an ingest and see it killed; False if it had ended before."""
    if number % 2:
        statement, passed, when = AIMS[number // 2 % len(AIMS)]
        process = start("-c", BOMB, str(journals), str(database), statement, passed, when)
    else:
        process = start("-m", "nightsoak", "ingest", str(journals), "--db", str(database))
        time.sleep(rng.uniform(0.05, 0.6))
        process.kill()
    with process:
        err = process.communicate()[1].decode()
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode != 0


def lines_of(folder: Path) -> tuple[int, int]:
    """(lines with their newline, files that end inside a line)"""
    texts = [path.read_bytes() for path in folder.iterdir()]
    return sum(text.count(b"\n") for text in texts), sum(not text.endswith(b"\n") for text in texts if text)


@pytest.mark.parametrize("wanted", [8, pytest.param(100, marks=pytest.mark.soak)])
def test_kills_lose_and_double_nothing(tmp_path, wanted):
    journals, database = tmp_path / "journals", tmp_path / "w.duckdb"
    journals.mkdir()
    rng = random.Random(20261120)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(journals), "7"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    kills = attempts = 0
    try:
        while kills < wanted and attempts < 4 * wanted:
            kills += killed_once(journals, database, attempts, rng)
            attempts += 1
            if attempts % 10 == 0:
                sys.stderr.write(f"{kills} of {wanted} kills\n")
            if database.exists():  # every state that a kill leaves behind is a legal one
                with Warehouse(database) as wh:
                    [(rows, quarantined)] = wh.execute(
                        "SELECT (SELECT count(*) FROM raw_record), (SELECT count(*) FROM raw_quarantine)"
                    )
                    [(read, accepted, duplicates, kept)] = wh.execute(
                        "SELECT sum(lines), sum(accepted), sum(duplicates), sum(quarantined) FROM raw_file"
                    )
                assert (rows, quarantined) == (accepted or 0, kept or 0)
                assert (read or 0) == rows + (duplicates or 0) + quarantined
    finally:
        said = json.loads(writer.communicate()[0])
    assert kills >= wanted
    with Warehouse(database) as wh:
        ingest(wh, [journals])
        whole, torn = lines_of(journals)
        assert whole == said["records"] + said["junk"] + said["twice"]
        [(read, accepted, duplicates, quarantined)] = wh.execute(
            "SELECT sum(lines), sum(accepted), sum(duplicates), sum(quarantined) FROM raw_file"
        )
        assert read == whole + torn
        assert (accepted, duplicates) == (said["records"], said["twice"])
        assert quarantined == said["junk"] + torn
        seqs = wh.execute("SELECT seq FROM raw_record ORDER BY seq")
        assert seqs == [(seq,) for seq in range(said["records"])]
        bad = wh.execute(
            "SELECT f.path, q.offset_bytes, q.length_bytes, q.raw_text FROM raw_quarantine AS q "
            "JOIN raw_file AS f USING (file_id) ORDER BY ALL"
        )
        assert len(bad) == quarantined == len({row[:2] for row in bad})
        for path, offset, length, text in bad:
            assert Path(path).read_bytes()[offset : offset + length].decode() == text
        again = ingest(wh, [journals])
        assert (again.lines, again.alarms) == (0, ())
