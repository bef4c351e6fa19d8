"""The main job: one soak, from market data to a verdict."""

from __future__ import annotations

from prefect import flow

from engine.locks import FileLock
from engine.soak import SoakSettings
from engine.soak_steps import Report
from flows.job import JOB, job
from flows.lease import one_soak
from tasks.measure_iteration import measure_iteration
from tasks.plan_run import plan_runs
from tasks.publish_progress import publishing_progress
from tasks.publish_report import publish_report
from tasks.run_bot import reach_edges, running_bots
from tasks.tune_parameters import tune_parameters
from tasks.write_report import Soaked, partial_reports_if_stopped, write_reports


@flow(name="soak", **JOB)
@job
def soak(settings: SoakSettings) -> tuple[tuple[Report, ...], str]:
    """Run a bot over each market, tune it between iterations, judge it, and report."""
    with one_soak() as lock:
        soaked = soak_through(settings, lock)
    messages = [publish_report(report.folder) for report in soaked.reports]
    return soaked.all_or_raise(), "; ".join(messages)


def soak_through(settings: SoakSettings, lock: FileLock) -> Soaked:
    """The steps of a soak, from its plans to its reports."""
    plans = plan_runs(settings, lock)
    with publishing_progress(plans), partial_reports_if_stopped(plans), running_bots(plans) as bots:
        first, *others = range(plans[0].schedule.iterations)
        reach_edges(bots, first)
        for iteration in others:
            for bot in bots.at_work:
                measured = measure_iteration(bot.plan, iteration - 1)
                if settings.auto_tune:
                    tune_parameters(bot.plan, measured)
                bot.go_on(iteration)
            reach_edges(bots, iteration)
    return write_reports([bot.plan for bot in bots.at_work], bots.failed)
