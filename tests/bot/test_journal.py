from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.bot.journal import JournalWriter, journal_files, read_tail
from engine.errors import JournalError
from engine.paths import CHECKOUT

RUN = "20261120T020000-SIMUSDT-1f2e"
START = {
    "type": "run_start",
    "ts_ns": 1,
    "lane": 0,
    "lanes": [{"lane": 0, "role": "champion", "params": {"min_lot": 1}}],
}
RECORDS = [
    START,
    {"type": "order", "ts_ns": 2, "lane": 0, "order_id": 3},
    {"type": "order", "ts_ns": 2, "lane": 1, "order_id": 9},
    {"type": "fill", "ts_ns": 3, "lane": 0, "order_id": 3, "position_after_lots": 5},
    {"type": "fill", "ts_ns": 4, "lane": 1, "order_id": 9, "position_after_lots": -2},
    {"type": "window_end", "ts_ns": 5, "lane": 0, "window": 0, "iteration_end": True},
    {"type": "params", "ts_ns": 5, "lane": 0, "params": {"min_lot": 2}},
    {"type": "fill", "ts_ns": 6, "lane": 0, "order_id": 4, "position_after_lots": 7},
]


def write(folder: Path, records: list[dict[str, object]], **options: int) -> JournalWriter:
    journal = JournalWriter(folder, RUN, "SIMUSDT", **options)
    for record in records:
        journal.write(record)
        journal.flush()
    journal.close()
    return journal


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for path in journal_files(folder, RUN) for line in path.read_text().splitlines()]


def test_records_carry_version_run_symbol_and_a_rising_seq(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    found = lines(tmp_path)
    assert [line["seq"] for line in found] == list(range(len(RECORDS)))
    assert {(line["v"], line["run_id"], line["symbol"]) for line in found} == {(1, RUN, "SIMUSDT")}
    assert [{name: line[name] for name in record} for line, record in zip(found, RECORDS, strict=True)] == RECORDS


def test_rotation_cuts_between_records_and_loses_none(tmp_path: Path) -> None:
    write(tmp_path, RECORDS, rotate_bytes=300)
    files = journal_files(tmp_path, RUN)
    assert len(files) > 2
    assert [path.name for path in files] == [f"{RUN}.{n}.jsonl" for n in range(len(files))]
    assert all(path.stat().st_size < 600 for path in files)
    assert [line["seq"] for line in lines(tmp_path)] == list(range(len(RECORDS)))


def test_ten_files_are_read_in_order_of_number_not_of_name(tmp_path: Path) -> None:
    write(tmp_path, [START, *({"type": "heartbeat", "ts_ns": n, "lane": 0} for n in range(11))], rotate_bytes=1)
    assert [line["seq"] for line in lines(tmp_path)] == list(range(12))
    assert read_tail(tmp_path, RUN).last["seq"] == 11


def test_a_journal_is_never_rewritten(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    before = journal_files(tmp_path, RUN)[0].read_bytes()
    with pytest.raises(JournalError, match="never rewritten"):
        JournalWriter(tmp_path, RUN, "SIMUSDT")
    assert journal_files(tmp_path, RUN)[0].read_bytes() == before


def test_the_tail_knows_positions_orders_params_and_windows(tmp_path: Path) -> None:
    write(tmp_path, RECORDS, rotate_bytes=300)
    tail = read_tail(tmp_path, RUN)
    assert (tail.next_seq, tail.next_window, tail.torn, tail.ended) == (8, 1, False, False)
    assert tail.positions_lots == {0: 7, 1: -2}
    assert tail.last_order_ids == {0: 3, 1: 9}
    assert tail.params == {"min_lot": 2}
    assert not tail.awaits_decision


def test_a_journal_cut_at_any_byte_of_its_last_record_ends_with_the_one_before(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    path = journal_files(tmp_path, RUN)[0]
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for length in range(start, len(whole)):
        path.write_bytes(whole[:length])
        tail = read_tail(tmp_path, RUN)
        assert tail.torn == (length > start)
        assert (tail.next_seq, tail.positions_lots[0]) == (7, 5)


def test_a_run_killed_at_an_iteration_end_awaits_its_decision(tmp_path: Path) -> None:
    write(tmp_path, RECORDS[:6])
    assert read_tail(tmp_path, RUN).awaits_decision


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"v":1,"type":"mark","seq":0,"ts_ns":1,"lane":0}\n', "does not begin with run_start"),
        ("not json\n", "line 1: is not a journal record"),
        ('{"seq":0}\n', "line 1: is not a journal record"),
        ('{"v":1,"type":"run_start"', "holds no whole record"),
    ],
)
def test_what_is_no_journal_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / f"{RUN}.0.jsonl").write_text(text)
    with pytest.raises(JournalError, match=message):
        read_tail(tmp_path, RUN)


def test_no_journal_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no journal of run"):
        read_tail(tmp_path, RUN)


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_is_an_error_and_leaves_whole_records_before_it(tmp_path: Path) -> None:
    """The limit makes raw writes short before they fail, as a full disk does."""
    script = f"""
import resource, sys
from pathlib import Path
from engine.bot.journal import JournalWriter
from engine.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
journal = JournalWriter(Path({str(tmp_path)!r}), {RUN!r}, "SIMUSDT")
try:
    journal.write({START!r})
    for n in range(100):
        journal.write({{"type": "heartbeat", "ts_ns": n, "lane": 0}})
        journal.flush()
except StorageError as error:
    sys.exit(f"refused: {{error}}")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert "refused" in done.stderr
    assert f"{RUN}.0.jsonl: cannot write the journal" in done.stderr
    tail = read_tail(tmp_path, RUN)
    size = journal_files(tmp_path, RUN)[0].stat().st_size
    assert (size, tail.torn) == (1000, True)
    assert tail.next_seq > 3
