"""The bots of a soak's runs, from start to end, and the step that waits for their next edge.

Each bot is listened to by a thread of its own, so that one that dies is started again while another is at work.
A run whose bot cannot go on is over; the others go on without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass

from engine.bot.protocol import Message
from engine.bot.supervised import SupervisedBot
from engine.errors import NightsoakError
from engine.soak import RunPlan
from engine.soak_steps import Edge, reach_edge
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

    def tell(self, message: Message) -> None:
        """Pass the bot's word on, with the name of its market."""
        tell({**message, "symbol": self.plan.symbol})


class RunningBots:
    """The bots that are `at_work`, in the order of their plans; `failed` has the errors of the others, by symbol."""

    def __init__(self, bots: Sequence[RunningBot], listeners: ThreadPoolExecutor) -> None:
        self.at_work = list(bots)
        self.failed: dict[str, NightsoakError] = {}
        self._listeners = listeners

    def reach_edge(self, iteration: int) -> None:
        """Wait until every bot at work has finished `iteration`, or has failed.

        Raises:
            NightsoakError: no bot is left; the error of the first.
        """
        edges = [(bot, self._listen(bot, iteration)) for bot in self.at_work]
        wait([edge for _, edge in edges])
        errors = [(bot, edge.exception()) for bot, edge in edges]
        self.at_work = [bot for bot, error in errors if error is None]
        for bot, error in errors:
            if error is None:
                continue
            if not (self.at_work and isinstance(error, NightsoakError)):
                raise error
            self.failed[bot.plan.symbol] = error
            bot.tell({"event": "failed", "reason": str(error)})

    def _listen(self, bot: RunningBot, iteration: int) -> Future[Edge]:
        context = copy_context()  # who listens is known to this thread only
        return self._listeners.submit(context.run, reach_edge, bot.plan, bot.messages, iteration, bot.tell)


@contextmanager
def running_bots(plans: Sequence[RunPlan]) -> Iterator[RunningBots]:
    """The runs' bots as child processes, started again if they die; ended when the block is left, whatever happens."""
    with ThreadPoolExecutor(len(plans), "listener") as listeners, ExitStack() as bots:
        started = [(plan, bots.enter_context(SupervisedBot(plan))) for plan in plans]
        yield RunningBots([RunningBot(plan, process, process.messages()) for plan, process in started], listeners)


@step
def reach_edges(bots: RunningBots, iteration: int) -> None:
    """Wait until all bots have finished `iteration`."""
    bots.reach_edge(iteration)
