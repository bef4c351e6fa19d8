"""How a feed behaves: what is subscribed to, and every bound and pause. Times are seconds."""

from __future__ import annotations

from dataclasses import dataclass

from engine.instrument import Instrument


@dataclass(frozen=True)
class FeedSettings:
    """One feed of one venue.

    Args:
        feed: "bybit" or "binance".
        instruments: what to subscribe to, with its grid.
        endpoint: ws://host:port instead of the venue's own addresses; "" for those.
        seed: of the jitter between reconnections.
        ping_s: between our pings.
        stale_s: without data for so long (answers to pings are none), the connection is taken for dead.
        quiet_s: the same for a connection that carries trades only, where silence is normal.
        snapshot_s: an acknowledgement or a snapshot that has not come by then is asked for again.
        resync_pause_s: least time between two snapshots asked for one symbol.
        backoff_base_s, backoff_cap_s: the n-th reconnection waits uniform(0, min(cap, base * 2^n)).
        steady_s: a connection that held for so long starts the backoff anew.
        give_up_s: without data for so long the feed is lost for good.
        lag_bound_s: data older than the youngest seen by more than this is no live feed: reconnect.
        clock_bound_s: a wall clock set by more than this is a gap.
        queue_frames, queue_bytes: bounds between receiver and parser; beyond them frames are dropped, and counted.
        trade_ids: how many ids of trades are remembered per symbol.
    """

    feed: str
    instruments: tuple[Instrument, ...]
    endpoint: str = ""
    seed: int = 0
    ping_s: float = 20.0
    stale_s: float = 10.0
    quiet_s: float = 120.0
    snapshot_s: float = 10.0
    resync_pause_s: float = 1.0
    backoff_base_s: float = 0.5
    backoff_cap_s: float = 30.0
    steady_s: float = 30.0
    give_up_s: float = 900.0
    lag_bound_s: float = 10.0
    clock_bound_s: float = 1.0
    queue_frames: int = 50_000
    queue_bytes: int = 64 << 20
    trade_ids: int = 20_000
