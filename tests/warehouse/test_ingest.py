"""Every line once: in any cut, any order, torn anywhere, with bad neighbours."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from engine.errors import JournalError
from engine.warehouse import parse, source
from engine.warehouse.edge import edge_report
from engine.warehouse.ingest import ingest


def content(wh):
    """All records but where they were read from, in run order."""
    return wh.execute("SELECT * EXCLUDE (file_id, line) FROM raw_record ORDER BY run_id, seq")


def sums(result):
    return result.accepted + result.duplicates + result.quarantined + result.torn


@pytest.fixture(autouse=True, params=["strict", "scanner"])
def reader(request, monkeypatch):
    """Every test with either reader; left to itself, ingest takes the strict one for what is as short as these."""
    monkeypatch.setattr(parse, "SCAN_FROM_BYTES", 0 if request.param == "scanner" else 1 << 40)


@pytest.fixture
def run(random_run):
    return random_run(11, windows=2)


def test_a_second_ingest_changes_nothing(run, open_warehouse, tmp_path):
    path = run.journal.write(tmp_path / "a.0.jsonl")
    count = len(run.journal.records)
    with open_warehouse() as wh:
        first = ingest(wh, [path])
        before = content(wh)
        again = ingest(wh, [path])
        assert content(wh) == before
    assert (first.files, first.lines, first.accepted, first.duplicates) == (1, count, count, 0)
    assert (again.files, again.lines, sums(again)) == (1, 0, 0)


def test_order_and_cut_of_the_files_do_not_matter(run, open_warehouse, tmp_path):
    lines = run.journal.lines()
    with open_warehouse("whole") as wh:
        ingest(wh, [run.journal.write(tmp_path / "whole" / "a.0.jsonl")])
        wanted, report = content(wh), edge_report(wh, run.journal.run_id)
    for seed in range(3):
        rng = random.Random(seed)
        cuts = sorted({0, len(lines), *rng.sample(range(1, len(lines)), 4)})
        parts = [lines[a:b] for a, b in pairwise(cuts)]
        parts.append(rng.sample(lines, len(lines) // 2))  # every line of it stands elsewhere too
        paths = [run.journal.write(tmp_path / f"{seed}-{i}.jsonl", part) for i, part in enumerate(parts)]
        rng.shuffle(paths)
        with open_warehouse(f"parts{seed}") as wh:
            results = [ingest(wh, [path]) for path in paths]
            assert content(wh) == wanted
            assert edge_report(wh, run.journal.run_id) == report
        assert sum(r.accepted for r in results) == len(lines)
        assert sum(r.duplicates for r in results) == len(parts[-1])
        assert all(sums(r) == r.lines for r in results)


def test_a_growing_file_is_read_on_from_where_it_was(run, open_warehouse, tmp_path):
    data = b"".join(run.journal.lines())
    path = tmp_path / "a.0.jsonl"
    accepted = 0
    with open_warehouse() as wh:
        for end in [*range(1, len(data), 9_973), len(data)]:
            path.write_bytes(data[:end])
            result = ingest(wh, [path])
            assert sums(result) == result.lines
            assert result.torn == (0 if data[:end].endswith(b"\n") else 1)
            accepted += result.accepted
        assert accepted == len(run.journal.records)
        assert wh.execute("SELECT count(*) FROM raw_quarantine") == [(0,)]
        assert wh.execute("SELECT offset_bytes, lines, accepted FROM raw_file") == [(len(data), accepted, accepted)]


def test_chunks_and_batches_cut_anywhere(run, open_warehouse, tmp_path, monkeypatch):
    path = run.journal.write(tmp_path / "a.0.jsonl")
    with open_warehouse("one") as wh:
        ingest(wh, [path])
        wanted = content(wh)
    monkeypatch.setattr(source, "CHUNK_BYTES", 700)  # shorter than the run_start line
    with open_warehouse("many") as wh:
        ingest(wh, [path])
        assert content(wh) == wanted
        assert wh.execute("SELECT seq + 1 - line FROM raw_record GROUP BY ALL") == [(0,)]


def test_a_last_line_torn_at_any_byte_waits_and_then_counts_once(new_journal, open_warehouse, tmp_path):
    lines = new_journal("1f2e").mark(0, "60000.05").add("heartbeat", 1).add("heartbeat", 2).lines()
    cuts = range(1, len(lines[-1]), 4)
    whole = {}
    for cut in cuts:  # a run of its own for every cut
        whole[tmp_path / f"{cut}.0.jsonl"] = b"".join(line.replace(b"1f2e", f"{cut:04x}".encode()) for line in lines)
    for (path, data), cut in zip(whole.items(), cuts, strict=True):
        path.write_bytes(data[: cut - len(lines[-1])])
    with open_warehouse() as wh:
        first = ingest(wh, whole)
        assert (first.accepted, first.torn, first.quarantined) == (2 * len(cuts), len(cuts), 0)
        assert first.lines == 3 * len(cuts)
        assert set(wh.execute("SELECT lines, accepted FROM raw_file")) == {(2, 2)}
        for path, data in whole.items():
            path.write_bytes(data)
        second = ingest(wh, whole)
        assert (second.accepted, second.torn, second.quarantined, second.lines) == (len(cuts), 0, 0, len(cuts))
        assert set(wh.execute("SELECT lines, accepted FROM raw_file")) == {(3, 3)}
        assert set(wh.execute("SELECT count(*), count(DISTINCT seq) FROM raw_record GROUP BY run_id")) == {(3, 3)}


@pytest.mark.parametrize("names", [("run.0.jsonl", "run.1.jsonl"), ("b.jsonl", "elsewhere/a.jsonl")])
def test_a_torn_line_is_final_once_a_successor_exists(new_journal, open_warehouse, tmp_path, names):
    journal = new_journal().start().mark(0, "60000.05").mark(1, "60000.15").mark(2, "60000.25")
    lines = journal.lines()
    old = journal.write(tmp_path / names[0], [*lines[:2], lines[2][:-1]])
    with open_warehouse() as wh:
        assert ingest(wh, [old]).torn == 1
        new = journal.write(tmp_path / names[1], [lines[3]])
        result = ingest(wh, [new, old])
        assert (result.accepted, result.quarantined, result.torn, result.lines) == (1, 1, 0, 2)
        rows = wh.execute("SELECT line, offset_bytes, length_bytes, reason, raw_text FROM raw_quarantine")
        offset = len(b"".join(lines[:2]))
        assert rows == [(3, offset, len(lines[2]) - 1, "torn: the file ended inside this line", lines[2][:-1].decode())]
        assert ingest(wh, [new, old]).lines == 0


FILL = '{"v":1,"type":"fill","run_id":"R","seq":1,"ts_ns":5,"symbol":"S","lane":0,"side":"buy","price":"1.5","qty":2}'
BAD = {
    '{"v":1,"type":"mark"': "not JSON",
    "\x00\x01binary junk": "not JSON",
    "": "not JSON",
    "[1]": "not a JSON object",
    "7": "not a JSON object",
    FILL + FILL: "not JSON",
    FILL.replace('"seq":1', '"seq":"1"'): "seq must be a whole number",
    FILL.replace('"seq":1', '"seq":1.7'): "seq must be a whole number",
    FILL.replace('"seq":1', '"seq":1.0'): "seq must be a whole number",
    FILL.replace('"seq":1', '"seq":true'): "seq must be a whole number",
    FILL.replace('"seq":1', '"seq":9223372036854775808'): "seq must be a whole number",
    FILL.replace('"seq":1', '"seq":-1'): "seq is missing or negative",
    FILL.replace('"seq":1,', ""): "seq is missing or negative",
    FILL.replace('"seq":1', '"seq":1,"seq":1'): "key 'seq' stands twice",
    FILL.replace('"seq":1', '"seq":1,"mine":1,"mine":2'): "key 'mine' stands twice",
    FILL.replace('"qty":2', '"qty":NaN'): "NaN is not a number",
    FILL.replace('"qty":2', '"qty":2,"mine":NaN'): "NaN is not a number",
    FILL.replace('"qty":2', '"qty":1e400'): "number 1e400 is out of range",
    FILL.replace('"qty":2', '"qty":2,"mine":-1e400'): "number -1e400 is out of range",
    FILL.replace('"qty":2', '"qty":"Infinity"'): "qty must be a decimal",
    FILL.replace('"qty":2', '"qty":"1 000"'): "qty must be a decimal",
    FILL.replace('"qty":2', '"qty":true'): "qty must be a decimal",
    FILL.replace('"qty":2', '"qty":1e20'): "is out of range",
    FILL.replace('"qty":2', '"qty":0'): "fill without a qty above 0",
    FILL.replace('"price":"1.5",', ""): "fill without a price above 0",
    FILL.replace('"buy"', '"BUY"'): "fill side is neither buy nor sell",
    FILL.replace('"buy"', "3"): "side must be a text",
    FILL.replace('"type":"fill"', '"type":"trade"'): "type trade is unknown",
    FILL.replace('"v":1', '"v":"1"'): "v must be a whole number",
    FILL.replace('"v":1,', ""): "v is missing or below 1",
    FILL.replace('"lane":0', '"lane":{"lane":0}'): "lane must be a whole number",
    '{"v":1,"type":"run_start","run_id":"R","seq":1,"ts_ns":5,"symbol":"S","lane":0}': "without an instrument",
    '{"v":1,"type":"run_start","run_id":"R","seq":1,"ts_ns":5,"symbol":"S","lane":0,'
    '"instrument":{"tick":"0","lot":"1","contract":"linear"}}': "instrument.tick must be a number above 0",
    '{"v":1,"type":"run_start","run_id":"R","seq":1,"ts_ns":5,"symbol":"S","lane":0,'
    '"instrument":{"tick":"1","lot":"1","contract":"quanto"}}': "neither linear nor inverse",
    '{"v":1,"type":"run_start","run_id":"R","seq":1,"ts_ns":5,"symbol":"S","lane":0,"window_seconds":0,'
    '"instrument":{"tick":"1","lot":"1","contract":"linear"}}': "window_seconds is not above 0",
    '{"v":1,"type":"run_start","run_id":"R","seq":1,"ts_ns":5,"symbol":"S","lane":0,"lanes":[{"lane":1e2,"role":"r"}],'
    '"instrument":{"tick":"1","lot":"1","contract":"linear"}}': "lanes must be a list of",
    '{"v":1,"type":"run_start","run_id":"R","seq":1,"ts_ns":5,"symbol":"S","lane":0,'
    '"lanes":[{"lane":9223372036854775808,"role":"r"}],'
    '"instrument":{"tick":"1","lot":"1","contract":"linear"}}': "lanes must be a list of",
    "[" * 5000: "not a record: nested too deep",
}


def test_bad_lines_go_to_quarantine_and_their_neighbours_are_kept(new_journal, open_warehouse, tmp_path):
    """Each between two good ones, all in one file."""
    journal = new_journal().start()
    for second in range(len(BAD)):
        journal.mark(second, "60000.05")
    good, bad = journal.lines(), [line.encode() for line in BAD]
    path, offset, wanted = tmp_path / "a.0.jsonl", 0, []
    for number, (before, line) in enumerate(zip(good, bad, strict=False)):
        offset += len(before)
        wanted.append((2 * number + 2, offset, len(line), line[:1024].decode()))
        offset += len(line) + 1
    pairs = zip(good, [line + b"\n" for line in bad], strict=False)
    path.write_bytes(b"".join([part for pair in pairs for part in pair] + good[len(bad) :]))
    with open_warehouse() as wh:
        result = ingest(wh, [path])
        assert (result.accepted, result.quarantined, result.lines) == (len(good), len(bad), len(good) + len(bad))
        rows = wh.execute("SELECT line, offset_bytes, length_bytes, raw_text, reason FROM raw_quarantine ORDER BY line")
        assert [row[:4] for row in rows] == wanted
        said = {line: row[4] for line, row in zip(BAD, rows, strict=True)}
        assert {line: why for line, why in said.items() if BAD[line] not in why} == {}
        assert wh.execute("SELECT seq FROM raw_record ORDER BY seq") == [(seq,) for seq in range(len(good))]
        assert ingest(wh, [path]).lines == 0


def test_bytes_that_are_not_utf8_are_kept_readable(new_journal, open_warehouse, tmp_path):
    good = new_journal().start().mark(0, "60000.05").lines()
    bad = good[1].replace(b"BTCUSDT", b"BTC\xff\xfe")
    path = tmp_path / "a.0.jsonl"
    path.write_bytes(b"".join([*good, bad]))
    with open_warehouse() as wh:
        assert ingest(wh, [path]).quarantined == 1
        [(why, text)] = wh.execute("SELECT reason, raw_text FROM raw_quarantine")
    assert why.startswith("not UTF-8")
    assert r"BTC\xff\xfe" in text


def test_a_first_line_that_is_no_record_is_quarantined_once(new_journal, open_warehouse, tmp_path):
    good = new_journal().start().mark(0, "60000.05").lines()
    path = tmp_path / "a.0.jsonl"
    path.write_bytes(b"junk\n" + good[0])
    with open_warehouse() as wh:
        assert ingest(wh, [path]).quarantined == 1
        path.write_bytes(b"junk\n" + b"".join(good))
        result = ingest(wh, [path])
        assert (result.accepted, result.quarantined, result.lines) == (1, 0, 1)


@pytest.mark.parametrize("extra", ["", ',"nested":{"a":1}', ',"seq_text":"x"'])
def test_a_newer_version_is_refused_as_a_whole(new_journal, open_warehouse, tmp_path, extra):
    lines = new_journal().start().mark(0, "60000.05").mark(1, "60000.15").lines()
    lines[2] = lines[2].replace(b'"v":1', b'"v":2').replace(b"}\n", extra.encode() + b"}\n")
    path = tmp_path / "a.0.jsonl"
    path.write_bytes(b"".join(lines))
    with open_warehouse() as wh:
        with pytest.raises(JournalError, match="schema version 2, this Nightsoak reads up to 1"):
            ingest(wh, [path])
        for table in ("raw_record", "raw_file", "raw_quarantine"):
            assert wh.execute(f"SELECT count(*) FROM {table}") == [(0,)]


def test_fields_of_other_bots_are_ignored(new_journal, open_warehouse, tmp_path):
    journal = new_journal().start()
    for at in range(5):
        journal.mark(at, "60000.05").records[-1] |= {
            "venue_note": "x",
            "weights": [1, 2],
            "nested": {"a": 1},
            "gain": 0.5,
        }
    with open_warehouse() as wh:
        assert ingest(wh, [journal.write(tmp_path / "a.0.jsonl")]).accepted == 6


def test_a_renamed_or_copied_file_is_not_read_again(run, open_warehouse, tmp_path):
    path = run.journal.write(tmp_path / "a.0.jsonl")
    with open_warehouse() as wh:
        first = ingest(wh, [path])
        renamed = path.rename(tmp_path / "old.0.jsonl")
        copy = Path(shutil.copy(renamed, tmp_path / "copy.jsonl"))
        again = ingest(wh, [renamed, copy])
        assert (again.files, again.lines, again.alarms) == (2, 0, ())
        assert wh.execute("SELECT path, accepted FROM raw_file") == [(str(path), first.accepted)]


def with_junk(lines):
    """The lines with one in the middle that is no record."""
    return [*lines[:9], b"junk\n", *lines[9:]]


@pytest.mark.parametrize("cut", [400, 900, 5000])
def test_a_file_cut_short_is_told_of_and_read_again(run, open_warehouse, tmp_path, cut):
    """And what its writer appends behind the cut is not skipped."""
    lines = run.journal.lines()
    whole = b"".join(with_junk(lines))
    path = tmp_path / "a.0.jsonl"
    path.write_bytes(whole[:-4000])
    with open_warehouse() as wh:
        first = ingest(wh, [path])
        before = content(wh)
        path.write_bytes(path.read_bytes()[:-cut])
        second = ingest(wh, [path])
        assert content(wh) == before
        [alarm] = second.alarms
        assert f"{path}: is shorter" in alarm
        assert (second.accepted, second.quarantined) == (0, 0)
        assert sums(second) == second.lines
        path.write_bytes(whole)
        third = ingest(wh, [path])
        assert len(content(wh)) == len(lines)
        assert first.quarantined + second.quarantined + third.quarantined == 1
        [row] = wh.execute("SELECT lines, former_lines, accepted, duplicates, quarantined FROM raw_file")
        assert row[0] == whole.count(b"\n")
        assert row[0] + row[1] == sum(row[2:])


def test_a_file_that_is_another_behind_the_same_first_line_is_told_of_and_read(run, open_warehouse, tmp_path):
    """Grown past the watermark again before it was looked at: its size says nothing."""
    lines = run.journal.lines()
    path = run.journal.write(tmp_path / "a.0.jsonl", lines[:40])
    with open_warehouse() as wh:
        ingest(wh, [path])
        run.journal.write(path, [lines[0], *with_junk(lines[60:])])
        second = ingest(wh, [path])
        [alarm] = second.alarms
        assert "holds other lines" in alarm
        assert (second.accepted, second.duplicates, second.quarantined) == (len(lines) - 60, 1, 1)
        third = ingest(wh, [path])
        assert (third.lines, third.alarms) == (0, ())


@pytest.mark.parametrize("first", [b"\n", b"junk\n"])
def test_files_that_begin_with_the_same_junk_are_told_apart(run, open_warehouse, tmp_path, first):
    lines = run.journal.lines()
    parts = [lines[:30], lines[30:60], lines[60:]]
    with open_warehouse() as wh:
        for end in (1, 20, len(lines)):
            for number, part in enumerate(parts):
                run.journal.write(tmp_path / f"part{number}.jsonl", [first, *part[:end]])
            result = ingest(wh, [tmp_path])
            assert (result.duplicates, result.alarms) == (0, ())
        assert len(content(wh)) == len(lines)
        assert wh.execute("SELECT count(*) FROM raw_quarantine") == [(3,)]


def test_a_file_emptied_in_place_is_told_of(run, open_warehouse, tmp_path):
    path = run.journal.write(tmp_path / "a.0.jsonl")
    with open_warehouse() as wh:
        ingest(wh, [path])
        before = content(wh)
        os.truncate(path, 0)
        result = ingest(wh, [path])
        assert (result.files, result.lines) == (0, 0)
        assert "is empty" in result.alarms[0]
        assert content(wh) == before


def test_a_recreated_file_is_a_file_of_its_own(random_run, open_warehouse, tmp_path):
    """The old one was rotated away under the new one's name; both are whole in the warehouse, nothing alarms."""
    old, new = random_run(1, windows=2).journal, random_run(2, windows=2).journal
    path = old.write(tmp_path / "bot.jsonl", old.lines()[:100])
    with open_warehouse() as wh:
        ingest(wh, [path])
        old.write(path)
        path.rename(tmp_path / "bot.old.jsonl")
        new.write(path)
        result = ingest(wh, [tmp_path])
        assert (result.files, result.alarms) == (2, ())
        assert len(content(wh)) == len(old.records) + len(new.records)


