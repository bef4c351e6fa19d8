"""The bot of a run, from start to end, and the step that waits for its next edge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.bot.protocol import Message
from engine.bot.supervised import SupervisedBot
from engine.soak import RunPlan
from engine.soak_steps import Edge
from engine.soak_steps import reach_edge as engine_reach_edge
from tasks.listening import tell
from tasks.step import step


@dataclass(frozen=True)
class RunningBot:
    """A bot at work. `messages` is read once, from edge to edge."""

    plan: RunPlan
    process: SupervisedBot
    messages: Iterator[Message]

    def go_on(self, iteration: int) -> None:
        """Answer the edge before `iteration`: look at the overrides and continue."""
        source = f"auto-tune iteration {iteration}" if self.plan.settings.auto_tune else "overrides file"
        self.process.command("continue", source=source)


@contextmanager
def running_bot(plan: RunPlan) -> Iterator[RunningBot]:
    """The run's bot as a child process, started again if it dies; ended when the block is left, whatever happens."""
    with SupervisedBot(plan) as process:
        yield RunningBot(plan, process, process.messages())


@step
def reach_edge(bot: RunningBot, iteration: int) -> Edge:
    """Wait until the bot has finished `iteration`."""
    return engine_reach_edge(bot.plan, bot.messages, iteration, tell)
