"""Hands on a lane: pausing and flattening do what docs/fill-model.md says, and what the slow reference does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.maker.state import EVENT_NAMES, FLATTENING, REASON_NAMES, REC_FILL, TAKER

BID, ASK = 1, -1
MS = 1_000_000


def flattening(session: Any) -> list[bool]:
    """By lane, whether it still takes its position out."""
    return [bool(hold & FLATTENING) for hold in session.state.lanes["hold"]]


def hands_on(maker: Any, seed: int, lanes: int) -> None:
    rng = np.random.default_rng(seed)
    for lane in range(lanes):
        match int(rng.integers(5)):
            case 0:
                maker.set_paused(lane, True)
            case 1:
                maker.set_paused(lane, False)
            case 2 | 3:
                maker.flatten(lane)


@pytest.mark.parametrize("arrival", [False, True], ids=["exchange", "receipt"])
def test_kernel_equals_reference(arrival: bool, rule: int, make_case: Any, lane_by_lane: Any) -> None:
    seen: set[tuple[str, str]] = set()
    taken = flat = 0
    for seed in range(60):
        case = make_case(seed, rule, arrival=arrival)
        session, reference, silent = case.session(), case.reference(), case.session(records=False)
        cuts = np.linspace(case.start_ns, case.end_ns, 12).astype(np.int64).tolist()
        parts: list[list[Any]] = [[], []]
        for i, until in enumerate([*cuts[1:-1], case.end_ns]):
            parts[0].append(session.advance(case.columns, until, case.order))
            parts[1].append(reference.advance(case.columns, until))
            silent.advance(case.columns, until, case.order)
            for maker in (session, reference, silent):
                hands_on(maker, 100 * seed + i, len(case.lanes))
        ours, theirs = (lane_by_lane(np.concatenate(rows)) for rows in parts)
        assert ours.tolist() == theirs.tolist(), seed
        assert session.lane_sums() == reference.lane_sums() == silent.lane_sums()
        assert session.take_blocks().tolist() == reference.take_blocks().tolist()
        assert [lane.flattening for lane in reference.lanes] == flattening(session)
        orders = ours[ours["kind"] != REC_FILL]
        seen |= {(EVENT_NAMES[code], REASON_NAMES[why]) for code, why in orders[["code", "reason"]].tolist()}
        fills = ours[(ours["kind"] == REC_FILL) & (ours["code"] == TAKER)]
        taken, flat = taken + len(fills), flat + int((fills["position_lots"] == 0).sum())
    assert seen >= {("new", "flatten"), ("cancel", "flatten"), ("cancel", "paused"), ("expire", "size")}
    assert taken > 20 and flat > 5


def advanced(market: Any, *until_ms: float) -> Any:
    """Run to each time in turn; between the first and the second, flatten the lane. Returns the later records."""
    market.run(until_ms[0])
    session = market.session
    session.flatten(0)
    columns = market.tape.columns()
    return session, np.concatenate([session.advance(columns, market.START_NS + round(ms * MS)) for ms in until_ms[1:]])


def fills_of(records: Any) -> list[tuple[int, int, int, int, int]]:
    rows = records[records["kind"] == REC_FILL]
    return [tuple(int(row[name]) for name in ("side", "price_ticks", "qty_lots", "code", "over")) for row in rows]


def test_flattening_works_through_the_levels(micro: Any) -> None:
    """Short 30, and 10 lots at each ask: three levels. Quotes are pulled first; afterwards the lane quotes again."""
    market = micro(position=-30)
    market.at(10, ("ask", 10005, 10), ("ask", 10006, 10), ("ask", 10008, 10), ("ask", 10009, 10))
    market.at(600, ("bid", 9995, 100))
    session, later = advanced(market, 120, 600)
    assert fills_of(later) == [(1, 10005, 10, TAKER, 0), (1, 10006, 10, TAKER, 0), (1, 10008, 10, TAKER, 1)]
    assert session.positions_lots.tolist() == [0] and flattening(session) == [False]
    sent = [
        ((int(row["ts_ns"]) - market.START_NS) // MS, EVENT_NAMES[row["code"]], REASON_NAMES[row["reason"]])
        for row in later
        if row["kind"] != REC_FILL and EVENT_NAMES[row["code"]] in ("new", "cancel")
    ]
    assert sent[:3] == [(150, "cancel", "flatten"), (150, "cancel", "flatten"), (200, "new", "flatten")]
    assert sent[3:] and {event for _, event, _ in sent[3:]} == {"new"} and sent[3][0] == 300


def test_what_is_not_displayed_waits(micro: Any) -> None:
    """Long 25 against 10 lots at one bid: 10 at once, the rest expires and is asked for again at the next step."""
    market = micro(position=25)
    market.at(10, ("bid", 9995, 10))
    session, later = advanced(market, 120, 249)
    assert fills_of(later) == [(-1, 9995, 10, TAKER, 0)]
    assert session.positions_lots.tolist() == [15] and flattening(session) == [True]
    expired = later[later["code"] == EVENT_NAMES.index("expire")]
    assert [(REASON_NAMES[row["reason"]], int(row["qty_lots"])) for row in expired] == [("size", 15)]


@pytest.mark.parametrize("marker", ["gap", "both"])
def test_a_gap_ends_it(marker: str, micro: Any) -> None:
    market = micro(position=25)
    market.at(10, ("bid", 9995, 10))
    market.at(210, (marker, 0, 0))
    session, later = advanced(market, 120, 600)
    assert len(fills_of(later)) == 1 and session.positions_lots.tolist() == [15]
    assert flattening(session) == [False]


def test_a_paused_lane_stays_paused_after_flattening(micro: Any) -> None:
    market = micro(position=-5)
    market.run(120)
    session, columns = market.session, market.tape.columns()
    session.set_paused(0, True)
    session.flatten(0)
    later = session.advance(columns, market.START_NS + 2_000 * MS)
    assert session.positions_lots.tolist() == [0] and int(later["ts_ns"].max()) < market.START_NS + 250 * MS
    session.set_paused(0, False)
    again = session.advance(columns, market.START_NS + 3_000 * MS)
    assert [EVENT_NAMES[row["code"]] for row in again[:2]] == ["new", "new"]
