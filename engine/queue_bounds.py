"""What the unseen queue is worth: a run's lane 0 again under the pessimistic and the optimistic queue model.

Displayed depth does not say who stands where in a queue. `risk` lets only trades move us forward, `optimistic` takes
every decrease of the level to have been ahead of us; what really happened lies between the fills of the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.lane_replay import LaneReplay
from engine.maker.state import QUEUE_OPTIMISTIC, QUEUE_RISK
from engine.market.tape import Tape
from engine.profile import Profile
from engine.soak import Schedule

MODELS = {"pessimistic": QUEUE_RISK, "optimistic": QUEUE_OPTIMISTIC}


def queue_bounds(
    tape: Tape,
    profile: Profile,
    schedule: Schedule,
    parameters: Sequence[tuple[int, Mapping[str, float]]],
    position_start_lots: int = 0,
) -> dict[str, Any]:
    """{"used": model, "pessimistic": {net_bps, net_pnl_quote, notional_quote, fills}, "optimistic": {...}}.

    Args:
        parameters: (time of effect in ns, set) in order of time; the first is in force from the start.
    """
    lane = LaneReplay(tape, profile, schedule, parameters, position_start_lots)
    unchanged = lane.unchanged()
    changes = [replace(unchanged, config=unchanged.config._replace(queue=model)) for model in MODELS.values()]
    outcomes = zip(MODELS, lane.run_all(changes), strict=True)
    return {"used": profile.queue} | {name: outcome.to_json() for name, outcome in outcomes}
