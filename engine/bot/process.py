"""The flow's handle on a bot: a child process that cannot outlive the one who started it.

Three things end an orphan: its stdin closes, on Linux the kernel sends it SIGTERM when its parent dies, and
leaving the `with` block ends it: closed stdin, then SIGTERM, then SIGKILL to its own process group.

A bot that hangs (frozen, in a deadlock) says nothing. Who waits for its words waits so long and kills it; the time in
which nobody waits, such as a replay's stop at an edge, does not count, nor does time in which we were frozen ourselves.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine import errors
from engine.bot.protocol import Message, decode, encode
from engine.bot.supervision import Supervision
from engine.errors import BotDiedError, BotError, NightsoakError
from engine.paths import CHECKOUT

_ERROR_LINES = 8
_GRACE_S = 10.0
_LOOK_S = 0.5
_STACK_S = 0.5
DEFAULTS = Supervision()


class BotProcess:
    """`with BotProcess(plan_path, log) as bot:` runs `python -m engine.bot PLAN`.

    Args:
        plan_path: the plan's file.
        log: where the bot's stderr is appended.
        resume: go on where the run's journal ends.
        settings: how long it may be silent.
    """

    def __init__(self, plan_path: Path, log: Path, *, resume: bool = False, settings: Supervision = DEFAULTS) -> None:
        self.plan_path, self.log, self.resume, self.settings = plan_path, log, resume, settings
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="words of the bot", daemon=True)

    def __enter__(self) -> Self:
        argv = [sys.executable, "-m", "engine.bot", str(self.plan_path), "--parent-pid", str(os.getpid())]
        if self.resume:
            argv.append("--resume")
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONUTF8": "1"}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=environment,
                cwd=CHECKOUT,
                start_new_session=True,
            )
        self._reader.start()
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None, "the bot was not started"
        return self._process.pid

    def messages(self) -> Iterator[Message]:
        """What the bot says, until it has said its last.

        Raises:
            BotError: it could not go on, with its own words.
            BotDiedError: it is gone without a word, or said nothing for too long and was killed.
        """
        ended = False
        silence_s = self.settings.start_silence_s
        while line := self._next_line(silence_s):
            try:
                message = decode(line)
            except ValueError:
                break
            if message["event"] == "heartbeat":
                silence_s = self.settings.silence_s
                continue
            if message["event"] == "error":
                raise _its_error(message)
            if message["event"] == "edge":  # perhaps the last: its tape is sealed then
                silence_s = self.settings.start_silence_s
            ended = message["event"] == "end"
            yield message
        if not ended:
            raise self._death(f"ended without a word ({self._exit_text()}){self._last_words()}")

    def _next_line(self, silence_s: float) -> str:
        """What it says next; empty when it has said its last.

        Raises:
            BotDiedError: it said nothing for `silence_s` of our waiting, and was killed.
        """
        waited_s = 0.0
        while waited_s < silence_s:
            look_s = min(_LOOK_S, silence_s - waited_s)
            with contextlib.suppress(queue.Empty):
                return self._lines.get(timeout=look_s)
            waited_s += look_s
        self._kill_hung()
        raise self._death(f"said nothing for {silence_s:g} s and was killed")

    def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")

    def _kill_hung(self) -> None:
        """SIGKILL, and just before it a look at where it stands, into its log."""
        assert self._process is not None
        if sys.platform != "win32":
            self._process.send_signal(signal.SIGUSR1)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STACK_S)
        _kill(self._process)

    def _death(self, what: str) -> BotDiedError:
        return BotDiedError(what, where=f"bot {self.pid}", remedy=f"see {self.log}, then run the soak again")

    def command(self, command: str, **fields: Any) -> None:
        """Send a command. A bot that is gone is noticed when its messages are read."""
        assert self._process is not None and self._process.stdin is not None, "the bot was not started"
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(encode({"command": command, **fields}))
            self._process.stdin.flush()

    def _exit_text(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(timeout=_GRACE_S)
        except subprocess.TimeoutExpired:
            return "still running"
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "".join(f"\n  {line}" for line in lines[-_ERROR_LINES:])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None or process.stdin is None:  # never started, or left already
            return
        if isinstance(error, KeyboardInterrupt):
            self.command("stop", reason="interrupted")
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdin = None
        if _wait(process) or _terminate(process) or _kill(process):
            self._reader.join(_GRACE_S)


def _its_error(message: Message) -> NightsoakError:
    """The error the bot met, as the class it was."""
    kind = getattr(errors, str(message["error"]), BotError)
    error: NightsoakError = kind(message["what"], where=message["where"], remedy=message["remedy"])
    return error


def _wait(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _terminate(process: subprocess.Popen[str]) -> bool:
    process.terminate()
    return _wait(process)


def _kill(process: subprocess.Popen[str]) -> bool:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    return _wait(process)
