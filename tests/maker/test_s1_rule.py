"""Each limit of the S1 rule on its own: hand-made markets around 10000 ticks, where a basis point is a tick."""

from __future__ import annotations

from typing import Any

import pytest

from engine.maker.state import QUEUE_RISK

BID, ASK = 1, -1


def up(ticks: int) -> tuple[tuple[str, int, int], ...]:
    """The book moves up: new levels first, as a venue sends them."""
    return (("ask", 10005, 0), ("bid", 9995, 0), ("bid", 9995 + ticks, 100), ("ask", 10005 + ticks, 100))


def test_quotes_stand_half_a_spread_from_the_mid(micro: Any) -> None:
    market = micro()
    assert market.sent(500, BID) == [(50, "new", 9990, 10, "")]
    assert market.sent(500, ASK) == [(50, "new", 10010, 10, "")]
    assert market.blocks(BID) == market.blocks(ASK) == {}


def test_base_spread_bps_delta_widens(micro: Any) -> None:
    market = micro(lane={"base_spread_bps_delta": 0.25})
    assert market.sent(60, BID)[0][2] == 10000 - 13  # 12.5 ticks, away from the market
    assert market.sent(60, ASK)[0][2] == 10000 + 13


def test_a_wide_market_widens_the_quote(micro: Any) -> None:
    """The market's half-spread is 5 ticks: three times it is more than the base of 10."""
    assert micro(market_half_spread_share=3.0).sent(60, BID)[0][2] == 9985
    assert micro(market_half_spread_share=1.0).sent(60, BID)[0][2] == 9990


def test_the_smoothed_spread_follows_slowly(micro: Any) -> None:
    """From 10 to 20 ticks of spread: 10 + 10/256 after one message, so the half-spread of 15 barely moves."""
    market = micro(market_half_spread_share=3.0, requote_threshold_bps=0.0).at(
        60, ("bid", 9995, 0), ("bid", 9990, 100), ("ask", 10005, 0), ("ask", 10010, 100)
    )
    assert market.sent(200, BID) == [(50, "new", 9985, 10, ""), (100, "amend", 9984, 10, "requote")]


def test_position_shifts_both_quotes(micro: Any) -> None:
    market = micro(50, skew_bps_at_cap=6.0)  # long half of the cap: down by 3 ticks
    assert market.sent(60, BID)[0][2] == 9987
    assert market.sent(60, ASK)[0][2] == 10007


def test_tail_age_refreshes_and_keeps_the_queue(micro: Any) -> None:
    """20 ahead, 15 trade before the refresh at 150 ms and 8 after: 3 reach us, as if nothing had been sent."""
    market = micro(lane={"tail_age_ms": 100}, queue=QUEUE_RISK)
    market.at(1, ("bid", 9990, 20)).at(140, ("sell", 9990, 15)).at(160, ("sell", 9990, 8))
    assert market.sent(280, BID)[:3] == [
        (50, "new", 9990, 10, ""),
        (150, "amend", 9990, 10, "tail_age"),
        (250, "amend", 9990, 7, "tail_age"),
    ]
    assert [fill for fill in market.fills(200) if fill[1] == BID] == [(160, BID, 9990, 3)]


def test_an_amended_price_joins_the_back(micro: Any) -> None:
    """30 lots stand at 9993 when we come there at 101 ms: 29 and 3 traded reach 2 of ours."""
    market = micro().at(1, ("bid", 9993, 30)).at(60, *up(3)).at(110, ("sell", 9993, 29)).at(111, ("sell", 9993, 3))
    assert market.sent(102, BID) == [(50, "new", 9990, 10, ""), (100, "amend", 9993, 10, "requote")]
    assert [fill for fill in market.fills(113) if fill[1] == BID] == [(111, BID, 9993, 2)]


def test_small_moves_are_left_alone(micro: Any) -> None:
    assert len(micro(requote_threshold_bps=2.0).at(60, *up(1)).sent(300, BID)) == 1
    assert micro(requote_threshold_bps=2.0).at(60, *up(2)).sent(300, BID)[1:] == [(100, "amend", 9992, 10, "requote")]


def test_max_delta_limits_tightening_only(micro: Any) -> None:
    """Of a spread of 20, 0.2 are 3 whole ticks a step at most; the ask backs off at once."""
    market = micro(lane={"max_delta_ratio": 0.2}, requote_threshold_bps=1.0).at(60, *up(10))
    assert [(ms, price) for ms, _, price, *_ in market.sent(400, BID)] == [
        (50, 9990), (100, 9993), (150, 9996), (200, 9999), (250, 10000),
    ]  # fmt: skip
    assert [(ms, price) for ms, _, price, *_ in market.sent(400, ASK)] == [(50, 10010), (100, 10020)]
    market = micro(lane={"max_delta_ratio": 0.15}, requote_threshold_bps=1.0).at(60, *up(10))
    assert [(ms, price) for ms, _, price, *_ in market.sent(160, BID)] == [(50, 9990), (100, 9992), (150, 9994)]


