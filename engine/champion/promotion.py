"""A promotion is told to others: an event in datasets/events.jsonl, which follows from the history alone.

Whoever promotes calls `tell_promotion` behind it; done again the event is written once, so that a night after a kill
makes up for it.
"""

from __future__ import annotations

from engine.champion.change import change_id, differences
from engine.champion.reading import last_taking_effect
from engine.champion.store import ChampionStore
from engine.events import PROMOTED, Event, emit


def tell_promotion(store: ChampionStore) -> Event | None:
    """The event of the champion's promotion; None where what is in force was put back, or never promoted.

    Raises:
        StorageError: it could not be written; the champion stays promoted, call again.
    """
    change = last_taking_effect(store.history())
    if change is None or change.kind != "promote" or change.previous is None:
        return None
    payload = {
        "symbol": store.symbol,
        "from": change.instead_of,
        "to": change.id,
        "who": change.who,
        "why": change.why,
        "changes": differences(change.previous.params, change.params),
    }
    return emit(store.paths, PROMOTED, payload, event_id=change_id(store.symbol, change), at_utc=change.when_utc)
