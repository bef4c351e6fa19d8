"""One bot at a time on an account, and none that was given up for dead and wakes up.

An account is what a bot trades with: on paper that is the symbol, whose overrides it follows and whose journal it
writes. The bot itself holds the account's lock, so that the lock ends with it whatever kills it. A bot that is stopped
(SIGSTOP, a frozen machine) holds it for ever, though: where its parent is gone, and it does not end within `GRACE_S`,
the next bot takes over. The old one finds out before it writes again, and ends.

The token in the lock file is the run id and the number of the journal file that the bot began with.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.bot.journal import journal_files
from engine.errors import LockHeldError
from engine.locks import FileLock
from engine.paths import file_name
from engine.soak import RunPlan

GRACE_S = 10.0
_POLL_S = 0.05


class Account:
    """`with Account(plan, parent_pid) as account:` holds it; the journal asks `account.check` before it writes.

    Args:
        parent_pid: the flow that started this bot, 0 for none; a bot whose parent is gone may be succeeded.
        grace_s: how long a bot without a parent has to end by itself.

    Raises:
        LockHeldError: another bot is at work on the account; names it.
        StorageError: the lock cannot be written.
    """

    def __init__(self, plan: RunPlan, parent_pid: int = 0, *, grace_s: float = GRACE_S) -> None:
        self.plan, self.parent_pid, self.grace_s = plan, parent_pid, grace_s
        path = plan.paths.locks / f"account-{file_name(plan.symbol)}.lock"
        self._lock = FileLock(path, what=f"the account of {plan.symbol}")

    def __enter__(self) -> Self:
        deadline = time.monotonic() + self.grace_s
        while True:
            try:
                self._lock.__enter__()
                break
            except LockHeldError:
                if not _is_orphan(self._lock.holder):
                    raise
                if time.monotonic() > deadline:
                    self._lock.take_over()
                    break
            time.sleep(_POLL_S)
        start = len(journal_files(self.plan.paths.journals, self.plan.run_id))
        self._lock.describe(self.plan.run_id, start=start, parent=self.parent_pid)
        return self

    def check(self) -> None:
        """Raises: LockHeldError: another bot has taken over; what was not written yet must not be."""
        if not self._lock.is_ours():
            raise LockHeldError(
                f"another bot has taken over {self._lock.what}",
                where=str(self._lock.path),
                remedy="this one was given up for dead; see nightsoak status",
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)


def _is_orphan(said: dict[str, Any]) -> bool:
    """Whether the holder was started by a flow that is gone: it is then somebody else's child."""
    pid, parent = said.get("pid"), said.get("parent")
    if not isinstance(pid, int) or not isinstance(parent, int) or not parent:
        return False
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(words[1]) != parent
    except (OSError, ValueError, IndexError):
        pass  # no /proc, or the holder ended just now
    try:
        os.kill(parent, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
