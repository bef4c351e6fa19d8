"""Queue models: how much displayed quantity stands ahead of our order, behind one small interface.

State of an order at a price: lots ahead (State.front, may fall below zero) and lots traded at the price since the
level's last update (State.traded). Joining (behind what is displayed) and trades (they take from the front) are the
same in every model and stand in exchange.py; a model is what it makes of a change of the level's displayed size:

    risk        only trades move us forward; front = min(front, new level)            (pessimistic)
    power(n)    a decrease not explained by trades is split between front and back by
                p = back^n / (back^n + front^n), back = old level - front
    optimistic  every decrease not explained by trades was ahead of us

An order is filled once its front rounds (half away from zero) to minus one lot or less.
Powers are repeated multiplication: no libm call decides a fill.
"""

from __future__ import annotations

from engine.jit import inlined
from engine.maker.state import QUEUE_POWER, QUEUE_RISK


@inlined
def fillable_lots(front: float) -> int:
    """Lots of ours that trades have reached: -front rounded half away from zero, at least 0."""
    if front > -0.5:
        return 0
    return int(0.5 - front)


@inlined
def after_depth(model: int, power: int, front: float, traded: float, old: float, new: float) -> float:
    """The new front once the level went from `old` to `new` lots of which `traded` were already counted."""
    if model == QUEUE_RISK:
        return min(front, new)
    decrease = old - new - traded
    if decrease < 0.0:
        return min(front, new)
    if model == QUEUE_POWER:
        back = old - front
        f, b = 1.0, 1.0
        for _ in range(power):
            f *= front
            b *= back
        total = f + b
        behind = 1.0 if total == 0.0 else b / total
        spill = back - behind * decrease
        return min(front - (1.0 - behind) * decrease + min(spill, 0.0), new)
    return min(front - decrease, new) if front > 0.0 else min(front, new)
