"""config/control.json, and where the bearer token comes from."""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from engine.config import ConfigModel, load_config
from engine.errors import ConfigError, StorageError

FILE = "control.json"
TOKEN_VARIABLE = "NIGHTSOAK_CONTROL_TOKEN"
SWITCH_VARIABLE = "NIGHTSOAK_CONTROL"
_LEAST_TOKEN = 16
_LEAST_PACE = 0.1
_TOKEN_BYTES = 32


def _whole(value: object) -> object:
    """5.0 for 5: JSON has one kind of number, and JSON Schema calls both an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
HorizonS = Annotated[int, Field(ge=1, le=600), WHOLE]


class Toxicity(ConfigModel):
    """Parameter group `toxicity`: what the toxicity report measures.

    horizons_s    seconds after a fill at which the mid is looked at
    outlier_mads  beyond so many scaled median deviations a fill is an outlier
    """

    horizons_s: Annotated[tuple[HorizonS, ...], Field(min_length=1, max_length=8)] = (1, 5, 10, 60)
    outlier_mads: Annotated[float, Field(ge=1, le=100)] = 5.0

    @field_validator("horizons_s")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(value)))


class PerfProfile(ConfigModel):
    """Parameter group `perf_profile`: how the journal is written; what it says does not depend on it.

    io_flush_batch_bytes  records are handed to the system when so much has gathered (edges flush anyway)
    io_rotate_bytes       a file that has grown beyond this is closed at the next edge
    """

    io_flush_batch_bytes: Annotated[int, Field(ge=4096, le=64 << 20), WHOLE] = 1 << 20
    io_rotate_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 40), WHOLE] = 64 << 20


class ControlSettings(ConfigModel):
    """config/control.json.

    port               of 127.0.0.1; 0 takes a free one
    serve_in           the modes in which it is served without being asked for
    token_file         a file that holds the token, relative to the config folder; empty: none
    wait_s             how long a POST waits for its effect before it answers 202
    replay_pace        seconds of market time a second in a served replay; 0: as fast as it goes; slower than 0.1 it
                       would look like a bot that hangs
    queue_limit        how many actions may wait; beyond, 429
    body_limit_bytes   longer bodies answer 413
    concurrency_limit  more connections answer 503
    """

    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    serve_in: tuple[Literal["replay", "shadow"], ...] = ("shadow",)
    token_file: str = ""
    wait_s: Annotated[float, Field(ge=0, le=30)] = 3.0
    replay_pace: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    queue_limit: Annotated[int, Field(ge=1, le=10_000)] = 64
    body_limit_bytes: Annotated[int, Field(ge=256, le=1 << 20)] = 16_384
    concurrency_limit: Annotated[int, Field(ge=1, le=10_000)] = 64
    toxicity: Toxicity = Toxicity()
    perf_profile: PerfProfile = PerfProfile()

    @field_validator("replay_pace")
    @classmethod
    def _alive(cls, value: float) -> float:
        if 0 < value < _LEAST_PACE:
            raise ValueError(f"below {_LEAST_PACE} it would look like a bot that hangs: 0 is as fast as it goes")
        return value


@dataclass(frozen=True)
class Token:
    """The bearer token; its repr does not tell it. `file` is where a random one was written, else None."""

    value: str = field(repr=False)
    file: Path | None = None


def load_settings(config: Path) -> ControlSettings:
    """config/control.json; the defaults where there is none.

    Raises:
        ConfigError: the file is not what it must be.
    """
    path = config / FILE
    return load_config(path, ControlSettings) if path.exists() else ControlSettings()


def is_served(settings: ControlSettings, mode: str) -> bool:
    """Whether a bot in `mode` serves the control plane: NIGHTSOAK_CONTROL decides, else `serve_in`.

    Raises:
        ConfigError: NIGHTSOAK_CONTROL is neither 0 nor 1.
    """
    switch = os.environ.get(SWITCH_VARIABLE, "")
    if switch not in ("", "0", "1"):
        raise ConfigError(f"{SWITCH_VARIABLE} must be 0 or 1, not {switch!r}", remedy="unset it, or set it to 1")
    return switch == "1" if switch else mode in settings.serve_in


def find_token(settings: ControlSettings, config: Path, run_folder: Path) -> Token:
    """The configured token, else a fresh random one in `<run folder>/control.token`, readable by its owner alone.

    Raises:
        ConfigError: a configured token is too short, or its file is missing or open to others.
        StorageError: the random one cannot be written.
    """
    if TOKEN_VARIABLE in os.environ:
        return Token(_checked(os.environ[TOKEN_VARIABLE].strip(), TOKEN_VARIABLE))
    if settings.token_file:
        path = config / settings.token_file
        try:
            if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError("others can read the token", where=str(path), remedy=f"chmod 600 {path}")
            return Token(_checked(path.read_text(encoding="ascii").strip(), str(path)))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("the token cannot be read", where=str(path), remedy="check token_file") from error
    value = secrets.token_urlsafe(_TOKEN_BYTES)
    path = run_folder / "control.token"
    try:
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(value + "\n")
    except OSError as error:
        raise StorageError(
            f"cannot write the token: {error.strerror}", where=str(path), remedy="make the folder writable"
        ) from error
    return Token(value, path)


def _checked(value: str, where: str) -> str:
    if len(value) < _LEAST_TOKEN or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(
            f"the token must be at least {_LEAST_TOKEN} printable characters without spaces",
            where=where,
            remedy="use for instance: openssl rand -hex 32",
        )
    return value
