"""How every function of the core is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile `function`: cached on disk, without Python's lock, without fastmath, without reference counts.

    The core only works on arrays that its caller owns and allocates none. Counting references to them (_nrt)
    would cost two atomic operations per array and call, half of the kernel's time.
    """
    return cast(Function, njit(**_OPTIONS)(function))


def inlined(function: Function) -> Function:
    """As `compiled`, for what runs for most events, requests or steps: no call is made.

    A state of seventeen arrays is over a hundred machine words to hand over at a call.
    """
    return cast(Function, njit(**_OPTIONS, forceinline=True)(function))
