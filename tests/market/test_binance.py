"""Binance captures: the real ones to their published counts, small ones for every way they can be wrong."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import CaptureError, TapeError
from engine.instrument import Instrument
from engine.market.binance import read_binance
from engine.market.capture import Capture
from engine.market.events import BUY, CLEAR, DEPTH, GAP, LAST, MARKER, TRADE
from engine.market.importer import import_capture
from engine.market.instruments import InstrumentFlags
from engine.market.tape import verify_tape

MS = 1_000_000
T0 = 1_700_000_000_000  # ms
FUTURES = Instrument("binance-usdm", "BTCUSDT", Decimal("0.1"), Decimal("0.001"), "linear", Decimal(1), "USDT", "USDT")
SPOT = Instrument("binance-spot", "BTCUSDT", Decimal("0.01"), Decimal("0.00001"), "linear", Decimal(1), "USDT", "USDT")
KNOWN = (FUTURES, SPOT)
Write = Callable[..., Path]
Line = tuple[int, dict[str, Any]]


def at(ms: float) -> int:
    """Local ns of a line received `ms` after T0."""
    return int((T0 + ms) * MS)


def stream(data: dict[str, Any]) -> dict[str, Any]:
    return {"stream": "btcusdt@x", "data": {"s": "BTCUSDT", **data}}


def update(ms: float, first: int, u: int, pu: int | None, bids: Any = (), asks: Any = (), sent: int = -5) -> Line:
    """A depth update of ids first..u; futures where pu is given. `sent`: exchange time relative to receipt."""
    times = {"E": int(T0 + ms + sent + 1), **({} if pu is None else {"T": int(T0 + ms + sent), "pu": pu})}
    return at(ms), stream({"e": "depthUpdate", "U": first, "u": u, "b": list(bids), "a": list(asks), **times})


def snapshot(ms: float, u: int, bids: Any = (["100.0", "1"],), asks: Any = (["100.2", "2"],), **more: int) -> Line:
    return at(ms), {"lastUpdateId": u, "bids": list(bids), "asks": list(asks), **more}


def trade(ms: float, price: str = "100.2", qty: str = "0.5", seller: bool = False, **more: Any) -> Line:
    times = {"E": int(T0 + ms - 4), "T": int(T0 + ms - 5)}
    return at(ms), stream({"e": "trade", "t": 1, "p": price, "q": qty, "m": seller, **times, **more})


def read(*files: Path, **flags: Any) -> Capture:
    return read_binance(files, InstrumentFlags(**flags), KNOWN)


def rows(capture: Capture) -> list[tuple[str, int, int, float]]:
    """(what, price_ticks, qty_lots, local ms after T0) of every event; a `.` marks the end of a message."""
    names = {DEPTH: "ask", TRADE: "sell", MARKER: "mark"}
    out = []
    columns = capture.columns
    for row in range(len(columns.kind)):
        flags, kind = int(columns.flags[row]), int(columns.kind[row])
        name = {(DEPTH, 1): "bid", (TRADE, 1): "buy"}.get((kind, flags & BUY), names[kind])
        name = "gap" if flags & GAP else "clear" if flags & CLEAR else name
        local_ms = (int(columns.local_ts_ns[row]) - T0 * MS) / MS
        out.append(
            (name + "." * bool(flags & LAST), int(columns.price_ticks[row]), int(columns.qty_lots[row]), local_ms)
        )
    return out


START = [update(10, 1, 5, 0), snapshot(20, 5)]


@pytest.mark.parametrize(
    ("names", "depth", "tickers", "trades", "compared", "span_s"),
    [
        (["usdm_btcusdt_20240808.gz"], 6_551, 66_089, 21_313, 629, 345),
        (["cm_ethusd_perp_20240808.gz", "cm_ethusd_perp_20240809.gz"], 39_155, 35_563, 3_595, 2_278, 647),
        (["spot_ethusdt_20240808.gz", "spot_ethusdt_20240809.gz"], 6_470, 58_758, 14_515, 1_056, 650),
    ],
)
def test_real_captures_have_their_counts_no_gap_and_no_crossed_book(
    real_captures: Path,
    tmp_path: Path,
    names: list[str],
    depth: int,
    tickers: int,
    trades: int,
    compared: int,
    span_s: int,
) -> None:
    tape = import_capture([real_captures / "binance" / name for name in names], tmp_path / "t")
    meta = tape.meta
    assert meta.source is not None
    counts = meta.source.counts
    assert (counts["depth_updates"], counts["book_tickers"], counts["trades"]) == (depth, tickers, trades)
    assert (meta.trade_count, meta.gaps, meta.crossed_message_ends) == (trades, (), 0)
    # every update whose id a bookTicker has too leaves the touch of that bookTicker, prices and sizes
    assert (counts["book_tickers_compared"], counts["book_tickers_equal"]) == (compared, compared)
    assert meta.order == "exchange" and meta.coverage_pct > 99.9
    assert 1_260 * MS < meta.clock_shift_ns < 1_280 * MS
    assert int((tape.columns.local_ts_ns - tape.columns.exch_ts_ns).min()) == MS
    assert round((meta.last_exch_ts_ns - meta.first_exch_ts_ns) / 1e9) == span_s
    assert [finding for finding in verify_tape(tape.path).findings if finding.label != "ok"] == []


def test_futures_updates_that_raced_the_snapshot_are_applied_after_it(write_lines: Write) -> None:
    lines = [
        update(10, 1, 4, 0, bids=[["99.9", "9"]]),  # covered
        trade(11),
        update(12, 5, 8, 4, bids=[["100.1", "3"]]),  # straddles the snapshot
        update(14, 10, 12, 8, asks=[["100.2", "0"], ["100.3", "1"]]),
        snapshot(20, 6, T=T0 + 8, E=T0 + 9),
        update(21, 13, 14, 12, bids=[["100.1", "0"]]),
    ]
    capture = read(write_lines(lines))
    assert rows(capture) == [
        ("buy.", 1002, 500, 11),
        ("clear", 0, 0, 20),
        ("bid", 1000, 1000, 20),
        ("ask.", 1002, 2000, 20),
        ("bid.", 1001, 3000, 20),  # known from the snapshot's receipt on
        ("ask", 1002, 0, 20),
        ("ask.", 1003, 1000, 20),
        ("bid.", 1001, 0, 21),
    ]
    sent_ms = (capture.columns.exch_ts_ns[[1, 3, 4, 5, 7]] // MS - T0).tolist()
    assert sent_ms == [7, 7, 7, 9, 16]  # the snapshot is never later than what follows it
    assert capture.counts["updates_covered"] == 1 and capture.instrument == FUTURES and capture.gaps == ()


@pytest.mark.parametrize(
    ("lines", "snapshot_ms"),
    [
        ([update(10, 1, 5, None), snapshot(20, 5), update(30, 6, 7, None, bids=[["100.01", "1"]])], 6),
        ([update(10, 1, 5, None), update(15, 6, 9, None), snapshot(20, 7)], 6),
        ([snapshot(5, 7), update(10, 1, 5, None), update(20, 6, 7, None), update(30, 8, 9, None)], 16),
        ([snapshot(5, 5), update(30, 6, 9, None, bids=[["100.01", "1"]])], 26),
    ],
)
def test_a_spot_snapshot_has_the_time_of_the_last_update_it_covers(
    write_lines: Write, lines: list[Line], snapshot_ms: int
) -> None:
    capture = read(write_lines(lines))
    assert capture.columns.exch_ts_ns[0] // MS - T0 == snapshot_ms
    assert capture.instrument == SPOT and capture.gaps == ()


@pytest.mark.parametrize(
    "broken",
    [update(30, 8, 9, 7, bids=[["100.1", "1"]]), update(30, 7, 9, None, bids=[["100.1", "1"]])],
    ids=["futures", "spot"],
)
def test_a_break_in_the_chain_is_a_gap_until_the_next_snapshot(write_lines: Write, broken: Line) -> None:
    is_futures = "pu" in broken[1]["data"]
    tick = 10 if is_futures else 100
    lines = [
        update(10, 1, 5, 0 if is_futures else None),
        snapshot(20, 5),
        broken,
        trade(31),
        update(32, 10, 11, 9 if is_futures else None, bids=[["100.1", "0"]]),
        snapshot(40, 10, bids=[["99.0", "1"]], asks=[["99.5", "1"]]),
    ]
    capture = read(write_lines(lines))
    assert [(name, price // tick, local) for name, price, _, local in rows(capture)] == [
        ("clear", 0, 20), ("bid", 100, 20), ("ask.", 100, 20),
        ("gap.", 0, 30), ("buy.", 100, 31),
        ("clear", 0, 40), ("bid", 99, 40), ("ask.", 99, 40), ("bid.", 100, 40),
    ]  # fmt: skip
    assert [gap.local_ts_ns for gap in capture.gaps] == [at(30)]
    assert "does not follow u 5" in capture.gaps[0].reason
    exch_ns = capture.columns.exch_ts_ns
    assert (np.diff(exch_ns[[2, 3, 5, 8]]) >= 0).all()  # gap, snapshot and update keep their order at the exchange


def test_the_book_stays_invalid_when_no_snapshot_follows_a_gap(write_lines: Write, tmp_path: Path) -> None:
    lines = [
        *START,
        update(30, 8, 9, 7, bids=[["100.1", "1"]]),
        *(update(30 + n, 9 + n, 9 + n, 8 + n) for n in range(1, 71)),
    ]
    tape = import_capture([write_lines([*lines, trade(120)])], tmp_path / "t", known=KNOWN)
    assert len(tape.meta.gaps) == 1 and 15 < tape.meta.coverage_pct < 25
    assert tape.meta.depth_count == 2


def test_a_new_connections_snapshot_may_come_before_its_first_update(write_lines: Write) -> None:
    lines = [*START, snapshot(30, 20, bids=[["99.0", "1"]]), update(40, 19, 22, 18, bids=[["99.1", "1"]])]
    capture = read(write_lines(lines))
    assert [name for name, *_ in rows(capture)] == ["clear", "bid", "ask.", "gap.", "clear", "bid", "ask.", "bid."]
    assert {local for *_, local in rows(capture)[3:]} == {40}


def test_a_snapshot_in_the_middle_of_a_good_chain_changes_nothing(write_lines: Write) -> None:
    tail = update(40, 6, 8, 5, bids=[["99.9", "1"]])
    plain = read(write_lines([*START, tail], "a.gz"))
    more = read(write_lines([*START, snapshot(30, 7, bids=[["98.0", "1"]]), tail], "b.gz"))
    assert rows(plain) == rows(more)


def test_a_repeated_update_is_dropped(write_lines: Write) -> None:
    once = update(30, 6, 7, 5, bids=[["100.1", "1"]])
    capture = read(write_lines([*START, once, (at(31), once[1]), update(32, 8, 9, 7, bids=[["100.1", "0"]])]))
    assert capture.counts["updates_repeated"] == 1 and capture.gaps == ()
    assert [name for name, *_ in rows(capture)[3:]] == ["bid.", "bid."]


def test_trades_take_the_side_of_the_aggressor_and_only_book_trades_count(write_lines: Write) -> None:
    lines = [
        *START,
        trade(30, seller=True),
        trade(31, seller=False),
        trade(32, X="INSURANCE_FUND"),
        trade(33, e="aggTrade"),
        (at(34), stream({"e": "markPriceUpdate"})),
        (at(35), {"result": None, "id": 1}),
    ]
    capture = read(write_lines(lines))
    assert [name for name, *_ in rows(capture)[3:]] == ["sell.", "buy."]
    others = {"trades_off_book": 1, "other aggTrade": 1, "other markPriceUpdate": 1, "other None": 1}
    assert {name: capture.counts[name] for name in others} == others


def test_bookticker_is_compared_with_the_rebuilt_touch(write_lines: Write) -> None:
    def ticker(ms: float, u: int, bid_qty: str) -> Line:
        return at(ms), stream({"e": "bookTicker", "u": u, "b": "100.1", "B": bid_qty, "a": "100.2", "A": "2"})

    lines = [
        *START,
        ticker(29, 7, "1"),
        update(30, 6, 7, 5, bids=[["100.1", "1"]]),
        ticker(31, 7, "9"),
        ticker(32, 8, "1"),
    ]
    counts = read(write_lines(lines)).counts
    assert (counts["book_tickers"], counts["book_tickers_compared"], counts["book_tickers_equal"]) == (3, 2, 1)


def test_a_clock_behind_the_exchange_is_shifted_and_one_ahead_is_not(write_lines: Write) -> None:
    behind = read(
        write_lines([update(10, 1, 5, 0), snapshot(20, 5), trade(30), update(31, 6, 7, 5, [["1", "1"]], sent=90)])
    )
    assert behind.clock_shift_ns == 91 * MS
    assert int((behind.columns.local_ts_ns - behind.columns.exch_ts_ns).min()) == MS
    gap = read(write_lines([*START, update(31, 8, 9, 7, [["1", "1"]], sent=90)]))
    assert [one.local_ts_ns for one in gap.gaps] == [at(31) + 91 * MS]
    assert read(write_lines([*START, trade(30)])).clock_shift_ns == 0


def test_a_crossed_book_is_recorded_and_fails_verification(write_lines: Write, tmp_path: Path) -> None:
    lines = [*START, update(30, 6, 7, 5, bids=[["100.5", "1"]]), trade(31), update(32, 8, 8, 7, bids=[["100.5", "0"]])]
    tape = import_capture([write_lines(lines)], tmp_path / "t", known=KNOWN)
    assert tape.meta.crossed_message_ends == 2
    assert not verify_tape(tape.path).ok


BAD = [
    ("garbage", b"17 {\n", "line 3: cannot be read as a message"),
    ("words", b"hello\n", "line 3: cannot be read as a message"),
    ("no receipt", (None, update(30, 6, 7, 5)[1]), "line 3: has no time of receipt"),
    ("goes back", trade(15), "line 3: time of receipt goes back by 5.000 ms"),
    (
        "off tick",
        update(30, 6, 7, 5, bids=[["100.15", "1"]]),
        "line 3: field bids: price '100.15' is not a multiple of 0.1",
    ),
    ("off lot", update(30, 6, 7, 5, asks=[["100.1", "0.0005"]]), "line 3: field asks: size '0.0005' is not a multiple"),
    ("trade off lot", trade(30, qty="0.0001"), "line 3: field trade: size '0.0001' is not a multiple of 0.001"),
    ("float", trade(30, price=100.2), "line 3: field trade: price 100.2 is not a decimal string"),
    ("nan", trade(30, price="nan"), "line 3: field trade: price 'nan'"),
    ("negative", trade(30, qty="-1"), "line 3: field trade: size '-1'"),
    ("huge", trade(30, price="1e12"), "line 3: field trade: price '1e12' is more than 2147483647 steps"),
    ("half a level", update(30, 6, 7, 5, bids=[["100.1"]]), "line 3: field bids: does not hold prices and sizes"),
    ("no ids", (at(30), stream({"e": "depthUpdate", "b": [], "a": []})), "line 3: is not a message of a known form"),
    ("no object", (at(30), {"data": 5}), "line 3: is not a message of a known form"),
    ("two symbols", (at(30), stream({"e": "trade", "s": "ETHUSDT"})), "line 3: holds ETHUSDT beside BTCUSDT"),
]


@pytest.mark.parametrize(("line", "error"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_a_bad_line_is_one_error_with_file_and_line(write_lines: Write, tmp_path: Path, line: Any, error: str) -> None:
    file = write_lines([*START, line, trade(60)])
    with pytest.raises(CaptureError) as caught:
        import_capture([file], tmp_path / "t", format_name="binance", known=KNOWN)
    assert f"{file}, {error}" in str(caught.value) and caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_torn_last_line_is_left_out_and_counted(write_lines: Write) -> None:
    assert read(write_lines([*START, trade(30), b'1700000000040000000 {"stream":"btc'])).counts["torn_lines"] == 1


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_truncated_gzip_is_named(write_lines: Write, share: float) -> None:
    file = write_lines([*START, *(trade(30 + n) for n in range(200))])
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(CaptureError, match=r"capture\.gz: the compressed file is truncated or damaged after line"):
        read(file)


def test_a_damaged_gzip_is_named(write_lines: Write) -> None:
    file = write_lines([*START, *(trade(30 + n) for n in range(200))])
    raw = bytearray(file.read_bytes())
    raw[-6] ^= 255  # the checksum
    file.write_bytes(raw)
    with pytest.raises(CaptureError, match=r"capture\.gz"):
        read(file)


def test_files_are_one_capture_in_the_order_given(write_lines: Write) -> None:
    lines = [*START, trade(30), update(40, 6, 7, 5, bids=[["99.9", "1"]])]
    one, two = write_lines(lines[:3], "1.gz"), write_lines(lines[3:], "2.txt")
    joined = one.with_name("both.gz")
    joined.write_bytes(one.read_bytes() + gzip.compress(two.read_bytes()))
    assert rows(read(one, two)) == rows(read(joined)) == rows(read(write_lines(lines)))
    with pytest.raises(CaptureError, match="goes back"):
        read_binance([write_lines([lines[3]], "3.gz"), one], InstrumentFlags(), KNOWN)


@pytest.mark.parametrize("changes", [{"lastUpdateId": "x"}, {"T": "x"}, {"bids": [["1"]]}])
def test_a_message_of_another_form_is_named(write_lines: Write, changes: dict[str, Any]) -> None:
    snapshot = next(line for line in START if "lastUpdateId" in line[1])
    lines = [
        (local, {**message, **changes}) if message is snapshot[1] else (local, message) for local, message in START
    ]
    file = write_lines(lines)
    with pytest.raises(CaptureError) as caught:
        read(file)
    assert f"{file}, line {START.index(snapshot) + 1}: " in str(caught.value)


def test_a_capture_without_snapshot_or_depth_says_so(write_lines: Write) -> None:
    with pytest.raises(CaptureError, match="holds no snapshot line"):
        read(write_lines([START[0], trade(30)]))
    with pytest.raises(CaptureError, match="holds no depth update"):
        read(write_lines([trade(30)]))


def test_an_unknown_symbol_names_the_file_and_the_flags_that_define_it(write_lines: Write) -> None:
    def renamed(symbol: str) -> Path:
        lines = [(local, {**m, "data": {**m["data"], "s": symbol}} if "data" in m else m) for local, m in START]
        return write_lines(lines)

    with pytest.raises(CaptureError, match="unknown symbol XYZUSDT of binance-usdm") as caught:
        read(renamed("XYZUSDT"))
    for word in ("config/instruments.json", "--tick", "--lot", "--contract", "--contract-size"):
        assert word in str(caught.value)
    ad_hoc = read(renamed("XYZUSDT"), tick=Decimal("0.1"), lot=Decimal("0.5")).instrument
    assert (ad_hoc.venue, ad_hoc.tick, ad_hoc.quote_currency, ad_hoc.pnl_currency) == (
        "binance-usdm",
        Decimal("0.1"),
        "USDT",
        "USDT",
    )
    with pytest.raises(CaptureError, match=r"missing: --contract-size\)"):
        read(renamed("ABCUSD_PERP"), tick=Decimal("0.1"), lot=Decimal(1), contract="inverse")
    size = Decimal(10)
    inverse = read(renamed("ABCUSD_PERP"), tick=Decimal("0.1"), lot=Decimal(1), contract="inverse", contract_size=size)
    assert (inverse.instrument.venue, inverse.instrument.pnl_currency) == ("binance-coinm", "ABC")
    with pytest.raises(CaptureError, match="holds BTCUSDT, not ETHUSDT"):
        read(renamed("BTCUSDT"), symbol="ETHUSDT")
    finer = read(renamed("BTCUSDT"), tick=Decimal("0.05")).instrument
    assert (finer.tick, finer.lot) == (Decimal("0.05"), FUTURES.lot)


def test_an_existing_tape_is_not_overwritten_even_by_a_good_capture(write_lines: Write, tmp_path: Path) -> None:
    file = write_lines([*START, trade(30)])
    first = import_capture([file], tmp_path / "t", known=KNOWN)
    with pytest.raises(TapeError, match="--force"):
        import_capture([file], tmp_path / "t", known=KNOWN)
    assert import_capture([file], tmp_path / "t", known=KNOWN, force=True).meta == first.meta
