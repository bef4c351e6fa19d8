"""truth_manifest.json: what a run was made of, so that it can be done again and compared.

It holds no machine path and no wall clock. The content hash covers the files that decide results: the engine's
code and SQL, the templates and requirements.lock; line endings do not count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.paths import CHECKOUT
from engine.report.quality import flagged
from engine.report.record import RunRecord

MANIFEST, WALL_CLOCK = "truth_manifest.json", "wall_clock.json"
FORMAT = 2
_CODE = ("engine/**/*.py", "engine/**/*.sql", "templates/**/*.j2")


def build_manifest(record: RunRecord, artefacts: Mapping[str, bytes], checkout: Path = CHECKOUT) -> dict[str, Any]:
    """The manifest of a run whose other artefacts are `artefacts` (relative path -> bytes)."""
    tape = record.plan.get("tape") or {}
    totals = record.edge["totals"]
    interval = record.net_interval or {}
    return {
        "format": FORMAT,
        "kind": record.kind,
        "run_id": record.run_id,
        "document": "SOAK_RESULTS.md",
        "interrupted": record.interrupted,
        "result": {
            "symbol": record.symbol,
            "verdict": record.gate["verdict"],
            "net_bps": totals["net_bps"],
            "low_bps": interval.get("low"),
            "high_bps": interval.get("high"),
        },
        "plan": record.plan,
        "parameters": record.parameters,
        "actions": record.actions,
        "resumed_ns": record.data_quality.get("resumed_ns") or [],
        "notes": record.data_quality.get("notes") or [],
        "overrides_refused": record.data_quality.get("overrides_refused") or [],
        "seeds": {"run": record.plan.get("seed"), "tape": (tape.get("generated") or {}).get("seed")},
        "trials": 0,
        "coverage_pct": totals["coverage_pct"],
        "rows": {
            "windows": len(record.edge.get("windows", [])),
            "iterations": len(record.edge.get("iterations", [])),
            "fills": totals["fills"],
            "events": tape.get("count"),
            "ingest": record.data_quality.get("ingest") or {},
        },
        "flagged": flagged(record.quality),
        "inputs": record.inputs,
        "code_sha256": code_sha256(checkout),
        "lock_sha256": lock_sha256(checkout),
        "artefacts": {name: artefact_sha256(artefacts[name], record.run_id) for name in sorted(artefacts)},
    }


def read_manifest_json(folder: Path, needed: Sequence[str] = ()) -> dict[str, Any]:
    """The manifest in `folder`, of whatever kind: `kind` is soak, attempt (a run of a ladder), foreign (another bot's
    run), baseline, tune or rollback.

    Raises:
        InputError: it cannot be read, is no JSON object, or has not all that is `needed`.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path), remedy="name the folder of a run") from error
    if not isinstance(manifest, dict):
        raise InputError("is not a manifest", where=str(path), remedy="restore the file")
    missing = [name for name in needed if name not in manifest]
    if missing:
        raise InputError(f"has no {missing[0]}", where=str(path), remedy="restore the file")
    return manifest


def artefact_sha256(data: bytes, run_id: str) -> str:
    """sha256 of an artefact with its run id taken out: the same run done again has the same hashes."""
    return hashlib.sha256(data.replace(run_id.encode(), b"<run-id>")).hexdigest()


def code_sha256(checkout: Path = CHECKOUT) -> str:
    """One hash over path and content of every file that decides results, sorted by path."""
    digest = hashlib.sha256()
    files = {path.relative_to(checkout).as_posix(): path for pattern in _CODE for path in checkout.glob(pattern)}
    for name in sorted(files):
        digest.update(f"{name}\0{_text_sha256(files[name])}\n".encode())
    return digest.hexdigest()


def lock_sha256(checkout: Path = CHECKOUT) -> str:
    """Of requirements.lock: the version and hash of everything that is installed."""
    return _text_sha256(checkout / "requirements.lock")


def _text_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
