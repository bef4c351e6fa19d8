"""The committed example run is what the code makes today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.example import EXAMPLE, make_example
from engine.report.manifest import WALL_CLOCK

_CODE = ("code_sha256", "lock_sha256")  # these change with every commit, the results need not


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != WALL_CLOCK
    }


def without_code(manifest: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(manifest)
    return {name: entry for name, entry in value.items() if name not in _CODE}


def test_the_example_is_fresh(tmp_path: Path) -> None:
    """If this fails and the change is wanted: python -m engine.example, look at the report, commit it."""
    made, committed = contents(make_example(tmp_path)), contents(EXAMPLE)
    assert without_code(made.pop("truth_manifest.json")) == without_code(committed.pop("truth_manifest.json"))
    assert [name for name in sorted({*made, *committed}) if made.get(name) != committed.get(name)] == []
