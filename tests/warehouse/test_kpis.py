"""Every KPI on a journal small enough to work out by hand, and what happens where data is missing."""

from __future__ import annotations

import pytest

from engine.errors import JournalError
from engine.warehouse.edge import SCALARS, edge_report
from engine.warehouse.ingest import ingest

V0, V1 = 599.9, 600.1  # notional of the two fills


def order(journal, at_s, order_id, side, event, **fields):
    quote = {"price": "59990.0", "qty": "0.010", "quote_mid": "60000.0", "reason": "", "latency_ms": 6}
    return journal.add("order", at_s, order_id=order_id, side=side, event=event, **(quote | fields))


@pytest.fixture
def by_hand(new_journal):
    j = new_journal().start(lanes=1).mark(0, "60000.0")
    order(j, 1, 1, "buy", "new", latency_ms=4)
    order(j, 1.01, 1, "buy", "ack", reason="new", latency_ms=10)
    j.fill(
        2, "buy", "0.010", "59990.0", order_id=1, fee="0.06", quote_mid="60000.0", fill_mid="59995.0",
        order_age_ms=1000, position_after="0.010",
    )  # fmt: skip
    order(j, 3, 2, "sell", "new")
    order(j, 3.01, 2, "sell", "ack", reason="new", latency_ms=12)
    j.mark(7.5, "59985.0")
    order(j, 100, 2, "sell", "cancel", reason="stale", latency_ms=8)
    order(j, 100.02, 2, "sell", "ack", reason="cancel", latency_ms="20")
    order(j, 101, 3, "sell", "new")
    order(j, 150, 3, "sell", "expire", reason="gap")
    order(j, 200, 4, "sell", "new", qty="0.020")
    j.add("block", 300, reason="min_interval", side="buy", count=2)
    j.add("block", 300, reason="min_interval", side="sell", count=1)
    j.add("block", 300, reason="throttle", side="sell", count=1)
    j.mark(300, "60005.0").window_end(300, 0, 0, valid_book_ms=270000.0)
    j.fill(
        310, "sell", "0.010", "60010.0", order_id=4, liquidity="taker", fee="-3", quote_mid="60000.0",
        fill_mid="60008.0", order_age_ms=3000, position_after="0",
    )  # fmt: skip
    j.mark(600, "60020.0").window_end(600, 1, 300, iteration_end=True)
    return j.add("run_end", 600, reason="complete")


@pytest.fixture
def report_of(open_warehouse, tmp_path):
    def made(journal):
        with open_warehouse() as wh:
            ingest(wh, [journal.write(tmp_path / "a.0.jsonl")])
            return edge_report(wh, journal.run_id)

    return made


FIRST = {
    "gross_bps": 1e4 * 0.10 / V0,
    "slippage_bps": 1e4 * -0.05 / V0,
    "slippage_cost_bps": 1e4 * 0.05 / V0,
    "fees_eff_bps": 1e4 * 0.06 / V0,
    "inventory_bps": 1e4 * 0.10 / V0,
    "net_bps": 1e4 * 0.21 / V0,
    "net_pnl_quote": 0.21,
    "realised_pnl_quote": 0.06,
    "unrealised_pnl_quote": 0.15,
    "max_drawdown_quote": 0.0,
    "adverse_bps": 1e4 * 0.10 / V0,
    "adverse_bps_p95": 1e4 * 0.10 / V0,
    "slippage_cost_bps_p95": 1e4 * 0.05 / V0,
    "maker_share_pct": 100.0,
    "maker_taker_ratio": 1.0,
    "cancel_ratio": 1 / 3,
    "order_age_p95_ms": 1000.0,
    "p95_latency_ms": 7.6,
    "order_ack_p95_ms": 19.2,
    "risk_ratio": 0.010 * 298 / 300,
    "fills": 1,
    "notional_quote": V0,
    "coverage_pct": 90.0,
}
SECOND = {
    "gross_bps": 1e4 * 0.10 / V1,
    "slippage_bps": 1e4 * -0.08 / V1,
    "inventory_bps": 1e4 * 0.03 / V1,
    "net_bps": 1e4 * -2.95 / V1,
    "realised_pnl_quote": 0.20 - 3,
    "unrealised_pnl_quote": -0.15,
    "max_drawdown_quote": 2.95,
    "adverse_bps": None,
    "maker_share_pct": 0.0,
    "cancel_ratio": None,
    "p95_latency_ms": None,
    "order_ack_p95_ms": None,
    "risk_ratio": 0.010 * 10 / 300,
    "coverage_pct": 100.0,
}
WHOLE = {
    "net_bps": 1e4 * -2.74 / (V0 + V1),
    "max_drawdown_quote": 2.95,
    "adverse_bps": 1e4 * 0.10 / V0,
    "maker_share_pct": 100 * V0 / (V0 + V1),
    "maker_taker_ratio": 0.5,
    "cancel_ratio": 1 / 3,
    "order_age_p95_ms": 2900.0,
    "risk_ratio": 0.010 * 308 / 600,
    "coverage_pct": 95.0,
    "fills": 2,
}


