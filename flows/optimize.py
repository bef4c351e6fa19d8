"""The optimiser's round: search and confirmation on tapes that no round has seen, promotion or rollback, notice."""

from __future__ import annotations

from prefect import flow

from engine.optimize.loop import Outcome
from engine.optimize.settings import OptimizeSettings
from flows.job import JOB, job
from tasks.optimize_round import optimize_round
from tasks.publish_report import publish_report
from tasks.send_notice import send_notice

DEFAULTS = OptimizeSettings()


@flow(name="optimize", **JOB)
@job
def optimize(settings: OptimizeSettings = DEFAULTS) -> tuple[Outcome, str]:
    """One round; the schedule makes it go on, `nightsoak optimize --continuous` does without one."""
    outcome = optimize_round(settings)
    if not outcome.rounds or outcome.report is None:
        return outcome, f"no round: {outcome.stopped}"
    message = publish_report(outcome.report.parent)
    send_notice(outcome.report.parent)
    return outcome, message
