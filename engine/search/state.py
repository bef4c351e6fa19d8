"""A tune's state on disk: one file for the plan and one per batch, JSON, each whole or absent.

`datasets/tunes/<key>/plan.json` and `batch-0001.json`, ...; the key is a hash of what decides the result, so the same
command finds the state of a tune that was killed. Each file carries the sha256 of its contents. A batch that is
damaged, and every batch after it, is set aside (*.damaged) and done again: a batch is a function of those before it,
so the result is the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import StorageError
from engine.files import to_json, write_atomic

FORMAT = 1
PLAN = "plan.json"
_BATCH = re.compile(r"batch-(\d{4})\.json")


def key_of(inputs: dict[str, Any]) -> str:
    """16 hex digits of a hash over everything that decides a tune's result."""
    return hashlib.sha256(to_json(inputs).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TuneState:
    """The folder of one tune's state."""

    folder: Path

    def load_plan(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The plan of an unfinished tune or None; and what was set aside, one sentence each."""
        file = self.folder / PLAN
        if not file.exists():
            return None, []
        value = _read(file)
        if value is not None:
            return value, []
        aside = [self._set_aside(one) for one in (file, *self._batch_files())]
        return None, [f"the state's {name} is damaged or follows a damaged file; set aside" for name in aside]

    def load_batches(self) -> tuple[list[dict[str, Any]], list[str]]:
        """All whole batches from the first on, and what was set aside."""
        batches: list[dict[str, Any]] = []
        notes: list[str] = []
        for number, file in enumerate(self._batch_files(), start=1):
            value = _read(file) if not notes and file.name == _name(number) else None
            if value is None:
                notes.append(f"the state's {self._set_aside(file)} is damaged or follows a damaged file; done again")
            else:
                batches.append(value)
        return batches, notes

    def save_plan(self, plan: dict[str, Any]) -> None:
        _write(self.folder / PLAN, plan)

    def save_batch(self, number: int, batch: dict[str, Any]) -> None:
        """Write batch `number`, counted from 1."""
        _write(self.folder / _name(number), batch)

    def clear(self) -> None:
        """Remove a finished tune's state; what was set aside stays."""
        try:
            for file in (self.folder / PLAN, *self._batch_files()):
                file.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot be cleared: {error.strerror}", where=str(self.folder), remedy="remove the folder"
            ) from error

    @property
    def batches_on_disk(self) -> int:
        return len(self._batch_files())

    def _batch_files(self) -> list[Path]:
        return sorted(file for file in self.folder.glob("batch-*.json") if _BATCH.fullmatch(file.name))

    def _set_aside(self, file: Path) -> str:
        file.replace(file.with_suffix(".json.damaged"))
        return file.name


def _name(number: int) -> str:
    return f"batch-{number:04d}.json"


def _digest(value: Any) -> str:
    return hashlib.sha256(to_json(value).encode()).hexdigest()


def _write(file: Path, value: dict[str, Any]) -> None:
    write_atomic(file, to_json({"format": FORMAT, "sha256": _digest(value), "value": value}))


def _read(file: Path) -> dict[str, Any] | None:
    """The value, or None where the file is not what was written."""
    try:
        envelope = json.loads(file.read_bytes())
        value = envelope["value"]
        whole = envelope["format"] == FORMAT and envelope["sha256"] == _digest(value) and isinstance(value, dict)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if whole else None