def test_the_threshold_looks_at_what_is_wanted_not_at_the_step_allowed(micro: Any) -> None:
    """One tick a step, a threshold of two: the quote tightens all the same while it is two ticks away or more."""
    market = micro(lane={"max_delta_ratio": 0.1}).at(60, *up(3))
    assert [(ms, price) for ms, _, price, *_ in market.sent(400, BID)] == [(50, 9990), (100, 9991), (150, 9992)]


def test_dwell_keeps_off_a_young_touch(micro: Any) -> None:
    """Half a tick of spread wants inside the touch: one tick behind it until it has stood 120 ms."""
    market = micro(lane={"touch_dwell_ms": 120}, base_half_spread_bps=0.5, requote_threshold_bps=0.0)
    assert market.sent(400, BID) == [(50, "new", 9994, 10, ""), (150, "amend", 9995, 10, "requote")]
    market = micro(lane={"touch_dwell_ms": 50}, base_half_spread_bps=0.5)
    assert market.sent(400, BID) == [(50, "new", 9995, 10, "")]


def test_dwell_counts_from_message_ends(micro: Any) -> None:
    """A touch that goes and comes back inside one message has stood all along."""
    lane = {"touch_dwell_ms": 50}
    market = micro(lane=lane, base_half_spread_bps=0.5).at(40, ("bid", 9995, 0), ("bid", 9995, 90))
    assert market.sent(60, BID) == [(50, "new", 9995, 10, "")]
    market = micro(lane=lane, base_half_spread_bps=0.5).at(30, ("bid", 9995, 0)).at(40, ("bid", 9995, 90))
    assert market.sent(60, BID) == [(50, "new", 9994, 10, "")]


def test_impact_cap_limits_the_size(micro: Any) -> None:
    """100 lots at 9995 and 40 at 9985, both within 10 ticks; 30 at 9984 is beyond."""
    market = micro(lane={"impact_cap_ratio": 0.05}).at(1, ("bid", 9985, 40), ("bid", 9984, 30))
    assert market.sent(60, BID)[0][3] == 7
    assert market.sent(60, ASK)[0][3] == 5


def test_min_lot_refuses_small_quotes_without_a_block(micro: Any) -> None:
    lane = {"impact_cap_ratio": 0.05, "min_lot": 6}
    market = micro(lane=lane)
    assert market.sent(300, BID) == []
    assert market.blocks(BID) == {}
    market = micro(lane=lane | {"min_lot": 5})
    assert len(market.sent(300, BID)) == 1
    market = micro(lane=lane | {"min_lot": 2}, venue_min_lots=3)
    assert market.sent(300, BID) == []


def test_a_live_quote_is_pulled_when_the_depth_goes(micro: Any) -> None:
    market = micro(lane={"impact_cap_ratio": 0.1, "min_lot": 5}).at(60, ("bid", 9995, 40))
    assert market.sent(300, BID) == [(50, "new", 9990, 10, ""), (100, "cancel", 9990, 0, "size")]


def test_risk_leaves_room_for_the_cap(micro: Any) -> None:
    market = micro(95)
    assert market.sent(60, BID)[0][3] == 5
    assert market.sent(60, ASK)[0][3] == 10
    market = micro(100)
    assert market.sent(210, BID) == []
    assert market.blocks(BID) == {"risk": 4}
    market = micro(-98, lane={"min_lot": 3})
    assert market.sent(210, ASK) == []
    assert market.blocks(ASK) == {"risk": 4}


def test_risk_pulls_a_live_quote_at_the_cap(micro: Any) -> None:
    """Room for 12: after 9 of the 10 are filled, 3 lots are left, fewer than the smallest quote."""
    market = micro(88, lane={"min_lot": 4}).at(60, ("sell", 9989, 9))
    assert market.sent(210, BID) == [(50, "new", 9990, 10, ""), (100, "cancel", 9990, 0, "risk")]
    assert market.blocks(BID) == {"risk": 2}


def test_stale_pulls_and_then_blocks(micro: Any) -> None:
    market = micro(stale_ns=120_000_000)
    assert market.sent(320, BID) == [(50, "new", 9990, 10, ""), (150, "cancel", 9990, 0, "stale")]
    assert market.blocks(BID) == {"stale": 3}
    market = micro(stale_ns=120_000_000).at(90, ("bid", 9000, 1)).at(205, ("bid", 9000, 2))
    assert [line[1] for line in market.sent(320, BID)] == ["new"]


