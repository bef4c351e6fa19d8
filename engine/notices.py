"""Notices: at most eight lines that tell a person what the night came to, what was taken back, or what broke.

A night's notice is the run's own summary.txt, which is made from its JSON and whose sha256 stands in the manifest, so
it cannot say anything else than the report. The verdict word comes first, then what was breached and what was done
about it, and at the end one link. Sending is engine.notice_outbox's.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import Field, SecretStr

from engine.config import ConfigModel, load_config
from engine.errors import ConfigError, InputError, NightsoakError, VerificationError
from engine.events import PROMOTED, ROLLED_BACK, Event
from engine.report.manifest import MANIFEST, artefact_sha256
from engine.report.render import SUMMARY

FILE = "notices.json"
URLS = "NIGHTSOAK_NOTICE_URLS"
MAX_LINES = 8
Kind = Literal["night", "promotion", "rollback", "crash", "test"]
Mode = Literal["on", "silent", "off"]
_URL = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\"]+")
_LINE_CHARACTERS = 400


@dataclass(frozen=True)
class Notice:
    """`title` is the first line, `lines` the others. `id` names what happened: the same one is sent once.

    Raises:
        ValueError: more than MAX_LINES lines.
    """

    kind: Kind
    title: str
    lines: tuple[str, ...]
    id: str

    def __post_init__(self) -> None:
        if len(self.lines) + 1 > MAX_LINES:
            raise ValueError(f"a notice has {len(self.lines) + 1} lines, {MAX_LINES} are the most")
        one_line = (" ".join(line.split())[:_LINE_CHARACTERS] for line in (self.title, *self.lines))
        title, *lines = one_line
        object.__setattr__(self, "title", title)
        object.__setattr__(self, "lines", tuple(lines))

    @property
    def text(self) -> str:
        return "\n".join((self.title, *self.lines))


class Events(ConfigModel):
    """What is done about each kind; a night's notice can be silent, never off."""

    night: Literal["on", "silent"] = "on"
    promotion: Mode = "on"
    rollback: Mode = "on"
    crash: Mode = "on"


class NoticeSettings(ConfigModel):
    """config/notices.json. `max_attempts`: how often an unsent notice is tried again, at the sends after it."""

    urls: tuple[SecretStr, ...] = ()
    link_base: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    events: Events = Events()
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 20

    def mode(self, kind: Kind) -> Mode:
        return "on" if kind == "test" else getattr(self.events, kind)  # type: ignore[no-any-return]


def load_notice_settings(config: Path) -> NoticeSettings:
    """The settings, with the addresses of the environment in the place of the file's where it has some.

    Raises:
        ConfigError: names file and key, never an address.
    """
    try:
        settings = load_config(config / FILE, NoticeSettings)
    except ConfigError as error:
        raise ConfigError(masked(error.what), where=error.where, remedy=masked(error.remedy)) from None
    given = os.environ.get(URLS, "").split()
    return settings.model_copy(update={"urls": tuple(map(SecretStr, given))}) if given else settings


def masked(text: str) -> str:
    """`text` with every address in it reduced to its scheme."""
    return _URL.sub(lambda match: f"{match[0].split(':', 1)[0]}://****", text)


def run_notice(folder: Path, settings: NoticeSettings) -> Notice:
    """The notice of a finished soak, tune or ladder.

    Raises:
        InputError: the folder holds no report with a summary.
        VerificationError: the summary is not the one that was written with the report.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        data = (folder / SUMMARY).read_bytes()
        run_id, document = manifest["run_id"], manifest["document"]
        expected = manifest["artefacts"][SUMMARY]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "holds no report with a notice", where=str(folder), remedy="name a run's folder, its id, or latest"
        ) from error
    if artefact_sha256(data, run_id) != expected:
        raise VerificationError(
            f"differs from its sha256 in {MANIFEST}",
            where=str(folder / SUMMARY),
            remedy=f"render it again with nightsoak report {run_id}",
        )
    title, *lines = data.decode("utf-8").splitlines()
    body = [line for line in lines if not line.startswith("Report: ")]
    link = _link(settings, f"{folder.parent.name}/{folder.name}/{document}", f"nightsoak report {run_id}")
    return Notice("night", title, (*body, f"Report: {link}"), f"night {run_id}")


def event_notice(event: Event, settings: NoticeSettings, reports: Path) -> Notice | None:
    """The notice of an event of datasets/events.jsonl; None for those that nobody is told of."""
    told: Mapping[str, Any] = event.payload
    symbol, moment = told.get("symbol", "unknown symbol"), f"{event.at_utc[:16].replace('T', ' ')} UTC"
    champions = f"champion {told.get('from', 'unknown')} -> {told.get('to', 'unknown')}"
    if event.name == PROMOTED:
        return Notice(
            "promotion",
            f"PROMOTED · {symbol} · {moment}",
            (
                f"Why: {told.get('why', 'not said')}",
                f"Promoted: {champions}",
                *_moves(told),
                "Decide: nothing today; the next soak starts from it, and is watched",
                f"Report: nightsoak champion history --symbol {symbol}",
            ),
            f"event {event.id}",
        )
    if event.name != ROLLED_BACK:
        return None
    report = str(told.get("report", ""))
    return Notice(
        "rollback",
        f"ROLLED BACK · {symbol} · {moment}",
        (
            f"Why: {told.get('why', 'not said')}",
            f"Rolled back: {champions}",
            *_changes(reports / report),
            "Decide: nothing today; the former parameters are in force",
            f"Report: {_link(settings, report, f'nightsoak champion history; {report}')}",
        ),
        f"event {event.id}",
    )


def crash_notice(what: str, error: BaseException, *, run_id: str = "") -> Notice:
    """The notice of a job that broke: what, where and remedy as the command line would say them.

    Args:
        what: the job, such as "soak".
        run_id: the run, where there was one already.
    """
    known = error if isinstance(error, NightsoakError) else None
    reason = f"{type(error).__name__}: {error}" if known is None else known.what
    lines = [f"Why: {masked(' '.join(reason.split()))}"]
    if known is not None and known.where:
        lines.append(f"Where: {masked(known.where)}")
    lines.append(f"Decide: {masked(known.remedy) if known is not None and known.remedy else 'run nightsoak doctor'}")
    lines.append(f"Report: {f'nightsoak report {run_id}' if run_id else 'none'}")
    return Notice("crash", f"CRASHED · {what}" + (f" · {run_id}" if run_id else ""), tuple(lines), "")


def trial_notice(settings: NoticeSettings) -> Notice:
    """The notice of `nightsoak notify --test`."""
    modes = ", ".join(f"{kind} {settings.mode(kind)}" for kind in ("night", "promotion", "rollback", "crash"))  # type: ignore[arg-type]
    return Notice("test", "TEST · notices of Nightsoak arrive here", (f"Events: {modes}", "Decide: nothing"), "")


def _changes(report: Path) -> tuple[str, ...]:
    """The parameters that a rollback put back, from the ROLLBACK.json beside its report."""
    try:
        return _moves(json.loads((report.parent / "ROLLBACK.json").read_bytes()))
    except (OSError, ValueError):
        return ()


def _moves(told: Any) -> tuple[str, ...]:
    """`changes` of it in one line; none where it has none."""
    try:
        said = ", ".join(f"{row['parameter']} {row['from']:g} -> {row['to']:g}" for row in told["changes"])
    except (ValueError, KeyError, TypeError):
        return ()
    return (f"Changed: {said}",) if said else ()


def _link(settings: NoticeSettings, path: str, command: str) -> str:
    return f"{settings.link_base.rstrip('/')}/{quote(path)}" if settings.link_base else command
