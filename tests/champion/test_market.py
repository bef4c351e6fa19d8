"""What a bot says of its market in run_start, and how a market is named to a reader."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.bot.replay import _market
from engine.champion.market import Market, on_market


def said(*, endpoint: str = "", live: bool = False, **facts: object) -> dict[str, str]:
    settings = SimpleNamespace(endpoint=endpoint)
    tape = {} if live else {"digest": "abc"}
    return _market(SimpleNamespace(settings=settings, live=live, tape_facts={"generated": None, **tape, **facts}))


def test_a_venue_is_told_from_a_server_of_one_s_own_live_and_replayed() -> None:
    assert said(live=True) == {"market": "recorded"}
    assert said(source={"format": "bybit-live"}) == {"market": "recorded", "tape_digest": "abc"}
    assert said(endpoint="ws://127.0.0.1:1", live=True) == {"market": "endpoint"}
    assert said(source={"format": "bybit-endpoint-live"}) == {"market": "endpoint", "tape_digest": "abc"}


def test_seeds_are_one_generated_market_and_other_settings_another() -> None:
    market = {"market": "s1", "seed": 1, "duration_s": 60, "start_ns": 0, "react_ms": 5}
    one = said(generated=market)
    assert one["market"] == "generated"
    assert said(generated={**market, "seed": 2, "duration_s": 90, "start_ns": 7}) == one
    assert said(generated={**market, "react_ms": 6})["generator"] != one["generator"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("recorded", ", on bybit-linear, profile S1"),
        ("generated", ", on the generated market of bybit-linear, profile S1"),
        ("endpoint", ", on a server of the user's own in place of bybit-linear, profile S1"),
        ("", ", on bybit-linear, of which the journal does not say whether it was generated, profile S1"),
    ],
)
def test_a_market_is_named(kind: str, words: str) -> None:
    assert on_market(Market(kind, "bybit-linear", "", "", "S1")) == words
    assert on_market(None) == ""
