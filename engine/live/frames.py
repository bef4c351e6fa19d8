"""The bounded queue between the receiver and the parser.

One thread puts, one gets. News (a connection opened or lost, a barrier) is always taken; a data frame that finds
the queue full is dropped and counted, and the parser hears of it at the very place where the frames are missing.
Once full, frames are dropped until half of it is free: a gap of its own for every other frame would help nobody.
"""

from __future__ import annotations

import queue
from dataclasses import dataclass
from enum import Enum
from typing import Any

from engine.live.health import Counters


class Kind(Enum):
    """What an item of the queue is; `payload` holds what the comment says."""

    FRAME = 0  # bytes of a data frame
    SNAPSHOT = 1  # (symbol, bytes) of a snapshot fetched over REST
    OPENED = 2  # None: the connection is open and subscribed to
    LOST = 3  # (reason, time of the last data in ns)
    OVERFLOW = 4  # None: frames were dropped here
    JUMP = 5  # reason: the wall clock was set
    BARRIER = 6  # a threading.Event, set when all before it is on the tape
    FATAL = 7  # an exception: the feed is over


@dataclass(frozen=True, slots=True)
class Item:
    """`link` is the index of the connection, -1 for all of them."""

    local_ns: int
    kind: Kind
    link: int
    payload: Any = None


class FrameQueue:
    def __init__(self, frames: int, size_bytes: int, counters: Counters) -> None:
        self._frames, self._bytes, self._counters = frames, size_bytes, counters
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._put_bytes = self._got_bytes = 0  # each written by one thread only
        self._overflowing = False

    def put_frame(self, local_ns: int, link: int, raw: bytes) -> None:
        counters = self._counters
        counters.messages += 1
        counters.bytes += len(raw)
        share = 1 if not self._overflowing else 2
        full = self._items.qsize() * share >= self._frames or self.backlog_bytes * share >= self._bytes
        if full:
            counters.dropped += 1
            if not self._overflowing:
                self.put(Item(local_ns, Kind.OVERFLOW, -1))
            self._overflowing = True
            return
        self._overflowing = False
        self._put_bytes += len(raw)
        self._items.put(Item(local_ns, Kind.FRAME, link, raw))

    def put(self, item: Item) -> None:
        self._items.put(item)

    def get(self, timeout_s: float) -> Item | None:
        """The next item, None where none came in time."""
        try:
            item = self._items.get(timeout=timeout_s) if timeout_s else self._items.get_nowait()
        except queue.Empty:
            return None
        if item.kind is Kind.FRAME:
            self._got_bytes += len(item.payload)
        return item

    @property
    def backlog(self) -> int:
        return self._items.qsize()

    @property
    def backlog_bytes(self) -> int:
        return self._put_bytes - self._got_bytes
