"""A run's certificate: do the run again from its folder alone and compare every artefact byte for byte.

    1. its own files      each artefact against its sha256 in the manifest, the manifest against the documents
    2. its inputs         code, lock, configuration and tape of today against those of the manifest
    3. the run again      in a temporary home, under the same run id, by the code of a soak: bot, warehouse, decisions
    4. the comparison     every file but wall_clock.json

Taken over from the manifest and not made again: run id, the tape's name, where the starting parameters came from, and
what was written into the overrides file by others than the decision rules (an input of the run).
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.differences import ABSENT, differences, shown
from engine.errors import InputError
from engine.files import sha256_file
from engine.paths import Paths
from engine.profile import profile_path
from engine.report.manifest import (
    FORMAT,
    MANIFEST,
    WALL_CLOCK,
    artefact_sha256,
    build_manifest,
    code_sha256,
    lock_sha256,
    read_manifest_json,
)
from engine.report.record import EDGE, FOREIGN, GATE, JOURNAL, METRICS_FILE, OVERRIDES, RunRecord
from engine.report.render import REPORT, SUMMARY, render
from engine.run_again import TAPE, Changed, find_tape, make_again
from engine.soak_recipe import nobody
from engine.soak_steps import Listener

_NUMBERS = (EDGE, GATE, METRICS_FILE)
_ORDER = (*_NUMBERS, OVERRIDES, MANIFEST, REPORT, SUMMARY)
"""Where a difference is looked for first: causes before what is made from them."""
_RUN_ID = re.compile(r"\d{8}T\d{6}-[A-Za-z0-9_.%-]+-[0-9a-f]{4}")
_PROFILE = re.compile(r"\w+", re.ASCII)
_CODE = ("code_sha256", "lock_sha256")
_NEEDED = (
    "run_id",
    "interrupted",
    "plan",
    "parameters",
    "actions",
    "notes",
    "resumed_ns",
    "overrides_refused",
    "inputs",
    "artefacts",
    *_CODE,
)


@dataclass(frozen=True)
class Finding:
    """A file that is not what it should be: at `where` (a leaf or line) `recorded` in the folder, `again` made anew."""

    file: str
    where: str
    recorded: str
    again: str


@dataclass(frozen=True)
class Verification:
    """What came of it. `compared` counts the artefacts that were made again; `open` says what was not verified."""

    run_id: str
    verified: bool
    compared: int
    changed_inputs: tuple[Changed, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    open: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def verify_run(folder: Path, paths: Paths, *, tapes: Sequence[Path] = (), listen: Listener = nobody) -> Verification:
    """Do the run in `folder` again and compare.

    Args:
        tapes: further places to look for the tape: its folder, or a folder of tapes.
        listen: hears the messages of the run that is made again.

    Raises:
        InputError: no manifest of this version, or the tape is not to be found; says where it was looked for.
        RunError: the run could not be made again.
    """
    manifest = read_manifest(folder)
    inputs = changed_inputs(manifest, paths)
    own = _own_files(folder, manifest)
    if manifest["interrupted"] or manifest["resumed_ns"] or manifest.get("kind") == FOREIGN:
        return _once_only(folder, manifest, inputs, own)
    edited = () if any(finding.file in _NUMBERS for finding in own) else _edited(folder, manifest)
    if edited:
        text = f"the run was not made again: {MANIFEST} contradicts the run's own documents"
        return Verification(manifest["run_id"], False, 0, inputs, (*edited, *own), open=(text,))
    with tempfile.TemporaryDirectory(prefix="nightsoak-verify-", ignore_cleanup_errors=True) as home:
        tape, tape_changes = find_tape(manifest, paths, tapes, Path(home), listen)
        if tape is None:
            text = "the run was not made again: its tape is not what it was"
            return Verification(manifest["run_id"], False, 0, (*inputs, *tape_changes), tuple(own), open=(text,))
        again = make_again(manifest, tape, paths, Path(home), listen)
        recorded, made = read_artefacts(folder), read_artefacts(again)
    inputs, known = (*inputs, *tape_changes), {*manifest["artefacts"], *made}
    findings = compare_files({name: data for name, data in recorded.items() if name in known}, made)
    notes = [*_notes(inputs, findings), *(f"{name} is no artefact: not looked at" for name in recorded.keys() - known)]
    return Verification(manifest["run_id"], not findings, len(made), inputs, tuple(findings), tuple(sorted(notes)))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest in `folder`.

    Raises:
        InputError: it cannot be read, or another version wrote it.
    """
    path = folder / MANIFEST
    manifest = read_manifest_json(folder)
    if manifest.get("kind") == "baseline":
        raise InputError("is a ladder", where=str(folder), remedy=f"verify its runs: {' '.join(manifest['runs'])}")
    if manifest.get("kind") == "rollback":
        raise InputError("is a rollback, no run", where=str(folder), remedy="nightsoak champion history tells of it")
    if manifest.get("format") != FORMAT:
        raise InputError(f"is not format {FORMAT}", where=str(path), remedy="verify it with the version that wrote it")
    read_manifest_json(folder, _NEEDED)
    if manifest.get("kind") == FOREIGN:
        return manifest  # it is not made again
    for name, value, pattern in (
        ("run_id", manifest["run_id"], _RUN_ID),
        ("plan.profile", manifest["plan"]["profile"], _PROFILE),
    ):
        if not (isinstance(value, str) and pattern.fullmatch(value)):  # both become parts of paths
            raise InputError(f"{name} is {value!r:.60}", where=str(path), remedy="restore the file")
    return manifest


