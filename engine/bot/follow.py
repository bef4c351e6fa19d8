"""A child process that does not outlive its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
if sys.platform == "linux":
    _LIBC = ctypes.CDLL(None, use_errno=True)  # here: between fork and exec nothing may be loaded


def follow_parent(parent_pid: int) -> bool:
    """Ask Linux for SIGTERM when the parent dies; False if it is dead already. Elsewhere a closed stdin must tell."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        return os.getppid() == parent_pid
    return True
