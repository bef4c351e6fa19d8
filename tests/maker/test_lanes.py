"""Lanes know nothing of each other, and neither the cutting of time nor the size of a buffer changes anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.maker.state import RECORD_DTYPE, RULE_S1, RULE_SYMMETRIC
from engine.market.events import Columns
from engine.market.tape import exchange_order

SEEDS = range(12)


def outcome(session: Any, records: Any, end_ns: int) -> tuple[Any, ...]:
    """Everything that a session tells, in a form that can be compared."""
    return (
        records.tolist(),
        session.lane_sums(),
        session.take_blocks().tolist(),
        session.take_valid_ns(end_ns),
        session.touch(),
        session.counters(),
    )


def whole(case: Any) -> tuple[Any, ...]:
    session = case.session()
    return outcome(session, session.advance(case.columns, case.end_ns, case.order), case.end_ns)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lane_is_the_same_alone(seed: int, rule: int, make_case: Any) -> None:
    case = make_case(seed, rule, lanes=5, arrival=seed % 2 == 1)
    together = case.session()
    records = together.advance(case.columns, case.end_ns, case.order)
    sums, blocks = together.lane_sums(), together.take_blocks()
    for k, lane in enumerate(case.lanes):
        alone = case.with_lanes([lane], None if case.positions is None else case.positions[k : k + 1]).session()
        expected = records[records["lane"] == k].copy()
        expected["lane"] = 0
        assert alone.advance(case.columns, case.end_ns, case.order).tolist() == expected.tolist()
        assert alone.lane_sums() == [sums[k]]
        assert np.array_equal(alone.take_blocks()[0], blocks[k])


@pytest.mark.parametrize("seed", SEEDS)
def test_order_of_lanes_does_not_matter(seed: int, rule: int, make_case: Any, lane_by_lane: Any) -> None:
    case = make_case(seed, rule, lanes=4)
    turn = np.random.default_rng(seed).permutation(4)
    positions = None if case.positions is None else [case.positions[k] for k in turn]
    turned = case.with_lanes([case.lanes[k] for k in turn], positions).session()
    records = turned.advance(case.columns, case.end_ns, case.order)
    records["lane"] = turn[records["lane"]]
    expected = case.session().advance(case.columns, case.end_ns, case.order)
    assert lane_by_lane(records).tolist() == lane_by_lane(expected).tolist()


def test_equal_lanes_stay_equal(rule: int, make_case: Any) -> None:
    case = make_case(3, rule, lanes=1)
    session = case.with_lanes(case.lanes * 7, None).session()
    session.advance(case.columns, case.end_ns, case.order)
    assert all(sums == session.lane_sums()[0] for sums in session.lane_sums())


@pytest.mark.parametrize("rule", [RULE_S1, RULE_SYMMETRIC])
def test_any_cutting_of_time(rule: int, make_case: Any) -> None:
    @settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @given(seed=st.integers(0, 400), shares=st.lists(st.floats(0, 1), max_size=30), single_ns=st.booleans())
    def check(seed: int, shares: list[float], single_ns: bool) -> None:
        case = make_case(seed, rule, messages=60, arrival=seed % 2 == 1)
        start, end = case.start_ns, case.end_ns
        cuts = [start + int(share * (end - start)) for share in shares]
        if single_ns:  # one nanosecond after another, around things that happen
            cuts += [int(ts) + d for ts in case.columns.exch_ts_ns[::9] for d in (0, 1, case.config.response_ns)]
        session = case.session()
        parts = [session.advance(case.columns, cut, case.order) for cut in [*sorted(cuts), end]]
        assert outcome(session, np.concatenate(parts), end) == whole(case)

    check()


@pytest.mark.parametrize("seed", SEEDS)
def test_columns_may_grow(seed: int, rule: int, make_case: Any) -> None:
    """A live feed: at each call only what has come so far is there, up to just before what is missing."""
    case = make_case(seed, rule, arrival=seed % 2 == 1)
    count = len(case.columns.kind)
    session = case.session()
    parts = []
    for have in sorted(np.random.default_rng(seed).integers(1, count, 15).tolist()):
        missing = case.columns.part(have, count)
        until = min(int(missing.exch_ts_ns.min()), int(missing.local_ts_ns.min()))
        here = case.columns.part(0, have)
        order = None if case.config.arrival else exchange_order(here.exch_ts_ns)
        parts.append(session.advance(here, until, order))
    parts.append(session.advance(case.columns, case.end_ns, case.order))
    assert outcome(session, np.concatenate(parts), case.end_ns) == whole(case)


@pytest.mark.parametrize("seed", SEEDS)
def test_small_buffers_change_nothing(seed: int, rule: int, make_case: Any) -> None:
    case = make_case(seed, rule, lanes=5, arrival=seed % 2 == 1)
    session = case.session()
    orders = 2 * len(case.lanes) * case.slots
    session._out = np.zeros(2 * orders + 2, RECORD_DTYPE)
    session.state = session.state._replace(requests=session.state.requests[:1], responses=session.state.responses[:2])
    records = session.advance(case.columns, case.end_ns, case.order)
    assert len(session.state.responses) > 2, "the rings never grew: the test shows nothing"
    assert outcome(session, records, case.end_ns) == whole(case)


@pytest.mark.parametrize("seed", range(24))
def test_sums_without_records(seed: int, rule: int, make_case: Any) -> None:
    """Without records acceptances do not travel home; the strategy knows of them at the same time all the same."""
    case = make_case(seed, rule, arrival=seed % 2 == 1)
    session = case.session(records=False)
    assert len(session.advance(case.columns, case.end_ns, case.order)) == 0
    assert outcome(session, np.zeros(0, RECORD_DTYPE), case.end_ns)[1:] == whole(case)[1:]


def test_another_window_changes_nothing_inside_it(rule: int, make_case: Any) -> None:
    """The price window is storage: shifted and widened beyond every price of the tape, the result is the same."""
    for seed in SEEDS:
        case = make_case(seed, rule)
        columns = Columns(*case.columns)
        low, high = 1, int(columns.price_ticks.max()) + 10
        results = []
        for window in ((low, high), (low - 1, high + 1_000)):
            session = case.with_window(window).session()
            records = session.advance(columns, case.end_ns, case.order)
            results.append(outcome(session, records, case.end_ns))
        assert results[0] == results[1]


def test_new_parameters_apply_from_the_next_step(rule: int, make_case: Any, lane_by_lane: Any) -> None:
    """A change at a cut is what the reference makes of it; a change to the same values is no change."""
    for seed in SEEDS:
        case = make_case(seed, rule, lanes=2)
        half = (case.start_ns + case.end_ns) // 2
        other = make_case(seed + 100, rule, lanes=1).lanes[0]
        results = []
        for maker, rest in ((case.session(), (case.order,)), (case.reference(), ())):
            first = maker.advance(case.columns, half, *rest)
            maker.set_params(0, case.lanes[0])
            maker.set_params(1, other)
            second = maker.advance(case.columns, case.end_ns, *rest)
            results.append(lane_by_lane(np.concatenate([first, second])).tolist())
        assert results[0] == results[1]
