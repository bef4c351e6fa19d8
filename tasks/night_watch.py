"""Step: the champion watched over every window since it took effect, and taken back, and told of, where it must be."""

from __future__ import annotations

from engine import night
from engine.notice_outbox import tell
from engine.soak import RunPlan
from tasks.step import step


@step
def watch_champion(plan: RunPlan) -> night.Watched:
    watched = night.watch_and_roll_back(plan)
    tell(plan.paths)  # at once: the night has hours to go
    return watched
