"""Tuning: Bayesian search over tapes, walk-forward, confirmation on windows that the search never saw."""

from __future__ import annotations

from prefect import flow

from engine.search.settings import TuneSettings
from flows.job import JOB, job
from tasks.dask_lanes import LOCAL, Executor, replaying_on
from tasks.publish_report import publish_report
from tasks.tune_report import TuneReport, tune_report
from tasks.tune_search import tune_search

DEFAULTS = TuneSettings()


@flow(name="tune", **JOB)
@job
def tune(settings: TuneSettings = DEFAULTS, executor: Executor = LOCAL) -> tuple[TuneReport, str]:
    """Search for a better parameter set, judge it, report; nothing is promoted here."""
    with replaying_on(executor):
        report = tune_report(tune_search(settings))
    return report, publish_report(report.folder)