def test_a_gap_pulls_blocks_and_ends(micro: Any) -> None:
    """The venue ends the order at the gap itself; the strategy counts blocks until a snapshot is there."""
    market = micro().at(60, ("gap", 0, 0)).at(170, ("clear", 0, 0), ("bid", 9995, 100), ("ask", 10005, 100))
    lines = [line[:2] + line[5:] for line in market.run(205) if line[2] == BID]
    assert lines == [(50, "new", ""), (52, "ack", "new"), (61, "expire", "gap"), (200, "new", ""), (202, "ack", "new")]
    assert market.blocks(BID) == {"gap": 2}


def test_an_unquotable_book_pulls_a_live_quote(micro: Any) -> None:
    market = micro().at(60, ("ask", 10005, 0))
    assert market.sent(160, BID) == [(50, "new", 9990, 10, ""), (100, "cancel", 9990, 0, "gap")]
    assert market.blocks(BID) == {"gap": 1}


def test_min_interval_spaces_requests(micro: Any) -> None:
    """The market moves at 60 ms; with 120 ms between requests the amend waits from 100 to 200 ms."""
    market = micro(spacing_ns=120_000_000).at(60, *up(3))
    assert market.sent(210, BID) == [(50, "new", 9990, 10, ""), (200, "amend", 9993, 10, "requote")]
    assert market.blocks(BID) == {"min_interval": 2}


def test_min_interval_counts_cancels_too(micro: Any) -> None:
    """A cancel at 100 ms (never held back itself) keeps the next quote waiting."""
    market = micro(spacing_ns=120_000_000).at(60, ("ask", 10005, 0)).at(110, ("ask", 10005, 100))
    assert market.sent(260, BID) == [
        (50, "new", 9990, 10, ""), (100, "cancel", 9990, 0, "gap"), (250, "new", 9990, 10, ""),
    ]  # fmt: skip
    assert market.blocks(BID) == {"min_interval": 2}


def test_min_interval_ms_is_the_cadence(micro: Any) -> None:
    market = micro(lane={"min_interval_ms": 70}).at(71, *up(3))
    assert [line[0] for line in market.sent(300, BID)] == [70, 140]


def test_throttle_blocks_then_pulls_what_is_due(micro: Any) -> None:
    """One token each 500 ms and no burst: the refresh due at 150 ms is blocked, so the quote is pulled."""
    market = micro(lane={"replace_rate_per_min": 120, "tail_age_ms": 100}, burst=1)
    assert market.sent(510, BID) == [(50, "new", 9990, 10, ""), (150, "cancel", 9990, 0, "tail_age")]
    assert market.blocks(BID) == {"throttle": 8}
    assert market.sent(560, BID)[-1] == (550, "new", 9990, 10, "")


def test_throttle_blocks_a_quote_that_is_not_due(micro: Any) -> None:
    market = micro(lane={"replace_rate_per_min": 120}, burst=1).at(60, *up(3))
    assert market.sent(560, BID) == [(50, "new", 9990, 10, ""), (550, "amend", 9993, 10, "requote")]
    assert market.blocks(BID) == {"throttle": 9}


@pytest.mark.parametrize("burst", [1, 2, 3])
def test_burst_is_how_many_go_at_once(micro: Any, burst: int) -> None:
    """The market moves before each of many steps, 50 ms apart; a token comes each 500 ms."""
    market = micro(lane={"replace_rate_per_min": 120, "min_interval_ms": 50}, burst=burst, requote_threshold_bps=1.0)
    for i in range(8):
        market.at(60 + 50 * i, ("ask", 10005 + 2 * i, 0), ("bid", 9995 + 2 * i, 0),
                  ("bid", 9997 + 2 * i, 100), ("ask", 10007 + 2 * i, 100))  # fmt: skip
    assert len(market.sent(460, BID)) == burst


def test_budget_is_one_a_side(micro: Any) -> None:
    market = micro(lane={"replace_rate_per_min": 120}, burst=1)
    assert len(market.sent(60, BID)) == len(market.sent(60, ASK)) == 1


def test_requests_in_flight_block(micro: Any) -> None:
    """The first request is under way from 50 to 250 ms; the market moves by 3 ticks at 60."""
    market = micro(entry_ns=200_000_000).at(60, *up(3))
    assert market.sent(310, BID) == [(50, "new", 9990, 10, ""), (300, "amend", 9993, 10, "requote")]
    assert market.blocks(BID) == {"concurrency": 4}
    market = micro(entry_ns=200_000_000).at(60, *up(1))  # less than the threshold: nothing was wanted
    assert market.sent(260, BID) == [(50, "new", 9990, 10, "")]
    assert market.blocks(BID) == {}


def test_a_pull_waits_for_what_is_in_flight(micro: Any) -> None:
    market = micro(entry_ns=200_000_000).at(60, ("ask", 10005, 0))
    assert market.sent(310, BID) == [(50, "new", 9990, 10, ""), (300, "cancel", 9990, 0, "gap")]
    assert market.blocks(BID) == {"concurrency": 4}
