"""config/instruments.json, and instruments defined on the command line."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.errors import CaptureError, ConfigError
from engine.instrument import Instrument
from engine.market.instruments import InstrumentFlags, find_instrument, read_instruments

ROW = {
    "venue": "here",
    "symbol": "ABUSDT",
    "tick": "0.1",
    "lot": "0.001",
    "contract": "linear",
    "contract_size": "1",
    "quote_currency": "USDT",
    "pnl_currency": "USDT",
}


def read(folder: Path, *rows: dict[str, Any]) -> tuple[Instrument, ...]:
    file = folder / "instruments.json"
    file.write_text(json.dumps({"instruments": rows}))
    return read_instruments(file)


def test_the_shipped_file_knows_the_grids_of_the_captures() -> None:
    grids = {(one.venue, one.symbol): (str(one.tick), str(one.lot)) for one in read_instruments()}
    assert grids["binance-usdm", "BTCUSDT"] == ("0.1", "0.001")
    assert grids["binance-coinm", "ETHUSD_PERP"] == ("0.01", "1")
    assert grids["binance-spot", "ETHUSDT"] == ("0.01", "0.00001")
    inverse = {
        one.symbol: (str(one.contract_size), one.pnl_currency)
        for one in read_instruments()
        if one.contract == "inverse"
    }
    assert inverse["ETHUSD_PERP"] == ("10", "ETH") and inverse["BTCUSD_PERP"] == ("100", "BTC")


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([{**ROW, "colour": "red"}], "unknown key 'instruments.0.colour'"),
        ([{name: value for name, value in ROW.items() if name != "lot"}], "key 'instruments.0.lot' is missing"),
        ([{**ROW, "tick": "0"}], "tick 0 is not positive"),
        ([{**ROW, "tick": "NaN"}], "tick"),
        ([{**ROW, "contract": "quanto"}], "contract"),
        ([ROW, ROW], "here ABUSDT stands twice"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, rows: list[dict[str, Any]], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        read(tmp_path, *rows)


def test_flags_go_over_the_known_instrument_and_another_contract_is_another_instrument(tmp_path: Path) -> None:
    known = read(tmp_path, {**ROW, "min_qty_lots": 5})

    def find(**flags: Any) -> Instrument:
        return find_instrument(("there", "here"), "ABUSDT", InstrumentFlags(**flags), known, where="x")

    assert find() == known[0]
    assert (find(lot=Decimal("0.1")).lot, find(lot=Decimal("0.1")).min_qty_lots) == (Decimal("0.1"), 5)
    with pytest.raises(CaptureError, match=r"missing: --tick, --lot, --contract-size\)"):
        find(contract="inverse")
    with pytest.raises(ConfigError, match="lot 0 is not positive"):
        find(lot=Decimal(0))


@pytest.mark.parametrize(
    ("symbol", "contract", "quote", "pnl"),
    [
        ("ABUSDT", "linear", "USDT", "USDT"),
        ("BNBUSD_PERP", "inverse", "USD", "BNB"),
        ("USDT", "linear", "quote", "quote"),
        ("S2M", "linear", "quote", "quote"),
    ],
)
def test_currencies_of_an_ad_hoc_instrument_come_from_the_symbol(
    symbol: str, contract: str, quote: str, pnl: str
) -> None:
    flags = InstrumentFlags(tick=Decimal(1), lot=Decimal(1), contract=contract, contract_size=Decimal(1))
    found = find_instrument(("v",), symbol, flags, (), where="x")
    assert (found.venue, found.quote_currency, found.pnl_currency) == ("v", quote, pnl)
