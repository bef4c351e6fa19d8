"""Whether a feed can be had from here and now: connects, waits for a book, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

from engine.live.lookup import find_instruments
from engine.live.runner import LiveSource
from engine.live.settings import FeedSettings
from engine.live.venues import read_venues

_BOOK_S = 15.0


def reach_feed(feed: str, symbol: str, endpoint: str = "", *, wait_s: float = _BOOK_S) -> str:
    """What was found: where, whose book, and how late its data come.

    Raises:
        ConfigError: the endpoint is no address, or the venue does not list the symbol.
        FeedError: the venue does not answer, refuses, or sends no book within `wait_s`.
    """
    venues = read_venues()
    settings = FeedSettings(feed, find_instruments(feed, [symbol], endpoint, venues), endpoint=endpoint)
    with tempfile.TemporaryDirectory() as folder, LiveSource(settings, Path(folder), venues=venues) as source:
        source.wait_ready(wait_s)
        health = source.health()
    latency_ms = health.symbols[0].least_latency_ms
    late = "" if latency_ms is None else f", {latency_ms:.0f} ms after the venue's clock at best"
    return f"{health.endpoint}: a book of {symbol}{late}"
