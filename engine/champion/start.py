"""What the next run starts from: the champion, or while the watch says fallback its calmed set, with it beside.

The state is nowhere stored: it follows from the windows in the warehouse every time. The champion runs on in the
control lane of a calmed run, so that its windows go on being watched; once they say ok again, the next run starts from
the champion itself. Where nothing was ever promoted there is no champion to calm: the initial values start as they are.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.champion.guard import guard
from engine.champion.market import on_market
from engine.champion.store import ChampionStore
from engine.champion.watch import fallback_params
from engine.params import Params
from engine.paths import Paths
from engine.soak import WINDOW_SECONDS
from engine.tuning.rules import load_packages
from engine.warehouse.opening import open_warehouse

FALLBACK = "fallback"


class Start(NamedTuple):
    """`params` for lane 0; `champion` the champion's own, for the control lane where they differ; `source` is
    "champion", "baseline" or "fallback"; `notes` are sentences for the reader."""

    params: Params
    champion: Params
    source: str
    notes: tuple[str, ...]


def start_of(paths: Paths, symbol: str, window_seconds: int = WINDOW_SECONDS) -> Start:
    """What a run of the symbol starts from.

    Raises:
        ConfigError, OverridesError, StorageError: champion or configuration cannot be used.
        LockHeldError: another process has the warehouse.
    """
    store = ChampionStore(paths, symbol)
    champion = store.current()
    notes = (f"The champion: {champion.note}.",) if champion.note else ()
    plain = Start(champion.params, champion.params, "champion" if champion.seq else "baseline", notes)
    if not champion.seq or not paths.warehouse.exists():
        return plain
    with open_warehouse(paths) as warehouse:
        guarded = guard(warehouse, store, window_seconds=window_seconds)
    if guarded.watch.verdict != FALLBACK:
        return plain
    package = load_packages(paths.config).fallback
    calmed = fallback_params(champion.params, package)
    why = f"{'; '.join(guarded.watch.reasons)}{on_market(guarded.market)}"
    if calmed == champion.params:
        said = f"The champion {champion.id} lost ({why}); it is as calm as {package.name} already, and runs as it is."
        return plain._replace(notes=(*notes, said))
    said = f"The champion {champion.id} lost ({why}): lane 0 starts from it with {package.name}, it runs on as control."
    return Start(calmed, champion.params, FALLBACK, (*notes, said))
