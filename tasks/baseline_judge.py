"""Step: the runs of a preset against the thresholds."""

from __future__ import annotations

from collections.abc import Sequence

from engine.baseline.ladder import Ladder
from engine.baseline.presets import Preset
from engine.baseline.record import Attempt, AttemptRun, make_attempt
from tasks.listening import tell
from tasks.step import step


@step
def judge_attempt(ladder: Ladder, preset: Preset, runs: Sequence[AttemptRun]) -> Attempt:
    attempt = make_attempt(ladder, preset, runs)
    tell({"event": "attempt", "title": preset.title, "decision": attempt.verdict.decision})
    return attempt
