"""`python -m engine.maker.warm`: compile the kernels into numba's cache, so that a first run starts at once."""

from __future__ import annotations

import numpy as np

from engine.maker.session import MakerSession
from engine.maker.state import QUEUE_POWER, RULE_S1, RULE_SYMMETRIC, Config

_COLUMNS = ("<i8", "<i8", "u1", "u1", "<i4", "<i8")
S1_LANE = {
    "min_interval_ms": 70,
    "replace_rate_per_min": 280,
    "base_spread_bps_delta": 0.1,
    "tail_age_ms": 650,
    "impact_cap_ratio": 0.09,
    "max_delta_ratio": 0.14,
    "touch_dwell_ms": 25,
    "min_lot": 1,
}


def warm() -> None:
    """Run both rules over no events."""
    config = Config(RULE_S1, QUEUE_POWER, 3, 0, 0, 0, 1, 1, 1, 0, 1, 1, 1.0, 1.0, 0.0, 0.0, 1.0)
    symmetric = {"min_interval_ms": 100, "half_spread_ticks": 1.0, "skew_ticks": 0.0}
    for rule, lane in ((RULE_S1, S1_LANE), (RULE_SYMMETRIC, symmetric)):
        session = MakerSession(config._replace(rule=rule), [lane], (0, 16), 0)
        session.advance([np.zeros(1, dtype) for dtype in _COLUMNS], 1)


if __name__ == "__main__":
    warm()
