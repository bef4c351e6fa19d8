"""Candidates that wait for their confirmation: they run as lanes beside the champion until a verdict is final."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from engine.champion.change import params_sha256
from engine.config import ConfigModel, load_config
from engine.files import write_json
from engine.params import Params

CHALLENGERS = "challengers.json"


class _Row(ConfigModel):
    id: str = Field(min_length=1)
    params: dict[str, int | float]
    since_utc: str
    why: str
    origin: str
    fresh_after_ns: int | None
    seen_tapes: tuple[str, ...] = ()
    withdrawn_utc: str = ""


class _File(ConfigModel):
    format: int
    challengers: tuple[_Row, ...]


@dataclass(frozen=True)
class Challenger:
    """`origin`: the tune it comes from, or who proposed it. `fresh_after_ns`: windows that begin before this market
    time were seen when it was chosen, and are no confirmation; None where none were. `seen_tapes`: digests of the tapes
    that were seen, which tell it for generated markets, where every tape begins at the same time. `withdrawn_utc`:
    since when it waits no more, but for its test to be paid for; empty while it waits."""

    id: str
    params: Params
    since_utc: str
    why: str
    origin: str
    fresh_after_ns: int | None = None
    seen_tapes: tuple[str, ...] = ()
    withdrawn_utc: str = ""

    @property
    def sha256(self) -> str:
        return params_sha256(self.params)

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "params": dict(self.params), "params_sha256": self.sha256}


def read_challengers(file: Path) -> tuple[Challenger, ...]:
    """Those waiting, oldest first, and those withdrawn; none where there is no file.

    Raises:
        ConfigError, OverridesError: the file is not what it must be; names the key or the parameter.
    """
    if not file.exists():
        return ()
    return tuple(
        Challenger(
            row.id,
            Params().with_changes(row.params, where=f"{file}, {row.id}"),
            row.since_utc,
            row.why,
            row.origin,
            row.fresh_after_ns,
            row.seen_tapes,
            row.withdrawn_utc,
        )
        for row in load_config(file, _File).challengers
    )


def write_challengers(file: Path, waiting: Sequence[Challenger]) -> None:
    """Replace the file. Raises StorageError; it is as it was then."""
    rows = [{**vars(known), "params": dict(known.params)} for known in waiting]
    write_json(file, {"format": 1, "challengers": rows})


def challenger_id(params: Params) -> str:
    return f"x-{params_sha256(params)[:8]}"
