"""Steps: the artefacts of a soak's runs; and the partial reports of a soak that was stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from prefect.exceptions import TerminationSignal

from engine.errors import InterruptedRun, NightsoakError
from engine.soak import RunPlan
from engine.soak_steps import Report, report
from tasks.step import step


@dataclass(frozen=True)
class Soaked:
    """The runs that came to their end with their reports, in order of the symbols; the errors of the others."""

    done: tuple[tuple[RunPlan, Report], ...]
    failed: Mapping[str, NightsoakError]

    @property
    def reports(self) -> tuple[Report, ...]:
        return tuple(report for _, report in self.done)

    def all_or_raise(self) -> tuple[Report, ...]:
        """The reports, where every symbol has one.

        Raises:
            NightsoakError: the error of the first symbol without, and where the others' reports are.
        """
        for symbol, error in self.failed.items():
            others = ", ".join(f"nightsoak report {report.run_id}" for report in self.reports)
            remedy = f"{error.remedy}; of the others: {others}"
            raise type(error)(f"{symbol}: {error.what}", where=error.where, remedy=remedy)
        return self.reports


@step
def write_reports(plans: Sequence[RunPlan], failed: Mapping[str, NightsoakError]) -> Soaked:
    """A report for each run, that of the first last: `latest` leads there."""
    done = [(plan, report(plan)) for plan in reversed(plans)]
    return Soaked(tuple(reversed(done)), dict(failed))


@contextmanager
def partial_reports_if_stopped(plans: Sequence[RunPlan]) -> Iterator[None]:
    """Report what there is, marked as partial, when the runs are interrupted inside the block.

    Not a step: the Prefect server may have been interrupted as well.

    Raises:
        InterruptedRun: in the place of the interrupt; names the partial reports.
    """
    try:
        yield
    except (KeyboardInterrupt, TerminationSignal) as stop:
        where = ", ".join(plan.run_id for plan in plans)
        try:
            made = [report(plan, interrupted=True) for plan in reversed(plans)]
        except NightsoakError as error:
            raise InterruptedRun("interrupted; there is no report", where=where, remedy=str(error)) from stop
        raise InterruptedRun(
            "interrupted; the report covers a part of the run only",
            where=where,
            remedy=f"see {', '.join(str(one.folder / 'SOAK_RESULTS.md') for one in made)}",
        ) from stop
