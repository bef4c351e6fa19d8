"""One line of a champion's history: a change, whole. The state file is the last line again, indented."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import InputError
from engine.files import to_json
from engine.params import PARAMETERS, Params
from engine.paths import file_name

BASELINE = "baseline"
"""The id of the table's initial values, which are in force until something is promoted."""
FORMAT = 1
Kind = Literal["promote", "rollback", "freeze", "unfreeze"]


def canonical(params: Mapping[str, float]) -> bytes:
    """A parameter set as the bytes that every overrides file of it has."""
    return to_json(dict(params)).encode()


def params_sha256(params: Mapping[str, float]) -> str:
    """What names a parameter set wherever sets are compared."""
    return hashlib.sha256(canonical(params)).hexdigest()


def differences(before: Mapping[str, float], after: Mapping[str, float]) -> list[dict[str, Any]]:
    """[{parameter, unit, from, to}] of the parameters that differ, in the table's order."""
    return [
        {"parameter": name, "unit": PARAMETERS[name].unit, "from": before[name], "to": after[name]}
        for name in PARAMETERS
        if name in before and name in after and before[name] != after[name]
    ]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Before(_Strict):
    """The set that a rollback goes back to."""

    id: str
    params: dict[str, int | float]


class Change(_Strict):
    """What is in force after the change, and why.

    `id` names the champion; `instead_of` the one before the change (the same one when freezing); `previous` is what a
    rollback restores; `since_utc` when `id` took effect; `params_sha256` that of the canonical bytes.
    """

    format: int = Field(ge=1)
    seq: int = Field(ge=1)
    kind: Kind
    id: str = Field(min_length=1)
    params: dict[str, int | float]
    params_sha256: str
    since_utc: str
    frozen: bool
    previous: Before | None
    instead_of: str
    who: str
    when_utc: str
    why: str
    evidence: dict[str, Any]

    @property
    def whole(self) -> bool:
        """Whether the parameters are those that were written."""
        return hashlib.sha256(to_json(self.params).encode()).hexdigest() == self.params_sha256


def change_id(symbol: str, change: Change) -> str:
    """What names a change outside its symbol's history: in events, and as the folder of a rollback's report."""
    stamp = change.when_utc[:19].replace("-", "").replace(":", "")
    name = hashlib.sha256(f"{symbol} {change.seq} {change.when_utc}".encode()).hexdigest()[:4]
    return f"{stamp}-{file_name(symbol)}-{change.kind}-{name}"


def parse_change(raw: bytes) -> Change | str:
    """The change in `raw`, or why there is none; that its parameters are whole and in range is not looked at."""
    try:
        # Pydantic reads NaN and keys that stand twice; json.loads is asked to refuse the first.
        json.loads(raw, parse_constant=_refuse)
        return Change.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
    except (ValueError, RecursionError) as error:
        return f"not JSON ({error})"


@dataclass(frozen=True)
class Former:
    """The champion before this one: what a rollback restores and a shadow lane runs."""

    id: str
    params: Params


@dataclass(frozen=True)
class Champion:
    """The parameters in force. `seq` is 0 before the first change; `note` says what had to be restored, or is empty."""

    symbol: str
    id: str
    params: Params
    since_utc: str
    frozen: bool
    former: Former | None
    seq: int
    who: str
    when_utc: str
    why: str
    evidence: Mapping[str, Any]
    note: str = ""

    @property
    def sha256(self) -> str:
        return params_sha256(self.params)

    @property
    def bytes(self) -> bytes:
        """Its overrides file."""
        return canonical(self.params)

    def to_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("params", "former")}
        former = None if self.former is None else {"id": self.former.id, "params": dict(self.former.params)}
        return values | {"params": dict(self.params), "params_sha256": self.sha256, "former": former}


def utc_text(at_utc: datetime | None) -> str:
    """ISO 8601 in UTC to the millisecond; now by default.

    Raises:
        InputError: a time without a zone.
    """
    at_utc = at_utc or datetime.now(UTC)
    if at_utc.tzinfo is None:
        raise InputError(f"{at_utc} has no time zone", remedy="give a time in UTC")
    return at_utc.astimezone(UTC).isoformat(timespec="milliseconds")


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a number")
