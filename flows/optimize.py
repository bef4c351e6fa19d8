"""The optimiser's round: search and confirmation on tapes that no round has seen, promotion or rollback, notice."""

from __future__ import annotations

from prefect import flow

from engine.optimize.loop import Outcome
from engine.optimize.settings import OptimizeSettings
from flows.job import job
from tasks.optimize_round import optimize_round
from tasks.publish_report import publish_report
from tasks.send_notice import notice_if_crashed, send_notice

DEFAULTS = OptimizeSettings()


@flow(name="optimize", persist_result=False, validate_parameters=False)
@job
def optimize(settings: OptimizeSettings = DEFAULTS) -> tuple[Outcome, str]:
    """One round; the schedule makes it go on, `nightsoak optimize --continuous` does without one."""
    with notice_if_crashed("optimize"):
        outcome = optimize_round(settings)
        if not outcome.rounds or outcome.report is None:
            return outcome, f"no round: {outcome.stopped}"
        message = publish_report(outcome.report.parent)
        send_notice(outcome.report.parent)
    return outcome, message
