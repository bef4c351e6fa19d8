"""What every command prints with: data on stdout, messages and progress on stderr, hints as the last line.

Sentences are wrapped at the terminal's width; in a pipe those on stdout at 100 columns, and a message on stderr is one
line, for whoever looks for it in a log. Errors and hints are one line everywhere.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

WIDTH = 100
QUIET_S = 2.0


def say(message: str) -> None:
    """A message on stderr."""
    text = paragraph(message, stream=sys.stderr) if sys.stderr.isatty() else message
    print(text, file=sys.stderr, flush=True)


def hint(message: str) -> None:
    """The next step, at the end of a command."""
    print(f"hint: {message}", file=sys.stderr, flush=True)


def emit_json(value: Any) -> None:
    """The one object that `--json` prints on stdout."""
    print(json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False))


def paragraph(text: str, first: str = "", stream: IO[str] | None = None) -> str:
    """`text` in lines that fit; `first` opens the first one, the others are indented as far. Words stay whole."""
    terminal = (stream or sys.stdout).isatty()
    width = min(WIDTH, shutil.get_terminal_size().columns) if terminal else WIDTH
    lines = textwrap.wrap(
        text,
        max(width, len(first) + 20),
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def near_path(path: Path) -> str:
    """A path as short as it can be named from here."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@contextmanager
def long_work(what: str) -> Iterator[None]:
    """Where no terminal shows its progress: a line that it has begun, and one that it is done.

    What is done, or fails, within two seconds is no long work.
    """
    if sys.stderr.isatty():
        yield
        return
    began = time.monotonic()
    timer = threading.Timer(QUIET_S, say, [f"{what} ..."])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    seconds = time.monotonic() - began
    if seconds >= QUIET_S:
        say(f"{what.partition(':')[0]}: done after {seconds:.0f} s")