def changed_inputs(manifest: Mapping[str, Any], paths: Paths) -> tuple[Changed, ...]:
    """Code, lock and configuration that are not what they were when the run was made."""
    now = {"code_sha256": code_sha256(), "lock_sha256": lock_sha256()}
    recorded = {name: manifest[name] for name in _CODE}
    for name, digest in manifest["inputs"].items():
        if name.startswith((TAPE, JOURNAL)):
            continue
        file = profile_path(paths.config, manifest["plan"]["profile"]) if name == "config/profile" else None
        file = file or paths.config / name.removeprefix("config/")
        recorded[name], now[name] = digest, sha256_file(file) if file.is_file() else ABSENT
    return tuple(Changed(name, recorded[name], now[name]) for name in recorded if recorded[name] != now[name])


def _own_files(folder: Path, manifest: Mapping[str, Any]) -> list[Finding]:
    """Artefacts that are not those whose sha256 the manifest holds."""
    found = []
    for name in sorted({*manifest["artefacts"], *_NUMBERS}, key=_place):
        file, recorded = folder / name, manifest["artefacts"].get(name, ABSENT)
        now = artefact_sha256(file.read_bytes(), manifest["run_id"]) if file.is_file() else ABSENT
        if now != recorded or now == ABSENT:
            found.append(Finding(name, "sha256 in the manifest", recorded, now))
    return found


def _edited(folder: Path, manifest: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Leaves of the manifest that are not what the run's documents, whole by their sha256, say."""
    record = RunRecord.from_documents({name: json.loads((folder / name).read_bytes()) for name in _NUMBERS})
    rebuilt = build_manifest(record, dict.fromkeys(manifest["artefacts"], b""))
    of_documents = [name for name in {**manifest, **rebuilt} if name not in (*_CODE, "artefacts")]
    found = []
    for name in of_documents:
        for leaf in differences(manifest.get(name, ABSENT), rebuilt.get(name, ABSENT), name):
            found.append(Finding(MANIFEST, leaf.path, shown(leaf.first), shown(leaf.second)))
    return tuple(found)


def _once_only(
    folder: Path, manifest: Mapping[str, Any], inputs: tuple[Changed, ...], own: list[Finding]
) -> Verification:
    """A run that was ended by a key, or whose bot died on the way, or is not ours: only what follows from its own
    numbers can be checked."""
    findings = list(own)
    if not own:
        findings += _edited(folder, manifest)
        made = render({name: json.loads((folder / name).read_bytes()) for name in _NUMBERS})
        findings += compare_files({name: (folder / name).read_bytes() for name in made}, made)
    if manifest.get("kind") == FOREIGN:
        why = "is another bot's, known by its journal only, and cannot be made again"
    else:
        what = "was interrupted" if manifest["interrupted"] else "lost its bot"
        why = f"{what} at a moment that cannot be repeated"
    missing = (
        f"the run {why}: {', '.join(_NUMBERS)} were not made again; only their sha256, the manifest and the documents "
        "rendered from them were checked"
    )
    return Verification(manifest["run_id"], False, 0, inputs, tuple(findings), open=(missing,))


# --- the comparison --------------------------------------------------------------------------------------------------


def compare_files(recorded: Mapping[str, bytes], made: Mapping[str, bytes]) -> list[Finding]:
    """How the artefacts differ; code and lock hashes are inputs, not results."""
    found = []
    for name in sorted({*recorded, *made}, key=_place):
        one, other = recorded.get(name), made.get(name)
        if one is None or other is None:
            found.append(Finding(name, "the file", *("there" if side is not None else ABSENT for side in (one, other))))
        elif one != other:
            found += _unlike(name, one, other, follows=bool(found))
    return found


def _unlike(name: str, one: bytes, other: bytes, *, follows: bool) -> list[Finding]:
    """How two files of one name differ; `follows`: others differ too, and so do the manifest's hashes of them."""
    if not name.endswith(".json"):
        return [_first_line(name, one, other)]
    try:
        leaves = list(differences(json.loads(one), json.loads(other)))
    except ValueError:
        return [_first_line(name, one, other)]
    if name == MANIFEST:
        leaves = [leaf for leaf in leaves if leaf.path not in _CODE]
        if follows:
            leaves = [leaf for leaf in leaves if not leaf.path.startswith("artefacts.")]
    elif not leaves:
        return [_first_line(name, one, other)]  # the same values, written in another way
    leaves.sort(key=lambda leaf: not leaf.path.startswith("windows["))  # the first window that differs says most
    return [Finding(name, leaf.path, shown(leaf.first), shown(leaf.second)) for leaf in leaves]


def _first_line(name: str, one: bytes, other: bytes) -> Finding:
    lines = [side.decode("utf-8", "replace").splitlines() for side in (one, other)]
    for number, (a, b) in enumerate(zip(*lines, strict=False), 1):
        if a != b:
            return Finding(name, f"line {number}", shown(a), shown(b))
    return Finding(name, "its length", f"{len(one)} bytes", f"{len(other)} bytes")


def read_artefacts(folder: Path) -> dict[str, bytes]:
    """All files of a report's folder but the wall clock, by their path in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != WALL_CLOCK
    }


def _place(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def _notes(inputs: Sequence[Changed], findings: Sequence[Finding]) -> Iterator[str]:
    changed = [change.name for change in inputs]
    if not findings and changed:
        yield f"verified with other code than it was made with ({', '.join(changed)}): the results are the same"
    if findings and not any(f.file in _NUMBERS and not f.where.startswith("inputs.") for f in findings):
        yield "the numbers are the same; what differs is how they are written down"
    if findings and not changed:
        yield "code, lock, configuration and tape are those of the run: its artefacts were changed after it was made"
