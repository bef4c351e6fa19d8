"""Configuration files: one JSON object a file, read into a frozen model that forbids unknown keys.

A file is taken or refused as a whole. Nothing is coerced: "5" is not 5, true is not 1, NaN is no number, and
a key that stands twice is refused. Every object may carry a `comment`, which is read and ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import ConfigError, did_you_mean


class ConfigModel(BaseModel):
    """Base of every configuration object: frozen, strict, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    comment: str | tuple[str, ...] = ""


Model = TypeVar("Model", bound=ConfigModel)


def load_config(path: Path, model: type[Model]) -> Model:
    """The file `path` as a `model`.

    Raises:
        ConfigError: unreadable, not JSON, or not what `model` asks for; names file, key and remedy.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigError(
            f"cannot be read: {reason}", where=str(path), remedy="check the path, or run nightsoak init"
        ) from error
    return parse_config(text, model, where=str(path))


def parse_config(text: str, model: type[Model], *, where: str) -> Model:
    """JSON `text` as a `model`; `where` names the source in errors.

    Raises:
        ConfigError: as `load_config`.
    """
    try:
        json.loads(text, object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"is not valid JSON: {error}", where=where, remedy="correct it") from error
    try:
        # From the text, not from the parsed object: strict mode then takes JSON arrays for tuples.
        return model.model_validate_json(text)
    except ValidationError as error:
        raise _config_error(error, model, where) from error


def _config_error(error: ValidationError, model: type[ConfigModel], where: str) -> ConfigError:
    """The first of pydantic's complaints as one line; how many more there are is said."""
    first, *others = error.errors(include_url=False)
    key = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        known = sorted(_keys_at(model, first["loc"][:-1]) - {"comment"})
        remedy = did_you_mean(str(first["loc"][-1]), known)
        return ConfigError(f"unknown key {key!r}{more}", where=where, remedy=remedy)
    if first["type"] == "missing":
        return ConfigError(f"key {key!r} is missing{more}", where=where, remedy="add it")
    message = first["msg"].removeprefix("Value error, ")
    given = first["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool | None) else ""
    subject = f"{key}: " if key else ""
    return ConfigError(f"{subject}{message}{shown}{more}", where=where, remedy="correct the value")


def _keys_at(model: type[ConfigModel], location: Sequence[int | str]) -> set[str]:
    """The keys known to the object at `location`; list indices, dict keys and union tags are passed over."""
    for part in location:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = next(_models_in(field.annotation), model)
    return set(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[ConfigModel]]:
    if isinstance(annotation, type) and issubclass(annotation, ConfigModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys: set[str] = set()
    for key, _ in pairs:
        if key in keys:
            raise ValueError(f"key {key!r} stands twice")
        keys.add(key)
    return dict(pairs)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")
