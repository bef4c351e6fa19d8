"""Planning a run: which tape, which profile, which parameters, from when to when, under which id.

`check_inputs` reads and refuses without writing anything; `make_plan` also generates the default tape on first
use, claims the run's folder and puts the starting parameters where the bot picks up its overrides.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.champion.store import ChampionStore
from engine.companions import gather
from engine.errors import InputError, StorageError
from engine.files import sha256_file, write_atomic, write_json
from engine.locks import FileLock
from engine.market.simulator import SimulatorSettings, generate_tape, read_settings
from engine.market.tape import Tape
from engine.params import Params, read_overrides
from engine.paths import CHECKOUT, Paths
from engine.profile import default_profile_name, load_profile, profile_path
from engine.soak import NS_PER_S, Companion, RunPlan, Schedule, SoakSettings, cut_span, make_run_id
from engine.soak_state import RunState
from engine.tuning.bands import load_gates
from engine.tuning.rules import load_rules, matrix_file

MARKET = "s1"
_SECONDS_PER_HOUR = 3600
_CONFIG_FILES = ("gates.json", "packages.json", "edge_targets.json")


def soak_lock(paths: Paths) -> FileLock:
    """The lock that lets one soak at a time work on a warehouse."""
    return FileLock(paths.locks / f"soak-{paths.warehouse.stem}.lock", what=f"the warehouse {paths.warehouse.name}")


def default_tape(settings: SoakSettings, paths: Paths) -> tuple[Path, SimulatorSettings]:
    """Where the generated tape of these settings belongs, and the market it is made of."""
    market = read_settings(paths.config, MARKET)
    market = market.with_run(seed=settings.seed, duration_s=round(settings.hours * _SECONDS_PER_HOUR))
    digest = hashlib.sha256(market.model_dump_json(exclude={"comment", "expected_sha256"}).encode()).hexdigest()
    return paths.tapes / f"generated-{MARKET}-{market.duration_s}s-seed{market.seed}-{digest[:8]}", market


def check_inputs(settings: SoakSettings, paths: Paths) -> None:
    """Refuse what can be refused before anything runs; nothing is written.

    Raises:
        InputError: tape, symbol, profile, parameters, overrides or configuration; names the file and the remedy.
        StorageError: the datasets or reports folder cannot be written.
    """
    load_profile(paths.config, settings.profile or default_profile_name())
    load_rules(paths.config, settings.matrix)
    load_gates(paths.config)
    for folder in (paths.datasets, paths.reports):
        check_writable(folder)
    if settings.tape:
        tape = Tape.open(Path(settings.tape))
        symbol = tape.meta.symbol
        _schedule(tape, settings)
    else:
        symbol = default_tape(settings, paths)[1].symbol
    _check_symbol(settings, symbol)
    _starting_params(settings, paths, symbol)


def make_plan(
    settings: SoakSettings,
    paths: Paths,
    *,
    progress: Callable[[float], None] | None = None,
    run_id: str | None = None,
    companions: Sequence[Companion] | None = None,
) -> RunPlan:
    """The plan of a new run, written to its folder; the caller holds the lock.

    Args:
        run_id: the id to use where a run is done again; a new one by default.
        companions: those of a run that is done again; by default whoever waits now, if the champion starts.
        progress: called with the share of the default tape that is generated, 0..1.

    Raises:
        InputError, StorageError: as `check_inputs`; also a damaged tape.
    """
    check_inputs(settings, paths)
    tape, is_default = _open_tape(settings, paths, progress)
    symbol = tape.meta.symbol
    profile_name = settings.profile or default_profile_name()
    params, source, said = _starting_params(settings, paths, symbol)
    schedule = _schedule(tape, settings)
    if companions is None:
        companions, more = ((), ()) if settings.overrides else gather(paths, symbol, schedule.window_seconds)
        said = (*said, *more)
    inputs = _inputs(tape, paths, profile_name, settings.matrix)
    if run_id is None:
        run_id = _claim(paths, symbol, {"inputs": inputs, "settings": settings.model_dump(), "params": dict(params)})
    plan = RunPlan(
        run_id=run_id,
        symbol=symbol,
        settings=settings,
        schedule=schedule,
        tape=tape.path.resolve(),
        tape_facts=_tape_facts(tape, settings, is_default=is_default),
        profile=profile_name,
        params=params,
        params_source=source,
        position_start_lots=0,
        latency_modelled=tape.meta.generated is not None,
        git=_git_commit(),
        inputs=inputs,
        notes=(*said, *_notes(settings, schedule, tape)),
        paths=paths,
        companions=tuple(companions),
    )
    write_json(plan.file, plan.to_json())
    RunState.begin(plan)
    write_json(plan.overrides_file, dict(params))
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


def _check_symbol(settings: SoakSettings, symbol: str) -> None:
    if len(settings.symbols) > 1:
        raise InputError(
            "more than one symbol was asked for",
            where="--symbols",
            remedy="a replay has one: give one tape",
        )
    if settings.symbols and settings.symbols[0] != symbol:
        raise InputError(
            f"the tape holds {symbol}, not {settings.symbols[0]}",
            where="--symbols",
            remedy=f"ask for {symbol}, or give the tape of {settings.symbols[0]}",
        )


def _open_tape(settings: SoakSettings, paths: Paths, progress: Callable[[float], None] | None) -> tuple[Tape, bool]:
    """The tape, every file's sha256 compared, and whether it is the default one (made on first use)."""
    if settings.tape:
        return Tape.open(Path(settings.tape), verify=True), False
    folder, market = default_tape(settings, paths)
    if not folder.exists():
        generate_tape(folder, market, progress=progress)
    return Tape.open(folder, verify=True), True


