"""Runtime overrides as a running bot sees them: one file a symbol, taken or refused as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import OverridesError
from engine.params import Params, read_overrides


@dataclass(frozen=True)
class Pickup:
    """What a look at the file brought: `params` in force from now on; `refused` says why the file was not taken."""

    params: Params
    changed: bool = False
    refused: str = ""


def pick_up(path: Path, current: Params) -> Pickup:
    """Read the overrides file on top of `current`. No file means no wish; a bad one leaves `current` in force."""
    if not path.exists():
        return Pickup(current)
    try:
        params = read_overrides(path, current)
    except (OverridesError, UnicodeDecodeError) as error:
        return Pickup(current, refused=str(error))
    return Pickup(params, changed=params != current)
