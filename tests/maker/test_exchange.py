"""Queues, fills and refusals at the exchange, by hand: one order, a few events, numbers worked out on paper."""

from __future__ import annotations

from typing import Any

import pytest

from engine.maker.state import QUEUE_OPTIMISTIC, QUEUE_POWER, QUEUE_RISK

BID, ASK = 1, -1
# The bid wants 9990. It is sent at 50 ms and arrives at 51 ms behind what stands there.


@pytest.fixture
def resting(micro: Any) -> Any:
    """resting(lots ahead, **config): our 10 lots at 9990 from 51 ms on; the ask side is kept out by the cap."""

    def build(ahead: int, *, position: int = 0, **config: Any) -> Any:
        market = micro(position, **({"order_lots": 10} | config))
        return market.at(1, ("bid", 9990, ahead)) if ahead else market

    return build


def bids(fills: list[tuple[float, int, int, int]]) -> list[tuple[float, int, int]]:
    return [(ms, price, lots) for ms, side, price, lots in fills if side == BID]


def test_a_trade_at_the_price_first_works_off_the_queue(resting: Any) -> None:
    market = resting(20).at(60, ("sell", 9990, 15)).at(61, ("sell", 9990, 8)).at(62, ("sell", 9990, 20))
    assert bids(market.fills(100)) == [(61, 9990, 3), (62, 9990, 7)]


def test_a_trade_through_the_price_fills_up_to_its_size(resting: Any) -> None:
    market = resting(20).at(60, ("sell", 9989, 4)).at(61, ("sell", 9980, 50))
    assert bids(market.fills(100)) == [(60, 9990, 4), (61, 9990, 6)]


def test_a_trade_of_the_other_side_or_a_better_price_does_nothing(resting: Any) -> None:
    market = resting(0).at(60, ("buy", 9990, 50)).at(61, ("sell", 9991, 50))
    assert bids(market.fills(100)) == []


def test_a_trade_below_the_price_window_still_trades_through(resting: Any) -> None:
    for price in (8_999, 8_998, 1):
        assert bids(resting(20).at(60, ("sell", price, 4)).fills(100)) == [(60, 9990, 4)]


def test_an_opposite_level_that_crosses_fills_up_to_its_size(resting: Any) -> None:
    market = resting(20).at(60, ("ask", 9990, 3), ("bid", 9995, 0), ("bid", 9990, 0))
    assert bids(market.fills(100)) == [(60, 9990, 3)]


def test_full_fill_fills_whole(resting: Any) -> None:
    assert bids(resting(20, full_fill=1).at(60, ("sell", 9990, 21)).fills(100)) == [(60, 9990, 10)]
    assert bids(resting(20, full_fill=1).at(60, ("sell", 9990, 20)).fills(100)) == []
    assert bids(resting(20, full_fill=1).at(60, ("sell", 9989, 1)).fills(100)) == [(60, 9990, 10)]
    assert bids(resting(20, full_fill=1).at(60, ("ask", 9989, 1)).fills(100)) == [(60, 9990, 10)]


@pytest.mark.parametrize(
    ("queue", "power", "ahead_then"),
    [
        # 20 ahead of us, then 100 in all: 80 behind; 50 leave, of which none traded
        (QUEUE_RISK, 0, 20.0),
        (QUEUE_POWER, 1, 20.0 - 50 * (1 - 80 / 100)),  # front 20, back 80: a fifth of it was ahead
        (QUEUE_POWER, 3, 20.0 - 50 * (1 - 512_000 / 520_000)),
        (QUEUE_OPTIMISTIC, 0, 0.0),  # all of it was ahead
    ],
)
def test_what_a_fall_of_the_level_says(resting: Any, queue: int, power: int, ahead_then: float) -> None:
    """A trade of n lots then fills floor(n - ahead + 0.5) lots, so n + 1 lots more fill one lot more."""
    for lots in range(1, 31):
        market = resting(20, queue=queue, power=power, cap_lots=100)
        market.at(60, ("bid", 9990, 100)).at(61, ("bid", 9990, 50)).at(62, ("sell", 9990, lots))
        reached = int(lots - ahead_then + 0.5) if lots - ahead_then >= 0.5 else 0
        expected = [(62, 9990, min(reached, 10, lots))] if reached else []
        assert bids(market.fills(100)) == expected


