"""The outbox: every notice is written to datasets/notices.jsonl before it is sent, and marked there when it was.

One object a line: {"event": "queued", "id", "kind", "mode", "text", "targets", "at_utc"}, then per address and attempt
{"event": "sent" | "failed", "id", "target", "at_utc"}. An address is named by its scheme and a hash, never in full.
What was not taken is tried again at the next send. A run calls `tell`, which never costs it anything.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.champion.log import append, locked, one_line, read_log
from engine.errors import ConfigError
from engine.events import Event, read_events
from engine.notices import FILE, URLS, Notice, NoticeSettings, event_notice, load_notice_settings, masked
from engine.paths import Paths
from engine.soak_state import utc_now

_SENDING_S = 60.0
_NEWS_DAYS = 3
_LOG = logging.getLogger("nightsoak.notices")
_QUIET = {"tgram": "silent=yes", "ntfy": "priority=min", "ntfys": "priority=min", "pover": "priority=low",
          "gotify": "priority=low", "gotifys": "priority=low"}  # fmt: skip
"""What asks a service to deliver without a sound; others have no such thing."""
_TYPES = dict.fromkeys(("SUCCESS", "OK", "GO", "PROMOTE", "PROMOTED"), "success")
_TYPES |= dict.fromkeys(("WARN", "ROLLED"), "warning")
_TYPES |= dict.fromkeys(("FAIL", "NO-GO", "REJECT", "CRASHED"), "failure")
"""Apprise's kind of message by the first word of the notice; others are information."""


@dataclass(frozen=True)
class Delivered:
    """What a send came to: how many notices were taken, and the addresses that did not take one."""

    sent: int = 0
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Target:
    name: str
    url: str = field(repr=False)


@dataclass(frozen=True)
class _Queued:
    id: str
    mode: str
    text: str
    targets: tuple[str, ...]


def outbox_file(paths: Paths) -> Path:
    return paths.datasets / "notices.jsonl"


def deliver(paths: Paths, notices: Sequence[Notice], *, again: bool = False) -> Delivered:
    """Queue `notices` and those of events not told yet, and send all that waits.

    Args:
        again: send a notice that was queued before once more.

    Raises:
        ConfigError: config/notices.json.
        StorageError, LockHeldError: the outbox cannot be written.
    """
    settings = load_notice_settings(paths.config)
    targets, unknown = _targets(settings)
    for name in unknown:
        _LOG.warning("%s of config/%s or %s is none that Apprise knows", name, FILE, URLS)
    recent = (event for event in read_events(paths) if _is_recent(event))
    told = filter(None, (event_notice(event, settings, paths.reports) for event in recent))
    with locked(paths.locks / "notices.lock", what="the outbox of notices"):
        known = {entry["id"] for entry in _entries(paths) if entry["event"] == "queued"}
        for notice, repeat in [(one, again) for one in notices] + [(one, False) for one in told]:
            mode, key = settings.mode(notice.kind), notice.id or notice.kind
            if mode == "off" or (notice.id in known and not repeat):
                continue
            if key in known:
                key = next(f"{key} {n}" for n in itertools.count(2) if f"{key} {n}" not in known)
            known.add(key)
            names = [target.name for target in targets]
            queued = {"id": key, "kind": notice.kind, "mode": mode, "text": notice.text, "targets": names}
            _write(paths, "queued", queued)
    with locked(paths.locks / "notices-send.lock", what="the sending of notices", wait_s=_SENDING_S):
        return _send(paths, targets, settings, unknown)


def tell(paths: Paths, notices: Sequence[Notice] = ()) -> Delivered:
    """`deliver` for a job that is worth more than its notices: whatever goes wrong is logged."""
    try:
        return deliver(paths, notices)
    except Exception as error:
        _LOG.warning("no notice was sent: %s: %s", type(error).__name__, masked(str(error)))
        return Delivered()


def check_addresses(settings: NoticeSettings) -> None:
    """Refuse settings without an address to send to, or with one that nobody can.

    Raises:
        ConfigError: says which one, not what it is.
    """
    where = f"config/{FILE} or {URLS}"
    if not settings.urls:
        raise ConfigError("no address to send to", where=where, remedy="add one, see docs/notices.md")
    _, unknown = _targets(settings)
    if unknown:
        raise ConfigError(
            f"{unknown[0]} of {len(settings.urls)} is none that Apprise knows",
            where=where,
            remedy="write it as scheme://..., see docs/notices.md",
        )


