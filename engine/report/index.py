"""The reports folder: finding a run in it, the `latest` link, and index.md, the list of all reports.

`latest` leads to the newest soak: a ladder and its attempts, a tune and a rollback are in the list and leave it alone,
so that what reads `latest` finds a soak's files there.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from engine.errors import InputError, did_you_mean
from engine.files import write_atomic
from engine.paths import file_name
from engine.report.format import interval, number
from engine.report.manifest import MANIFEST
from engine.report.table import Markdown, Table, markdown_table

INDEX, LATEST = "index.md", "latest"
_KINDS = {"baseline": "ladder"}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_STAMP = re.compile(r"\d{8}T(\d{2})(\d{2})")


def resolve_run(run: str, reports: Path) -> Path:
    """The folder of RUN: a run id, a path to a run's folder or a file in it, or `latest`.

    Raises:
        InputError: there is no such run; says where it was looked for.
    """
    if run == LATEST:
        folder = _read_latest(reports)
        if folder is None:
            raise _no_latest(reports)
        return folder
    days = [day for day in sorted(reports.glob("*")) if _DATE.fullmatch(day.name)]
    by_id = [day / name for day in days for name in dict.fromkeys((run, file_name(run)))]
    for candidate in (*by_id, Path(run), Path(run).parent):
        if (candidate / MANIFEST).is_file():
            return candidate
    if there := [folder for folder in by_id if folder.is_dir() and folder.parent in days and folder.name != ".."]:
        raise InputError(f"has no {MANIFEST}", where=str(there[0]), remedy="see the files that lie there")
    ids = (folder.name for day in reversed(days) if day.is_dir() for folder in sorted(day.iterdir()))
    near = did_you_mean(run, [LATEST, *ids])
    remedy = near if near.endswith("?") else f"name a run id of {reports / INDEX}, the path of a folder, or latest"
    raise InputError("no such run", where=run, remedy=remedy)


def _no_latest(reports: Path) -> InputError:
    where = str(reports / LATEST)
    folders = (folder for folder in _folders(reports) if (folder / MANIFEST).is_file()) if reports.is_dir() else ()
    newest = next(iter(folders), None)
    if newest is None:
        return InputError("there is no report yet", where=where, remedy="run `nightsoak soak`")
    remedy = (
        f"the newest report is {newest.name}: name it, or another of {reports / INDEX}; the next soak sets it again"
    )
    return InputError("the link is missing or leads nowhere", where=where, remedy=remedy)


def _folders(reports: Path) -> list[Path]:
    """Of all reports, the newest first."""
    folders = [
        folder
        for day in reports.iterdir()
        if _DATE.fullmatch(day.name)
        for folder in day.iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
    ]
    return sorted(folders, key=lambda folder: (folder.parent.name, folder.name), reverse=True)


def point_latest_at(reports: Path, folder: Path) -> None:
    """Make `reports/latest` lead to `folder`: a relative symlink, or a pointer file where links are not to be had."""
    target = folder.relative_to(reports).as_posix()
    latest, fresh = reports / LATEST, reports / f".{LATEST}.{os.getpid()}"
    fresh.unlink(missing_ok=True)
    try:
        fresh.symlink_to(target, target_is_directory=True)
    except (OSError, NotImplementedError):
        if os.name != "nt":
            raise
        fresh.write_text(target + "\n", encoding="utf-8")
    fresh.replace(latest)


def write_index(reports: Path) -> None:
    """Write reports/index.md anew from the manifests of all reports, newest first.

    Raises:
        StorageError: the folder cannot be written; the former index stays.
    """
    write_atomic(reports / INDEX, index_markdown(reports))


def index_markdown(reports: Path) -> str:
    folders = _folders(reports)
    manifests = [_manifest(folder) for folder in folders]
    rows, links = [], []
    for count, (folder, manifest) in enumerate(zip(folders, manifests, strict=True), start=1):
        rows.append(_row(folder, manifest, count))
        links.append(f"[{count}]: {folder.parent.name}/{quote(folder.name)}/{(manifest or {}).get('document', '')}")
    table = Table(("UTC", "Report", "Symbol", "Verdict", "net_bps [95 %]"), "llllr", tuple(rows))
    body = markdown_table(table) + "\n\n" + "\n".join(links) if rows else "Nothing has been reported yet."
    return f"# Reports\n\n{body}\n"


def _row(folder: Path, manifest: Any, count: int) -> tuple[str, ...]:
    stamp = _STAMP.match(folder.name)
    utc = f"{folder.parent.name} {stamp[1]}:{stamp[2]}" if stamp else folder.parent.name
    if manifest is None:
        return (utc, Markdown(f"[?][{count}]"), "-", "unreadable", "-")
    result, kind = manifest["result"], manifest.get("kind", "soak")
    kind = _KINDS.get(kind, kind)
    symbol, *more = result["symbol"].split()
    symbol += f" +{len(more)}" if more else ""
    verdict = result["verdict"] + (" partial" if manifest["interrupted"] else "")
    net = "-" if kind in ("rollback", "tune") else number(result["net_bps"], 2)  # a tune's is of the set it looked at
    bounds = interval(result["low_bps"], result["high_bps"], 2)
    return (utc, Markdown(f"[{kind}][{count}]"), symbol, verdict, f"{net} {bounds}".strip())


def _manifest(folder: Path) -> Any:
    """The manifest, whatever its kind; None where it is not whole."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        return manifest if {"symbol", "verdict", "net_bps"} <= manifest["result"].keys() else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _read_latest(reports: Path) -> Path | None:
    latest = reports / LATEST
    if latest.is_file():  # the pointer file of systems without links
        latest = reports / latest.read_text(encoding="utf-8").strip()
    return latest.resolve() if (latest / MANIFEST).is_file() else None
