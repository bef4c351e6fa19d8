"""What the flow and the bot say to each other: one JSON object a line.

Bot to flow, on its stdout:
    {"event": "started", "run_id", "ts_ns", "resumed"}
    {"event": "heartbeat", "ts_ns"}                             after a second of market, at most one a second
    {"event": "progress", "ts_ns", "window", "windows", "events", "events_per_s"}    after every window
    {"event": "edge", "iteration", "window", "ts_ns"}           an iteration is over; the bot waits for an answer
    {"event": "params", "params", "source", "ts_ns"}            new parameters took effect
    {"event": "overrides_refused", "reason", "ts_ns"}           the file was bad; the former parameters stay
    {"event": "control", "url", "token_file"}                   the control plane is served; null: a configured token
    {"event": "end", "reason", "ts_ns"}                         journal closed
    {"event": "error", "error", "what", "where", "remedy"}      could not go on; `error` is the class
Flow to bot, on its stdin:
    {"command": "continue", "source": "auto-tune iteration 1"}  look at the overrides, go on
    {"command": "stop"}                                         end cleanly; so does the end of stdin, or SIGTERM
"""

from __future__ import annotations

import json
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from typing import IO, Any

Message = dict[str, Any]
COMPLETE = "complete"


def encode(message: Mapping[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"), allow_nan=False) + "\n"


def decode(line: str) -> Message:
    """A message of either side.

    Raises:
        ValueError: the line is not a JSON object.
    """
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError(f"not a message: {line[:80]!r}")
    return value


class Commands:
    """The bot's ear: commands from a stream and SIGTERM, in order of arrival."""

    def __init__(self, stream: IO[str]) -> None:
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stream = stream
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    def listen_to_signals(self) -> None:
        """Take SIGTERM for a stop, and leave Ctrl-C to whoever started the bot (main thread only)."""
        signal.signal(signal.SIGTERM, lambda *_: self._queue.put({"command": "stop", "reason": "terminated"}))
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _listen(self) -> None:
        for line in self._stream:
            try:
                self._queue.put(decode(line))
            except ValueError:
                self._queue.put({"command": "stop", "reason": "unreadable command"})
        self._queue.put({"command": "stop", "reason": "stdin closed"})

    def wait(self) -> Message:
        """The next command, however long it takes; short naps let signal handlers run on every platform."""
        while True:
            try:
                return self._queue.get(timeout=0.2)
            except queue.Empty:
                continue

    def stop_wanted(self) -> str:
        """The reason of a stop that has arrived, else an empty text; other commands stay for `wait`."""
        kept: list[Message] = []
        reason = ""
        while not reason and not self._queue.empty():
            message = self._queue.get()
            if message.get("command") == "stop":
                reason = str(message.get("reason", "stopped"))
            else:
                kept.append(message)
        for message in kept:
            self._queue.put(message)
        return reason


def say(message: Mapping[str, Any]) -> None:
    """Send a message to the flow; a flow that is gone is no reason to fail, its closed stdin ends the bot."""
    try:
        sys.stdout.write(encode(message))
        sys.stdout.flush()
    except BrokenPipeError:
        pass
