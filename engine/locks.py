"""A lock that one process holds at a time, and that says who holds it.

The lock itself is the operating system's (flock, or msvcrt on Windows), so it ends with its holder whatever kills
it; the file's text names the holder for the error message and is worth nothing without the lock.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from engine.errors import LockHeldError, StorageError


class FileLock:
    """`with FileLock(path, what="the warehouse") as lock:` holds `path` until the block ends.

    Args:
        path: the lock file; it stays behind, unlocked.
        what: what is held, for the message of the one who comes second.

    Raises:
        LockHeldError: another process holds it; names its pid and what it said of itself.
        StorageError: the lock file cannot be written.
    """

    def __init__(self, path: Path, *, what: str) -> None:
        self.path, self.what = path, what
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise StorageError(
                f"cannot open the lock: {error.strerror}",
                where=str(self.path),
                remedy="make the folder writable, then run again",
            ) from error
        if not _try_lock(self._file):
            holder = _holder(self._file)
            self._file.close()
            self._file = None
            raise LockHeldError(
                f"{self.what} is in use by {holder}",
                where=str(self.path),
                remedy="wait until that run has finished, or end it",
            )
        self.describe("")
        return self

    def describe(self, run_id: str) -> None:
        """Say which run holds the lock, for whoever comes second."""
        assert self._file is not None, "the lock is not held"
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps({"pid": os.getpid(), "run_id": run_id}))
        self._file.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
            self._file.close()
            self._file = None


def _holder(file: IO[str]) -> str:
    try:
        file.seek(0)
        said = json.loads(file.read())
        run = f" (run {said['run_id']})" if said["run_id"] else ""
        return f"process {said['pid']}{run}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


if sys.platform == "win32":
    import msvcrt

    # One byte far behind the text: a locked range cannot be read on Windows, and the text must be.
    _BYTE = 1 << 20

    def _try_lock(file: IO[str]) -> bool:
        try:
            file.seek(_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: IO[str]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
