"""Step: one preset on one symbol, a run of the bot from plan to report."""

from __future__ import annotations

from engine.baseline.ladder import Ladder, Market, plan_attempt
from engine.baseline.presets import Preset
from engine.baseline.record import AttemptRun, read_run
from engine.soak_steps import report
from tasks.listening import tell_planned
from tasks.run_bot import running_bots
from tasks.step import step
from tasks.write_report import partial_reports_if_stopped


@step
def run_attempt(ladder: Ladder, preset: Preset, market: Market) -> AttemptRun:
    """As a soak without tuning: nothing is decided between iterations, so nothing is measured there either."""
    plan, notes = plan_attempt(ladder, preset, market)
    tell_planned(plan)
    with partial_reports_if_stopped([plan]), running_bots([plan]) as bots:
        (bot,) = bots.at_work
        for iteration in range(plan.schedule.iterations):
            if iteration:
                bot.go_on(iteration)
            bots.reach_edge(iteration)
    return read_run(plan, report(plan).folder, notes)
