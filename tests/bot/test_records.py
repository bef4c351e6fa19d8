from __future__ import annotations

import json
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from engine.bot.records import RecordFormatter, decimal_text
from engine.instrument import Instrument
from engine.maker.state import (
    BLOCK_NAMES,
    EVENT_ACK,
    EVENT_NEW,
    MAKER,
    REASON_NEW,
    REASON_NONE,
    REC_FILL,
    REC_ORDER,
    RECORD_DTYPE,
    TAKER,
)
from engine.paths import CHECKOUT

BTC = Instrument("binance-usdm", "BTCUSDT", Decimal("0.1"), Decimal("0.001"), "linear", Decimal(1), "USDT", "USDT")
ETH = Instrument("binance-coinm", "ETHUSD_PERP", Decimal("0.01"), Decimal(1), "inverse", Decimal(10), "USD", "ETH")
RATE = Decimal("-0.00001")


def rows(**fields: int) -> np.ndarray[Any, Any]:
    row = np.zeros(1, RECORD_DTYPE)
    for name, value in fields.items():
        row[name] = value
    return row


def example(kind: str, **match: object) -> dict[str, Any]:
    """The record of the documented journal that is of this kind and has these fields."""
    text = (CHECKOUT / "docs" / "journal.md").read_text(encoding="utf-8")
    block = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert block is not None
    for line in block[1].splitlines():
        record = json.loads(line)
        if record["type"] == kind and all(record[name] == value for name, value in match.items()):
            return dict(record)
    raise AssertionError(f"no {kind} with {match} in docs/journal.md")


def same(record: dict[str, Any], documented: dict[str, Any]) -> None:
    """Equal but for the writer's own fields and for how many zeros a fee ends in."""
    wanted = {k: v for k, v in documented.items() if k not in ("v", "run_id", "seq", "symbol")}
    found = {k: v for k, v in record.items() if k in wanted}
    for of in (wanted, found):
        if "fee" in of:
            of["fee"] = Decimal(of["fee"])
    assert found == wanted


def test_orders_and_fills_read_as_the_documented_ones() -> None:
    formatter = RecordFormatter(BTC, RATE)
    order = {"kind": REC_ORDER, "order_id": 1, "side": 1, "price_ticks": 599900, "qty_lots": 10, "quote_mid2": 1200001}
    new = rows(**order, ts_ns=1723161600100000000, code=EVENT_NEW, reason=REASON_NONE, latency_ns=9_250_000)
    ack = rows(**order, ts_ns=1723161600110000000, code=EVENT_ACK, reason=REASON_NEW, latency_ns=10_000_000)
    fill = rows(
        **order | {"kind": REC_FILL},
        ts_ns=1723161600500000000,
        exch_ts_ns=1723161600495000000,
        fill_mid2=1199821,
        age_ns=395_000_000,
        latency_ns=5_000_000,
        position_lots=10,
    )
    made = list(formatter.rows(np.concatenate([new, ack, fill])))
    same(made[0], example("order", event="new"))
    same(made[1], {**example("order", event="ack"), "reason": "new"})  # as the text below the example says
    same(made[2], example("fill"))
    assert made[2]["exch_ts_ns"] == 1723161600495000000


def test_marks_and_blocks_read_as_the_documented_ones() -> None:
    formatter = RecordFormatter(BTC, RATE)
    same(formatter.mark(1723161600000000000, (1200001, 600000, 600001)), example("mark"))
    counts = np.zeros((2, 2, len(BLOCK_NAMES)), np.int64)
    counts[0, 0, BLOCK_NAMES.index("min_interval")] = 41
    (block,) = formatter.blocks(1723161900000000000, counts)
    same(block, example("block"))


def test_unknown_mids_are_left_out_and_never_zero() -> None:
    row = rows(kind=REC_FILL, side=-1, price_ticks=599900, qty_lots=10)
    (record,) = RecordFormatter(BTC, RATE).rows(row)
    assert not {"quote_mid", "quote_mid2", "fill_mid", "fill_mid2"} & set(record)


@pytest.mark.parametrize("instrument", [BTC, ETH])
@pytest.mark.parametrize("rate", [Decimal("-0.00001"), Decimal("0.00005"), Decimal(0)])
def test_a_fee_is_rate_times_notional_to_the_unit(instrument: Instrument, rate: Decimal) -> None:
    formatter = RecordFormatter(instrument, rate)
    for price_ticks, qty_lots in ((599_900, 10), (267_151, 7), (1, 1), (333_333, 12_345)):
        (record,) = formatter.rows(rows(kind=REC_FILL, side=1, price_ticks=price_ticks, qty_lots=qty_lots))
        price = Fraction(instrument.tick) * price_ticks
        qty = Fraction(instrument.lot) * qty_lots * Fraction(instrument.contract_size)
        notional = price * qty if instrument.contract == "linear" else qty / price
        # v is rounded to 1e-12 per lot, so the fee is that exact up to half a unit per lot, times the rate
        error = abs(Fraction(record["fee"]) - notional * Fraction(rate))
        assert error <= (Fraction(qty_lots) * abs(Fraction(rate)) / 2 + Fraction(1, 2)) / 10**12
        assert record["fee_currency"] == instrument.pnl_currency


def test_a_taker_fill_pays_the_takers_fee() -> None:
    formatter = RecordFormatter(BTC, Decimal("0.00005"), taker_fee_rate=Decimal("-0.0005"))
    fills = [rows(kind=REC_FILL, side=-1, price_ticks=600_000, qty_lots=10, code=code) for code in (MAKER, TAKER)]
    maker, taker = formatter.rows(np.concatenate(fills))  # 60000 x 0.010 = 600
    assert (maker["liquidity"], Decimal(maker["fee"])) == ("maker", Decimal("0.03"))
    assert (taker["liquidity"], Decimal(taker["fee"])) == ("taker", Decimal("-0.3"))


def test_order_ids_of_a_resumed_run_go_on() -> None:
    formatter = RecordFormatter(BTC, RATE, {0: 17})
    made = [next(formatter.rows(rows(kind=REC_ORDER, side=1, order_id=1, lane=lane))) for lane in (0, 1)]
    assert [record["order_id"] for record in made] == [18, 1]


@pytest.mark.parametrize(
    ("value", "text"),
    [("0.0100", "0.01"), ("1E+3", "1000"), ("-0.005999000000", "-0.005999"), ("0E-12", "0"), ("100", "100")],
)
def test_decimals_are_plain_digits(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text
