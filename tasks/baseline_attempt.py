"""Step: one preset on one symbol, a run of the bot from plan to report."""

from __future__ import annotations

from engine.baseline.ladder import Ladder, Market, plan_attempt
from engine.baseline.presets import Preset
from engine.baseline.record import AttemptRun, read_run
from engine.soak_steps import reach_edge, report
from tasks.listening import tell
from tasks.run_bot import running_bot
from tasks.step import step
from tasks.write_report import partial_report_if_stopped


@step
def run_attempt(ladder: Ladder, preset: Preset, market: Market) -> AttemptRun:
    """As a soak without tuning: nothing is decided between iterations, so nothing is measured there either.

    `latest` stays: it leads to soaks, and an attempt is a part of its ladder.
    """
    plan, notes = plan_attempt(ladder, preset, market)
    windows = plan.schedule.windows
    tell({"event": "planned", "run_id": plan.run_id, "notes": plan.notes, "windows": windows})
    with partial_report_if_stopped(plan, latest=False), running_bot(plan) as bot:
        for iteration in range(plan.schedule.iterations):
            if iteration:
                bot.go_on(iteration)
            reach_edge(plan, bot.messages, iteration, tell)
    return read_run(plan, report(plan, latest=False).folder, notes)
