"""What the unseen queue is worth: a run's lane 0 again under the pessimistic and the optimistic queue model.

Displayed depth does not say who stands where in a queue. `risk` lets only trades move us forward, `optimistic` takes
every decrease of the level to have been ahead of us; what really happened lies between the fills of the two.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.lane_replay import LaneReplay
from engine.maker.state import QUEUE_OPTIMISTIC, QUEUE_RISK

MODELS = {"pessimistic": QUEUE_RISK, "optimistic": QUEUE_OPTIMISTIC}


def queue_bounds(lane: LaneReplay) -> dict[str, Any]:
    """{"used": model, "pessimistic": {net_bps, net_pnl_quote, notional_quote, fills}, "optimistic": {...}}."""
    unchanged = lane.unchanged()
    changes = [replace(unchanged, config=unchanged.config._replace(queue=model)) for model in MODELS.values()]
    outcomes = zip(MODELS, lane.run_all(changes), strict=True)
    return {"used": lane.profile.queue} | {name: outcome.to_json() for name, outcome in outcomes}
