"""What was done to a running bot, at its market times, for a bot that does the run again.

`<run folder>/` SCRIPT holds a line for each action and each parameter set, in the words of the journal's `control`
and `params` records; a bot that finds it carries each out at its time, as if it had been asked for then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.bot.replay import SCRIPT
from engine.control.board import Action
from engine.errors import ConfigError
from engine.files import write_atomic

SOURCE = "control plane"
"""What the source of a record begins with that an action caused."""
PARAMS = "reload_strategy"
"""The action that puts a parameter set in force; a journal has `params` records of it."""


def write_script(rows: Iterable[tuple[int, str, Mapping[str, Any] | None]], run_folder: Path) -> None:
    """Write (market time of effect in ns, action, its values) of what shall be done to the run.

    Rows may stand in any order of time; those of the same time are done in the order given.

    Raises:
        StorageError: the folder cannot be written.
    """
    lines = []
    for ts_ns, name, values in sorted(rows, key=lambda row: row[0]):
        what = {"type": "params"} if name == PARAMS else {"type": "control", "event": name}
        lines.append(json.dumps({**what, "effective_ts_ns": ts_ns, "params": dict(values or {})}) + "\n")
    write_atomic(run_folder / SCRIPT, "".join(lines))


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
    name = PARAMS if record["type"] == "params" else str(record["event"])
    return int(record["effective_ts_ns"]), Action(0, name, record.get("params") or {})
