"""Step: a champion/challenger round on new tapes; one that was killed is taken up where it stopped."""

from __future__ import annotations

from engine.errors import InputError
from engine.optimize.loop import Outcome, optimize
from engine.optimize.settings import OptimizeSettings
from engine.paths import Paths
from tasks.listening import tell
from tasks.step import step


@step
def optimize_round(settings: OptimizeSettings) -> Outcome:
    if settings.continuous:
        raise InputError(
            "a scheduled run plays one round and ends",
            where="optimize",
            remedy="give the deployment a schedule, or run nightsoak optimize --continuous",
        )
    return optimize(settings, Paths.from_environment(), tell)
