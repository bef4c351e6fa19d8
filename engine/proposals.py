"""Sets that wait for their confirmation: what a search found, with all that the search has seen, or an operator's own.

Windows that a search chose a set on are no confirmation of it. So whoever proposes a set of a tune, be it a night or a
person with the tune's recommended_overrides.json, records the tune's tapes and their end with it, and its trials in the
ledger of evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.champion.challengers import Challenger
from engine.champion.ledger import record_trial
from engine.champion.store import ChampionStore
from engine.errors import InputError
from engine.params import Params
from engine.paths import Paths
from engine.report.format import count
from engine.report.index import resolve_run
from engine.report.tune_artefacts import TUNE, read_tune
from engine.warehouse.db import Warehouse


@dataclass(frozen=True)
class Origin:
    """Where a set of parameters comes from: `tune` is TUNE.json of the search that found it, None for none known."""

    who: str
    tune: Mapping[str, Any] | None

    @property
    def sentence(self) -> str:
        if self.tune is None:
            return f"{self.who}'s own: no tune is known behind the file, --tune ID would name one"
        seen = count(len(self.tune["tapes"]), "tape")
        return f"from tune {self.tune['id']}: the {seen} that it has seen are no confirmation"


def find_origin(overrides: Path, tune: str | None, reports: Path, symbol: str, *, who: str) -> Origin:
    """The tune named, else the one in whose report the file lies, else whoever proposes it.

    Args:
        overrides: the file of parameters.
        tune: a tune's id or folder.

    Raises:
        InputError: there is no such tune, its record cannot be read, or it searched for another symbol.
    """
    folder = resolve_run(tune, reports) if tune else overrides.resolve().parent
    if not tune and not (folder / TUNE).is_file():
        return Origin(who, None)
    document = read_tune(folder)
    try:
        _seen(document), _trial(document)
        searched = document["symbol"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"is not a tune's record: {error}", where=str(folder / TUNE), remedy="tune again") from error
    if searched != symbol:
        raise InputError(
            f"searched for {searched}, not for {symbol}",
            where=str(folder / TUNE),
            remedy=f"say --symbol {searched}, or propose a copy of the file in another folder as your own",
        )
    return Origin(who, document)


def propose(store: ChampionStore, params: Params, origin: Origin, *, why: str) -> Challenger:
    """Let `params` wait, with what the search behind them has seen. The warehouse's copy of the ledger is left to
    engine.champion.ledger.synchronise.

    Raises:
        InputError: it is the champion's own set, or waits already as one that the search's windows could confirm.
        StorageError: it could not be written; done again it ends the same.
    """
    if origin.tune is None:
        return store.propose(params, why=why, origin=origin.who)
    made = propose_found(store, params, origin.tune, why=why)
    if not set(_seen(origin.tune)["seen_tapes"]) <= set(made.seen_tapes):
        raise InputError(
            f"{made.id} waits already, from {made.origin}, and the tapes of tune {origin.tune['id']} could confirm it",
            where=store.symbol,
            remedy=f"nightsoak champion withdraw {made.id}, then propose it again",
        )
    record_tune(None, origin.tune, store.paths)
    return made


def propose_found(store: ChampionStore, params: Params, tune: Mapping[str, Any], *, why: str) -> Challenger:
    """Let a set that `tune` (its TUNE.json) found wait for windows that it has not seen. Raises as `store.propose`."""
    return store.propose(params, why=why, origin=tune["id"], **_seen(tune))


def record_tune(wh: Warehouse | None, tune: Mapping[str, Any], paths: Paths) -> None:
    """Put a tune (its TUNE.json) into the ledger of evidence; done again it counts once.

    Raises:
        StorageError: it could not be written.
    """
    record_trial(wh, paths, tune["symbol"], **_trial(tune))


def _seen(tune: Mapping[str, Any]) -> dict[str, Any]:
    tapes = tune["tapes"]
    return {
        "fresh_after_ns": max(tape["last_exch_ts_ns"] for tape in tapes) + 1,
        "seen_tapes": [tape["digest"] for tape in tapes],
    }


def _trial(tune: Mapping[str, Any]) -> dict[str, Any]:
    evidence, tapes = tune["evidence"], tune["tapes"]
    return {
        "tune_id": tune["id"],
        "trials": evidence["trials"],
        "lanes": tune["effort"]["lanes"],
        "tape_digests": [*evidence["selection_tapes"], *evidence["fresh_tapes"]],
        "seed": evidence["seed"],
        "market_span_ns": (min(t["first_exch_ts_ns"] for t in tapes), max(t["last_exch_ts_ns"] for t in tapes)),
    }
