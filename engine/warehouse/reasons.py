"""Why a line is refused, in words. Both readers speak from here, so that they say the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

NOT_JSON = "not JSON"
NOT_UTF8 = "not UTF-8"
LONGEST_SHOWN = 60
"""Characters of a value that a reason quotes."""
_WANTED = {
    "integer": "a whole number",
    "text": "a text",
    "boolean": "true or false",
    "id": "an id",
    "nested": "an object or list",
    "decimal": "a decimal",
}


@dataclass(frozen=True)
class Refusals:
    """Lines that are no records, in order: int64[n] lines of their chunk, from 0, and as many reasons."""

    index: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    reasons: Sequence[str] = ()

    def merged(self, other: Refusals) -> Refusals:
        """Both, in order of lines."""
        if not (self.reasons and other.reasons):
            return self if self.reasons else other
        index, reasons = np.concatenate([self.index, other.index]), [*self.reasons, *other.reasons]
        order = np.argsort(index, kind="stable")
        return Refusals(index[order], [reasons[at] for at in order.tolist()])


def cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def shown(value: Any) -> str:
    """A JSON value as a reason quotes it."""
    return cut(str(value) if isinstance(value, Decimal) else json.dumps(value, default=str))


def shown_token(token: str) -> str:
    """The same of a value without escapes or parts, as it stands in the line."""
    if token.startswith('"'):
        return cut(token if token.isascii() and token.isprintable() else json.dumps(token[1:-1]))
    if token in ("true", "false"):
        return token
    return cut(str(int(token)) if token.lstrip("-").isdigit() else str(Decimal(token)))


def twice(key: str) -> str:
    return f"key {cut(repr(key))} stands twice"


def not_a_number(constant: str) -> str:
    return f"{constant} is not a number"


def beyond_double(number: str) -> str:
    return f"number {cut(number)} is out of range"


def wrong_type(name: str, kind: str, value: str) -> str:
    return f"{name} must be {_WANTED[kind]}, not {value}"
