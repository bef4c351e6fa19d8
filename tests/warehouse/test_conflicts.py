"""A record told otherwise than it was read before is a conflict, and nothing of its file is taken."""

from __future__ import annotations

import gzip

import pytest

from engine.errors import JournalError
from engine.warehouse import parse, source
from engine.warehouse.edge import edge_report
from engine.warehouse.ingest import ingest
from engine.warehouse.rebuild import rebuild


def everything(wh):
    tables = ("raw_record", "raw_file", "raw_quarantine")
    return [wh.execute(f"SELECT * FROM {table} ORDER BY ALL") for table in tables]


@pytest.fixture(autouse=True, params=["strict", "scanner"])
def reader(request, monkeypatch):
    monkeypatch.setattr(parse, "SCAN_FROM_BYTES", 0 if request.param == "scanner" else 1 << 40)


@pytest.fixture
def export(new_journal):
    """Journal lines of one run: 40 fills, and with marks what a fuller export of them looks like."""

    def make(marks=()):
        journal = new_journal().start()
        for at in range(40):
            if at in marks:
                journal.mark(at - 0.5, "60000.05")
            journal.fill(at, "buy", "0.001", "60000.0", order_id=at)
        return journal

    return make


def test_a_fuller_export_of_a_run_is_not_merged_into_the_first(export, open_warehouse, tmp_path):
    first, fuller = export(), export(marks=range(4, 40, 4))
    old, new = first.write(tmp_path / "old.jsonl"), fuller.write(tmp_path / "new.jsonl")
    with open_warehouse() as wh:
        ingest(wh, [old])
        before = everything(wh)
        for _ in range(2):  # until it is mended
            result = ingest(wh, [new])
            assert (result.files, result.lines, result.accepted, result.duplicates) == (0, 0, 0, 0)
            assert everything(wh) == before
            [refused] = result.refused
            assert refused.path == str(new)
            assert f"line 6 is no duplicate: seq 5 of run {first.run_id}" in refused.what
            assert f"with other content, from {old}:6 (35 more such lines)" in refused.what
            assert refused.conflicts == 36
            with pytest.raises(JournalError, match="run_id of its own"):
                result.require_taken()


def test_the_corrected_file_in_the_place_of_the_first_is_taken_by_a_rebuild(export, open_warehouse, tmp_path):
    first, fuller = export(), export(marks=range(4, 40, 4))
    path = first.write(tmp_path / "run.jsonl")
    with open_warehouse() as wh:
        ingest(wh, [path])
        fuller.write(path)
        assert ingest(wh, [path]).refused
        database = wh.path
    made = rebuild(database, [path])
    assert made.result.refused == ()
    with open_warehouse() as wh:
        assert edge_report(wh, first.run_id)["totals"]["n"]["notional_quote"] == 40


def test_the_other_files_of_the_call_are_taken(export, random_run, open_warehouse, tmp_path):
    other = random_run(3, windows=2).journal
    files = [
        export().write(tmp_path / "a.jsonl"),
        export(marks=[7]).write(tmp_path / "b.jsonl"),
        export(marks=[9]).write(tmp_path / "c.jsonl"),
        other.write(tmp_path / "d.jsonl"),
    ]
    with open_warehouse() as wh:
        result = ingest(wh, files)
        assert [one.path for one in result.refused] == [str(path) for path in files[1:3]]
        assert result.accepted == 41 + len(other.records)
        assert [path for (path,) in wh.execute("SELECT path FROM raw_file ORDER BY 1")] == [
            str(files[0]),
            str(files[3]),
        ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"price":"60000.0"', b'"price":"60000.5"'),
        (b'"liquidity":"maker"', b'"liquidity":"taker"'),
        (b'"fee":"0"', b'"note":"0"'),
        (b'"type":"fill"', b'"type":"order","event":"new"'),
        (b'"lane":0', b'"latency_ms":0.25,"lane":0'),
    ],
)
def test_one_value_makes_it_a_conflict(export, open_warehouse, tmp_path, old, new):
    journal = export()
    lines = journal.lines()
    path = journal.write(tmp_path / "run.jsonl")
    other = journal.write(tmp_path / "other.jsonl", [lines[0], lines[20].replace(old, new)])
    with open_warehouse() as wh:
        ingest(wh, [path])
        [refused] = ingest(wh, [other]).refused
        assert (refused.conflicts, "line 2 is no duplicate: seq 20 " in refused.what) == (1, True)


