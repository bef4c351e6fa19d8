"""Tapes on disk: whole or absent, found out when damaged, the same when read again."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import StorageError, TapeError
from engine.files import sha256_file
from engine.instrument import Instrument
from engine.market.checks import check_columns
from engine.market.events import BUY, CLEAR, COLUMN_DTYPES, DEPTH, GAP, LAST, MARKER, TRADE, Columns
from engine.market.tape import Tape, verify_tape, write_tape
from engine.market.tape_meta import Gap, TapeMeta

CHECKOUT = Path(__file__).resolve().parents[2]
INSTRUMENT = Instrument("here", "XYUSDT", Decimal("0.1"), Decimal("0.001"), "linear", Decimal(1), "USDT", "USDT", 2)


def market(count: int = 64, *, arrival: bool = False) -> Columns:
    """A book of 100 | 102, then trades and depth rows that keep it so; optionally late exchange times."""
    columns = Columns.empty(count)
    rows = np.arange(count)
    columns.exch_ts_ns[:] = 1_000_000 * (rows + 1)
    columns.local_ts_ns[:] = columns.exch_ts_ns + 5_000_000
    columns.kind[:] = np.where(rows % 4 == 3, TRADE, DEPTH)
    columns.flags[:] = np.where(rows % 2 == 0, BUY | LAST, LAST)
    columns.price_ticks[:] = np.where(rows % 2 == 0, 100, 102)
    columns.qty_lots[:] = 1 + rows % 5
    if arrival:
        columns.exch_ts_ns[10] -= 3_500_000
    return columns


def write(folder: Path, columns: Columns | None = None, **options) -> Tape:
    return write_tape(folder, market() if columns is None else columns, instrument=INSTRUMENT, **options)


def reseal(folder: Path, **changes: object) -> None:
    """Rewrite meta.json with `changes` and fresh hashes, as a faulty writer would have left it."""
    meta = TapeMeta.model_validate_json((folder / "meta.json").read_bytes())
    kept = ("generated", "source", "clock_shift_ns", "gaps", "order", "count", "depth_count", "trade_count")
    kept += ("message_count", "first_exch_ts_ns", "last_exch_ts_ns", "first_local_ts_ns", "last_local_ts_ns")
    kept += ("price_low_ticks", "price_high_ticks", "crossed_message_ends", "coverage_pct")
    sha256 = {name: sha256_file(folder / name) for name in meta.sha256}
    fields = {**{name: getattr(meta, name) for name in kept}, "sha256": sha256, **changes}
    (folder / "meta.json").write_text(TapeMeta.build(meta.instrument(), **fields).model_dump_json())


def rewrite_column(folder: Path, name: str, array: np.ndarray) -> None:
    np.save(folder / f"{name}.npy", array)


def labels(folder: Path) -> dict[str, str]:
    return {finding.what: finding.label for finding in verify_tape(folder).findings}


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    integers = lambda low, high: data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))  # noqa: E731
    columns = Columns.empty(count)
    columns.exch_ts_ns[:] = integers(0, 2**62 - 1)
    columns.local_ts_ns[:] = sorted(integers(0, 2**62 - 1))
    columns.kind[:] = integers(DEPTH, TRADE)
    columns.flags[:] = np.array(integers(0, 1)) | LAST
    columns.price_ticks[:] = integers(2**31 - 2**24, 2**31 - 1)
    columns.qty_lots[:] = integers(1, 2**63 - 1)
    tape = write(tmp_path_factory.mktemp("tapes") / "t", columns)
    again = Tape.open(tape.path, verify=True)
    for name, written, read in zip(COLUMN_DTYPES, columns, again.columns, strict=True):
        assert read.dtype == COLUMN_DTYPES[name]
        assert np.array_equal(written, read)
    order = list(range(count)) if again.exch_order is None else again.exch_order.tolist()
    assert order == sorted(range(count), key=lambda row: (int(columns.exch_ts_ns[row]), row))
    assert again.meta == tape.meta and verify_tape(tape.path).path == tape.path


def test_meta_tells_what_the_events_are(tmp_path: Path) -> None:
    gap = Gap(local_ts_ns=9_000_000, reason="sequence")
    tape = write(tmp_path / "t", generated={"seed": 7}, clock_shift_ns=12, gaps=[gap])
    meta = tape.meta
    assert (meta.count, meta.depth_count, meta.trade_count, meta.message_count) == (64, 48, 16, 64)
    assert (meta.first_exch_ts_ns, meta.last_exch_ts_ns) == (1_000_000, 64_000_000)
    assert (meta.first_local_ts_ns, meta.last_local_ts_ns) == (6_000_000, 69_000_000)
    assert (meta.price_low_ticks, meta.price_high_ticks, meta.order) == (1, 302, "exchange")
    assert meta.coverage_pct == round(100 * 62 / 63, 6)  # the book is whole from the second event on
    assert (meta.generated, meta.clock_shift_ns, meta.gaps) == ({"seed": 7}, 12, (gap,))
    assert meta.instrument() == INSTRUMENT
    assert set(json.loads((tape.path / "meta.json").read_text())) == set(TapeMeta.model_fields)


def test_the_same_events_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    assert one.meta.digest == two.meta.digest
    for file in sorted(one.path.iterdir()):
        assert file.read_bytes() == (two.path / file.name).read_bytes()


def test_writing_to_a_mapped_column_never_reaches_the_disk(tmp_path: Path) -> None:
    tape = write(tmp_path / "t")
    tape.columns.price_ticks[0] = 7
    assert Tape.open(tape.path, verify=True).columns.price_ticks[0] == 100


@pytest.mark.parametrize("name", [*COLUMN_DTYPES, "exch_order"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    tape = write(tmp_path / "t", market(arrival=True))
    (tape.path / f"{name}.npy").unlink()
    with pytest.raises(TapeError, match=rf"{name}\.npy: is missing"):
        Tape.open(tape.path)


@pytest.mark.parametrize("keep", [0, 5, 70, 128, 129, -1])
@pytest.mark.parametrize("name", ["exch_ts_ns", "flags"])
def test_a_truncated_file_is_named_without_hashing(tmp_path: Path, name: str, keep: int) -> None:
    file = write(tmp_path / "t").path / f"{name}.npy"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(TapeError, match=rf"{name}\.npy: is truncated"):
        Tape.open(tmp_path / "t")


def test_a_file_that_grew_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "t").path / "kind.npy"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(TapeError, match=r"kind\.npy: is longer"):
        Tape.open(tmp_path / "t")


@pytest.mark.parametrize("name", [*COLUMN_DTYPES, "exch_order"])
def test_any_flipped_bit_of_a_column_is_found_with_verify(tmp_path: Path, name: str) -> None:
    tape = write(tmp_path / "t", market(arrival=True))
    file = tape.path / f"{name}.npy"
    raw = bytearray(file.read_bytes())
    raw[-3] ^= 1
    file.write_bytes(raw)
    assert Tape.open(tape.path).meta == tape.meta
    with pytest.raises(TapeError, match=rf"{name}\.npy: is altered"):
        Tape.open(tape.path, verify=True)
    assert [finding.label for finding in verify_tape(tape.path).findings] == ["fail"]


def test_any_flipped_bit_of_a_header_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    file = write(tmp_path / "t").path / "qty_lots.npy"
    whole = file.read_bytes()
    for position in range(128):
        for bit in range(0, 8, 3):
            raw = bytearray(whole)
            raw[position] ^= 1 << bit
            file.write_bytes(raw)
            with pytest.raises(TapeError, match=r"qty_lots\.npy"):
                Tape.open(tmp_path / "t", verify=True)


def test_any_edit_of_meta_json_is_found_on_open(tmp_path: Path) -> None:
    file = write(tmp_path / "t").path / "meta.json"
    text = file.read_text()
    file.write_text(text.replace('"tick": "0.1"', '"tick": "0.2"'))
    with pytest.raises(TapeError, match=r"meta\.json: is altered"):
        Tape.open(tmp_path / "t")
    for broken, reason in (
        (text[:-20], "not a tape's metadata"),
        (text.replace('"lot"', '"lots"'), "lot: Field required"),
        (text.replace("{", '{"more": 1,', 1), "more: Extra inputs"),
        (text.replace('"tick": "0.1"', '"tick": "-1"'), "tick -1 is not positive"),
        (text.replace('"format": 1', '"format": 2'), "has format 2"),
    ):
        assert broken != text
        file.write_text(broken)
        with pytest.raises(TapeError, match=reason):
            Tape.open(tmp_path / "t")
    file.unlink()
    with pytest.raises(TapeError, match=r"meta\.json: is missing"):
        Tape.open(tmp_path / "t")
    with pytest.raises(TapeError, match="no such folder"):
        verify_tape(tmp_path / "nowhere")


def test_a_wrong_dtype_or_count_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "t").path
    rewrite_column(folder, "price_ticks", market().price_ticks.astype(np.int64))
    with pytest.raises(TapeError, match=r"price_ticks\.npy: holds int64, not int32"):
        Tape.open(folder)
    rewrite_column(folder, "price_ticks", market(63).price_ticks)
    with pytest.raises(TapeError, match=r"price_ticks\.npy: has shape \(63,\), not \(64,\)"):
        Tape.open(folder)


def test_a_tape_is_replaced_only_by_force_and_nothing_else_ever(tmp_path: Path) -> None:
    first = write(tmp_path / "t")
    with pytest.raises(TapeError, match="--force"):
        write(tmp_path / "t", market(8))
    assert Tape.open(tmp_path / "t").meta == first.meta
    assert write(tmp_path / "t", market(8), force=True).meta.count == 8
    foreign = tmp_path / "home" / "letter.txt"
    foreign.parent.mkdir()
    foreign.write_text("dear")
    for path in (foreign, foreign.parent):
        with pytest.raises(TapeError, match="is not a tape"):
            write(path, force=True)
    assert foreign.read_text() == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "t"]


@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, existing: bool) -> None:
    before = write(tmp_path / "t", market(8)).meta if existing else None
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # a file-size limit fails as a full disk does
    try:
        with pytest.raises(StorageError, match="cannot write the tape"):
            write(tmp_path / "t", market(20_000), force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == (["t"] if existing else [])
    if before is not None:
        assert Tape.open(tmp_path / "t", verify=True).meta == before


def test_a_killed_writer_never_leaves_a_part_where_the_tape_belongs(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from pathlib import Path; from decimal import Decimal;"
        "from engine.instrument import Instrument; from engine.market.events import Columns;"
        "from engine.market.tape import write_tape; c = Columns.empty(3_000_000); c.flags[:] = 2;"
        "c.kind[:] = 1; c.price_ticks[:] = 1; c.qty_lots[:] = 1;"
        "i = Instrument('h', 'S', Decimal(1), Decimal(1), 'linear', Decimal(1), 'q', 'q');"
        "write_tape(Path(sys.argv[1]), c, instrument=i)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "t")], cwd=CHECKOUT) as writer:
        while not list(tmp_path.glob(".t.*.tmp/*.npy")) and writer.poll() is None:
            time.sleep(0.001)
        writer.kill()
    assert writer.returncode == -signal.SIGKILL, "the writer ended before it could be killed"
    assert not (tmp_path / "t").exists() or Tape.open(tmp_path / "t", verify=True).meta.count == 3_000_000
    assert write(tmp_path / "t", force=True).meta.count == 64


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write(tmp_path / "file" / "sub" / "t")


BROKEN = [
    ("exch_ts_ns", 20, -1, "times are in ns since 1970", 20),
    ("exch_ts_ns", 20, 2**62, "times are in ns since 1970", 20),
    ("local_ts_ns", 20, 0, "local time never falls", 20),
    ("kind", 20, 9, "every event is depth, trade or marker", 20),
    ("flags", 20, LAST | 64, "flags are known", 20),
    ("flags", 20, LAST | GAP, "flags are known", 20),  # on a depth row
    ("kind", 20, MARKER, "flags are known", 20),  # without gap or clear
    ("price_ticks", 20, 0, "prices are positive", 20),
    ("qty_lots", 3, 0, "trades have a positive size", 3),
    ("qty_lots", 4, -1, "levels have no negative size", 4),
    ("flags", 63, 0, "the final event ends a message", 63),
    ("flags", 20, BUY, "the rows of a message share both times", 21),
]


@pytest.mark.parametrize(("column", "row", "value", "what", "first"), BROKEN)
def test_what_a_tape_may_not_hold(tmp_path: Path, column: str, row: int, value: int, what: str, first: int) -> None:
    columns = market()
    getattr(columns, column)[row] = value
    failed = [finding for finding in check_columns(columns) if finding.label == "fail"]
    assert [(finding.what[: len(what)], finding.row) for finding in failed] == [(what, first)]
    with pytest.raises(TapeError, match=what):
        write(tmp_path / "refused", columns)
    assert not list(tmp_path.iterdir())
    folder = write(tmp_path / "t").path
    rewrite_column(folder, column, getattr(columns, column))
    reseal(folder)
    verification = verify_tape(folder)
    assert not verification.ok and [f.what for f in verification.findings if f.label == "fail"] == [failed[0].what]


def test_a_touch_as_wide_as_no_market_is_refused(tmp_path: Path) -> None:
    """A book that no memory holds: one misplaced price would end every replay of the tape."""
    columns = market()
    columns.price_ticks[columns.price_ticks > 100] = 2**31 - 1
    with pytest.raises(TapeError, match=r"the touch spans 1 to \d+ ticks, more than 134217728; a price is misplaced"):
        write(tmp_path / "t", columns)
    assert not list(tmp_path.iterdir())


def test_columns_of_the_wrong_type_length_or_none_are_refused(tmp_path: Path) -> None:
    columns = market()
    for wrong, reason in (
        (columns._replace(price_ticks=columns.price_ticks.astype(float)), "price_ticks is float64"),
        (columns._replace(kind=columns.kind[:-1]), "differ in shape"),
        (columns.part(0, 0), "there are no events"),
    ):
        with pytest.raises(TapeError, match=reason):
            write(tmp_path / "t", wrong)


def test_verify_passes_a_good_tape_and_warns_of_gaps(tmp_path: Path) -> None:
    assert set(labels(write(tmp_path / "good", market(arrival=True)).path).values()) == {"ok"}
    columns = market()
    columns.kind[30], columns.flags[30], columns.price_ticks[30] = MARKER, GAP | LAST, 0
    columns.kind[33], columns.flags[33], columns.price_ticks[33] = MARKER, CLEAR | LAST, 0
    gap = Gap(local_ts_ns=int(columns.local_ts_ns[30]), reason="sequence")
    verification = verify_tape(write(tmp_path / "gap", columns, gaps=[gap]).path)
    warned = {finding.what: finding.row for finding in verification.findings if finding.label == "warn"}
    assert verification.ok and warned == {"no gaps: 1 found": 30, "no message leaves an empty side: 4 found": 33}
    unlisted = labels(write(tmp_path / "unlisted", columns).path)
    assert unlisted["meta.json lists every gap"] == "fail"


def test_verify_fails_a_crossed_book_with_its_first_row(tmp_path: Path) -> None:
    columns = market()
    columns.price_ticks[40] = 103
    tape = write(tmp_path / "t", columns)
    assert tape.meta.crossed_message_ends == 24
    failed = [finding for finding in verify_tape(tape.path).findings if finding.label == "fail"]
    assert [(finding.what, finding.row) for finding in failed] == [("no message leaves a crossed book: 24 found", 40)]


def test_verify_fails_a_tape_that_never_had_a_book(tmp_path: Path) -> None:
    columns = market()
    columns.kind[:] = TRADE
    assert labels(write(tmp_path / "t", columns).path)["some message leaves a whole, uncrossed book"] == "fail"


def test_verify_fails_a_wrong_order_and_wrong_counts(tmp_path: Path) -> None:
    folder = write(tmp_path / "t", market(arrival=True)).path
    rewrite_column(folder, "exch_order", np.arange(64))
    reseal(folder, trade_count=17)
    found = labels(folder)
    assert found["exchange order is the stable sort by exchange time"] == "fail"
    assert found["meta.json tells what the events are: trade_count differ"] == "fail"
