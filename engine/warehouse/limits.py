"""When a mid is too far from what it is to value: the one place, for SQL (core_limit) and Python alike."""

from __future__ import annotations

LIMITS = {
    "mid_age_ns": 2 * 10**9,  # a fill's and a quote's mid are at most so old
    "markout_late_ns": 2 * 10**9,  # the mid after a fill's horizon comes at most so late
    "edge_age_ns": 60 * 10**9,  # the mid that values a position at an edge is at most so old
    "stale_share_pct": 1,  # of the notional may have older mids before components are null
}
