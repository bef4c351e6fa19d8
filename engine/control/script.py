"""Actions of a run, from its journal, for a bot that does the run again.

`<run folder>/` SCRIPT holds journal records (`control`, and `params` that an action caused); a bot that
finds it carries each out at its market time, as if it had been asked for then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.bot.replay import SCRIPT
from engine.control.board import Action
from engine.errors import ConfigError
from engine.files import write_atomic

SOURCE = "control plane"
"""What the source of a record begins with that an action caused."""


def write_script(journals: Iterable[Path], run_folder: Path) -> int:
    """Copy the actions in a run's journal files to the folder of a run that shall do it again; how many there are."""
    lines = []
    for path in journals:
        with path.open("rb") as file:
            for line in file:
                if (b'"type":"control"' in line or b'"type":"params"' in line) and line.endswith(b"\n"):
                    record = json.loads(line)
                    if str(record.get("source", "")).startswith(SOURCE):
                        lines.append(line)
    write_atomic(run_folder / SCRIPT, b"".join(lines))
    return len(lines)


def read_script(run_folder: Path) -> list[tuple[int, Action]]:
    """(market time of effect in ns, action) of the folder's script; empty without one.

    Raises:
        ConfigError: a line is no such record.
    """
    path = run_folder / SCRIPT
    if not path.exists():
        return []
    try:
        return [_entry(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError("is not a script of actions", where=str(path), remedy="make it from a journal") from error


def _entry(record: dict[str, Any]) -> tuple[int, Action]:
    name = "reload_strategy" if record["type"] == "params" else str(record["event"])
    return int(record["effective_ts_ns"]), Action(0, name, record.get("params") or {})
