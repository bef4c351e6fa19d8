"""Step: the run's artefacts; and the partial report of a run that was stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.exceptions import TerminationSignal

from engine.errors import InterruptedRun, NightsoakError
from engine.soak import RunPlan
from engine.soak_steps import Report, report
from tasks.step import step


@step
def write_report(plan: RunPlan) -> Report:
    return report(plan)


@contextmanager
def partial_report_if_stopped(plan: RunPlan, *, latest: bool = True) -> Iterator[None]:
    """Report what there is, marked as partial, when the run is interrupted inside the block; `latest`: as in `report`.

    Not a step: the Prefect server may have been interrupted as well.

    Raises:
        InterruptedRun: in the place of the interrupt; names the partial report.
    """
    try:
        yield
    except (KeyboardInterrupt, TerminationSignal) as stop:
        try:
            made = report(plan, interrupted=True, latest=latest)
        except NightsoakError as error:
            raise InterruptedRun("interrupted; there is no report", where=plan.run_id, remedy=str(error)) from stop
        raise InterruptedRun(
            "interrupted; the report covers a part of the run only",
            where=plan.run_id,
            remedy=f"see {made.folder / 'SOAK_RESULTS.md'}",
        ) from stop
