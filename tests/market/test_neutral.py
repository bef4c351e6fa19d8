"""The neutral format: columns in, columns out, and a name for whatever is wrong."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import CaptureError, ConfigError
from engine.market.events import BUY, DEPTH, LAST, TRADE
from engine.market.importer import import_capture, tell_format
from engine.market.instruments import InstrumentFlags
from engine.market.neutral import find_meta, read_neutral
from engine.market.tape import Tape, verify_tape

META = {"tick": 0.1, "lot": "0.001"}


def arrays() -> dict[str, np.ndarray]:
    """Three messages: a book, a trade with the level it ate, and another trade."""
    return {
        "exch_ts": np.array([100, 100, 200, 200, 300]),
        "local_ts": np.array([109, 109, 209, 209, 309]),
        "kind": np.array([0, 0, 1, 0, 1], np.uint8),
        "side": np.array([1, -1, 1, -1, -1], np.int8),
        "price_ticks": np.array([1000, 1001, 1001, 1001, 1000], np.int32),
        "qty_lots": np.array([5, 7, 3, 4, 1], np.int32),
    }


def save(folder: Path, name: str = "s_neutral.npz", meta: Any = META, **changes: np.ndarray) -> Path:
    file = folder / name
    np.savez(file, **{**arrays(), **changes})
    if meta is not None:
        (folder / "s_meta.json").write_text(json.dumps(meta))
    return file


def import_it(file: Path, **flags: Any) -> Tape:
    return import_capture([file], file.parent / "t", flags=InstrumentFlags(**flags), known=(), force=True)


def test_rows_of_equal_times_are_one_message(tmp_path: Path) -> None:
    tape = import_it(save(tmp_path))
    columns = tape.columns
    assert columns.kind.tolist() == [DEPTH, DEPTH, TRADE, DEPTH, TRADE]
    assert columns.flags.tolist() == [BUY, LAST, BUY, LAST, LAST]
    assert columns.exch_ts_ns.tolist() == [100, 100, 200, 200, 300]
    assert columns.local_ts_ns.tolist() == [109, 109, 209, 209, 309]
    assert columns.price_ticks.tolist() == [1000, 1001, 1001, 1001, 1000]
    assert columns.qty_lots.tolist() == [5, 7, 3, 4, 1]
    meta = tape.meta
    assert (meta.symbol, meta.venue, meta.tick, meta.lot) == ("S", "neutral", Decimal("0.1"), Decimal("0.001"))
    assert (meta.contract, meta.contract_size, meta.order, meta.coverage_pct) == ("linear", 1, "exchange", 100.0)
    assert meta.source is not None and meta.source.counts == {"depth_rows": 3, "trades": 2}
    assert verify_tape(tape.path).ok


def test_flags_go_before_the_meta_file(tmp_path: Path) -> None:
    file = save(tmp_path, meta={**META, "symbol": "ABUSDT", "contract_size": "3"})
    said = import_it(file).meta.instrument()
    assert (said.symbol, said.contract_size, said.quote_currency) == ("ABUSDT", 3, "USDT")
    given = import_it(file, symbol="CDUSD", tick=Decimal("0.5"), contract="inverse", contract_size=Decimal(10))
    instrument = given.meta.instrument()
    assert (instrument.symbol, instrument.tick, instrument.lot) == ("CDUSD", Decimal("0.5"), Decimal("0.001"))
    assert (instrument.contract, instrument.contract_size, instrument.pnl_currency) == ("inverse", 10, "CD")


@pytest.mark.parametrize("meta", [None, {}, {"n": 5, "seed": 7}, {"lot": 1}])
def test_without_tick_and_lot_the_error_names_the_flags(tmp_path: Path, meta: Any) -> None:
    file = save(tmp_path, meta=meta)
    with pytest.raises(CaptureError) as caught:
        import_it(file)
    for word in ("tick", "--tick", "--lot", "--symbol", str(file)):
        assert word in str(caught.value)
    assert import_it(file, tick=Decimal("0.1"), lot=Decimal("0.001")).meta.count == 5


def test_the_meta_file_is_found_by_name_or_when_it_is_the_only_one(tmp_path: Path) -> None:
    file = save(tmp_path, meta=None)
    assert find_meta(file) is None
    (tmp_path / "else_meta.json").write_text("{}")
    assert find_meta(file) == tmp_path / "else_meta.json"
    (tmp_path / "more_meta.json").write_text("{}")
    assert find_meta(file) is None
    for name in ("s_meta.json", "s_neutral_meta.json"):
        (tmp_path / name).write_text("{}")
        assert find_meta(file) == tmp_path / name


def test_exchange_times_that_fall_are_sorted_beside_and_negative_latency_is_shifted(tmp_path: Path) -> None:
    exch_ts = np.array([100, 100, 90, 90, 310], np.uint64)
    tape = import_it(save(tmp_path, exch_ts=exch_ts))
    assert tape.exch_order is not None and tape.exch_order.tolist() == [2, 3, 0, 1, 4]
    assert tape.meta.clock_shift_ns == 1_000_001
    assert int((tape.columns.local_ts_ns - tape.columns.exch_ts_ns).min()) == 1_000_000


@pytest.mark.parametrize(
    ("column", "row", "value", "error"),
    [
        ("exch_ts", 1, 2**63 - 1, "row 1: column exch_ts is not in ns since 1970"),
        ("exch_ts", 1, -1, "row 1: column exch_ts is not in ns since 1970"),
        ("local_ts", 4, 2**62, "row 4: column local_ts is not in ns since 1970"),
        ("local_ts", 3, 208, "row 3: column local_ts falls"),
        ("kind", 2, 2, "row 2: column kind is neither 0 nor 1"),
        ("side", 4, 0, "row 4: column side is neither"),
        ("price_ticks", 1, 0, "row 1: column price_ticks is not in 1..2147483647"),
        ("qty_lots", 0, -1, "row 0: column qty_lots is negative"),
        ("qty_lots", 2, 0, "row 2: column qty_lots is negative or, of a trade, zero"),
    ],
)
def test_a_bad_value_is_named_with_its_row(tmp_path: Path, column: str, row: int, value: int, error: str) -> None:
    changed = arrays()[column]
    changed[row] = value
    with pytest.raises(CaptureError, match=error):
        import_it(save(tmp_path, **{column: changed}))
    assert not (tmp_path / "t").exists()


def test_bad_files_are_named(tmp_path: Path) -> None:
    good = save(tmp_path)
    with pytest.raises(CaptureError, match=r"column qty_lots is float64\[5\], not integers"):
        import_it(save(tmp_path, qty_lots=np.ones(5)))
    with pytest.raises(CaptureError, match=r"column side is int8\[4\]"):
        import_it(save(tmp_path, side=np.ones(4, np.int8)))
    with pytest.raises(CaptureError, match="holds no rows"):
        import_it(save(tmp_path, **{name: array[:0] for name, array in arrays().items()}))
    np.savez(good, exch_ts=np.zeros(1))
    with pytest.raises(CaptureError, match="lacks the columns local_ts, kind"):
        import_it(good)
    save(tmp_path)
    raw = good.read_bytes()
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez_compressed(good, **arrays())
    packed = bytearray(good.read_bytes())
    packed[61] = 0xFF  # the first column's deflate stream begins with a block of no known type
    for broken in (raw[:-30], raw[:200], bytes(packed), b"", b"no archive", (tmp_path / "one.npy").read_bytes()):
        good.write_bytes(broken)
        with pytest.raises(CaptureError, match=r"s_neutral\.npz: is damaged or not an \.npz"):
            import_it(good)
    save(tmp_path, meta=[1])
    with pytest.raises(CaptureError, match=r"s_meta\.json: is not a JSON object"):
        import_it(good)
    save(tmp_path, meta={"tick": "a", "lot": 1})
    with pytest.raises(CaptureError, match=r"s_meta\.json: tick 'a' is not a decimal"):
        import_it(good)
    save(tmp_path, meta={"tick": 0, "lot": 1})
    with pytest.raises(ConfigError, match="tick 0 is not positive"):
        import_it(good)
    with pytest.raises(CaptureError, match="no such file"):
        read_neutral(tmp_path / "none.npz", InstrumentFlags(), ())


def test_formats_are_told_from_the_contents(tmp_path: Path) -> None:
    file = tmp_path / "capture.txt"
    for text, name in (
        ('5 {"stream":"x","data":{}}\n', "binance"),
        ('5 {"lastUpdateId":1}\n', "binance"),
        ('{"op":"subscribe"}\n{"topic":"orderbook.50.X"}\n', "bybit"),
    ):
        file.write_text(text)
        assert tell_format(file) == name
    file.write_text('{"a":1}\n' * 200)
    with pytest.raises(CaptureError, match="--format"):
        tell_format(file)
    assert tell_format(tmp_path / "a.npz") == "neutral"
    with pytest.raises(CaptureError, match="2 neutral files given"):
        import_capture([save(tmp_path), save(tmp_path, "b.npz")], tmp_path / "t", known=())