def test_a_file_replaced_while_it_is_read_is_read_to_its_end(random_run, open_warehouse, tmp_path, monkeypatch):
    old, new = random_run(1, windows=2).journal, random_run(2, windows=2).journal
    path = old.write(tmp_path / "bot.jsonl")
    monkeypatch.setattr(source, "CHUNK_BYTES", 3000)
    read = source.Source.chunks

    def replaced(self, offset, lines):
        for number, chunk in enumerate(read(self, offset, lines)):
            if number == 1:
                new.write(tmp_path / "fresh").replace(path)
            yield chunk

    with open_warehouse() as wh:
        monkeypatch.setattr(source.Source, "chunks", replaced)
        first = ingest(wh, [path])
        monkeypatch.setattr(source.Source, "chunks", read)
        second = ingest(wh, [path])
        assert (first.accepted, second.accepted) == (len(old.records), len(new.records))
        assert first.alarms == second.alarms == ()


@pytest.mark.parametrize("size", [1001, 5000, 200_000])
@pytest.mark.parametrize("ended", [True, False])
def test_a_line_too_long_is_kept_by_its_beginning_once(new_journal, open_warehouse, tmp_path, monkeypatch, size, ended):
    monkeypatch.setattr(source, "CHUNK_BYTES", 700)
    monkeypatch.setattr(source, "MAX_LINE_BYTES", 1000)
    lines = new_journal().mark(0, "60000.05").mark(1, "60000.15").mark(2, "60000.25").lines()
    long = b'{"v":1,"x":"' + b"y" * (size - 12)
    path = tmp_path / "run.0.jsonl"
    path.write_bytes(lines[0] + long)
    with open_warehouse() as wh:
        waiting = ingest(wh, [path])
        assert (waiting.accepted, waiting.torn, waiting.quarantined) == (1, 1, 0)
        if ended:
            path.write_bytes(lines[0] + long + b"\n" + lines[1] + b"{" * 1000 + b"\n")
        else:
            (tmp_path / "run.1.jsonl").write_bytes(lines[1] + b"{" * 1000 + b"\n")
        result = ingest(wh, [tmp_path])
        assert (result.accepted, result.torn, result.quarantined, result.lines) == (1, 0, 2, 3)
        rows = wh.execute("SELECT line, offset_bytes, length_bytes, reason, raw_text FROM raw_quarantine ORDER BY 3")
        reason = "longer than" if ended else "torn"
        assert rows[1][:3] == (2, len(lines[0]), size)
        assert reason in rows[1][3]
        assert rows[1][4] == long[:1024].decode()
        assert rows[0][2:4] == (1000, "not JSON")
        assert ingest(wh, [tmp_path]).lines == 0


