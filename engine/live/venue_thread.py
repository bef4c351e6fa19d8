"""A local venue in a thread of its own, for programs that are not asynchronous: tests, benchmarks."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from engine.errors import RunError
from engine.live.venue import Venue
from engine.market.tape import Tape

_START_S = 30.0


class VenueThread:
    """A venue in a thread of its own: `with VenueThread(Venue(...)) as running:`; plays, and serves until the end."""

    def __init__(self, *tapes: Tape, **options: Any) -> None:
        self._tapes, self._options = tapes, options
        self._thread = threading.Thread(target=self._run, name="venue", daemon=True)
        self._up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._error: BaseException | None = None
        self.venue: Venue

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._up.wait(_START_S) or self._error is not None:
            raise self._error or RunError("the local venue did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        async def run() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self.venue = Venue(self._tapes, **self._options)
            async with self.venue:
                self._up.set()
                playing = asyncio.create_task(self.venue.play())
                await self._stop.wait()
                playing.cancel()
                with suppress(asyncio.CancelledError):
                    await playing

        try:
            asyncio.run(run())
        except BaseException as error:
            self._error = error
        finally:
            self._up.set()

    @property
    def endpoint(self) -> str:
        return self.venue.endpoint

    @property
    def finished(self) -> bool:
        """Whether all has been played and sent."""
        return self.venue.finished

    def inject(self, kind: str, amount: float = 1) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.venue.inject, kind, amount)

    def pause(self, paused: bool = True) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.venue.pause, paused)
