"""The clock that arrivals are stamped with: it never goes back and never jumps.

    now = wall clock at the start + time elapsed since, by a clock that only moves forward

The operating system disciplines the speed of both clocks, so they part only where somebody sets the wall clock. Then
the stamps go on evenly and `jump_ns` tells: arrivals before and after can be compared, the setting is a gap.
On Linux the elapsed time counts a suspended machine's sleep, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def elapsed_ns() -> int:
    """Time of a clock that never goes back, from an arbitrary start."""
    return time.monotonic_ns() if _BOOT_CLOCK is None else time.clock_gettime_ns(_BOOT_CLOCK)


class ArrivalClock:
    """Args: `wall` and `elapsed` give ns; others than the machine's own are for tests."""

    def __init__(self, wall: Callable[[], int] = time.time_ns, elapsed: Callable[[], int] = elapsed_ns) -> None:
        self._wall, self._elapsed = wall, elapsed
        self._offset_ns = wall() - elapsed()
        self._seen_offset_ns = self._offset_ns

    def now_ns(self) -> int:
        return self._offset_ns + self._elapsed()

    def jump_ns(self, bound_ns: int) -> int:
        """By how much the wall clock was set since the last call, + forward; 0 where it is within `bound_ns`.

        What is within the bound counts on: a clock that is set little by little is noticed, too.
        """
        offset_ns = self._wall() - self._elapsed()
        jump_ns = offset_ns - self._seen_offset_ns
        if abs(jump_ns) <= bound_ns:
            return 0
        self._seen_offset_ns = offset_ns
        return jump_ns
