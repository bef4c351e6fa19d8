"""The kernel does what the slow, obvious implementation of docs/fill-model.md does: bit for bit, on random tapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.maker.state import EVENT_NAMES, REASON_NAMES, REC_FILL, RULE_S1, RULE_SYMMETRIC

SEEDS = (*range(40), 79, 164)  # the last two: a cancel for want of room, an amend of nothing left


def differences(case: Any, by_lane: Any, trace_steps: int = 0) -> list[str]:
    """What the kernel and the reference disagree about; for records the first differing row, field by field."""
    session, reference = case.session(trace_steps=trace_steps), case.reference()
    ours, theirs = (
        session.advance(case.columns, case.end_ns, case.order),
        reference.advance(case.columns, case.end_ns),
    )
    assert (np.diff(ours["ts_ns"]) >= 0).all()
    ours, theirs = by_lane(ours), by_lane(theirs)
    found = [] if len(ours) == len(theirs) else [f"{len(ours)} records, not {len(theirs)}"]
    for i, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        if a != b:
            fields = {name: (int(a[name]), int(b[name])) for name in a.dtype.names if a[name] != b[name]}
            found.append(f"record {i} of lane {a['lane']} at {a['ts_ns']}: (kernel, reference) = {fields}")
            break
    pairs = {
        "lane sums": (session.lane_sums(), reference.lane_sums()),
        "touch": (session.touch(), reference.touch()),
        "valid time": (session.take_valid_ns(case.end_ns), reference.take_valid_ns(case.end_ns)),
        "counters": (session.counters(), reference.counters()),
        "blocks": (session.take_blocks().tolist(), reference.take_blocks().tolist()),
        "positions": (session.positions_lots.tolist(), [sums["position_lots"] for sums in reference.lane_sums()]),
    }
    for k, rows in enumerate(reference.trace if trace_steps else []):
        pairs[f"trace of lane {k}"] = (session.trace[: len(rows), k].tolist(), [list(row) for row in rows])
    return found + [f"{name}: kernel {a}, reference {b}" for name, (a, b) in pairs.items() if a != b]


@pytest.mark.parametrize("seed", SEEDS)
def test_kernel_equals_reference(seed: int, rule: int, make_case: Any, lane_by_lane: Any) -> None:
    assert not differences(make_case(seed, rule), lane_by_lane)


@pytest.mark.parametrize("seed", SEEDS)
def test_kernel_equals_reference_by_order_of_receipt(seed: int, rule: int, make_case: Any, lane_by_lane: Any) -> None:
    assert not differences(make_case(seed, rule, arrival=True), lane_by_lane)


@pytest.mark.parametrize("seed", SEEDS[:20])
def test_kernel_equals_reference_where_the_clock_is_behind(
    seed: int, rule: int, make_case: Any, lane_by_lane: Any
) -> None:
    assert not differences(make_case(seed, rule, clock_behind=True), lane_by_lane)


def test_kernel_equals_reference_by_order_of_receipt_where_the_clock_is_behind(
    rule: int, make_case: Any, lane_by_lane: Any
) -> None:
    for seed in SEEDS:
        case = make_case(seed, rule, arrival=True, clock_behind=True)
        assert not differences(case, lane_by_lane)


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_traced_kernel_equals_reference(seed: int, make_case: Any, lane_by_lane: Any) -> None:
    """A trace has a row for every step, so no step is skipped: another path through the kernel."""
    assert not differences(make_case(seed, RULE_SYMMETRIC), lane_by_lane, trace_steps=2_000)


def test_kernel_equals_reference_where_crossings_leave_levels_behind(
    rule: int, make_case: Any, lane_by_lane: Any
) -> None:
    found = {seed: differences(make_case(seed, rule, leftovers=True), lane_by_lane) for seed in SEEDS}
    assert not {seed: what for seed, what in found.items() if what}


def test_random_tapes_reach_everything(make_case: Any) -> None:
    """Those that are compared above: else it would compare little."""
    seen: set[tuple[str, str]] = set()
    fills = partial = permuted = 0
    for rule in (RULE_S1, RULE_SYMMETRIC):
        for seed in SEEDS:
            case = make_case(seed, rule)
            permuted += case.order is not None
            records = case.session().advance(case.columns, case.end_ns, case.order)
            for code, reason in np.unique(records[["code", "reason"]][records["kind"] != REC_FILL]).tolist():
                seen.add((EVENT_NAMES[code], REASON_NAMES[reason]))
            is_fill = records["kind"] == REC_FILL
            fills += int(is_fill.sum())
            partial += int((is_fill & (records["over"] == 0)).sum())
    expected = {("new", ""), ("ack", "new"), ("ack", "amend"), ("ack", "cancel"), ("reject", "gone")}
    expected |= {("amend", reason) for reason in ("tail_age", "requote")}
    expected |= {("cancel", reason) for reason in ("gap", "stale", "risk", "size", "tail_age", "requote")}
    expected |= {("expire", reason) for reason in ("gap", "post_only", "gone")}
    assert seen == expected
    assert fills > 1_000 and partial > 100 and permuted > 50
