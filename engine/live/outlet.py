"""What reaches the local venue's clients: their subscriptions, the frames on their way, and the faults asked for."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from contextlib import suppress

import orjson
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from engine.live.faults import KINDS, TIMED
from engine.live.player import Frame

_CLIENT_FRAMES = 5000


class Client:
    """A connection, what it is subscribed to, and the frames on their way to it."""

    def __init__(self, connection: ServerConnection, category: str) -> None:
        self.connection, self.category = connection, category
        self.topics: set[str] = set()
        self.frames: asyncio.Queue[str] = asyncio.Queue()

    @property
    def is_full(self) -> bool:
        return self.frames.qsize() >= _CLIENT_FRAMES

    def answer(self, text: str) -> None:
        """What the client asked for; always finds room."""
        self.frames.put_nowait(text)

    def put(self, text: str) -> None:
        """A frame of a stream; who is too slow for them is hung up on."""
        if self.is_full:
            self.drop()
        else:
            self.frames.put_nowait(text)

    def drop(self) -> None:
        self.connection.transport.abort()

    async def send_all(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self.connection.send(await self.frames.get())


class Outlet:
    """Publishes to whoever is subscribed; every fault but `restart` happens here (see engine.live.faults).

    Args:
        patient: wait for clients that are slow to read, instead of dropping them.
    """

    def __init__(self, *, patient: bool) -> None:
        self.clients: set[Client] = set()
        self.sent: Counter[str] = Counter()
        self._patient = patient
        self._counted: Counter[str] = Counter()
        self._until_s: dict[str, float] = {}
        self._held: dict[str, str] = {}
        self._slowed: deque[tuple[str, str]] = deque()

    def inject(self, kind: str, amount: float) -> None:
        """Make a fault happen now."""
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}")
        if kind in TIMED:
            self._until_s[kind] = time.monotonic() + amount
        elif kind != "disconnect":
            self._counted[kind] += int(amount)
        if kind in ("disconnect", "refuse"):
            self.drop_all()

    def is_on(self, kind: str) -> bool:
        return time.monotonic() < self._until_s.get(kind, 0.0)

    def take(self, kind: str) -> bool:
        """Whether a fault of this kind is still to be made; it then counts as made."""
        if self._counted[kind] <= 0:
            return False
        self._counted[kind] -= 1
        return True

    def drop_all(self) -> None:
        for client in list(self.clients):
            client.drop()

    def wanted(self, topic: str) -> bool:
        return any(topic in client.topics for client in self.clients)

    async def publish(self, topic: str, frame: Frame, *, is_book: bool) -> None:
        if self._slowed and not self.is_on("slow"):
            await self._flush_slowed()
        if not self.wanted(topic) or self.is_on("silence"):
            return
        if is_book and self.take("gap"):
            return
        text = orjson.dumps(frame).decode()
        texts = [text]
        if is_book and self.take("reorder"):
            self._held[topic] = text
            return
        if is_book and topic in self._held:
            texts.append(self._held.pop(topic))
        if self._counted["duplicate"]:
            texts.append(text)
            self._counted["duplicate"] -= is_book
        if is_book and self.take("garbage"):
            texts = [text[: len(text) // 2]]
        for one in texts:
            if self.is_on("slow"):
                self._slowed.append((topic, one))
            else:
                await self._deliver(topic, one)

    async def drain(self) -> None:
        """Until everybody has everything."""
        while self._slowed:
            await asyncio.sleep(0.01)
            await self._flush_slowed()
        while any(not client.frames.empty() for client in self.clients):
            await asyncio.sleep(0.01)

    async def _flush_slowed(self) -> None:
        if self.is_on("slow"):
            return
        while self._slowed:
            await self._deliver(*self._slowed.popleft())

    async def _deliver(self, topic: str, text: str) -> None:
        self.sent[topic] += 1
        for client in list(self.clients):
            if topic not in client.topics:
                continue
            while self._patient and client in self.clients and client.is_full:
                await asyncio.sleep(0.001)
            client.put(text)
