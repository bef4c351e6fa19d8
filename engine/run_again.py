"""Making a recorded run again: its tape, found or generated, and the soak that its manifest describes.

The code is that of a soak (bot process, warehouse, decisions, report) without Prefect, in a home of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.control.script import write_script
from engine.differences import ABSENT
from engine.errors import InputError, TapeError
from engine.files import sha256_file, write_json
from engine.market.simulator import SimulatorSettings, generate_tape
from engine.market.tape_meta import META_FILE, read_meta
from engine.params import Params
from engine.paths import CHECKOUT, Paths
from engine.report.manifest import MANIFEST
from engine.report.record import OPERATOR
from engine.soak import Companion, RunPlan, Schedule, SoakSettings
from engine.soak_plan import make_plan
from engine.soak_recipe import run_soak
from engine.soak_state import RunState
from engine.soak_steps import Listener, report

TAPE = "tape/"
"""What the names of a tape's files begin with among a run's inputs."""


@dataclass(frozen=True)
class Changed:
    """An input that is not what it was: `recorded` in the manifest, `now` found (ABSENT where there is none)."""

    name: str
    recorded: str
    now: str


def find_tape(
    manifest: Mapping[str, Any], paths: Paths, places: Sequence[Path], home: Path, listen: Listener
) -> tuple[Path | None, tuple[Changed, ...]]:
    """Where the run's tape is (generated into `home` if need be), and what of it is not what it was.

    The path is None where a tape of that name is there but its events are others.
    """
    identity = manifest["plan"]["tape"]
    candidates = list(_candidates(identity["name"], paths, places))
    for candidate in candidates:
        if _digest(candidate) == identity["digest"]:
            changes = _column_changes(manifest, candidate)
            return (None if changes else candidate), changes
    if not places and identity["generated"]:
        return _generate(manifest, home, listen)
    named = [place for place in candidates if place.name == Path(identity["name"]).name or place in places]
    if named:
        changes = _column_changes(manifest, named[0])
        return None, changes or (Changed(f"{TAPE}{META_FILE}", identity["digest"], _digest(named[0]) or ABSENT),)
    raise InputError(
        f"the tape {identity['name']} (digest {identity['digest'][:16]}) is not here",
        where=manifest["run_id"],
        remedy="say where it is with --tape DIR",
    )


def tape_of_digest(name: str, digest: str, paths: Paths, places: Sequence[Path]) -> Path | None:
    """The folder of a tape with that digest, looked for under its name, in `places` and among the datasets."""
    return next((folder for folder in _candidates(name, paths, places) if _digest(folder) == digest), None)


def _candidates(name: str, paths: Paths, places: Sequence[Path]) -> Iterator[Path]:
    """Folders that hold a tape, the likeliest first."""
    datasets = dict.fromkeys((paths.datasets, CHECKOUT / "datasets"))
    roots = [folder / kind for folder in datasets for kind in ("sample", "tapes")]
    seen = set()
    for place in (*places, Path(name), CHECKOUT / name, *roots):
        for folder in (place, *(sorted(place.iterdir()) if place.is_dir() else ())):
            if folder not in seen and (folder / META_FILE).is_file():
                seen.add(folder)
                yield folder


def _digest(folder: Path) -> str | None:
    try:
        return read_meta(folder).digest
    except TapeError:
        return None


def _column_changes(manifest: Mapping[str, Any], folder: Path) -> tuple[Changed, ...]:
    """The tape's files whose sha256 is not that of the manifest."""
    changes = []
    for name, digest in manifest["inputs"].items():
        if name.startswith(TAPE):
            file = folder / name.removeprefix(TAPE)
            now = sha256_file(file) if file.is_file() else ABSENT
            if now != digest:
                changes.append(Changed(name, digest, now))
    return tuple(changes)


