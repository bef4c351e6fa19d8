"""Step: journal -> warehouse -> the KPIs of one iteration."""

from __future__ import annotations

from engine.soak import RunPlan
from engine.soak_steps import Measured, measure
from tasks.listening import tell
from tasks.step import step


@step
def measure_iteration(plan: RunPlan, iteration: int) -> Measured:
    measured = measure(plan, iteration)
    tell({"event": "measured", "symbol": plan.symbol, "iteration": iteration, "net_bps": measured.net_bps})
    return measured
