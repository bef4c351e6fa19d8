"""What every command prints with: data on stdout, messages and progress on stderr, hints as the last line."""

from __future__ import annotations

import json
import sys
from typing import Any


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def hint(message: str) -> None:
    """The next step, at the end of a command."""
    print(f"hint: {message}", file=sys.stderr, flush=True)


def emit_json(value: Any) -> None:
    """The one object that `--json` prints on stdout."""
    print(json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False))
