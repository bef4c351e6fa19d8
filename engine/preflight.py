"""What must be right before a soak: each check says what it found, and what to do where that will not do."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.baseline.presets import load_presets
from engine.bot.supervision import load_supervision
from engine.control.settings import load_settings as load_control
from engine.environment import check_names, check_notices, check_time_zone
from engine.errors import LockHeldError, NightsoakError
from engine.files import write_atomic
from engine.market.simulator import read_settings
from engine.market.tape import Tape
from engine.paths import CHECKOUT, Paths
from engine.profile import default_profile_name, load_profile
from engine.soak import SoakSettings
from engine.soak_market import MARKET, default_tape
from engine.soak_plan import check_writable, soak_lock
from engine.tuning.bands import load_gates
from engine.tuning.rules import load_packages, load_rules
from engine.warehouse.targets import load_targets

FREE_BYTES = 2 << 30
"""Room for a three-hour run: journal, warehouse and tape take about 0.5 GB."""
_EARLIEST_S = 1_767_225_600  # 2026-01-01: a clock before that has never been set
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", re.MULTILINE)
_PINNED = ("prefect", "duckdb", "fastapi", "sqlalchemy", "numba", "numpy", "pandas")


@dataclass(frozen=True)
class Check:
    """`found` is what was seen, `remedy` what to do where it is not `ok`."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def preflight(
    paths: Paths, *, tape: Path | None = None, more: Sequence[tuple[str, Callable[[], str]]] = ()
) -> list[Check]:
    """All checks, in a fixed order; they leave nothing behind but an empty lock file.

    Args:
        tape: the tape to verify; by default that of the default soak, once it has been generated.
        more: (name, function that says what it found or raises one of our errors) of checks asked for.
    """
    checks = [_python(), *_pins()]
    checks += [_tried(name, attempt) for name, attempt in (*_attempts(paths, tape), *more)]
    return [*checks, _disk(paths), _clock()]


def _attempts(paths: Paths, tape: Path | None) -> Iterator[tuple[str, Callable[[], str]]]:
    """(name, function that says what it found or raises one of our errors)"""

    def config() -> str:
        load_gates(paths.config)
        load_control(paths.config)
        load_supervision(paths.config)
        load_rules(paths.config)
        load_packages(paths.config)
        load_targets(paths.config / "edge_targets.json")
        read_settings(paths.config, MARKET)
        load_presets(paths.config)
        return f"{paths.config} is valid"

    def writable(folder: Path) -> Callable[[], str]:
        def check() -> str:
            check_writable(folder)
            return str(folder)

        return check

    def lock() -> str:
        soaks = soak_lock(paths)
        try:
            with soaks:
                return "no soak is running"
        except LockHeldError:  # a healthy night
            run, pid = soaks.holder.get("run_id"), soaks.holder.get("pid", "unknown")
            return f"a soak runs: {run or 'not named yet'} (process {pid})"

    def tape_whole() -> str:
        folder = tape or default_tape(SoakSettings(), paths)[0]
        if tape is None and not folder.exists():
            return "none given; the default soak generates its own on first use"
        opened = Tape.open(folder, verify=True)
        return f"{opened.meta.symbol}, {opened.meta.count:,} events, {len(opened.meta.gaps)} gaps, sha256 as recorded"

    yield "environment", check_names
    yield "time zone", check_time_zone
    yield "configuration", config
    yield "notices", lambda: check_notices(paths)
    yield "profile", lambda: f"{load_profile(paths.config, default_profile_name()).name}"
    yield "datasets folder", writable(paths.datasets)
    yield "reports folder", writable(paths.reports)
    yield "lock", lock
    yield "tape", tape_whole


def _tried(name: str, attempt: Callable[[], str]) -> Check:
    try:
        return Check(name, True, attempt())
    except NightsoakError as error:
        where = f"{error.where}: " if error.where else ""
        return Check(name, False, f"{where}{error.what}", error.remedy)


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()}"
    return Check("python", sys.version_info >= (3, 11), found, "install Python 3.11 or newer")


def _pins() -> Iterator[Check]:
    """The packages whose version decides results or start-up, against requirements.lock."""
    lock = CHECKOUT / "requirements.lock"
    try:
        pins = {name.lower(): pin for name, pin in _PIN.findall(lock.read_text(encoding="utf-8"))}
    except OSError as error:
        yield Check("pins", False, f"{lock}: {error.strerror}", "restore requirements.lock")
        return
    for name in _PINNED:
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "not installed"
        wanted = pins.get(name, "not pinned")
        yield Check(f"pin {name}", found == wanted, found, f"the lock says {wanted}: run make setup")


def _disk(paths: Paths) -> Check:
    folder = next(path for path in (paths.datasets, *paths.datasets.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free / (1 << 30):.1f} GiB free"
    return Check("disk", free >= FREE_BYTES, found, f"free some space below {folder}; 2 GiB are enough")


def _clock() -> Check:
    now_s = time.time()
    found = time.strftime("%F %T UTC", time.gmtime(now_s))
    return Check("clock", now_s >= _EARLIEST_S, found, "set the machine's clock")


def write_missing_config(source: Path, target: Path) -> list[Path]:
    """Copy the commented configuration files that `target` lacks; what is there is never touched.

    Raises:
        StorageError: the folder cannot be written.
    """
    written = []
    for file in sorted(source.rglob("*.json")):
        path = target / file.relative_to(source)
        if not path.exists():
            write_atomic(path, file.read_bytes())
            written.append(path)
    return written
