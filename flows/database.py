"""The database of Prefect's server: SQLite in Prefect's home, or what PREFECT_SERVER_DATABASE_CONNECTION_URL names.

The URL holds a password: it goes to the server alone, and whoever shows it or a log shows `masked`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from engine.errors import InputError, RunError

URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
SHARED = "NIGHTSOAK_SHARED_SERVER"
"""Set by `nightsoak up` for its deploying child: other hosts' workers may use this server."""
_FORM = "postgresql+asyncpg://USER:PASSWORD@HOST:5432/DATABASE"
_SCHEMES = ("postgresql+asyncpg", "sqlite+aiosqlite")
_ANSWER_S = 10.0


def database_url() -> str | None:
    return os.environ.get(URL) or None


def is_postgresql() -> bool:
    return (database_url() or "").startswith("postgresql")


def masked(text: str) -> str:
    """The text without the password of the database's URL, however it is written there."""
    try:
        password = urlsplit(database_url() or "").password
    except ValueError:
        password = None
    for secret in {password, unquote(password)} if password else ():
        text = text.replace(secret, "***")
    return text


def without_url(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process gets that has no business with the database."""
    return {name: value for name, value in environment.items() if name != URL}


def check_database() -> str | None:
    """The masked URL of a database that answers; None for SQLite in Prefect's home.

    Raises:
        InputError: the URL is none that Prefect takes.
        RunError: PostgreSQL does not answer, or refuses us.
    """
    url = database_url()
    if url is None:
        return None
    scheme, colon, _ = url.partition("://")
    if scheme not in _SCHEMES or not colon:
        raise InputError(f"names no database of Prefect's: {scheme!r}", where=URL, remedy=f"write {_FORM}")
    if is_postgresql():
        _connect(url)
    return masked(url)


def _connect(url: str) -> None:
    """As Prefect's server will: a URL is read by SQLAlchemy, and so are its options."""
    import asyncio

    from sqlalchemy.exc import ArgumentError
    from sqlalchemy.ext.asyncio import create_async_engine

    async def attempt() -> None:
        engine = create_async_engine(url)
        try:
            async with asyncio.timeout(_ANSWER_S), engine.connect():
                pass
        finally:
            await engine.dispose()

    try:
        asyncio.run(attempt())
    except (ArgumentError, ValueError) as error:
        raise InputError("is no URL of a database", where=URL, remedy=f"write {_FORM}") from error
    except Exception as error:  # the driver's own, the system's, a time-out
        said = masked(str(error).splitlines()[0] if str(error) else type(error).__name__)
        remedy = f"see that it runs, and that user and password in {URL} are right"
        raise RunError(f"PostgreSQL cannot be used: {said}", where=masked(url), remedy=remedy) from error
