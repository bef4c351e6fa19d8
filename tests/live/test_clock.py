"""The clock of arrivals: even, never back, and it notices when the wall clock is set."""

from __future__ import annotations

import pytest

from engine.live.clock import ArrivalClock

S = 1_000_000_000


class Times:
    def __init__(self) -> None:
        self.wall_ns, self.elapsed_ns = 1_700_000_000 * S, 5 * S

    def pass_ns(self, ns: int, *, wall_ns: int | None = None) -> None:
        self.elapsed_ns += ns
        self.wall_ns += ns if wall_ns is None else wall_ns


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def clock(times: Times) -> ArrivalClock:
    return ArrivalClock(lambda: times.wall_ns, lambda: times.elapsed_ns)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_wall_clock_that_is_set_is_told_once_and_changes_no_stamp(
    times: Times, clock: ArrivalClock, hours: int
) -> None:
    before_ns = clock.now_ns()
    times.pass_ns(S, wall_ns=S + hours * 3600 * S)
    assert clock.now_ns() - before_ns == S
    assert clock.jump_ns(S) == hours * 3600 * S and clock.jump_ns(S) == 0


def test_small_steps_add_up(times: Times, clock: ArrivalClock) -> None:
    told = []
    for _ in range(10):
        times.pass_ns(S, wall_ns=S + 300_000_000)
        told.append(clock.jump_ns(S))
    assert [round(ns / S, 1) for ns in told if ns] == [1.2, 1.2] and clock.now_ns() == 1_700_000_010 * S
