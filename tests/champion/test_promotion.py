"""A promotion is an event, once, whoever made it."""

from __future__ import annotations

from engine.champion.award import award
from engine.champion.promotion import tell_promotion
from engine.events import PROMOTED, read_events
from engine.warehouse.db import Warehouse


def test_a_promotion_is_told_once_with_what_changed(store, sets, at) -> None:
    assert tell_promotion(store) is None
    made = store.promote(sets[0], who="nightsoak", why="z 2.07 reaches 2.00", at_utc=at(0))
    event = tell_promotion(store)
    assert tell_promotion(store) == event and read_events(store.paths) == [event]
    assert (event.name, event.at_utc, event.payload["symbol"]) == (PROMOTED, made.when_utc, "BTCUSDT")
    assert (event.payload["from"], event.payload["to"]) == ("baseline", made.id)
    assert event.payload["changes"] == [{"parameter": "min_interval_ms", "unit": "ms", "from": 70, "to": 80}]
    store.promote(sets[1], who="op", why="better", at_utc=at(1))
    assert tell_promotion(store).payload["from"] == made.id and len(read_events(store.paths)) == 2
    store.rollback(who="op", why="a loss", at_utc=at(2))
    assert tell_promotion(store) is None and len(read_events(store.paths)) == 2


def test_who_awards_a_promotion_tells_it(store, sets, at) -> None:
    with Warehouse(store.paths.warehouse) as wh:
        said = {"who": "nightsoak", "why": "better", "evidence": {}, "against": store.current().sha256, "at_utc": at(0)}
        award(wh, store, sets[0], confirmation_id="a", decision="HOLD", p_value=0.5, **said)
        assert read_events(store.paths) == []
        award(wh, store, sets[0], confirmation_id="b", decision="PROMOTE", p_value=0.001, **said)
        assert [event.payload["to"] for event in read_events(store.paths)] == [store.current().id]
        award(wh, store, sets[0], confirmation_id="b", decision="PROMOTE", p_value=0.001, **said)
    assert len(read_events(store.paths)) == 1
