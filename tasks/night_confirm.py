"""Step: every waiting challenger judged on all the nights it has run."""

from __future__ import annotations

from engine import night
from engine.champion.confirm import Confirmation
from engine.soak import RunPlan
from tasks.step import step


@step
def confirm_challengers(plan: RunPlan) -> tuple[Confirmation, ...]:
    return night.confirm_challengers(plan)
