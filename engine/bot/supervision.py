"""config/supervision.json: when a bot counts as hung, and how often one is started again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from engine.config import ConfigModel, load_config

FILE = "supervision.json"
_Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Supervision(ConfigModel):
    """config/supervision.json.

    restarts         how often a run's bot may die and be started again
    first_pause_s    before the first restart; each further one waits twice as long
    silence_s        a bot at work that says nothing for so long is hung; it gives a sign of life every second
    start_silence_s  the same before its first and after its last second of market, when it compiles, waits for a book
                     or seals its tape
    """

    restarts: Annotated[int, Field(ge=0, le=1000)] = 3
    first_pause_s: _Seconds = 1.0
    silence_s: _Seconds = 60.0
    start_silence_s: _Seconds = 300.0


def load_supervision(config: Path) -> Supervision:
    """The settings; the defaults where there is no file.

    Raises:
        ConfigError: the file is not what it must be.
    """
    path = config / FILE
    return load_config(path, Supervision) if path.exists() else Supervision()
