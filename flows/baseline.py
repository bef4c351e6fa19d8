"""The baseline ladder: presets in order, over real runs, until one meets every threshold."""

from __future__ import annotations

from prefect import flow

from engine.baseline.ladder import BaselineSettings
from flows.job import JOB, job
from flows.lease import one_soak
from tasks.baseline_attempt import run_attempt
from tasks.baseline_judge import judge_attempt
from tasks.baseline_plan import plan_baseline
from tasks.baseline_report import BaselineReport, write_baseline
from tasks.publish_report import publish_report


@flow(name="baseline", **JOB)
@job
def baseline(settings: BaselineSettings) -> tuple[BaselineReport, str]:
    """Run each preset on every symbol, judge it, stop at the first GO, and report."""
    with one_soak() as lock:
        ladder = plan_baseline(settings, lock)
        attempts = []
        for preset in ladder.presets.presets:
            runs = [run_attempt(ladder, preset, market) for market in ladder.markets]
            attempts.append(judge_attempt(ladder, preset, runs))
            if attempts[-1].go:
                break
        report = write_baseline(ladder, attempts)
    return report, publish_report(report.folder)
