"""A lock that one process holds at a time, and that says who holds it.

The lock itself is the operating system's (flock, or msvcrt on Windows), so it ends with its holder whatever kills
it; the file's text names the holder for the error message and is worth nothing without the lock.

Where the holder is frozen and will never let go, `take_over` puts a new file in the place of its one. `is_ours` then
tells the old holder, should it wake up: its file is no longer the one that stands there. A file that is held open
keeps its inode, so none is mistaken for another.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

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
        self.holder: dict[str, Any] = {}
        """What the one said of itself who kept us out."""

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
            self.holder = _read_holder(self._file)
            holder = _named(self.holder)
            self._file.close()
            self._file = None
            raise LockHeldError(
                f"{self.what} is in use by {holder}",
                where=str(self.path),
                remedy="wait until that run has finished, or end it",
            )
        if not self.is_ours():  # taken over between opening and locking
            self._file.close()
            return self.__enter__()
        self.describe("")
        return self

    def describe(self, run_id: str, **more: Any) -> None:
        """Say which run holds the lock, for whoever comes second."""
        assert self._file is not None, "the lock is not held"
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps({"pid": os.getpid(), "run_id": run_id, **more}))
        self._file.flush()

    def is_ours(self) -> bool:
        """Whether the file that stands there is the one we hold."""
        assert self._file is not None, "the lock is not held"
        ours = os.fstat(self._file.fileno())
        try:
            there = self.path.stat()
        except OSError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def take_over(self) -> Self:
        """Hold the lock from now on, whoever held it; of two that do so at once the later one does.

        Raises:
            StorageError: the file cannot be replaced (on Windows never while it is held).
        """
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            self._file = fresh.open("w+", encoding="utf-8")
            _try_lock(self._file)
            self.describe("")
            fresh.replace(self.path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise StorageError(
                f"cannot take the lock over: {error.strerror}", where=str(self.path), remedy="end its holder"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
            self._file.close()
            self._file = None


def _read_holder(file: IO[str]) -> dict[str, Any]:
    """What the holder has written; empty where that is not there yet."""
    try:
        file.seek(0)
        said = json.loads(file.read())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _named(said: dict[str, Any]) -> str:
    if "pid" not in said:
        return "another process"
    return f"process {said['pid']}" + (f" (run {said['run_id']})" if said.get("run_id") else "")


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