def test_every_kpi_by_hand(by_hand, report_of):
    report = report_of(by_hand)
    first, second = report["windows"]
    for slice_, wanted in (
        (first, FIRST),
        (second, SECOND),
        (report["totals"], WHOLE),
        (report["iterations"][0], WHOLE),
    ):
        for name, value in wanted.items():
            assert slice_[name] == (None if value is None else pytest.approx(value, abs=1e-9)), name
    assert FIRST.keys() == set(SCALARS)
    assert first["block_reasons"] == {
        "min_interval": {"count": 3, "ratio": pytest.approx(3 / 9)},
        "throttle": {"count": 1, "ratio": pytest.approx(1 / 9)},
    }
    assert second["block_reasons"] == {}
    assert second["null_reasons"] == {
        "adverse_bps": "no fill with a mark 5 s later",
        "adverse_bps_p95": "no fill with a mark 5 s later",
        "cancel_ratio": "no order ended",
        "order_ack_p95_ms": "no acknowledgement with a latency",
        "p95_latency_ms": "no order record with a latency",
    }
    assert (first["n"]["cancel_ratio"], first["n"]["p95_latency_ms"], second["n"]["adverse_bps"]) == (3, 5, 0)
    assert [d["name"] for d in first["edge_drivers"]] == ["gross_bps", "fees_eff_bps", "slippage_bps", "inventory_bps"]
    assert first["neg_edge_drivers"] == ["gross_bps"]
    driver = first["edge_drivers"][0]
    assert driver == {
        "name": "gross_bps",
        "bps": first["gross_bps"],
        "target_bps": 8.0,
        "shortfall_bps": 8.0 - first["gross_bps"],
    }


def test_cancels_count_at_once_in_a_journal_without_acknowledgements(new_journal, report_of):
    j = new_journal().start(lanes=1).mark(0, "60000.0")
    order(j, 1, 1, "buy", "new")
    order(j, 2, 2, "sell", "new")
    order(j, 3, 2, "sell", "cancel")
    j.fill(4, "buy", "0.004", "59990.0", order_id=1)
    assert report_of(j)["totals"]["cancel_ratio"] == 1.0  # order 1 is filled in part and alive
    j.fill(5, "buy", "0.006", "59990.0", order_id=1)
    assert report_of(j)["totals"]["cancel_ratio"] == 0.5


def test_an_order_that_is_quoted_on_after_a_partial_fill_has_not_ended(new_journal, report_of):
    j = new_journal().start(lanes=1).mark(0, "60000.0")
    order(j, 1, 1, "buy", "new", qty="0.010")
    j.fill(2, "buy", "0.006", "59990.0", order_id=1)
    order(j, 3, 1, "buy", "amend", qty="0.004")  # what is left of it
    assert report_of(j)["totals"]["cancel_ratio"] is None
    j.fill(4, "buy", "0.004", "59991.0", order_id=1)
    assert report_of(j)["totals"]["cancel_ratio"] == 0.0


def foreign(new_journal, **instrument):
    """A bot of somebody else's: run_start with an instrument, and fills."""
    base = {"tick": "0.1", "lot": "0.001", "contract": "linear", "contract_size": "1", "quote_currency": "USDT"}
    return new_journal("their-run").add("run_start", 0, instrument=base | instrument)


