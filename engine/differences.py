"""Where two JSON values differ: leaf by leaf, in the order of the first one's keys, with a path a person can follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

ABSENT = "(absent)"
_LONGEST = 60


@dataclass(frozen=True)
class Difference:
    """`path` leads to the leaf (`windows[3].net_bps`); a key that one side lacks counts as ABSENT there."""

    path: str
    first: Any
    second: Any

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def differences(first: Any, second: Any, path: str = "") -> Iterator[Difference]:
    """Every leaf at which two JSON values differ; 1 and 1.0 do not, true and 1 do."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in [*first, *(key for key in second if key not in first)]:
            inner = f"{path}.{key}" if path else str(key)
            yield from differences(first.get(key, ABSENT), second.get(key, ABSENT), inner)
    elif _is_list(first) and _is_list(second):
        for i in range(max(len(first), len(second))):
            one, other = (side[i] if i < len(side) else ABSENT for side in (first, second))
            yield from differences(one, other, f"{path}[{i}]")
    elif first != second or isinstance(first, bool) != isinstance(second, bool):
        yield Difference(path, first, second)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def shown(value: Any) -> str:
    """A leaf (or what stands in its place) in a few words."""
    text = repr(value) if isinstance(value, str) and value != ABSENT else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
