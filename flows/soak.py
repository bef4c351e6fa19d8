"""The main job: one soak, from market data to a verdict."""

from __future__ import annotations

from prefect import flow

from engine.locks import FileLock
from engine.soak import RunPlan, SoakSettings
from engine.soak_steps import Report
from flows.job import job
from flows.lease import one_soak
from tasks.measure_iteration import measure_iteration
from tasks.plan_run import plan_run
from tasks.publish_progress import publishing_progress
from tasks.publish_report import publish_report
from tasks.run_bot import reach_edge, running_bot
from tasks.tune_parameters import tune_parameters
from tasks.write_report import partial_report_if_stopped, write_report


@flow(name="soak", persist_result=False, validate_parameters=False)
@job
def soak(settings: SoakSettings) -> tuple[Report, str]:
    """Run a bot over a market, tune it between iterations, judge it, and report."""
    with one_soak() as lock:
        _, report = soak_through(settings, lock)
    return report, publish_report(report.folder)


def soak_through(settings: SoakSettings, lock: FileLock) -> tuple[RunPlan, Report]:
    """The steps of a soak, from its plan to its report."""
    plan = plan_run(settings, lock)
    with publishing_progress(plan), partial_report_if_stopped(plan), running_bot(plan) as bot:
        first, *others = range(plan.schedule.iterations)
        reach_edge(bot, first)
        for iteration in others:
            measured = measure_iteration(plan, iteration - 1)
            if settings.auto_tune:
                tune_parameters(plan, measured)
            bot.go_on(iteration)
            reach_edge(bot, iteration)
    return plan, write_report(plan)
