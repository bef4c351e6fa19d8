"""Step: the markets and the id of a baseline ladder."""

from __future__ import annotations

from engine.baseline.ladder import BaselineSettings, Ladder, make_ladder
from engine.locks import FileLock
from engine.paths import Paths
from tasks.listening import tell
from tasks.step import step


@step
def plan_baseline(settings: BaselineSettings, lock: FileLock) -> Ladder:
    """Tapes (generated on first use), presets, notes and id; the lock then names the ladder."""
    ladder = make_ladder(
        settings, Paths.from_environment(), progress=lambda share: tell({"event": "generating", "share": share})
    )
    lock.describe(ladder.id)
    return ladder
