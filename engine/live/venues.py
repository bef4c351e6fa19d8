"""config/venues.json: where the venues are and what they allow; `--endpoint` puts another place over it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field

from engine.config import ConfigModel, load_config
from engine.errors import ConfigError
from engine.paths import Paths

FILE = "venues.json"
FEEDS = ("bybit", "binance")
_SCHEMES = {"ws": "http", "wss": "https"}


class BybitVenue(ConfigModel):
    """`depth`: levels of the book stream. `args_chars`, `args_count`: bounds of one subscribe message."""

    ws: str
    rest: str
    depth: int = Field(ge=1)
    args_chars: int = Field(ge=100)
    args_count: int = Field(ge=1)


class BinanceVenue(ConfigModel):
    """Paths and stream names of USD-M futures; depth and trades are on two connections."""

    ws: str
    rest: str
    depth_stream: str
    trade_stream: str
    depth_path: str
    trade_path: str
    snapshot_levels: int = Field(ge=5, le=1000)
    streams_count: int = Field(ge=1)


class Venues(ConfigModel):
    bybit: BybitVenue
    binance: BinanceVenue


def read_venues(path: Path | None = None) -> Venues:
    """config/venues.json.

    Raises:
        ConfigError: the file is missing or does not say what it must.
    """
    return load_config(Paths.from_environment().config / FILE if path is None else path, Venues)


def places(ws: str, rest: str, endpoint: str) -> tuple[str, str]:
    """Bases of websocket and REST addresses, without a slash at the end; `endpoint` (ws://..., if any) gives both.

    Raises:
        ConfigError: the endpoint is not a websocket address, or names a user: addresses stand in reports.
    """
    if not endpoint:
        return ws.rstrip("/"), rest.rstrip("/")
    where, remedy = "--endpoint", "give one like ws://127.0.0.1:8765"
    try:
        parts = urlsplit(endpoint)
        is_address = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if "@" in endpoint:
        raise ConfigError("public market data need no user name", where=where, remedy=remedy)
    if not is_address or any(character.isspace() for character in endpoint):
        raise ConfigError(f"{endpoint!r} is not a websocket address", where=where, remedy=remedy)
    return endpoint.rstrip("/"), urlunsplit((_SCHEMES[parts.scheme], parts.netloc, "", "", ""))


def is_loopback(address: str) -> bool:
    """Whether an address is of this machine; proxies of the environment are not asked for those."""
    host = urlsplit(address).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