def test_a_foreign_journal_is_cut_every_five_minutes_and_joined_with_marks(new_journal, report_of):
    j = foreign(new_journal).mark(9, "60000.0").mark(10, "60001.0")
    j.fill(10.5, "buy", "0.010", "59990.0", order_age_ms=1500)
    j.mark(299.5, "60003.0").fill(400, "sell", "0.010", "60010.0", quote_mid="60001.0", fill_mid="60004.0")
    j.mark(700, "60004.0")
    report = report_of(j)
    first, second, third = report["windows"]
    assert [w["end_ns"] - w["start_ns"] for w in report["windows"]] == [300 * 10**9, 300 * 10**9, 100 * 10**9]
    assert first["gross_bps"] == pytest.approx(1e4 * 0.10 / V0)  # quoted at 9.0 s: mid 60000
    assert first["slippage_bps"] == pytest.approx(1e4 * 0.01 / V0)  # filled at 10.5 s: mid 60001
    assert first["inventory_bps"] == pytest.approx(1e4 * 0.02 / V0)
    assert second["net_pnl_quote"] == pytest.approx(0.01 * (60010 - 60003))
    assert (third["fills"], third["net_bps"], third["net_pnl_quote"]) == (0, None, 0.0)
    for name in ("risk_ratio", "coverage_pct", "cancel_ratio"):
        assert report["totals"][name] is None
        assert report["totals"]["null_reasons"][name]
    assert report["totals"]["block_reasons"] is None
    assert report["lanes"][0]["role"] == "champion"


def test_components_rest_on_fresh_mids_net_on_the_edges_alone(new_journal, report_of):
    j = foreign(new_journal).mark(0, "60000.0")
    j.fill(30, "buy", "0.010", "59990.0").fill(40, "sell", "0.010", "60010.0").mark(50, "60000.0")
    totals = report_of(j)["totals"]
    assert totals["net_bps"] == pytest.approx(1e4 * 0.20 / (V0 + V1))
    for name in ("gross_bps", "slippage_bps", "inventory_bps", "slippage_cost_bps"):
        assert totals[name] is None
        assert totals["null_reasons"][name] == "mids unknown for more than 1 % of the notional"
        assert totals["n"][name] == 0
    assert totals["fees_eff_bps"] == 0.0
    assert [d["name"] for d in totals["edge_drivers"]] == ["fees_eff_bps"]


def test_less_than_one_percent_of_stale_notional_is_let_pass(new_journal, report_of):
    j = foreign(new_journal).mark(0, "60000.0")
    for at in range(1, 101):
        j.fill(at, "buy" if at % 2 else "sell", "0.010", "60000.0", quote_mid="60000.0", fill_mid="60000.0")
    j.fill(101, "sell", "0.001", "60000.0").fill(102, "buy", "0.001", "60000.0").mark(103, "60000.0")
    totals = report_of(j)["totals"]
    assert totals["gross_bps"] == 0.0
    assert (totals["n"]["gross_bps"], totals["n"]["net_bps"]) == (100, 102)


def test_a_run_without_any_mid(new_journal, report_of):
    j = foreign(new_journal).fill(30, "buy", "0.010", "59990.0")
    held = report_of(j)["totals"]
    assert held["net_bps"] is None
    assert held["net_pnl_quote"] is None
    assert held["null_reasons"]["net_bps"] == "a position at the edge of the slice, and no mid within 60 s before it"
    j.fill(40, "sell", "0.010", "60010.0")
    flat = report_of(j)["totals"]
    assert flat["net_pnl_quote"] == pytest.approx(0.20)
    assert flat["gross_bps"] is None
    assert flat["max_drawdown_quote"] is None
    assert flat["notional_quote"] == pytest.approx(V0 + V1)


def test_an_old_mid_does_not_value_a_position_at_the_end(new_journal, report_of):
    j = (
        foreign(new_journal)
        .mark(0, "60000.0")
        .fill(1, "buy", "0.010", "59990.0", order_age_ms=500)
        .add("heartbeat", 200)
    )
    totals = report_of(j)["totals"]
    assert totals["net_bps"] is None
    assert totals["inventory_bps"] is None
    assert totals["gross_bps"] is not None


