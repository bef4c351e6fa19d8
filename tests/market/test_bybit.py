"""Bybit V5 captures: the real one, and small ones for restarts, gaps and repeats."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.errors import CaptureError
from engine.instrument import Instrument
from engine.market.bybit import read_bybit
from engine.market.capture import Capture
from engine.market.events import BUY, CLEAR, GAP, LAST, MARKER, TRADE
from engine.market.importer import import_capture
from engine.market.instruments import InstrumentFlags
from engine.market.tape import verify_tape

MS = 1_000_000
T0 = 1_700_000_000_000  # ms
LINEAR = Instrument("bybit-linear", "BTCUSDT", Decimal("0.1"), Decimal("0.001"), "linear", Decimal(1), "USDT", "USDT")
INVERSE = Instrument("bybit-inverse", "BTCUSD", Decimal("0.1"), Decimal(1), "inverse", Decimal(1), "USD", "BTC")
Write = Callable[..., Path]
Line = tuple[int | None, dict[str, Any]]


def book(
    ms: int, u: int, bids: Any = (), asks: Any = (), *, snapshot: bool = False, symbol: str = "BTCUSDT", **more: Any
) -> Line:
    kind = "snapshot" if snapshot else "delta"
    data = {"s": symbol, "b": list(bids), "a": list(asks), "u": u, "seq": 10 * u}
    frame = {"topic": f"orderbook.50.{symbol}", "type": kind, "ts": T0 + ms, "data": data, "cts": T0 + ms - 2}
    return (T0 + ms + 1) * MS, {**frame, **more}


def trades(ms: int, *rows: dict[str, Any], symbol: str = "BTCUSDT") -> Line:
    sides = [{"T": T0 + ms - 3, "s": symbol, "S": "Buy", "v": "0.1", "p": "100.2", **row} for row in rows]
    return (T0 + ms + 1) * MS, {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": T0 + ms, "data": sides}


START = book(10, 7, [["100.0", "1"]], [["100.2", "2"]], snapshot=True)


def read(file: Path, **flags: Any) -> Capture:
    return read_bybit([file], InstrumentFlags(**flags), (LINEAR, INVERSE))


def names(capture: Capture) -> list[str]:
    out = []
    for kind, flags in zip(capture.columns.kind.tolist(), capture.columns.flags.tolist(), strict=True):
        if kind == MARKER:
            name = "gap" if flags & GAP else "clear" if flags & CLEAR else "?"
        else:
            name = ("buy" if flags & BUY else "sell") if kind == TRADE else "bid" if flags & BUY else "ask"
        out.append(name + "." * bool(flags & LAST))
    return out


def test_the_real_capture_has_one_snapshot_49_deltas_and_no_gap(real_captures: Path, tmp_path: Path) -> None:
    tape = import_capture([real_captures / "bybit" / "xrpusdt-ob500.data.zip"], tmp_path / "t")
    meta = tape.meta
    assert meta.source is not None
    assert (meta.source.format, meta.source.counts) == ("bybit", {"snapshots": 1, "deltas": 49})
    assert meta.source.local_clock == "venue"
    assert (meta.symbol, meta.message_count, meta.gaps, meta.crossed_message_ends) == ("XRPUSDT", 50, (), 0)
    assert meta.coverage_pct == 100.0 and 4.7 < (meta.last_exch_ts_ns - meta.first_exch_ts_ns) / 1e9 < 4.9
    assert all(finding.label == "ok" for finding in verify_tape(tape.path).findings)


def test_frames_become_messages_with_the_matching_engines_time(write_lines: Write) -> None:
    lines = [START, trades(12, {}, {"S": "Sell", "p": "100.0"}), book(14, 8, [["100.0", "0"], ["99.9", "3"]])]
    capture = read(write_lines([*lines, book(16, 9, [["99.9", "1"]])]))
    assert names(capture) == ["clear", "bid", "ask.", "buy.", "sell.", "bid", "bid.", "bid."]
    assert (capture.columns.exch_ts_ns // MS - T0).tolist() == [8, 8, 8, 9, 9, 12, 12, 14]
    assert (capture.columns.local_ts_ns // MS - T0).tolist() == [11, 11, 11, 13, 13, 15, 15, 17]
    assert capture.columns.qty_lots.tolist() == [0, 1000, 2000, 100, 100, 0, 3000, 1000]
    assert capture.local_clock == "recorder" and capture.gaps == ()


def test_without_cts_or_receipt_the_push_time_stands_in(write_lines: Write) -> None:
    frames = [
        {name: value for name, value in frame.items() if name != "cts"}
        for _, frame in (START, book(14, 8, [["99.9", "3"]]))
    ]
    capture = read(write_lines([(None, frame) for frame in frames]))
    assert (capture.columns.exch_ts_ns // MS - T0).tolist() == [10, 10, 10, 14]
    assert (capture.columns.local_ts_ns == capture.columns.exch_ts_ns).all()
    assert (capture.local_clock, capture.clock_shift_ns) == ("venue", 0)
    with pytest.raises(CaptureError, match="line 2: some lines have a time of receipt and some have none"):
        read(write_lines([START, (None, frames[1])]))


@pytest.mark.parametrize("kind", ["snapshot", "delta"])
def test_update_id_1_is_a_restart_that_replaces_the_book(write_lines: Write, kind: str) -> None:
    restart = book(20, 1, [["98.0", "1"]], [["98.5", "1"]], type=kind)
    capture = read(write_lines([START, book(15, 8, [["99.9", "1"]]), restart, book(25, 2, [["98.1", "1"]])]))
    assert names(capture)[4:] == ["clear", "bid", "ask.", "bid."]
    assert capture.counts["restarts"] == 1 and capture.gaps == ()


def test_an_empty_restart_leaves_an_empty_book(write_lines: Write) -> None:
    assert names(read(write_lines([START, book(20, 1)])))[3:] == ["clear."]


def test_a_jump_is_a_gap_until_the_next_snapshot(write_lines: Write, tmp_path: Path) -> None:
    lines = [
        START,
        book(15, 8, [["99.9", "1"]]),
        book(20, 10, [["99.8", "1"]]),
        trades(22, {}),
        book(25, 11, [["99.7", "1"]]),
        book(30, 20, [["99.0", "1"]], [["99.5", "1"]], snapshot=True),
        book(35, 21, [["99.1", "1"]]),
    ]
    file = write_lines(lines)
    capture = read(file)
    assert names(capture) == ["clear", "bid", "ask.", "bid.", "gap.", "buy.", "clear", "bid", "ask.", "bid."]
    assert (capture.counts["gaps"], capture.counts["deltas_without_book"]) == (1, 1)
    assert [(gap.local_ts_ns // MS - T0, gap.reason) for gap in capture.gaps] == [
        (21, "sequence: u 10 does not follow u 8")
    ]
    tape = import_capture([file], tmp_path / "t", known=(LINEAR,))
    assert tape.meta.coverage_pct == round(100 * (10 + 5) / 25, 6)


def test_repeated_and_older_updates_are_dropped(write_lines: Write) -> None:
    lines = [START, book(15, 8, [["99.9", "1"]]), book(16, 8, [["99.9", "5"]]), book(17, 6, [["99.9", "6"]])]
    capture = read(write_lines(lines))
    assert capture.counts["deltas_repeated"] == 2 and names(capture)[3:] == ["bid."]


def test_other_topics_and_depths_are_counted_and_block_trades_left_out(write_lines: Write) -> None:
    lines = [
        (T0 * MS, {"op": "subscribe", "success": True}),
        START,
        (T0 * MS + 12 * MS, {"topic": "tickers.BTCUSDT", "data": {}}),
        (T0 * MS + 12 * MS, {**START[1], "topic": "orderbook.1.BTCUSDT"}),
        trades(14, {"BT": True}, {}),
    ]
    counts = read(write_lines(lines)).counts
    assert counts == {
        "other subscribe": 1,
        "other tickers": 1,
        "other orderbook.1": 1,
        "snapshots": 1,
        "trades": 1,
        "trades_off_book": 1,
    }


def test_of_several_symbols_one_is_chosen(write_lines: Write) -> None:
    other = book(5, 3, [["1", "5"]], [["2", "5"]], snapshot=True, symbol="BTCUSD")
    file = write_lines([other, START, trades(20, {"v": "3"}, symbol="BTCUSD")])
    with pytest.raises(CaptureError, match="line 2: holds BTCUSDT beside BTCUSD; choose one with --symbol"):
        read(file)
    assert read(file, symbol="BTCUSDT").instrument == LINEAR
    chosen = read(file, symbol="BTCUSD")
    assert chosen.instrument == INVERSE and chosen.counts["other symbols"] == 1
    with pytest.raises(CaptureError, match="holds no orderbook topic of XRPUSDT"):
        read(file, symbol="XRPUSDT")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (book(15, 8, [["99.95", "1"]]), "line 2: field bids: price '99.95' is not a multiple of 0.1"),
        (book(15, 8, [], [["99.9", "0.0001"]]), "line 2: field asks: size '0.0001' is not a multiple of 0.001"),
        (trades(15, {"S": "buy"}), "line 2: trade side is 'buy'"),
        (trades(15, {"p": None}), "line 2: field trade: price None is not a decimal string"),
        (((T0 + 20) * MS, {"topic": "orderbook.50.BTCUSDT", "data": {}}), "line 2: is not a frame of a known form"),
        (book(0, 8), "line 2: time of receipt goes back by 10.000 ms"),
        (((T0 + 20) * MS, START[1] | {"ts": "x"}), "line 2: is not a frame of a known form"),
        (((T0 + 20) * MS, START[1] | {"cts": 10**17}), "line 2: is not a frame of a known form"),
        (trades(15, {"T": "x"}), "line 2: is not a frame of a known form"),
        (b"{]\n", "line 2: cannot be read as a message"),
        (b"9223372036854775808 {}\n", "line 2: cannot be read as a message: its time of receipt is not in ns"),
        (b"1" * 5000 + b" {}\n", "line 2: cannot be read as a message"),
    ],
)
def test_a_bad_line_is_one_error_with_file_and_line(write_lines: Write, line: Any, error: str) -> None:
    file = write_lines([START, line, trades(30, {})])
    with pytest.raises(CaptureError) as caught:
        read(file)
    assert f"{file}, {error}" in str(caught.value)


def test_a_capture_without_a_snapshot_or_of_an_unknown_symbol_says_so(write_lines: Write) -> None:
    with pytest.raises(CaptureError, match="holds no orderbook snapshot"):
        read(write_lines([book(10, 8, [["99.9", "1"]])]))
    with pytest.raises(CaptureError, match="unknown symbol XYUSDT of bybit-linear or bybit-inverse"):
        read(write_lines([book(10, 8, snapshot=True, symbol="XYUSDT")]))


def test_an_archive_of_several_files_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.data.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.data", "{}\n")
        archive.writestr("b.data", "{}\n")
    with pytest.raises(CaptureError, match="the archive holds 2 files"):
        read(file)
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(CaptureError, match="truncated or damaged"):
        read(file)