def test_what_traded_is_not_counted_twice(resting: Any) -> None:
    """15 of 20 trade, then the level falls by the same 15: 5 are still ahead, in every model."""
    for queue, power in ((QUEUE_RISK, 0), (QUEUE_POWER, 3), (QUEUE_OPTIMISTIC, 0)):
        market = resting(20, queue=queue, power=power)
        market.at(60, ("sell", 9990, 15)).at(61, ("bid", 9990, 5)).at(62, ("sell", 9990, 7))
        assert bids(market.fills(100)) == [(62, 9990, 2)]


def test_the_front_never_exceeds_the_level(resting: Any) -> None:
    for queue, power in ((QUEUE_RISK, 0), (QUEUE_POWER, 3), (QUEUE_OPTIMISTIC, 0)):
        market = resting(20, queue=queue, power=power).at(60, ("bid", 9990, 0)).at(61, ("sell", 9990, 4))
        assert bids(market.fills(100)) == [(61, 9990, 4)]


def test_a_level_deleted_twice_is_deleted_once(resting: Any) -> None:
    """old = new = 0 with nothing ahead and nothing behind: no division, no fill."""
    market = resting(20, queue=QUEUE_POWER, power=3)
    for ms in (60, 61, 62):
        market.at(ms, ("bid", 9990, 0))
    assert bids(market.at(70, ("sell", 9990, 3)).fills(100)) == [(70, 9990, 3)]


def test_post_only_is_refused_where_it_would_cross_on_arrival(micro: Any) -> None:
    """The market falls through 9990 while the order is under way."""
    market = micro(entry_ns=20_000_000).at(60, ("ask", 9990, 5), ("bid", 9995, 0), ("bid", 9985, 5))
    lines = [line for line in market.run(75) if line[2] == BID]
    assert lines == [(50, "new", BID, 9990, 10, ""), (71, "expire", BID, 9990, 10, "post_only")]


def test_fills_race_a_cancel(micro: Any) -> None:
    """The book is gone for the strategy at 60 ms, the cancel is on its way from 100 to 120, the trade comes at 110."""
    market = micro(entry_ns=20_000_000, response_ns=20_000_000)
    market.at(95, ("ask", 10005, 0)).at(110, ("sell", 9989, 10)).at(200, ("ask", 10005, 7))
    lines = [line[:2] + line[4:] for line in market.run(161) if line[2] == BID]
    assert lines == [
        (50, "new", 10, ""),
        (90, "ack", 10, "new"),
        (100, "cancel", 0, "gap"),
        (130, "fill", 10, ""),
        (140, "reject", 0, "gone"),
    ]


def test_an_amend_counts_what_was_filled_meanwhile(micro: Any) -> None:
    """4 of 10 fill while the amend to 9988 is under way: 6 join there."""
    market = micro(entry_ns=20_000_000, response_ns=20_000_000)
    market.at(95, ("ask", 10005, 0), ("ask", 10001, 100)).at(110, ("sell", 9989, 4)).at(150, ("sell", 9987, 50))
    lines = [line[:2] + line[3:] for line in market.run(171) if line[2] == BID]
    assert lines == [
        (50, "new", 9990, 10, ""),
        (90, "ack", 9990, 10, "new"),
        (100, "amend", 9988, 10, "requote"),
        (130, "fill", 9990, 4, ""),
        (140, "ack", 9988, 6, "amend"),
        (170, "fill", 9988, 6, ""),
    ]


def test_an_amend_that_would_cross_ends_the_order(micro: Any) -> None:
    """The bid follows the market up to 9993 and meets an ask that came down meanwhile."""
    market = micro(entry_ns=20_000_000)
    market.at(95, ("bid", 10000, 100), ("ask", 10005, 0), ("ask", 10010, 100))
    market.at(110, ("ask", 9992, 1), ("bid", 10000, 0), ("bid", 9995, 0), ("bid", 9985, 100))
    lines = [line[:2] + line[3:] for line in market.run(122) if line[2] == BID and line[0] > 75]
    assert lines == [(100, "amend", 9993, 10, "requote"), (121, "expire", 9993, 10, "post_only")]