def test_a_fee_in_another_currency_is_unknown_not_zero(new_journal, report_of):
    j = foreign(new_journal).mark(0, "60000.0")
    j.fill(1, "buy", "0.010", "59990.0", fee="-0.001", fee_currency="BNB", order_age_ms=500).mark(2, "60000.0")
    totals = report_of(j)["totals"]
    for name in ("fees_eff_bps", "net_bps", "net_pnl_quote"):
        assert totals[name] is None
        assert totals["null_reasons"][name] == "fee unknown for 1 of 1 fills"
    assert totals["gross_bps"] == pytest.approx(1e4 * 0.10 / V0)


def test_an_empty_run_is_null_not_zero(new_journal, report_of):
    report = report_of(new_journal().start(lanes=1))
    assert report["windows"] == report["iterations"] == []
    assert {name for name in SCALARS if report["totals"][name] is not None} == {"fills", "notional_quote"}
    assert set(report["totals"]["null_reasons"]) >= set(SCALARS) - {"fills", "notional_quote"}


def test_a_fill_at_the_very_start_is_not_lost(new_journal, report_of):
    j = foreign(new_journal).mark(0, "60000.0").fill(0, "buy", "0.010", "59990.0")
    assert report_of(j)["totals"]["net_pnl_quote"] == pytest.approx(0.10)


def test_windows_of_a_run_that_was_killed(new_journal, report_of):
    j = new_journal().start(lanes=1).mark(0, "60000.0")
    j.mark(300, "60000.0").window_end(300, 0, 0, iteration_end=True)
    j.mark(600, "60000.0")  # its window_end was lost with the process
    j.mark(900, "60000.0").window_end(900, 2, 600, iteration=1)
    j.mark(1000, "60000.0")
    report = report_of(j)
    assert [(w["window"], w["iteration"], w["coverage_pct"]) for w in report["windows"]] == [
        (0, 0, 100.0),
        (1, 1, None),
        (2, 1, 100.0),
        (3, 1, None),
    ]
    assert [(w["end_ns"] - w["start_ns"]) // 10**9 for w in report["windows"]] == [300, 300, 300, 100]
    assert report["totals"]["coverage_pct"] == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda j: j.records.pop(0), "has no run_start"),
        (lambda j: j.records[1].update(symbol="ETHUSDT"), "holds records of BTCUSDT and ETHUSDT"),
        (lambda j: j.records[0].update(ts_ns=1), "spans more than 100000 windows of 300 s"),
        (lambda j: j.fill(2, "buy", "0.0105", "60000.0"), "quantity 0.0105 is not a whole number of lots of 0.001"),
        (lambda j: j.fill(2, "buy", "9" * 20, "9" * 20), "has numbers too large to be summed"),
    ],
)
def test_a_run_that_cannot_be_told_is_refused(new_journal, report_of, spoil, message):
    journal = new_journal().start(lanes=1).mark(1, "60000.0").mark(2, "60000.0")
    spoil(journal)
    with pytest.raises(JournalError, match=message):
        report_of(journal)


@pytest.mark.parametrize("age_ms", ["-500", "9" * 20])
def test_an_age_that_no_quote_can_have_says_nothing_of_when_it_was_sent(new_journal, report_of, age_ms):
    """Quoted at an unknown time: the mid at the fill stands for it, never one from after the fill."""
    j = foreign(new_journal).mark(0, "60000.0").mark(10, "60000.0")
    j.fill(10.2, "buy", "0.010", "59990.0", order_age_ms=age_ms).mark(10.4, "60020.0").mark(20, "60000.0")
    totals = report_of(j)["totals"]
    assert totals["net_bps"] == pytest.approx(1e4 * 0.10 / V0)
    assert totals["gross_bps"] is None, "a fill whose quote cannot be dated is no fresh one"


def test_a_cap_that_is_none_is_not_held_against_the_position(new_journal, report_of):
    j = new_journal().start(lanes=1, position_cap_qty="-1").mark(0, "60000.0").fill(1, "buy", "0.010", "60000.0")
    assert report_of(j.mark(9, "60000.0"))["totals"]["risk_ratio"] is None


def test_an_unknown_run_is_refused(open_warehouse):
    with open_warehouse() as wh, pytest.raises(JournalError, match="run nobody"):
        edge_report(wh, "nobody")
