"""A tune done again from its folder, in a temporary home, and compared file by file.

The champion, the settings and the number of trials are the record's, so that a champion that has changed since, or a
search that --max-runtime-sec cut short, does not matter. The tapes are found by their digests, wherever they are now;
generated ones that are gone are generated again. What must still be there are the recorded tapes and the code.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.config import parse_config
from engine.differences import ABSENT
from engine.errors import InputError
from engine.market.simulator import SimulatorSettings, generate_tape
from engine.params import Params
from engine.paths import Paths
from engine.report.manifest import MANIFEST, code_sha256, lock_sha256, read_manifest_json
from engine.report.tune_artefacts import TUNE, build_tune, read_tune
from engine.run_again import Changed, tape_of_digest
from engine.search.rounds import Listener
from engine.search.settings import TuneSettings
from engine.search.tune import TuneResult, run_tune
from engine.search.tune_plan import Again
from engine.verify import Verification, compare_files, read_artefacts

KIND, FORMAT = "tune", 1
_NEEDED = ("run_id", "inputs", "artefacts", "code_sha256", "lock_sha256")


def verify_tune(
    folder: Path, paths: Paths, *, tapes: Sequence[Path] = (), tell: Listener = lambda _: None
) -> Verification:
    """Do the tune of a report's folder again, and compare.

    Args:
        tapes: further places to look for the tapes: their folders, or folders of tapes.
        tell: hears the messages of the tune that is made again.

    Raises:
        InputError: the folder holds no tune of this version, or a tape or the configuration is not to be had.
    """
    manifest, record = read_tune_manifest(folder), read_tune(folder)
    tune_id = str(manifest["run_id"])
    with tempfile.TemporaryDirectory(prefix="nightsoak-verify-", ignore_cleanup_errors=True) as made_in:
        home = Path(made_in)
        result = _again(folder, record, paths, tapes, home, tell)
    files = build_tune(result.document, result.trials)
    made = {name: data.replace(result.tune_id.encode(), tune_id.encode()) for name, data in files.items()}
    recorded = {name: data for name, data in read_artefacts(folder).items() if name in {*manifest["artefacts"], *made}}
    findings = compare_files(recorded, made)
    changed = _changed(manifest, result)
    notes = _notes(record, result, bool(findings), changed)
    return Verification(tune_id, not findings, len(made), changed, tuple(findings), notes)


def read_tune_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a tune's folder.

    Raises:
        InputError: it cannot be read, is of something else, or another version wrote it.
    """
    manifest = read_manifest_json(folder)
    where = str(folder / MANIFEST)
    if manifest.get("kind") != KIND:
        raise InputError("is not a tune's manifest", where=where, remedy="name the folder of a tune")
    if manifest.get("format") != FORMAT:
        raise InputError(f"is not format {FORMAT}", where=where, remedy="verify it with the version that wrote it")
    return read_manifest_json(folder, _NEEDED)


def _again(
    folder: Path, record: Mapping[str, Any], paths: Paths, places: Sequence[Path], home: Path, tell: Listener
) -> TuneResult:
    where = str(folder / TUNE)
    try:
        settings = parse_config(json.dumps(record["settings"]), TuneSettings, where=where)
        again = Again(
            champion=Params().with_changes(record["champion"]["params"], where=where),
            source=str(record["champion"]["source"]),
            trials=int(record["trials"]["searched"]),
            tapes=tuple(_tape(number, tape, paths, places, home, tell) for number, tape in enumerate(record["tapes"])),
            names=tuple(str(tape["name"]) for tape in record["tapes"]),
            notes=tuple(record["notes"]),
        )
        promotion = str(record["promotion"])
    except (KeyError, TypeError) as error:
        raise InputError(f"is not a whole record: {error}", where=where, remedy="restore the file") from error
    here = Paths(config=paths.config, datasets=home / "datasets", reports=home / "reports")
    result = run_tune(settings, here, again=again, tell=tell)
    return replace(result, document={**result.document, "promotion": promotion})


def _tape(
    number: int, tape: Mapping[str, Any], paths: Paths, places: Sequence[Path], home: Path, tell: Listener
) -> Path:
    found = tape_of_digest(str(tape["name"]), str(tape["digest"]), paths, places)
    if found is not None:
        return found
    if not tape["generated"]:
        raise InputError(
            f"the tape {tape['name']} (digest {tape['digest'][:16]}) is not here",
            where=f"tape {number} of the tune",
            remedy="say where it is with --tape DIR",
        )
    market = parse_config(json.dumps(tape["generated"]), SimulatorSettings, where=f"{TUNE}, tape {number}")
    made = generate_tape(
        home / f"tape-{number}", market, progress=lambda share: tell({"event": "generating", "share": share})
    )
    return made.path


def _changed(manifest: Mapping[str, Any], result: TuneResult) -> tuple[Changed, ...]:
    """Inputs that are not what they were; a generated tape's digest among them, where the simulator changed."""
    then: dict[str, str] = {name: digest for name, digest in manifest["inputs"].items() if name != "code"}
    now: dict[str, str] = {name: digest for name, digest in result.document["inputs"].items() if name != "code"}
    then |= {name: manifest[name] for name in ("code_sha256", "lock_sha256")}
    now |= {"code_sha256": code_sha256(), "lock_sha256": lock_sha256()}
    pairs = [(name, then.get(name, ABSENT), now.get(name, ABSENT)) for name in sorted({*then, *now})]
    return tuple(Changed(name, one, other) for name, one, other in pairs if one != other)


def _notes(record: Mapping[str, Any], result: TuneResult, differs: bool, changed: Sequence[Changed]) -> tuple[str, ...]:
    notes: list[str] = []
    if differs and record["verdict"] == result.verdict:
        notes.append(f"the verdict is the same: {result.verdict}")
    elif differs:
        notes.append(f"the verdict was {record['verdict']}, done again it is {result.verdict}")
    if differs and not changed:
        notes.append("code, lock, configuration and tapes are those of the tune: its artefacts were changed later")
    return tuple(notes)
