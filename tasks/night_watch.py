"""Step: the champion watched over every window since it took effect, and taken back where it must be."""

from __future__ import annotations

from engine import night
from engine.soak import RunPlan
from tasks.step import step


@step
def watch_champion(plan: RunPlan) -> night.Watched:
    return night.watch_and_roll_back(plan)
