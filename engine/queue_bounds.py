"""What the unseen queue is worth: a run's lane 0 again under the pessimistic and the optimistic queue model.

Displayed depth does not say who stands where in a queue. `risk` lets only trades move us forward, `optimistic` takes
every decrease of the level to have been ahead of us; what really happened lies between the fills of the two. The same
parameters take effect at the same market times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from engine.ledger import Valuer, lane_components
from engine.maker.session import MakerSession
from engine.maker.state import QUEUE_OPTIMISTIC, QUEUE_RISK, Config
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
    config = profile.kernel_config(tape.meta.instrument(), tape.reference_mid2())
    bounds: dict[str, Any] = {"used": profile.queue}
    for name, model in MODELS.items():
        changed = config._replace(queue=model, arrival=int(tape.meta.order == "arrival"))
        bounds[name] = _run(tape, changed, profile, schedule, parameters, position_start_lots)
    return bounds


def _run(
    tape: Tape,
    config: Config,
    profile: Profile,
    schedule: Schedule,
    parameters: Sequence[tuple[int, Mapping[str, float]]],
    position_start_lots: int,
) -> dict[str, Any]:
    window = (tape.meta.price_low_ticks, tape.meta.price_high_ticks + 1)
    session = MakerSession(config, [parameters[0][1]], window, schedule.start_ns, positions_lots=[position_start_lots])
    order = None if config.arrival else tape.exch_order
    records, mid2_start, at_ns = [], 0, schedule.start_ns
    while not mid2_start and at_ns < schedule.end_ns:  # the first two-sided book marks the starting position
        at_ns += 1_000_000_000
        records.append(session.advance(tape.columns, min(at_ns, schedule.end_ns), order))
        mid2_start = session.touch()[0]
    for effective_ns, params in parameters[1:]:
        records.append(session.advance(tape.columns, effective_ns, order))
        session.set_params(0, params)
    records.append(session.advance(tape.columns, schedule.end_ns, order))
    rows = np.concatenate(records)
    mid2_end = session.touch()[0] or mid2_start
    value = Valuer(tape.meta.instrument())
    components = lane_components(
        rows, 0, value, Fraction(profile.maker_fee_rate), mid2_start or 2, mid2_end or 2, position_start_lots
    )
    names = ("net_bps", "net_pnl_quote", "notional_quote")
    return {name: components.to_json()[name] for name in names} | {"fills": components.fills}
