"""Who watches a run. The command line puts a listener here; scheduled runs have none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from engine.bot.protocol import Message
from engine.soak import RunPlan
from engine.soak_steps import Listener


def _nobody(message: Message) -> None:
    """Hears nothing."""


_listener: ContextVar[Listener] = ContextVar("listener", default=_nobody)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send the messages of runs inside the block to `listener`: those of the bots and those of the steps."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def also_listening(listener: Listener) -> Iterator[None]:
    """As `listening`, beside whoever listens already."""
    others = _listener.get()

    def both(message: Message) -> None:
        others(message)
        listener(message)

    with listening(both):
        yield


def tell(message: Message) -> None:
    _listener.get()(message)


def tell_planned(plan: RunPlan) -> None:
    """What a run is going to be."""
    known = {"run_id": plan.run_id, "symbol": plan.symbol, "notes": plan.notes, "windows": plan.schedule.windows}
    tell({"event": "planned", **known})