def gzipped(data):
    """Two members behind each other, as appending gzips does."""
    return gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :])


def test_a_journal_compressed_after_it_was_read_is_not_read_again(run, open_warehouse, tmp_path):
    lines = run.journal.lines()
    path = run.journal.write(tmp_path / "run.0.jsonl", lines[:100])
    with open_warehouse() as wh:
        ingest(wh, [tmp_path])
        packed = tmp_path / "run.0.jsonl.gz"
        packed.write_bytes(gzipped(b"".join(lines)))
        path.unlink()
        second = ingest(wh, [tmp_path])
        assert (second.accepted, second.duplicates, second.alarms) == (len(lines) - 100, 0, ())
        third = ingest(wh, [tmp_path])
        assert (third.files, third.lines) == (1, 0)
        assert len(content(wh)) == len(lines)


@pytest.mark.parametrize("cut", [30, 2000, -1])
def test_a_gzip_that_ends_early_gives_what_it_has_and_is_told_of(run, open_warehouse, tmp_path, monkeypatch, cut):
    monkeypatch.setattr(source, "CHUNK_BYTES", 3000)
    packed = gzip.compress(b"".join(run.journal.lines()))
    path = tmp_path / "run.0.jsonl.gz"
    path.write_bytes(packed[:cut])
    with open_warehouse() as wh:
        first = ingest(wh, [path])
        if first.files:  # its first bytes may unpack to nothing
            assert "gzip stream ends early" in first.alarms[0]
        path.write_bytes(packed)
        second = ingest(wh, [path])
        assert first.accepted + second.accepted == len(run.journal.records)
        assert (second.duplicates, second.torn, second.alarms) == (0, 0, ())


