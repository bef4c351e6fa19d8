"""Exports of exchanges and other bots: what they say becomes a journal, what they do not say is counted."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest

from engine.errors import CaptureError, JournalError
from engine.instrument import Instrument
from engine.market.events import BUY, DEPTH, GAP, LAST, MARKER, Columns
from engine.market.instruments import InstrumentFlags
from engine.market.tape import write_tape
from engine.warehouse.edge import edge_report
from engine.warehouse.foreign.convert import READERS, convert
from engine.warehouse.ingest import ingest

BINANCE_FUTURES = """\ufeffDate(UTC),Symbol,Side,Price,Quantity,Amount,Fee,Fee Coin,Realized Profit
2024-08-09 00:00:09,BTCUSDT,SELL,60010.0,0.010,600.10,0.12002,USDT,0.1
2024-08-09 00:00:04,ETHUSDT,SELL,2500.00,0.100,250.00,0.05,USDT,0
2024-08-09 00:00:03,BTCUSDT,BUY,"60,000.0",0.010,600.00,-0.06,USDT,0
"""
BINANCE_SPOT = """Date(UTC),Pair,Side,Price,Executed,Amount,Fee
2024-08-09 00:00:03,BTCUSDT,BUY,60000.00,0.010BTC,600.00USDT,0.00001BTC
2024-08-09 00:00:09,BTCUSDT,SELL,60010.00,0.010BTC,600.10USDT,0.6001USDT
"""
BYBIT = """Market,Filled Type,Filled Quantity,Filled Price,Order Price,Fee Rate,Trading Fee,feeCoin,ExecFeeV2,\
Direction,Order Type,Trasaction ID,Order No.,Transaction Time(UTC+0)
BTCUSDT,Trade,0.010,60000.0,60000.0,-0.0001,-0.06,USDT,-0.06,Long,Limit, a1, o1,00:01 2024-08-09
BTCUSDT,Funding,0.010,60005.0,0,0.0001,0.06,USDT,0.06,Long,--, f1, g1,08:00 2024-08-09
BTCUSDT,Settlement,0.010,60005.0,0,0,0,,0,Long,--, s1, g2,08:01 2024-08-09
BTCUSDT,Liquidation,0.010,59000.0,59000.0,0.0006,0.354,USDT,0.354,Short,Market, a2, o2,09:00 2024-08-09
"""
BYBIT_SPOT = """UID: 1,Company Name: ,Country:
Uid,Spot Pairs,Order Type,Direction,Filled Value,Filled Price,Filled Quantity,Fees,Transaction ID,Order No.,\
Timestamp (UTC+0)
1,BTCUSDT,LIMIT,BUY,600,60000.00000000,0.01000000,0.00001000,229,183,2024-08-09 00:00:03
"""
HUMMINGBOT = """exchange_trade_id,config_file_path,strategy,market,symbol,base_asset,quote_asset,timestamp,order_id,\
trade_type,order_type,price,amount,leverage,trade_fee,trade_fee_in_quote,position,age
t1,conf.yml,pmm,binance_perpetual,BTC-USDT,BTC,USDT,1723161603123,o1,BUY,LIMIT,60000.0,0.010,1,"{""percent"": ""0""}",\
0.06,NIL,00:00:05
t2,conf.yml,pmm,binance_perpetual,BTC-USDT,BTC,USDT,1723161609000,o2,SELL,LIMIT,60010.0,0.010,1,"{}",,NIL,n/a
"""
HYPERLIQUID = json.dumps(
    [
        {"coin": "BTC", "px": "60010.0", "sz": "0.01", "side": "A", "time": 1723161609500, "startPosition": "0.51",
         "dir": "Close Long", "closedPnl": "0.1", "hash": "0x1", "oid": 8, "crossed": True, "fee": "0.21", "tid": 2,
         "feeToken": "USDC"},
        {"coin": "BTC", "px": "60000.0", "sz": "0.01", "side": "B", "time": 1723161603250, "startPosition": "0.5",
         "dir": "Open Long", "closedPnl": "0.0", "hash": "0x1", "oid": 7, "crossed": False, "fee": "-0.01", "tid": 1,
         "feeToken": "USDC"},
    ]
)  # fmt: skip
T0 = 1_723_161_600 * 10**9  # 2024-08-09 00:00:00 UTC


def converted(tmp_path, form, text, symbol="BTCUSDT", **options):
    path = tmp_path / f"{form}.csv"
    path.write_text(text, encoding="utf-8")
    return convert(form, path, tmp_path / "journals", symbol=symbol, **options)


def fills_of(made):
    records = [json.loads(line) for line in made.journal.read_text().splitlines()]
    assert [record["seq"] for record in records] == list(range(len(records)))
    assert (records[0]["type"], records[-1]["type"]) == ("run_start", "run_end")
    return [record for record in records if record["type"] == "fill"]


def said(fill):
    return tuple(fill.get(name) for name in ("ts_ns", "side", "price", "qty", "fee", "fee_currency", "liquidity"))


def test_binance_futures(tmp_path):
    made = converted(tmp_path, "binance", BINANCE_FUTURES)
    assert [said(fill) for fill in fills_of(made)] == [
        (T0 + 3 * 10**9, "buy", "60000.0", "0.010", "0.06", "USDT", None),
        (T0 + 9 * 10**9, "sell", "60010.0", "0.010", "-0.12002", "USDT", None),
    ]
    assert made.passed_over == {"fills of other symbols": 1}
    assert made.missing == {
        "liquidity": 2,
        "order_id": 2,
        "fill_mid": 2,
        "quote_mid": 2,
        "order_age_ms": 2,
        "position_start": 1,
    }
    assert made.time_step_ns == 10**9


def test_binance_spot_fees_stand_in_their_own_currency(tmp_path):
    made = converted(tmp_path, "binance", BINANCE_SPOT)
    assert [said(fill)[4:6] for fill in fills_of(made)] == [("-0.00001", "BTC"), ("-0.6001", "USDT")]
    instrument = json.loads(made.journal.read_text().splitlines()[0])["instrument"]
    assert (instrument["venue"], instrument["lot"]) == ("binance-spot", "0.00001")


def test_bybit_derivatives_with_funding_and_minutes_only(tmp_path):
    made = converted(tmp_path, "bybit", BYBIT)
    assert [said(fill) for fill in fills_of(made)] == [
        (T0 + 60 * 10**9, "buy", "60000.0", "0.010", "0.06", "USDT", None),
        (T0 + 9 * 3600 * 10**9, "sell", "59000.0", "0.010", "-0.354", "USDT", None),
    ]
    records = [json.loads(line) for line in made.journal.read_text().splitlines()]
    assert [record["amount"] for record in records if record["type"] == "funding"] == ["-0.06"]
    assert (made.funding, made.passed_over, made.time_step_ns) == (1, {"rows of type settlement": 1}, 60 * 10**9)


def test_funding_that_does_not_say_how_much_is_counted(tmp_path):
    made = converted(tmp_path, "bybit", BYBIT.replace("0.06,USDT,0.06,Long,--", ",,,Long,--"))
    assert made.funding == 0
    assert made.passed_over == {"funding without an amount": 1, "rows of type settlement": 1}


def test_a_bybit_spot_fee_of_unknown_currency_is_left_out(tmp_path):
    flags = InstrumentFlags(tick=Decimal("0.01"), lot=Decimal("0.000001"))
    made = converted(tmp_path, "bybit", BYBIT_SPOT, flags=flags)
    [fill] = fills_of(made)
    assert said(fill)[:6] == (T0 + 3 * 10**9, "buy", "60000.00000000", "0.01000000", None, None)
    assert (made.missing["fee"], made.missing["fee_currency"]) == (1, 1)


def test_hummingbot(tmp_path):
    made = converted(tmp_path, "hummingbot", HUMMINGBOT, symbol="BTC-USDT")
    first, second = fills_of(made)
    assert said(first) == (T0 + 3_123_000_000, "buy", "60000.0", "0.010", "-0.06", "USDT", None)
    assert (first["order_id"], second.get("fee")) == ("o1", None)
    assert made.missing["fee"] == 1


def test_hyperliquid_says_who_took_and_what_was_held(tmp_path):
    flags = InstrumentFlags(tick=Decimal("0.1"), lot=Decimal("0.00001"))
    made = converted(tmp_path, "hyperliquid", HYPERLIQUID, symbol="BTC", flags=flags)
    assert [said(fill) for fill in fills_of(made)] == [
        (T0 + 3_250_000_000, "buy", "60000.0", "0.01", "0.01", "USDC", "maker"),
        (T0 + 9_500_000_000, "sell", "60010.0", "0.01", "-0.21", "USDC", "taker"),
    ]
    start = json.loads(made.journal.read_text().splitlines()[0])
    assert (start["position_start"], start["instrument"]["pnl_currency"]) == ("0.5", "USDC")
    assert "position_start" not in made.missing


@pytest.fixture
def tape(tmp_path):
    """Seconds 0 to 8: a book of 2 ticks around 60000 that moves up a tick a second; a gap at 6 and no
    snapshot after it."""
    instrument = Instrument(
        "binance-usdm", "BTCUSDT", Decimal("0.1"), Decimal("0.001"), "linear", Decimal(1), "USDT", "USDT"
    )
    rows = []
    for second in range(9):
        at = T0 + second * 10**9
        if second == 6:
            rows.append((at, MARKER, GAP | LAST, 0, 0))
            continue
        price = 600_000 + second
        if second:
            rows.append((at, DEPTH, BUY, price - 2, 0))
            rows.append((at, DEPTH, 0, price, 0))
        rows.append((at, DEPTH, BUY, price - 1, 5))
        rows.append((at, DEPTH, LAST, price + 1, 5))
    times, kinds, flags, prices, sizes = (np.array(column) for column in zip(*rows, strict=True))
    columns = Columns(
        times.astype("<i8"), times.astype("<i8"), kinds.astype("u1"), flags.astype("u1"), prices.astype("<i4"),
        sizes.astype("<i8"),
    )  # fmt: skip
    return write_tape(tmp_path / "tape", columns, instrument=instrument)


def test_mids_come_from_the_tape_where_its_book_is_known(tmp_path, tape):
    """Before a gap yes; from the gap on, no snapshot, no mid; the times at which there is none are counted."""
    made = converted(tmp_path, "binance", BINANCE_FUTURES, tape=tape.path)
    bought, sold = fills_of(made)
    assert bought["fill_mid"] == "60000.3"
    assert "fill_mid" not in sold
    assert (made.mids_joined, made.missing["fill_mid"]) == (1, 1)
    records = [json.loads(line) for line in made.journal.read_text().splitlines()]
    marks = [(record["ts_ns"] - T0, record["mid"]) for record in records if record["type"] == "mark"]
    assert marks == [(s * 10**9, f"60000.{s}") for s in (3, 4, 5)]


def test_a_time_to_the_minute_gets_no_mid_of_its_own(tmp_path, tape):
    text = BYBIT.replace("00:01 2024-08-09", "00:00 2024-08-09")
    made = converted(tmp_path, "bybit", text, tape=tape.path)
    assert made.mids_joined == 0
    assert made.marks > 0


def test_the_journal_goes_the_way_of_all_journals(tmp_path, tape, open_warehouse):
    made = converted(tmp_path, "binance", BINANCE_FUTURES, tape=tape.path)
    again = converted(tmp_path, "binance", BINANCE_FUTURES, tape=tape.path)
    assert again == made
    assert len(list((tmp_path / "journals").iterdir())) == 1
    without = converted(tmp_path, "binance", BINANCE_FUTURES)
    assert without.run_id != made.run_id
    with open_warehouse() as wh:
        result = ingest(wh, [tmp_path / "journals"])
        assert (result.quarantined, result.torn) == (0, 0)
        totals = edge_report(wh, made.run_id)["totals"]
        bare = edge_report(wh, without.run_id)["totals"]
    assert (totals["fills"], totals["notional_quote"]) == (2, pytest.approx(1200.1))
    assert totals["fees_eff_bps"] == pytest.approx(1e4 * (0.06 - 0.12002) / 1200.1)
    assert bare["slippage_bps"] is None
    assert "mids unknown" in bare["null_reasons"]["slippage_bps"]


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        ("binance", "", "is empty"),
        ("binance", "a,b\n1,2\n", r"no column Date\(UTC\)"),
        ("binance", BINANCE_SPOT.replace("0.010BTC", "lots"), "csv:2: number 'lots' cannot be read"),
        ("binance", BINANCE_SPOT.replace("SELL", "HOLD"), "csv:3: side 'HOLD'"),
        ("binance", BINANCE_SPOT.replace("2024-08-09 00:00:09", "yesterday"), "time 'yesterday' cannot be read"),
        ("binance", BINANCE_SPOT.replace("2024-08-09 00:00:09", "9999-08-09 00:00:09"), "time '9999-08-09 00:00:09'"),
        ("binance", BINANCE_SPOT.replace("2024-08-09 00:00:09", "99999999999999"), "time '99999999999999' cannot be"),
        ("binance", BINANCE_SPOT.replace("60000.00", "1e99"), "csv:2: number '1e99' is out of range"),
        ("binance", BINANCE_SPOT.replace("60000.00", "1e999999999"), "csv:2: number '1e999999999' cannot be read"),
        ("binance", BINANCE_SPOT + "2024-08-09\n", "csv:4: has 1 values under 7 columns"),
        ("binance", BINANCE_SPOT.replace("60000.00", "0"), "is not above 0"),
        ("binance", BINANCE_SPOT.replace("BTCUSDT", "ETHUSDT"), "has no fill of BTCUSDT; it has fills of ETHUSDT"),
        ("bybit", BINANCE_SPOT, "no column Transaction Time"),
        ("hummingbot", BINANCE_SPOT, "no column timestamp"),
        ("hyperliquid", "{", "is not JSON"),
        ("hyperliquid", '{"a": 1}', "is no list of fills"),
        ("hyperliquid", '[{"coin": "BTCUSDT"}]', r"csv\[0\]: has no time"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_row(tmp_path, form, text, message):
    with pytest.raises(JournalError, match=message):
        converted(tmp_path, form, text)
    assert not (tmp_path / "journals").exists()


def test_an_instrument_that_nobody_knows_is_asked_for(tmp_path):
    with pytest.raises(CaptureError, match="unknown symbol BTC of hyperliquid"):
        converted(tmp_path, "hyperliquid", HYPERLIQUID, symbol="BTC")


def test_a_tape_of_another_symbol_is_refused(tmp_path, tape):
    with pytest.raises(JournalError, match="is a tape of BTCUSDT, the fills are of ETHUSDT"):
        converted(tmp_path, "binance", BINANCE_FUTURES, symbol="ETHUSDT", tape=tape.path)


def test_every_format_has_its_reader():
    from nightsoak.warehouse import FORMATS

    assert tuple(READERS) == FORMATS
