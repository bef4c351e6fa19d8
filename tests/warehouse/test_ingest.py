"""Every line once: in any cut, any order, torn anywhere, with bad neighbours."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest

from engine.errors import JournalError
from engine.warehouse import ingest as ingest_module
from engine.warehouse.edge import edge_report
from engine.warehouse.ingest import ingest


def content(wh):
    """All records but where they were read from, in run order."""
    return wh.execute("SELECT * EXCLUDE (file_id, line) FROM raw_record ORDER BY run_id, seq")


def sums(result):
    return result.accepted + result.duplicates + result.quarantined + result.torn


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


@pytest.mark.parametrize("seed", range(4))
def test_order_and_cut_of_the_files_do_not_matter(run, open_warehouse, tmp_path, seed):
    lines = run.journal.lines()
    with open_warehouse("whole") as wh:
        ingest(wh, [run.journal.write(tmp_path / "whole" / "a.0.jsonl")])
        wanted, report = content(wh), edge_report(wh, run.journal.run_id)
    rng = random.Random(seed)
    cuts = sorted({0, len(lines), *rng.sample(range(1, len(lines)), 4)})
    parts = [lines[a:b] for a, b in pairwise(cuts)]
    parts.append(rng.sample(lines, len(lines) // 2))  # every line of it stands elsewhere too
    paths = [run.journal.write(tmp_path / f"part{i}.jsonl", part) for i, part in enumerate(parts)]
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
    monkeypatch.setattr(ingest_module, "CHUNK_BYTES", 700)  # shorter than the run_start line
    monkeypatch.setattr(ingest_module, "BATCH_CHUNKS", 3)
    with open_warehouse("many") as wh:
        ingest(wh, [path])
        assert content(wh) == wanted
        assert wh.execute("SELECT seq + 1 - line FROM raw_record GROUP BY ALL") == [(0,)]


def test_a_last_line_torn_at_any_byte_waits_and_then_counts_once(new_journal, open_warehouse, tmp_path):
    lines = new_journal("1f2e").mark(0, "60000.05").add("heartbeat", 1).add("heartbeat", 2).lines()
    cuts = range(1, len(lines[-1]))
    whole = {}
    for cut in cuts:  # a run of its own for every byte
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
    "[" * 5000: "not a record: nested too deep",
}


@pytest.mark.parametrize(("bad", "reason"), BAD.items(), ids=range(len(BAD)))
def test_a_bad_line_goes_to_quarantine_and_its_neighbours_are_kept(new_journal, open_warehouse, tmp_path, bad, reason):
    good = new_journal().start().mark(0, "60000.05").mark(1, "60000.15").lines()
    path = tmp_path / "a.0.jsonl"
    path.write_bytes(b"".join([*good[:2], bad.encode(), b"\n", good[2]]))
    with open_warehouse() as wh:
        result = ingest(wh, [path])
        assert (result.accepted, result.quarantined, result.lines) == (3, 1, 4)
        [(line, offset, length, why, text)] = wh.execute(
            "SELECT line, offset_bytes, length_bytes, reason, raw_text FROM raw_quarantine"
        )
        assert reason in why
        assert (line, offset, length, text) == (3, len(good[0] + good[1]), len(bad), bad)
        assert [row[0] for row in wh.execute("SELECT seq FROM raw_record ORDER BY seq")] == [0, 1, 2]
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


def test_a_renamed_file_is_not_read_again_and_a_shortened_one_is_refused(run, open_warehouse, tmp_path):
    path = run.journal.write(tmp_path / "a.0.jsonl")
    with open_warehouse() as wh:
        ingest(wh, [path])
        renamed = path.rename(tmp_path / "old.0.jsonl")
        assert ingest(wh, [renamed]).lines == 0
        renamed.write_bytes(renamed.read_bytes()[:-10])
        before = content(wh)
        with pytest.raises(JournalError, match="is shorter"):
            ingest(wh, [renamed])
        assert content(wh) == before


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