def _send(paths: Paths, targets: Sequence[_Target], settings: NoticeSettings, failed: Sequence[str]) -> Delivered:
    sent, refused = 0, []
    for queued, target in _pending(paths, targets, settings.max_attempts):
        ok = _post(target, queued)
        with locked(paths.locks / "notices.lock", what="the outbox of notices"):
            _write(paths, "sent" if ok else "failed", {"id": queued.id, "target": target.name})
        sent += ok
        if not ok:
            _LOG.warning("notice %s was not taken by %s; it is tried again at the next send", queued.id, target.name)
            refused.append(target.name)
    return Delivered(sent, (*failed, *refused))


def _is_recent(event: Event) -> bool:
    """Whether it is young enough to be news: an old history brought along tells nothing."""
    try:
        age = datetime.now(UTC) - datetime.fromisoformat(event.at_utc)
    except (ValueError, TypeError):
        return False
    return age < timedelta(days=_NEWS_DAYS)


def _pending(paths: Paths, targets: Sequence[_Target], most: int) -> list[tuple[_Queued, _Target]]:
    """Notices without an answer from an address they were queued for, oldest first, tried less than `most` times."""
    queued: list[_Queued] = []
    done: set[tuple[str, str]] = set()
    tries: dict[tuple[str, str], int] = {}
    for entry in _entries(paths):
        if entry["event"] == "queued":
            queued.append(_Queued(entry["id"], entry["mode"], entry["text"], tuple(entry["targets"])))
            continue
        key = (entry["id"], entry["target"])
        tries[key] = tries.get(key, 0) + 1
        if entry["event"] == "sent":
            done.add(key)
    return [
        (notice, target)
        for notice in queued
        for target in targets
        if target.name in notice.targets
        and (notice.id, target.name) not in done
        and tries.get((notice.id, target.name), 0) < most
    ]


def _post(target: _Target, queued: _Queued) -> bool:
    """Whether the service took it."""
    title, _, body = queued.text.partition("\n")
    url = target.url
    quiet = _QUIET.get(url.split("://", 1)[0].lower())
    if queued.mode == "silent" and quiet:
        url += ("&" if "?" in url else "?") + quiet
    with _apprise() as apprise:
        server = apprise.Apprise.instantiate(url)
        kind = apprise.NotifyType(_TYPES.get(title.split(" ", 1)[0], "info"))
        try:
            return bool(server is not None and server.notify(body=body, title=title, notify_type=kind))
        except Exception:  # a service's plugin may raise anything; a notice never costs more than itself
            return False


def _targets(settings: NoticeSettings) -> tuple[list[_Target], list[str]]:
    """The configured addresses, and those, by their number, that Apprise does not know."""
    found, unknown = [], []
    for number, secret in enumerate(settings.urls, start=1):
        url = secret.get_secret_value()
        with _apprise() as apprise:
            server = apprise.Apprise.instantiate(url)
        if server is None:
            unknown.append(f"address {number}")
            continue
        found.append(_Target(f"{url.split('://', 1)[0]} {_fingerprint(url)}", url))
    return found, unknown


def _fingerprint(url: str) -> str:
    """Names an address in files and logs; slow to make, or a weak password in the address could be found by trying."""
    return hashlib.scrypt(url.encode(), salt=b"nightsoak notices", n=1 << 14, r=8, p=1, dklen=4).hex()


@contextmanager
def _apprise() -> Iterator[Any]:
    """The library, muted: its log shows addresses, and its plugins warn of what they import."""
    log = logging.getLogger("apprise")
    former, silence = log.propagate, logging.NullHandler()
    log.addHandler(silence)
    log.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import apprise

            yield apprise
    finally:
        log.propagate = former
        log.removeHandler(silence)


def _entries(paths: Paths) -> list[dict[str, Any]]:
    """The outbox's lines; those that are none are left out."""
    entries = []
    for line in read_log(outbox_file(paths)).lines:
        try:
            entry = json.loads(line)
            needed = ("mode", "text", "targets") if entry["event"] == "queued" else ("target",)
            if all(name in entry for name in (*needed, "id")):
                entries.append(entry)
        except (ValueError, KeyError, TypeError):
            continue
    return entries


def _write(paths: Paths, event: str, fields: dict[str, Any]) -> None:
    entry = {"event": event, "at_utc": utc_now(), **fields}
    append(outbox_file(paths), one_line(entry, where=str(outbox_file(paths))))
