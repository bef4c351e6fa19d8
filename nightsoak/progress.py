"""A soak's progress: a line that moves on a terminal, nothing but notices in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nightsoak.console import say

Listener = Callable[[dict[str, Any]], None]


@contextmanager
def showing_progress() -> Iterator[Listener]:
    """A listener for the messages of a run; what it shows goes to stderr."""
    if not sys.stderr.isatty():
        yield _notices
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=None, detail="")
        net_bps: float | None = None

        def show(message: dict[str, Any]) -> None:
            nonlocal net_bps
            event = message["event"]
            if event == "generating":
                share = message["share"]
                progress.update(task, description="generating the market", total=1.0, completed=share, detail="")
            elif event == "planned":
                progress.update(task, description="starting the bot", total=message["windows"], completed=0, detail="")
            elif event == "measured":
                net_bps = message["net_bps"]
            elif event == "progress":
                done, windows = message["window"] + 1, message["windows"]
                net = "net_bps not known yet" if net_bps is None else f"net_bps {net_bps:.2f} so far"
                detail = f"{net}, {message['events_per_s']:,} events/s"
                progress.update(task, description=f"window {done}/{windows}", completed=done, detail=detail)
            elif event == "tuning":
                best = "" if message["best_bps"] is None else f"best {message['best_bps']:+.3f} bps"
                done, trials = message["done"], message["trials"]
                progress.update(task, description=f"trial {done}/{trials}", total=trials, completed=done, detail=best)
            _notices(message)

        yield show


def _notices(message: dict[str, Any]) -> None:
    """What a reader must know at once, on a terminal or not."""
    if message["event"] == "planned":
        for note in message["notes"]:
            say(f"note: {note}")
    elif message["event"] == "note":
        say(f"note: {message['text']}")
    elif message["event"] == "restarted":
        say(f"the bot died and is started again, {message['restarts']} of {message['limit']}: {message['reason']}")
    elif message["event"] == "overrides_refused":
        say(f"overrides refused, the former parameters stay: {message['reason']}")
