"""What happens to warehouse files: damage, lost logs, full disks, holders; real processes and real limits."""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import JournalError
from engine.warehouse.db import DamagedWarehouseError, Warehouse
from engine.warehouse.ingest import ingest
from engine.warehouse.rebuild import RAW_TABLES, ingest_or_rebuild, rebuild

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden" / "journal_v1.jsonl"


def tables(path):
    """Every raw table as it stands, in a fixed order."""
    with Warehouse(path) as wh:
        return {name: wh.execute(f"SELECT * FROM {name} ORDER BY ALL") for name in RAW_TABLES}


@pytest.fixture
def folder(random_run, tmp_path):
    """Journals of two runs, one of them rotated and with lines that are none."""
    journals = tmp_path / "journals"
    one, two = random_run(1, windows=2).journal, random_run(2, windows=2).journal
    lines = one.lines()
    one.write(journals / "one.0.jsonl", [*lines[:50], b"junk\n", *lines[50:90], lines[90][:20]])
    one.write(journals / "one.1.jsonl", lines[90:])
    two.write(journals / "two.0.jsonl")
    return journals


def test_a_rebuilt_warehouse_is_equal_in_every_raw_table(folder, tmp_path):
    """Even where the journals were read in pieces and not in the order of their names."""
    path = tmp_path / "w.duckdb"
    grown = (folder / "one.1.jsonl").read_bytes()
    (folder / "one.1.jsonl").write_bytes(grown[: len(grown) // 2])
    with Warehouse(path) as wh:
        ingest(wh, [folder / "two.0.jsonl"])
        ingest(wh, [folder])
        (folder / "one.1.jsonl").write_bytes(grown)
        ingest(wh, [folder])
    before = tables(path)
    made = rebuild(path, [folder])
    assert (made.differing, made.set_aside) == ((), None)
    assert tables(path) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["journals", "w.duckdb"]


def test_what_a_rebuild_changes_is_named(folder, tmp_path):
    path = tmp_path / "w.duckdb"
    with Warehouse(path) as wh:
        ingest(wh, [folder])
        wh.execute("UPDATE raw_fill SET price = price + 1 WHERE line = (SELECT min(line) FROM raw_fill)")
    made = rebuild(path, [folder])
    assert made.differing == ("raw_fill", "raw_record")
    assert rebuild(path, [folder]).differing == ()


def test_a_rebuild_without_all_the_journals_is_refused_and_changes_nothing(folder, tmp_path):
    path = tmp_path / "w.duckdb"
    with Warehouse(path) as wh:
        ingest(wh, [folder])
    before = tables(path)
    (folder / "two.0.jsonl").unlink()
    with pytest.raises(JournalError, match=r"has read .*two\.0\.jsonl, which is not among"):
        rebuild(path, [folder])
    lines = (folder / "one.1.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "one.1.jsonl").write_bytes(b"".join(lines[:-1]))
    assert tables(path) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["journals", "w.duckdb"]


def test_a_rebuild_from_a_journal_that_lost_lines_is_refused(folder, tmp_path):
    path = tmp_path / "w.duckdb"
    with Warehouse(path) as wh:
        ingest(wh, [folder])
    before = tables(path)
    lines = (folder / "one.1.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "one.1.jsonl").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(JournalError, match="records, the warehouse"):
        rebuild(path, [folder])
    assert tables(path) == before


def damaged(path: Path, kind: str) -> None:
    raw = bytearray(path.read_bytes())
    if kind == "empty":
        raw = bytearray()
    elif kind == "cut":
        raw = raw[: len(raw) // 3]
    elif kind == "junk":
        raw = bytearray(random.Random(3).randbytes(len(raw)))
    else:
        at = {"header": 20, "root": 3 * 4096 + 50}[kind]
        raw[at] ^= 0x10
    path.write_bytes(raw)


@pytest.mark.parametrize("kind", ["empty", "cut", "junk", "header", "root"])
def test_a_damaged_file_is_set_aside_and_made_again(folder, tmp_path, kind):
    path = tmp_path / "w.duckdb"
    with Warehouse(path) as wh:
        ingest(wh, [folder])
    before = tables(path)
    damaged(path, kind)
    wreck = path.read_bytes()
    result, aside = ingest_or_rebuild(path, [folder / "one.1.jsonl"], [folder])
    assert aside == tmp_path / "w.duckdb.damaged-1"
    assert aside.read_bytes() == wreck
    assert result.accepted == sum(len(before[name]) for name in ("raw_order", "raw_fill", "raw_other"))
    assert tables(path) == before
    damaged(path, kind)
    assert ingest_or_rebuild(path, [folder], [])[1] == tmp_path / "w.duckdb.damaged-2"


def test_every_flipped_byte_is_noticed_at_the_latest_by_a_rebuild(folder, tmp_path):
    """Ingest reads little of the old rows, so a flip among them is found by who reads them."""
    path = tmp_path / "w.duckdb"
    with Warehouse(path) as wh:
        ingest(wh, [folder])
    before, whole = tables(path), path.read_bytes()
    noticed = 0
    rng = random.Random(8)
    for _ in range(8):
        raw = bytearray(whole)
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        path.write_bytes(raw)
        try:
            same = tables(path) == before
        except DamagedWarehouseError:
            noticed += 1
        else:
            assert same  # the byte is of no block in use
        made = rebuild(path, [folder])
        assert made.differing in ((), None)
        assert tables(path) == before
    assert noticed >= 2


def test_a_lost_log_loses_nothing_for_good(folder, tmp_path):
    """Without its WAL the file opens as it was before; the watermark went with the rows, so they are read again."""
    path = tmp_path / "w.duckdb"
    crash = (
        "import os, sys; from engine.warehouse.db import Warehouse; from engine.warehouse.ingest import ingest\n"
        "wh = Warehouse(sys.argv[1]).__enter__()\n"
        "ingest(wh, sys.argv[2:]); os.kill(os.getpid(), 9)"
    )
    with Warehouse(path) as wh:
        ingest(wh, [folder / "two.0.jsonl"])
    subprocess.run([sys.executable, "-c", crash, str(path), str(folder)], cwd=ROOT, check=False)
    log = path.with_name("w.duckdb.wal")
    assert log.stat().st_size > 0
    log.unlink()
    with Warehouse(path) as wh:
        assert wh.execute("SELECT count(*) FROM raw_file") == [(1,)]
        ingest(wh, [folder])
    fresh = tmp_path / "fresh.duckdb"
    with Warehouse(fresh) as wh:
        ingest(wh, [folder / "two.0.jsonl"])
        ingest(wh, [folder])
    assert tables(path) == tables(fresh)


def test_a_damaged_log_is_set_aside_with_its_file(folder, tmp_path):
    path = tmp_path / "w.duckdb"
    crash = (
        "import os, sys; from engine.warehouse.db import Warehouse; from engine.warehouse.ingest import ingest\n"
        "wh = Warehouse(sys.argv[1]).__enter__()\n"
        "ingest(wh, sys.argv[2:]); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", crash, str(path), str(folder)], cwd=ROOT, check=False)
    log = path.with_name("w.duckdb.wal")
    raw = bytearray(log.read_bytes())
    raw[len(raw) // 2] ^= 4
    log.write_bytes(raw)
    result, aside = ingest_or_rebuild(path, [folder], [])
    assert aside is not None
    assert (tmp_path / "w.duckdb.damaged-1.wal").read_bytes() == raw
    assert result.accepted > 0
    assert rebuild(path, [folder]).differing == ()


def limited(limit: int, *args: str) -> subprocess.CompletedProcess[str]:
    """`nightsoak ...` where no file may grow beyond `limit` bytes, as on a full disk."""
    return subprocess.run(
        [sys.executable, "-m", "nightsoak", *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


@pytest.mark.parametrize("limit", [20_000, 600_000])
def test_a_full_disk_is_said_and_nothing_is_half_written(folder, tmp_path, limit):
    path = tmp_path / "w.duckdb"
    with Warehouse(path) as wh:
        ingest(wh, [folder / "two.0.jsonl"])
        before = wh.execute("SELECT * FROM raw_file")
    journals = tmp_path / "more"
    journals.mkdir()
    golden = GOLDEN.read_bytes()
    for number in range(6):
        (journals / f"{number}.0.jsonl").write_bytes(golden.replace(b"901d", b"9%03d" % number))
    done = limited(limit, "ingest", str(folder), str(journals), "--db", str(path))
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith(f"error: {path}: cannot be read or written")
    assert len(done.stderr.splitlines()) == 1
    with Warehouse(path) as wh:
        assert wh.execute("SELECT * FROM raw_file") == before
        result = ingest(wh, [folder, journals])
        assert result.quarantined == 2
    assert rebuild(path, [folder, journals]).differing == ()


@pytest.mark.parametrize("newline", [True, False])
@pytest.mark.parametrize("size", [512 << 20, pytest.param(2 << 30, marks=pytest.mark.soak)])
def test_a_huge_line_takes_no_memory_for_it(new_journal, tmp_path, newline, size):
    """A hole of a file: half a gigabyte, or two, without a newline."""
    good = new_journal().mark(0, "60000.05").mark(1, "60000.15").lines()
    path = tmp_path / "run.0.jsonl"
    with path.open("wb") as file:
        file.write(good[0])
        file.truncate(len(good[0]) + size)
        if newline:
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + good[1])
    (tmp_path / "run.1.jsonl").write_bytes(b"")
    code = (
        "import re, sys; from engine.warehouse.db import Warehouse; from engine.warehouse.ingest import ingest\n"
        "with Warehouse(sys.argv[1]) as wh: print(ingest(wh, [sys.argv[2]]))\n"
        # not ru_maxrss: that starts from the peak of the process which forked this one
        "print(int(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "w.duckdb"), str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"accepted={2 if newline else 1}, duplicates=0, quarantined=1, torn=0" in done.stdout
    assert int(done.stdout.splitlines()[-1]) < 400
    with Warehouse(tmp_path / "w.duckdb") as wh:
        assert wh.execute("SELECT line, offset_bytes, length_bytes FROM raw_quarantine") == [(2, len(good[0]), size)]
        assert ingest(wh, [path]).lines == 0


def test_a_line_of_ten_megabytes_is_quarantined_once(new_journal, tmp_path):
    good = new_journal().mark(0, "60000.05").mark(1, "60000.15").lines()
    path = tmp_path / "run.0.jsonl"
    path.write_bytes(good[0] + b"x" * 10_000_000 + b"\n" + good[1])
    for accepted, quarantined in ((2, 1), (0, 0)):
        with Warehouse(tmp_path / "w.duckdb") as wh:
            result = ingest(wh, [path])
        assert (result.accepted, result.quarantined) == (accepted, quarantined)


def test_files_are_closed_after_the_call(folder, tmp_path):
    """A journal that was read and deleted must not keep its space."""
    with Warehouse(tmp_path / "w.duckdb") as wh:
        ingest(wh, [folder])
        shutil.rmtree(folder)
        descriptors = Path("/proc/self/fd")
        if not descriptors.is_dir():
            pytest.skip("no /proc to look at open files by")
        held = [str(fd.readlink()) for fd in descriptors.iterdir() if fd.is_symlink()]
        assert [name for name in held if "jsonl" in name] == []