def test_a_marker_ends_what_rests_and_a_gap_refuses_what_comes(micro: Any) -> None:
    market = micro(entry_ns=20_000_000).at(60, ("gap", 0, 0), latency_ms=200)
    market.at(80, ("clear", 0, 0), ("bid", 9995, 100), ("ask", 10005, 100), latency_ms=200)
    lines = [line[:2] + line[3:] for line in market.run(122) if line[2] == BID]
    assert lines == [(50, "new", 9990, 10, ""), (71, "expire", 9990, 10, "gap"), (100, "new", 9990, 10, ""),
                     (121, "ack", 9990, 10, "new")]  # fmt: skip
    market = micro().at(60, ("clear", 0, 0), ("bid", 9995, 100), ("ask", 10005, 100), latency_ms=200)
    lines = [line[:2] + line[3:] for line in market.run(80) if line[2] == BID]
    assert lines[-1] == (61, "expire", 9990, 0, "gap")


def test_a_marker_with_gap_and_clear_closes_the_gap(micro: Any) -> None:
    market = micro().at(60, ("both", 0, 0), ("bid", 9995, 100), ("ask", 10005, 100))
    market.run(80)
    assert market.session.touch() == (20_000, 9995, 10005)


def test_the_mid_of_a_fill_is_that_of_the_last_message_end_before(micro: Any) -> None:
    market = micro().at(60, ("bid", 9995, 0), ("bid", 9993, 10), ("sell", 9989, 3)).at(61, ("sell", 9989, 2))
    market.run(100)
    rows = market.records[market.records["kind"] == 2]
    assert rows["fill_mid2"].tolist() == [9995 + 10005, 9993 + 10005]
    assert rows["quote_mid2"].tolist() == [20_000, 20_000]


def test_age_runs_from_the_last_accepted_request(micro: Any) -> None:
    """Sent at 50, refreshed (tail age) at 150; the second fill is 25 ms after the refresh was sent."""
    market = micro(lane={"tail_age_ms": 100}).at(145, ("sell", 9989, 2)).at(175, ("sell", 9989, 2))
    market.run(200)
    rows = market.records[(market.records["kind"] == 2) & (market.records["side"] == BID)]
    assert (rows["age_ns"] // 1_000_000).tolist() == [95, 25]


def test_a_left_behind_level_that_is_met_again_is_a_crossed_book(micro: Any) -> None:
    """9995 is stepped over and stays displayed; an ask there later crosses it."""
    market = micro().at(10, ("bid", 9990, 50)).at(20, ("ask", 9993, 1), ("ask", 9993, 0))
    market.run(30)
    assert market.session.touch() == (9990 + 10005, 9990, 10005)
    market.at(40, ("ask", 9995, 5))
    market.run(45)
    assert market.session.touch() == (0, 0, 0)
    assert market.session.counters()["crossed_message_ends"] == 1


def test_beyond_the_displayed_depth_only_a_trade_through_the_price_fills(resting: Any) -> None:
    """9995 is the only bid shown: what stands at 9990 nobody knows, until the level shows itself."""
    assert bids(resting(0).at(60, ("sell", 9990, 50)).fills(100)) == []
    assert bids(resting(0).at(60, ("sell", 9989, 4)).fills(100)) == [(60, 9990, 4)]
    shown = resting(0).at(60, ("bid", 9990, 20)).at(70, ("sell", 9990, 25))
    assert bids(shown.fills(100)) == [(70, 9990, 5)]


def test_an_empty_price_inside_the_displayed_depth_is_empty(resting: Any) -> None:
    assert bids(resting(0).at(2, ("bid", 9980, 1)).at(60, ("sell", 9990, 4)).fills(100)) == [(60, 9990, 4)]


def test_full_fill_mode_takes_an_undisplayed_price_for_an_empty_one(resting: Any) -> None:
    assert bids(resting(0, full_fill=1).at(60, ("sell", 9990, 1)).fills(100)) == [(60, 9990, 10)]