def test_a_damaged_gzip_gives_what_stands_before_the_damage(run, open_warehouse, tmp_path):
    packed = bytearray(gzip.compress(b"".join(run.journal.lines())))
    packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / "run.0.jsonl.gz"
    path.write_bytes(packed)
    with open_warehouse() as wh:
        result = ingest(wh, [path])
        assert "gzip stream is damaged" in result.alarms[0]
        assert sums(result) == result.lines


@pytest.mark.parametrize(
    "junk", [bytes(range(256)) * 40, b"\n" * 50, b"\0" * 5000 + b"\n", random.Random(5).randbytes(9000)]
)
def test_binary_junk_is_quarantined_line_by_line(run, open_warehouse, tmp_path, junk):
    good = run.journal.lines()
    path = run.journal.write(tmp_path / "a.0.jsonl", [*good[:5], junk, b"\n", *good[5:]])
    with open_warehouse() as wh:
        result = ingest(wh, [path])
        assert result.accepted == len(good)
        assert result.quarantined == junk.count(b"\n") + 1
        assert ingest(wh, [path]).lines == 0


def test_a_pipe_is_refused_not_waited_for(open_warehouse, tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with open_warehouse() as wh, pytest.raises(JournalError, match="not a regular file"):
        ingest(wh, [tmp_path])


def test_one_bad_file_leaves_all_of_them_unread(run, open_warehouse, tmp_path):
    good = run.journal.write(tmp_path / "a.0.jsonl")
    newer = tmp_path / "b.0.jsonl"
    newer.write_text(json.dumps({**run.journal.records[0], "run_id": "other", "v": 3}) + "\n")
    with open_warehouse() as wh:
        with pytest.raises(JournalError, match=r"b\.0\.jsonl"):
            ingest(wh, [good, newer])
        assert wh.execute("SELECT count(*) FROM raw_record") == [(0,)]


def test_a_folder_stands_for_its_journals_and_an_empty_file_for_nothing(run, open_warehouse, tmp_path):
    lines = run.journal.lines()
    run.journal.write(tmp_path / "journals" / "run.9.jsonl", lines[:40])
    run.journal.write(tmp_path / "journals" / "run.10.jsonl", lines[40:])
    (tmp_path / "journals" / "empty.jsonl").touch()
    with open_warehouse() as wh:
        result = ingest(wh, [tmp_path / "journals"])
        assert (result.files, result.accepted) == (2, len(lines))
        order = [path for (path,) in wh.execute("SELECT path FROM raw_file ORDER BY file_id")]
    assert [Path(path).name for path in order] == ["run.9.jsonl", "run.10.jsonl"]


def test_a_missing_file_is_named(open_warehouse, tmp_path):
    with open_warehouse() as wh, pytest.raises(JournalError, match=r"nowhere\.jsonl"):
        ingest(wh, [tmp_path / "nowhere.jsonl"])
