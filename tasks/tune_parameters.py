"""Step: KPIs -> decision -> overrides."""

from __future__ import annotations

from engine.soak import RunPlan
from engine.soak_steps import Measured, tune
from engine.tuning.autotune import Decision
from tasks.listening import tell
from tasks.step import step


@step
def tune_parameters(plan: RunPlan, measured: Measured) -> Decision:
    """In a run that is not auto-tuned nothing is decided and the overrides stay whatever the user makes them."""
    decision = tune(plan, measured)
    tell({"event": "decided", "symbol": plan.symbol, "iteration": measured.iteration, "note": decision.note})
    return decision