def _generate(manifest: Mapping[str, Any], home: Path, listen: Listener) -> tuple[Path | None, tuple[Changed, ...]]:
    identity = manifest["plan"]["tape"]
    try:
        market = SimulatorSettings.model_validate_json(json.dumps(identity["generated"]))
    except ValueError as error:
        raise InputError(
            "the settings of the generated market are those of another version",
            where=str(manifest["run_id"]),
            remedy="say where the tape is with --tape DIR",
        ) from error
    tape = generate_tape(home / "tape", market, progress=lambda share: listen({"event": "generating", "share": share}))
    changes = _column_changes(manifest, tape.path)
    if not changes and tape.meta.digest != identity["digest"]:
        return tape.path, (Changed(f"{TAPE}{META_FILE}", identity["digest"], tape.meta.digest),)
    return (None if changes else tape.path), changes


def make_again(manifest: Mapping[str, Any], tape: Path, paths: Paths, home: Path, listen: Listener) -> Path:
    """The folder of the run made again."""
    plan = _plan(manifest, tape, Paths(config=paths.config, datasets=home / "datasets", reports=home / "reports"))
    listen({"event": "planned", "run_id": plan.run_id, "notes": (), "windows": plan.schedule.windows})
    _write_script(plan, manifest)
    run_soak(plan, listen, at_edge=lambda edge: _write_what_others_wrote(plan, manifest, edge.ts_ns))
    RunState.read(plan).updated(plan, refused=tuple(manifest["overrides_refused"]))
    return report(plan).folder


def _plan(manifest: Mapping[str, Any], tape: Path, paths: Paths) -> RunPlan:
    """The plan that a soak makes of the recorded settings, under the recorded name."""
    recorded = manifest["plan"]
    try:
        asked = SoakSettings.model_validate_json(json.dumps(recorded["settings"]))
    except ValueError as error:
        raise InputError("plan.settings are not those of a soak", where=MANIFEST, remedy="restore it") from error
    starting = paths.datasets / "starting.json"
    write_json(starting, manifest["parameters"][0]["params"])
    replayed = {"feed": "replay", "endpoint": "", "tape": str(tape)}
    found = asked.model_copy(update={**replayed, "overrides": str(starting), "profile": recorded["profile"]})
    windows, iterations = recorded["windows"], recorded["iterations"]
    schedule = Schedule(
        recorded["start_ns"], recorded["end_ns"], recorded["window_seconds"], windows, windows // iterations
    )
    companions = [Companion.from_json(one) for one in recorded["companions"]]
    plan = make_plan(found, paths, run_id=manifest["run_id"], companions=companions, schedule=schedule)
    plan = replace(
        plan,
        settings=asked,
        params_source=recorded["params_source"],
        tape_facts=plan.tape_facts | {name: recorded["tape"][name] for name in ("name", "default")},
        latency_modelled=recorded["latency_modelled"],
        champion=Params().with_changes(recorded["champion"]) if recorded.get("champion") else None,
        notes=tuple(manifest["notes"]),
        again=True,
    )
    write_json(plan.file, plan.to_json())
    RunState.begin(plan)
    return plan


def _write_script(plan: RunPlan, manifest: Mapping[str, Any]) -> None:
    """What was done to the bot, at its times, where that is more than one overrides file at an iteration's end.

    Sets and actions each keep their order; between a set and an action of the same time there is none to keep, since
    they change different things.
    """
    edges = {plan.schedule.window_end_ns(window) for window in range(plan.schedule.windows)}
    sets = manifest["parameters"][1:]
    times = {row["effective_ts_ns"] for row in sets}
    if not (plan.settings.live or manifest["actions"] or times - edges or len(times) < len(sets)):
        return
    done = [(row["effective_ts_ns"], "reload_strategy", row["params"]) for row in sets]
    done += [(row["effective_ts_ns"], row["name"], row["values"]) for row in manifest["actions"]]
    write_script(done, plan.folder)


def _write_what_others_wrote(plan: RunPlan, manifest: Mapping[str, Any], ts_ns: int) -> None:
    """Put into the overrides file what somebody put there at this edge. A file that was refused changed nothing."""
    for row in manifest["parameters"]:
        if row["effective_ts_ns"] == ts_ns and row["source"] == OPERATOR:
            write_json(plan.overrides_file, row["params"])
            return
    if any(refused["ts_ns"] == ts_ns for refused in manifest["overrides_refused"]):
        write_json(plan.overrides_file, dict(RunState.read(plan).params))
