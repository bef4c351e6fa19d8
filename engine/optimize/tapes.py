"""Which tapes a round works on: those that no round has seen, oldest first, two at least."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError, TapeError
from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape
from engine.market.tape_meta import META_FILE, TapeMeta, read_meta
from engine.optimize.record import State
from engine.optimize.settings import OptimizeSettings
from engine.paths import Paths
from engine.search.settings import load_search
from engine.search.trial_windows import whole_windows
from engine.search.tune_tapes import recorded_tapes

NEEDED = 2
_SEEDS_A_ROUND = 2
Found = list[tuple[TapeMeta, Path]]


@dataclass(frozen=True)
class NewTapes:
    """`tapes`: the next round's, fewer than NEEDED where there are no more. `short`: the names of those that were
    found and left out, because they hold no window."""

    tapes: Found
    short: tuple[str, ...] = ()

    @property
    def left_out(self) -> str:
        return f" (left out, without one whole window: {', '.join(self.short)})" if self.short else ""


def new_tapes(settings: OptimizeSettings, paths: Paths, state: State, progress: Callable[[float], None]) -> NewTapes:
    """The next round's tapes. With `mock` they are made.

    Raises:
        InputError: a tape that was named is none, is of another symbol than the state's, or stands alone.
    """
    short: tuple[str, ...] = ()
    if settings.mock:
        found = _generated(settings, paths, state, progress)
    else:
        found, short = find_tapes(settings, paths, state.symbol)
    fresh: dict[str, tuple[TapeMeta, Path]] = {}
    for meta, folder in found:
        if state.symbol and meta.symbol != state.symbol:
            if settings.tapes or settings.mock:
                raise InputError(
                    f"holds {meta.symbol}, the state file's rounds are of {state.symbol}",
                    where=str(folder),
                    remedy="give another --state-file, one a symbol",
                )
            continue
        if meta.digest not in state.seen:
            fresh.setdefault(meta.digest, (meta, folder))
    if settings.tapes and not settings.continuous and found and len(found) + len(short) < NEEDED:
        raise InputError(
            "one tape only: a round searches on the earlier tapes and confirms on the later ones",
            where=str(found[0][1]),
            remedy="give two tapes or more",
        )
    chosen = sorted(fresh.values(), key=lambda one: one[0].first_exch_ts_ns)[: settings.tapes_per_round]
    if len(chosen) >= NEEDED:
        for _, folder in chosen:
            Tape.open(folder, verify=True)  # a damaged one is refused before the round begins
    return NewTapes(chosen, short)


def find_tapes(settings: OptimizeSettings, paths: Paths, symbol: str) -> tuple[Found, tuple[str, ...]]:
    """Tapes, and the names of those too short. One that was named itself is taken as it is, and refused later.

    Raises:
        TapeError: one that was named is none.
    """
    if not settings.tapes:
        recorded = recorded_tapes(paths, settings.window_seconds, symbol=symbol)
        return [(read_meta(folder), folder) for folder in recorded.folders], tuple(one.name for one in recorded.short)
    found: Found = []
    short: list[str] = []
    for named in map(Path, settings.tapes):
        if named.is_dir() and not (named / META_FILE).exists():
            for file in sorted(named.glob(f"*/{META_FILE}")):
                try:
                    meta = read_meta(file.parent)
                except TapeError:
                    continue  # a damaged one among others: not a choice of ours to make
                if whole_windows(meta, settings.window_seconds):
                    found.append((meta, file.parent))
                else:
                    short.append(file.parent.name)
        else:
            found.append((read_meta(named), named))
    return found, tuple(short)


def _generated(settings: OptimizeSettings, paths: Paths, state: State, progress: Callable[[float], None]) -> Found:
    """The tapes of the coming round, in the place of the round's before."""
    wanted = load_search(paths.config).generated
    hours, folder = settings.mock_hours or wanted.hours, _mock_folder(settings, paths)
    first = wanted.seeds[0] + _SEEDS_A_ROUND * state.round
    market = read_settings(paths.config, wanted.market)
    shutil.rmtree(folder, ignore_errors=True)
    found: Found = []
    for number in range(_SEEDS_A_ROUND):

        def share_of_both(share: float, number: int = number) -> None:
            progress((number + share) / _SEEDS_A_ROUND)

        run = market.with_run(seed=first + number, duration_s=max(1, round(hours * 3600)))
        tape = generate_tape(folder / f"seed{run.seed}", run, progress=share_of_both)
        found.append((tape.meta, tape.path))
    return found


def _mock_folder(settings: OptimizeSettings, paths: Paths) -> Path:
    """One a state file: an open round's tapes are not another optimiser's to replace."""
    name = hashlib.sha256(str(settings.state_path(paths).resolve()).encode()).hexdigest()[:8]
    return paths.datasets / "optimize" / f"mock-{name}"
