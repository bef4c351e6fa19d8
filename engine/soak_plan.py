"""Planning a run: which tape, which profile, which parameters, from when to when, under which id.

`check_inputs` reads and refuses without writing anything; `make_plan` also generates the default tape on first
use, claims the run's folder and puts the starting parameters where the bot picks up its overrides.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.champion.start import Start, start_of
from engine.champion.store import ChampionStore
from engine.companions import gather
from engine.errors import StorageError
from engine.files import sha256_file, write_atomic, write_json
from engine.host import check_host, claim_host
from engine.locks import FileLock
from engine.params import Params, read_overrides
from engine.paths import CHECKOUT, Paths
from engine.profile import default_profile_name, load_profile, profile_path
from engine.soak import Companion, RunPlan, Schedule, SoakSettings, make_run_id
from engine.soak_market import check_market, find_market
from engine.soak_state import RunState
from engine.tuning.bands import load_gates
from engine.tuning.rules import load_rules, matrix_file

_CONFIG_FILES = ("gates.json", "packages.json", "edge_targets.json", "judge.json")


def soak_lock(paths: Paths) -> FileLock:
    """The lock that lets one soak at a time work on a warehouse.

    Raises:
        LockHeldError: the warehouse belongs to another machine, where this lock would hold nothing.
    """
    check_host(paths)
    return FileLock(paths.locks / f"soak-{paths.warehouse.stem}.lock", what=f"the warehouse {paths.warehouse.name}")


def check_inputs(settings: SoakSettings, paths: Paths) -> None:
    """Refuse what can be refused before anything runs; nothing is written.

    Raises:
        InputError: tape, symbol, profile, parameters, overrides or configuration; names the file and the remedy.
        StorageError: the datasets or reports folder cannot be written.
        LockHeldError: the warehouse belongs to another machine.
    """
    check_host(paths)
    load_profile(paths.config, settings.profile or default_profile_name())
    load_rules(paths.config, settings.matrix)
    load_gates(paths.config)
    for folder in (paths.datasets, paths.reports):
        check_writable(folder)
    for one in settings.one_each():
        _check_params(one, paths, check_market(one, paths))


def make_plan(
    settings: SoakSettings,
    paths: Paths,
    *,
    progress: Callable[[float], None] | None = None,
    run_id: str | None = None,
    companions: Sequence[Companion] | None = None,
    schedule: Schedule | None = None,
) -> RunPlan:
    """The plan of a new run, written to its folder; the caller holds the lock.

    Args:
        run_id: the id to use where a run is done again; a new one by default.
        companions: those of a run that is done again; by default whoever waits now, if the champion starts.
        schedule: that of a run that is done again, or of several live runs that begin together.
        progress: called with the share of the default tape that is generated, 0..1.

    Raises:
        InputError, StorageError, LockHeldError: as `check_inputs`; also a damaged tape.
    """
    check_inputs(settings, paths)
    claim_host(paths)
    market = find_market(settings, paths, progress, schedule)
    profile_name = settings.profile or default_profile_name()
    start = _start(settings, paths, market.symbol, market.schedule.window_seconds)
    said = start.notes
    if companions is None:
        own = bool(settings.overrides)
        companions, more = ((), ()) if own else gather(paths, market.symbol)
        said = (*said, *more)
    inputs = market.inputs | _config_inputs(paths, profile_name, settings.matrix)
    if run_id is None:
        known = {"inputs": inputs, "settings": settings.model_dump(), "params": dict(start.params)}
        run_id = _claim(paths, market.symbol, known)
    plan = RunPlan(
        run_id=run_id,
        symbol=market.symbol,
        settings=settings,
        schedule=market.schedule,
        tape=market.tape or paths.tapes / run_id,
        tape_facts=market.facts,
        profile=profile_name,
        params=start.params,
        params_source=start.source,
        position_start_lots=0,
        latency_modelled=market.latency_modelled,
        git=_git_commit(),
        inputs=inputs,
        notes=(*said, *market.notes),
        paths=paths,
        companions=tuple(companions),
        champion=None if start.champion == start.params else start.champion,
    )
    write_json(plan.file, plan.to_json())
    RunState.begin(plan)
    write_json(plan.overrides_file, dict(plan.params))
    return plan


def check_writable(folder: Path) -> None:
    """Write and remove a file: permissions alone say little about read-only or full disks."""
    probe = folder / ".nightsoak-probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot write: {error.strerror}", where=str(folder), remedy="make the folder writable, then run again"
        ) from error
    write_atomic(probe, b"")
    probe.unlink()


def _start(settings: SoakSettings, paths: Paths, symbol: str, window_seconds: int) -> Start:
    """The parameters a run starts from, their source, and what the reader should know of them."""
    if settings.overrides:
        params = read_overrides(Path(settings.overrides), Params())
        return Start(params, params, "overrides file", ())
    return start_of(paths, symbol, window_seconds)


def _check_params(settings: SoakSettings, paths: Paths, symbol: str) -> None:
    """Refuse bad overrides and a bad champion.

    An overrides file that stands there is going to be replaced by the starting set; a bad one is refused first, so that
    nobody believes it to be in force.
    """
    if paths.overrides(symbol).exists():
        read_overrides(paths.overrides(symbol), Params())
    if settings.overrides:
        read_overrides(Path(settings.overrides), Params())
    else:
        ChampionStore(paths, symbol).current()


def _config_inputs(paths: Paths, profile: str, matrix: str) -> dict[str, str]:
    """{name: sha256} of the configuration that decides the result."""
    files = {"config/profile": profile_path(paths.config, profile)}
    files |= {f"config/{name}": paths.config / name for name in (*_CONFIG_FILES, matrix_file(matrix))}
    return {name: sha256_file(path) for name, path in files.items()}


def _claim(paths: Paths, symbol: str, inputs: dict[str, Any]) -> str:
    """A run id nobody has used: the second of the start, or the next free one. Claims its folder."""
    now = datetime.now(UTC)
    while True:
        run_id = make_run_id(now.strftime("%Y%m%dT%H%M%S"), symbol, inputs)
        folder = paths.datasets / "runs" / run_id
        try:
            folder.mkdir(parents=True)
            return run_id
        except FileExistsError:
            now += timedelta(seconds=1)
        except OSError as error:
            raise StorageError(
                f"cannot make the run's folder: {error.strerror}", where=str(folder), remedy="make it writable"
            ) from error


def _git_commit() -> str:
    """The commit of the code, or "unknown" outside a git checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(CHECKOUT), "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip() or "unknown"
