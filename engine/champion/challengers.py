"""Candidates that wait for their confirmation: they run as lanes beside the champion until a verdict is final."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from engine.champion.change import params_sha256, utc_text
from engine.champion.store import ChampionStore
from engine.config import ConfigModel, load_config
from engine.errors import InputError
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


class _File(ConfigModel):
    format: int
    challengers: tuple[_Row, ...]


@dataclass(frozen=True)
class Challenger:
    """`origin`: the tune it comes from, or who proposed it. `fresh_after_ns`: windows that begin before this market
    time were seen when it was chosen, and are no confirmation; None where none were."""

    id: str
    params: Params
    since_utc: str
    why: str
    origin: str
    fresh_after_ns: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "params": dict(self.params), "params_sha256": params_sha256(self.params)}


def challengers(store: ChampionStore) -> tuple[Challenger, ...]:
    """Those waiting, oldest first.

    Raises:
        ConfigError, OverridesError: the file is not what it must be; names the key or the parameter.
    """
    file = challengers_file(store)
    if not file.exists():
        return ()
    rows = load_config(file, _File).challengers
    return tuple(
        Challenger(
            row.id,
            Params().with_changes(row.params, where=f"{file}, {row.id}"),
            row.since_utc,
            row.why,
            row.origin,
            row.fresh_after_ns,
        )
        for row in rows
    )


def propose(
    store: ChampionStore,
    params: Params,
    *,
    why: str,
    origin: str,
    fresh_after_ns: int | None = None,
    at_utc: datetime | None = None,
) -> Challenger:
    """Let `params` wait for a confirmation; a set that waits already is returned as it is.

    Raises:
        InputError: it is the champion's own set.
        OverridesError: a value is out of range.
        StorageError: it could not be written; nothing changed.
    """
    params = Params().with_changes(params, where="the challenger")
    sha256 = params_sha256(params)
    if sha256 == store.current().sha256:
        raise InputError("these are the champion's own parameters", where=store.symbol, remedy="propose others")
    new = Challenger(f"x-{sha256[:8]}", params, utc_text(at_utc), why, origin, fresh_after_ns)
    with store.lock():
        waiting = challengers(store)
        for known in waiting:
            if params_sha256(known.params) == sha256:
                return known
        _write(store, (*waiting, new))
    return new


def withdraw(store: ChampionStore, challenger_id: str) -> Challenger:
    """Take a challenger off the list.

    Raises:
        InputError: none has that id; names those that wait.
    """
    with store.lock():
        waiting = challengers(store)
        gone = next((known for known in waiting if known.id == challenger_id), None)
        if gone is None:
            ids = ", ".join(known.id for known in waiting) or "none"
            raise InputError(f"no challenger {challenger_id!r}", where=store.symbol, remedy=f"waiting: {ids}")
        _write(store, [known for known in waiting if known is not gone])
    return gone


def challengers_file(store: ChampionStore) -> Path:
    return store.folder / CHALLENGERS


def _write(store: ChampionStore, waiting: Sequence[Challenger]) -> None:
    rows = [{**vars(known), "params": dict(known.params)} for known in waiting]
    write_json(challengers_file(store), {"format": 1, "challengers": rows})