def _schedule(tape: Tape, settings: SoakSettings) -> Schedule:
    """From the first event's exchange time to the last event, or to so many hours later."""
    meta = tape.meta
    start_ns = meta.first_exch_ts_ns
    end_ns = max(meta.last_exch_ts_ns, meta.last_local_ts_ns) + 1
    bound_ns = start_ns + round(settings.hours * _SECONDS_PER_HOUR) * NS_PER_S
    return cut_span(start_ns, min(end_ns, bound_ns), settings.iterations, settings.window_seconds, where=str(tape.path))


def _starting_params(settings: SoakSettings, paths: Paths, symbol: str) -> tuple[Params, str, tuple[str, ...]]:
    """The parameters a run starts from, their source, and what the reader should know of them.

    An overrides file that stands there is going to be replaced by them; a bad one is refused first, so that
    nobody believes it to be in force.
    """
    if paths.overrides(symbol).exists():
        read_overrides(paths.overrides(symbol), Params())
    if settings.overrides:
        return read_overrides(Path(settings.overrides), Params()), "overrides file", ()
    champion = ChampionStore(paths, symbol).current()
    notes = (f"The champion: {champion.note}.",) if champion.note else ()
    return champion.params, "champion" if champion.seq else "baseline", notes


def _inputs(tape: Tape, paths: Paths, profile: str, matrix: str) -> dict[str, str]:
    """{name: sha256} of what decides the result, beside code and lock."""
    columns = {f"tape/{name}": digest for name, digest in tape.meta.sha256.items()}
    files = {"config/profile": profile_path(paths.config, profile)}
    files |= {f"config/{name}": paths.config / name for name in (*_CONFIG_FILES, matrix_file(matrix))}
    return columns | {name: sha256_file(path) for name, path in files.items()}


def _tape_facts(tape: Tape, settings: SoakSettings, *, is_default: bool) -> dict[str, Any]:
    """What the report says of the tape; no path of this machine but the one the user gave."""
    meta = tape.meta
    return {
        "name": tape.path.name if is_default else settings.tape,
        "default": is_default,
        "venue": meta.venue,
        "contract": meta.contract,
        "quote_currency": meta.quote_currency,
        "generated": meta.generated,
        "source": None if meta.source is None else meta.source.model_dump(mode="json"),
        "clock_shift_ns": meta.clock_shift_ns,
        "order": meta.order,
        "count": meta.count,
        "depth_count": meta.depth_count,
        "trade_count": meta.trade_count,
        "message_count": meta.message_count,
        "coverage_pct": meta.coverage_pct,
        "crossed_message_ends": meta.crossed_message_ends,
        "gaps": [{"ts_ns": gap.local_ts_ns, "reason": gap.reason} for gap in meta.gaps],
        "digest": meta.digest,
    }


def _notes(settings: SoakSettings, schedule: Schedule, tape: Tape) -> tuple[str, ...]:
    notes = []
    used_s = (schedule.end_ns - schedule.start_ns) / NS_PER_S
    asked_s = settings.hours * _SECONDS_PER_HOUR
    if used_s < asked_s - 1:
        notes.append(
            f"{used_s:,.0f} s of market time are used of the {asked_s:,.0f} s asked for: the tape is shorter, or its "
            "rest does not fill an iteration."
        )
    if schedule.window_seconds < settings.window_seconds:
        notes.append(
            f"Scoring windows are {schedule.window_seconds} s instead of {settings.window_seconds} s, so that each of "
            f"{settings.iterations} iterations has one."
        )
    if tape.meta.gaps:
        notes.append(f"The tape has {len(tape.meta.gaps)} gaps; nothing is quoted across them.")
    return tuple(notes)


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
