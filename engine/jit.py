"""How the numeric core is compiled, and how compiled code is kept on disk.

Numba keys a cached function on its own file alone; a change in a function that it calls from another file would go
unseen. Here the cache folder is named by the contents of the whole package, so that what runs is what is written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

config: Any = numba.config
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True}
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile `function`: cached on disk, without Python's lock, without fastmath, without reference counts.

    The core only works on arrays that its caller owns and allocates none. Counting references to them (_nrt)
    would cost two atomic operations per array and call, half of the kernel's time.
    """
    return _compile(function, _nrt=False)


def inlined(function: Function) -> Function:
    """As `compiled`, for what runs for most events, requests or steps: no call is made.

    A state of seventeen arrays is over a hundred machine words to hand over at a call.
    """
    return _compile(function, _nrt=False, forceinline=True)


def allocating(function: Function) -> Function:
    """As `compiled`, for functions that make arrays of their own."""
    return _compile(function)


def _compile(function: Function, **more: Any) -> Function:
    folder = _cache_folder(Path(function.__code__.co_filename).parent)
    before = config.CACHE_DIR
    try:
        if folder is not None:
            config.CACHE_DIR = str(folder)
        return cast(Function, numba.njit(**_OPTIONS, **more)(function))
    finally:
        config.CACHE_DIR = before


@cache
def _cache_folder(package: Path) -> Path | None:
    """Where compiled code of `package` as it is now is kept; folders of former contents are removed.

    None (numba's own choice) where the package's folder cannot be written.
    """
    digest = hashlib.sha256()
    for file in (Path(__file__), *sorted(package.glob("*.py"))):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    root = Path(config.CACHE_DIR) if config.CACHE_DIR else package / "__pycache__"
    folder = root / f"{package.name}-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    for other in root.glob(f"{package.name}-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder
