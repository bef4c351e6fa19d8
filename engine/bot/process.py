"""The flow's handle on a bot: a child process that cannot outlive the one who started it.

Three things end an orphan: its stdin closes, on Linux the kernel sends it SIGTERM when its parent dies, and
leaving the `with` block ends it: closed stdin, then SIGTERM, then SIGKILL to its own process group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine import errors
from engine.bot.protocol import Message, decode, encode
from engine.errors import BotDiedError, BotError, NightsoakError
from engine.paths import CHECKOUT

_ERROR_LINES = 8
_GRACE_S = 10.0


class BotProcess:
    """`with BotProcess(plan_path, log) as bot:` runs `python -m engine.bot PLAN`.

    Args:
        plan_path: the plan's file.
        log: where the bot's stderr is appended.
        resume: go on where the run's journal ends.
    """

    def __init__(self, plan_path: Path, log: Path, *, resume: bool = False) -> None:
        self.plan_path, self.log, self.resume = plan_path, log, resume
        self._process: subprocess.Popen[str] | None = None

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
                env=environment,
                cwd=CHECKOUT,
                start_new_session=True,
            )
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None, "the bot was not started"
        return self._process.pid

    def messages(self) -> Iterator[Message]:
        """What the bot says, until it has said its last.

        Raises:
            BotError: it could not go on, with its own words.
            BotDiedError: it is gone without a word.
        """
        process = self._process
        assert process is not None and process.stdout is not None, "the bot was not started"
        ended = False
        for line in process.stdout:
            try:
                message = decode(line)
            except ValueError:
                break
            if message["event"] == "error":
                raise _its_error(message)
            ended = message["event"] == "end"
            yield message
        if not ended:
            raise BotDiedError(
                f"ended without a word ({self._exit_text()}){self._last_words()}",
                where=f"bot {process.pid}",
                remedy=f"see {self.log}, then run the soak again",
            )

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
        assert process.stdout is not None
        if isinstance(error, KeyboardInterrupt):
            self.command("stop", reason="interrupted")
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdin = None
        try:
            for end in (_wait, _terminate, _kill):
                if end(process):
                    break
        finally:
            process.stdout.close()


def _its_error(message: Message) -> NightsoakError:
    """The error the bot met, as the class it was."""
    kind = getattr(errors, str(message["error"]), BotError)
    error: NightsoakError = kind(message["what"], where=message["where"], remedy=message["remedy"])
    return error


def _wait(process: subprocess.Popen[str]) -> bool:
    try:
        # What it still says must be read, or a full pipe would keep it from ending.
        process.communicate(timeout=_GRACE_S)
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
