"""A connection to the local venue, and the frames on their way to it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

_CLIENT_FRAMES = 5000


class Client:
    """A connection with what it is subscribed to and the frames on their way to it."""

    def __init__(self, connection: ServerConnection, category: str) -> None:
        self.connection, self.category = connection, category
        self.topics: set[str] = set()
        self.frames: asyncio.Queue[str] = asyncio.Queue(_CLIENT_FRAMES)

    async def send_all(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self.connection.send(await self.frames.get())
                self.frames.task_done()
