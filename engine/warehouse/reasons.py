"""Why a line is refused, in words. Both readers speak from here, so that they say the same."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

NOT_JSON = "not JSON"
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
