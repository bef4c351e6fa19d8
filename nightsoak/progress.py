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
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        rows = {"": progress.add_task("starting", total=None, detail="")}
        net_bps: dict[str, float | None] = {}

        def row_of(symbol: str) -> TaskID:
            """Each market has a line of its own; the first takes that of the start."""
            if symbol not in rows:
                rows[symbol] = rows.pop("") if "" in rows else progress.add_task("starting", total=None, detail="")
            return rows[symbol]

        def show(message: dict[str, Any]) -> None:
            event, symbol = message["event"], message.get("symbol", "")
            task = row_of(symbol) if symbol or "" in rows else next(iter(rows.values()))
            if event == "generating":
                share = message["share"]
                progress.update(task, description="generating the market", total=1.0, completed=share, detail="")
            elif event == "planned":
                said = f"{symbol}: starting the bot"
                progress.update(task, description=said, total=message["windows"], completed=0, detail="")
            elif event == "measured":
                net_bps[symbol] = message["net_bps"]
            elif event == "progress":
                done, windows = message["window"] + 1, message["windows"]
                known = net_bps.get(symbol)
                net = "net_bps not known yet" if known is None else f"net_bps {known:.2f} so far"
                detail = f"{net}, {message['events_per_s']:,} events/s"
                progress.update(task, description=f"{symbol}: window {done}/{windows}", completed=done, detail=detail)
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
        count = f"{message['restarts']} of {message['limit']}"
        say(f"the bot of {message['symbol']} died and is started again, {count}: {message['reason']}")
    elif message["event"] == "failed":
        say(f"{message['symbol']}: the run is over, the others go on: {message['reason']}")
    elif message["event"] == "overrides_refused":
        say(f"overrides refused, the former parameters stay: {message['reason']}")
