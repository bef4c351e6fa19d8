"""A soak from its first window to its last, without Prefect: the recipe of flows/soak.py in one function."""

from __future__ import annotations

from collections.abc import Callable

from engine.bot.process import BotProcess
from engine.bot.protocol import Message
from engine.soak import RunPlan
from engine.soak_steps import Edge, Listener, measure, reach_edge, tune


def nobody(message: Message) -> None:
    """Hears nothing."""


def leave(edge: Edge) -> None:
    """Does nothing at an edge."""


def run_soak(
    plan: RunPlan,
    listen: Listener = nobody,
    *,
    iterations: int | None = None,
    at_edge: Callable[[Edge], None] = leave,
) -> None:
    """Run the bot of a plan; between iterations measure, decide where the plan auto-tunes, and go on.

    Args:
        listen: hears what the bot says, and {"event": "measured", "net_bps"} after each iteration but the last.
        iterations: stop the bot after so many; all of them by default.
        at_edge: what happens after the decision and before the bot reads its overrides.

    Raises:
        BotError: the bot could not go on.
    """
    last = (plan.schedule.iterations if iterations is None else iterations) - 1
    with BotProcess(plan.file, plan.folder / "bot.log") as bot:
        messages = bot.messages()
        for iteration in range(last + 1):
            edge = reach_edge(plan, messages, iteration, listen)
            if iteration + 1 == plan.schedule.iterations:
                return
            measured = measure(plan, iteration)
            listen({"event": "measured", "net_bps": measured.net_bps})
            if plan.settings.auto_tune:
                tune(plan, measured)
            at_edge(edge)
            if iteration < last:
                source = f"auto-tune iteration {iteration + 1}" if plan.settings.auto_tune else "overrides file"
                bot.command("continue", source=source)
