"""What a feed counts, and the snapshot of it that a health endpoint or a report shows."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass
class Counters:
    """Totals since the feed was started.

    messages, bytes: data frames received and their size. reconnects: attempts to connect again. gaps: times a book
    was lost, whatever the reason. resyncs: snapshots asked for. duplicates: updates that came again; out_of_order:
    updates older than one seen; trades_repeated: trades known already. dropped: frames that found the queue full.
    garbage: frames that could not be read. crossed: updates refused because they would cross the book.
    clock_jumps: times the wall clock was set. rows: events made.
    """

    messages: int = 0
    bytes: int = 0
    reconnects: int = 0
    gaps: int = 0
    resyncs: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    trades_repeated: int = 0
    dropped: int = 0
    garbage: int = 0
    crossed: int = 0
    clock_jumps: int = 0
    rows: int = 0

    def copy(self) -> Counters:
        return Counters(**self.as_dict())

    def as_dict(self) -> dict[str, int]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True)
class GapEvent:
    """The book of `symbol` was unknown from `noticed_ns` to `until_ns` (0: still is); times of receipt.

    `since_ns`: the last message before it, so that [since_ns, until_ns] holds whatever was missed.
    """

    symbol: str
    reason: str
    since_ns: int
    noticed_ns: int
    until_ns: int = 0


@dataclass(frozen=True)
class SymbolHealth:
    """One symbol now. Latencies are time of receipt minus the exchange's, ms, over the last messages.

    `least_latency_ms` is their minimum since the connection was opened: an estimate of how far the local clock is
    ahead of the exchange's plus the shortest way; below zero the local clock is behind for certain.
    """

    symbol: str
    synced: bool
    last_message_ns: int
    rows: int
    mid2_ticks: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    least_latency_ms: float | None


@dataclass(frozen=True)
class Health:
    """`state`: connecting, syncing, live, stale, lost (for good, `error` says why) or stopped.

    live means: data came within the last `stale_s` seconds and every book is whole.
    """

    state: str
    feed: str
    endpoint: str
    now_ns: int
    data_age_s: float | None
    backlog_frames: int
    counters: Counters
    symbols: tuple[SymbolHealth, ...]
    gaps: tuple[GapEvent, ...] = field(default=())
    error: str = ""