def test_a_file_that_contradicts_itself_is_refused(export, open_warehouse, tmp_path):
    journal = export()
    lines = journal.lines()
    path = journal.write(tmp_path / "run.jsonl", [*lines, lines[7].replace(b"60000.0", b"60000.1")])
    with open_warehouse() as wh:
        [refused] = ingest(wh, [path]).refused
        assert f"line 42 is no duplicate: seq 7 of run {journal.run_id} was read before" in refused.what
        assert f"from {path}:8;" in refused.what
        assert everything(wh) == [[], [], []]


def test_the_same_record_in_other_words_is_a_duplicate(random_run, open_warehouse, tmp_path, monkeypatch):
    """Copied, packed, cut into chunks, reordered, and with its decimals and keys written otherwise."""
    journal = random_run(5, windows=2).journal
    lines = journal.lines()
    with open_warehouse() as wh:
        ingest(wh, [journal.write(tmp_path / "run.jsonl")])
        before = everything(wh)[0]
        (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(b"".join(reversed(lines))))
        other = [line.replace(b'"fee":"0"', b'"mine":[1],"fee":0.00').replace(b":", b": ") for line in lines[1:]]
        journal.write(tmp_path / "words.jsonl", other)
        monkeypatch.setattr(source, "CHUNK_BYTES", 3000)
        result = ingest(wh, [tmp_path])
        assert (result.accepted, result.duplicates, result.refused) == (0, 2 * len(lines) - 1, ())
        assert everything(wh)[0] == before


def test_a_run_start_read_before_its_market_was_known_is_no_other_record(new_journal, open_warehouse, tmp_path):
    """Schema 4 brought the field: a warehouse from before has null there."""
    now = new_journal().start(market="generated", tape_digest="ab").mark(1, "60000.05")
    then = new_journal().start().mark(1, "60000.05")
    old, new = then.write(tmp_path / "then.jsonl"), now.write(tmp_path / "now.jsonl", reversed(now.lines()))
    with open_warehouse() as wh:
        ingest(wh, [old])
        result = ingest(wh, [new])
        assert (result.duplicates, result.refused) == (2, ())


def test_the_first_reasons_are_counted_with_where_they_stand(export, open_warehouse, tmp_path):
    journal = export()
    lines = journal.lines()
    for at in range(1, 41, 2):
        lines[at] = lines[at].replace(b'"buy"', b'"SELL"')
    lines[40] = b"junk\n"
    path = journal.write(tmp_path / "run.jsonl", lines)
    with open_warehouse() as wh:
        result = ingest(wh, [path])
        assert (result.accepted, result.quarantined, result.refused) == (20, 21, ())
        found = {(one.reason, one.count, one.first) for one in result.reasons}
        assert found == {("fill side is neither buy nor sell", 20, f"{path}:2"), ("not JSON", 1, f"{path}:41")}


def test_a_file_without_a_record_is_refused_and_one_killed_in_its_first_line_is_not(export, open_warehouse, tmp_path):
    journal = export()
    lines = journal.lines()
    (tmp_path / "junk.jsonl").write_bytes(b"what\never\n")
    journal.write(tmp_path / "run.0.jsonl", [lines[0][:50]])
    journal.write(tmp_path / "run.1.jsonl", lines)
    with open_warehouse() as wh:
        result = ingest(wh, [tmp_path])
        assert (result.accepted, result.quarantined) == (41, 3)
        [refused] = result.refused
        assert refused.path.endswith("junk.jsonl")
        assert "no line of it is a journal's: 2 in quarantine, the first: not JSON" in refused.what
        assert ingest(wh, [tmp_path]).refused == ()
