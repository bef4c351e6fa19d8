"""A bot that is started again when it dies: same run id, same journal, the next file.

What it said of itself as an error is no death and is not tried again; a crash is (a signal, an exit without a word, a
bot that hung and was killed), as often in a run and after such a pause as config/supervision.json says. What dies with
a bot: its paper orders, and the market time until the next one has its first book, which the journal tells as a gap.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from engine.bot.journal import journal_files, read_tail
from engine.bot.process import BotProcess
from engine.bot.protocol import Message
from engine.bot.supervision import Supervision, load_supervision
from engine.errors import BotDiedError
from engine.soak import RunPlan


class SupervisedBot:
    """`with SupervisedBot(plan) as bot:` has the calls of BotProcess.

    Args:
        settings: those of the configuration if None.

    Raises:
        ConfigError: config/supervision.json is not what it must be.
    """

    def __init__(self, plan: RunPlan, settings: Supervision | None = None) -> None:
        self.plan, self.settings = plan, settings or load_supervision(plan.paths.config)
        self.restarts = 0
        self._process = self._bot(resume=False)
        self._edges: list[int] = []
        self._answers: list[dict[str, Any]] = []
        self._changing = threading.Lock()
        self._is_left = False

    def __enter__(self) -> Self:
        self._process.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changing:
            self._is_left = True
        self._process.__exit__(kind, error, trace)

    def _bot(self, *, resume: bool) -> BotProcess:
        return BotProcess(self.plan.file, self.plan.folder / "bot.log", resume=resume, settings=self.settings)

    @property
    def pid(self) -> int:
        return self._process.pid

    def command(self, command: str, **fields: Any) -> None:
        """Send a command; a `continue` is kept for a bot that dies before it has read it."""
        if command == "continue":
            self._answers.append(fields)
        self._process.command(command, **fields)

    def messages(self) -> Iterator[Message]:
        """What the run's bots say, one after the other, until the last has said its last.

        A restart is told as {"event": "restarted", "restarts", "limit", "reason"}. An edge that was told is not told
        again; if it was answered, the new bot gets the same answer.

        Who reads may be another thread than the one that leaves the block; then none is started any more.

        Raises:
            BotError: the bot could not go on, or died too often.
        """
        while True:
            try:
                for message in self._process.messages():
                    if message["event"] == "edge" and message["iteration"] in self._edges:
                        place = self._edges.index(message["iteration"])
                        if place < len(self._answers):
                            self._process.command("continue", **self._answers[place])
                        continue
                    if message["event"] == "edge":
                        self._edges.append(message["iteration"])
                    yield message
                return
            except BotDiedError as death:
                if self._is_left or self.restarts >= self.settings.restarts:
                    raise
                reason = death.what.splitlines()[0]
            self._process.__exit__(None, None, None)
            resume = _has_records(self.plan)
            if resume and (tail := read_tail(self.plan.paths.journals, self.plan.run_id)).ended:
                yield {"event": "end", "reason": tail.last["reason"], "ts_ns": tail.last["ts_ns"]}
                return
            self.restarts += 1
            limit = self.settings.restarts
            yield {"event": "restarted", "restarts": self.restarts, "limit": limit, "reason": reason}
            time.sleep(self.settings.first_pause_s * 2 ** (self.restarts - 1))
            with self._changing:
                if self._is_left:
                    raise BotDiedError(reason, where=self.plan.run_id, remedy="run the soak again")
                self._process = self._bot(resume=resume)
                self._process.__enter__()


def _has_records(plan: RunPlan) -> bool:
    """Whether the run's journal was begun. A file without a whole record says nothing and is removed: a new run needs
    its name, and none is ever rewritten."""
    files = journal_files(plan.paths.journals, plan.run_id)
    if len(files) == 1 and b"\n" not in files[0].read_bytes():
        files[0].unlink()
        return False
    return bool(files)
