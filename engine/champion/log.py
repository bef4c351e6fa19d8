"""A file of JSON objects, one a line, that is only ever appended to; a line counts once its newline is there.

A kill can leave a torn last line: it was never promised to anybody, is passed over by readers and cut off by the
next append.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError, LockHeldError, NightsoakError, StorageError
from engine.files import sync_folder
from engine.locks import FileLock

_WAIT_S = 10.0
_NAP_S = 0.01


@dataclass(frozen=True)
class Log:
    """`lines`: the whole ones, without newline, in order; `torn`: what stands behind the last newline."""

    lines: tuple[bytes, ...] = ()
    torn: bytes = b""


def read_log(path: Path) -> Log:
    """The file's lines; none where there is no file.

    Raises:
        StorageError: it is there and cannot be read.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return Log()
    except OSError as error:
        raise StorageError(f"cannot be read: {error.strerror}", where=str(path), remedy="check its rights") from error
    *lines, torn = raw.split(b"\n")
    return Log(tuple(lines), torn)


def one_line(entry: Mapping[str, Any], *, where: str) -> bytes:
    """`entry` as its line, newline included.

    Raises:
        InputError: it holds something that JSON has no word for (NaN among it).
    """
    try:
        text = json.dumps(entry, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return text.encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"cannot be written as JSON: {error}", where=where, remedy="give JSON values") from error


def append(path: Path, line: bytes) -> int:
    """Append a line and make it durable; the caller holds the lock.

    Returns:
        the file's length before it, to `cut` back to.

    Raises:
        StorageError: the disk is full or the folder cannot be written; the file reads as before.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            raw = path.read_bytes()
            length = raw.rfind(b"\n") + 1
            try:
                if length < len(raw):
                    os.ftruncate(handle, length)
                os.lseek(handle, length, os.SEEK_SET)
                rest = memoryview(line)
                while rest:  # a nearly full disk takes less than asked, without an error
                    rest = rest[os.write(handle, rest) :]
                os.fsync(handle)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(handle, length)
                raise
        finally:
            os.close(handle)
        if not raw:
            sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    return length


def storage_error(path: Path, error: OSError | NightsoakError) -> NightsoakError:
    """What a user sees of a disk that does not take what it is given."""
    if isinstance(error, NightsoakError):
        return error
    return StorageError(
        f"cannot write: {error.strerror or error}",
        where=str(path),
        remedy="free some space or make the folder writable, then run again",
    )


def cut(path: Path, length: int) -> None:
    """Take back what was appended beyond `length`, as far as the disk lets us."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.ftruncate(handle, length)
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def locked(path: Path, *, what: str, wait_s: float = _WAIT_S) -> Iterator[None]:
    """Hold the lock file at `path`, waiting for whoever has it.

    Raises:
        LockHeldError: it was not free within `wait_s`.
    """
    deadline = time.monotonic() + wait_s
    lock = FileLock(path, what=what)
    while True:
        try:
            lock.__enter__()
            break
        except LockHeldError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_NAP_S)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)
