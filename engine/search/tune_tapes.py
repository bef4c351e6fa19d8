"""Which tapes a tune works on: those named, else the newest recorded ones of one market, else generated ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError, TapeError
from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape
from engine.market.tape_meta import META_FILE, TapeMeta, read_meta
from engine.paths import Paths
from engine.search.settings import SearchSettings, TuneSettings
from engine.search.trial_windows import whole_windows, window_count

_NEWEST = 8
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Recorded:
    """Tapes of datasets/tapes. `folders`: usable, in order of time; `short`: those of the same market without one
    whole window (the end of a night taken up again, a recording that broke off)."""

    folders: tuple[Path, ...]
    short: tuple[Path, ...]

    def note(self, window_seconds: int) -> str:
        """What was left out, in a sentence; "" where nothing was."""
        if not self.short:
            return ""
        names = ", ".join(folder.name for folder in self.short)
        return f"Left out, without one window of {window_seconds} s: {names}."


def recorded_tapes(paths: Paths, window_seconds: int, *, symbol: str = "", venue: str = "") -> Recorded:
    """The newest recorded or imported tapes of datasets/tapes, of one market, none overlapping.

    Args:
        symbol, venue: the market's; empty: those of the newest tape that holds a window.
    """
    found: list[tuple[TapeMeta, Path]] = []
    for file in sorted(paths.tapes.glob(f"*/{META_FILE}")):
        try:
            meta = read_meta(file.parent)
        except TapeError:
            continue  # no tape, or a damaged one: not a choice of ours to make
        if meta.generated is None and symbol in ("", meta.symbol) and venue in ("", meta.venue):
            found.append((meta, file.parent))
    found.sort(key=lambda one: -one[0].last_exch_ts_ns)
    market = next((meta for meta, _ in found if whole_windows(meta, window_seconds)), None)
    chosen: list[tuple[TapeMeta, Path]] = []
    short = []
    for meta, folder in found:
        if market is not None and not _same_market(meta, market):
            continue
        if not whole_windows(meta, window_seconds):
            short.append(folder)
        elif all(not _overlap(meta, other) for other, _ in chosen) and len(chosen) < _NEWEST:
            chosen.append((meta, folder))
    return Recorded(tuple(folder for _, folder in reversed(chosen)), tuple(reversed(short)))


def find_tapes(
    settings: TuneSettings, search: SearchSettings, paths: Paths, progress: Progress | None
) -> tuple[list[Tape], list[str]]:
    """The tapes, opened and verified, in order of time; and what is to be said of the choice.

    Raises:
        InputError: a tape is damaged, too short, of another market than the others or than asked for, or holds the
            same market time as another; a symbol was asked for of which nothing is recorded.
    """
    notes: list[str] = []
    if settings.tapes:
        folders = [Path(folder) for folder in settings.tapes]
    else:
        recorded = _recorded(settings, paths)
        folders = list(recorded.folders)
        if folders:
            notes.append(f"No tape was given: the newest recorded ones are used, {len(folders)} of them.")
        else:
            folders = _generated(search, paths, progress)
            seeds = ", ".join(map(str, search.generated.seeds))
            notes.append(
                f"No tape was given and none is recorded: generated tapes of market {search.generated.market}, seeds "
                f"{seeds}. The result says nothing about a real market."
            )
        notes += filter(None, [recorded.note(settings.window_seconds)])
    tapes = sorted((Tape.open(folder, verify=True) for folder in folders), key=lambda t: t.meta.first_exch_ts_ns)
    _check_tapes(tapes, settings)
    if any(tape.meta.gaps for tape in tapes):
        notes.append(
            f"The tapes have {sum(len(tape.meta.gaps) for tape in tapes)} gaps; nothing is quoted across them."
        )
    return tapes, notes


def peek_tapes(settings: TuneSettings, search: SearchSettings, paths: Paths) -> tuple[str, list[Tape]]:
    """Symbol and tapes that `find_tapes` would take; nothing is generated, and no tape's files are hashed. Where they
    would be generated there are none.

    Raises:
        InputError: as `find_tapes`, but for damaged columns.
    """
    folders = [Path(folder) for folder in settings.tapes] or _recorded(settings, paths).folders
    tapes = sorted((Tape.open(folder) for folder in folders), key=lambda tape: tape.meta.first_exch_ts_ns)
    _check_tapes(tapes, settings)
    symbol = tapes[0].meta.symbol if tapes else read_settings(paths.config, search.generated.market).symbol
    return symbol, tapes


def _recorded(settings: TuneSettings, paths: Paths) -> Recorded:
    found = recorded_tapes(paths, settings.window_seconds, symbol=settings.symbol, venue=settings.venue)
    if not found.folders and (settings.symbol or settings.venue):
        asked = " of ".join(filter(None, (settings.symbol, settings.venue)))
        raise InputError(
            f"no recorded tape of {asked} holds a window of {settings.window_seconds} s",
            where=str(paths.tapes),
            remedy="record longer, give shorter windows with --window-seconds, or name tapes with --tape",
        )
    return found


def _generated(search: SearchSettings, paths: Paths, progress: Progress | None) -> list[Path]:
    wanted, folders = search.generated, []
    for number, seed in enumerate(wanted.seeds):
        market = read_settings(paths.config, wanted.market).with_run(seed=seed, duration_s=round(wanted.hours * 3600))
        folder = paths.tapes / market.tape_name
        if not folder.exists():
            share = _part(progress, number, len(wanted.seeds))
            generate_tape(folder, market, progress=share)
        folders.append(folder)
    return folders


def _part(progress: Progress | None, number: int, count: int) -> Progress | None:
    return None if progress is None else lambda share: progress((number + share) / count)


def _same_market(one: TapeMeta, other: TapeMeta) -> bool:
    return (one.venue, one.symbol, one.instrument()) == (other.venue, other.symbol, other.instrument())


def _overlap(one: TapeMeta, other: TapeMeta) -> bool:
    """Whether two tapes hold the same market time. Generated ones do where all but their length is the same."""
    if one.generated is not None and other.generated is not None:
        return _recipe(one.generated) == _recipe(other.generated)
    return one.first_exch_ts_ns <= other.last_exch_ts_ns and other.first_exch_ts_ns <= one.last_exch_ts_ns


def _recipe(generated: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in generated.items() if key != "duration_s"}, sort_keys=True)


def _check_tapes(tapes: Sequence[Tape], settings: TuneSettings) -> None:
    for number, tape in enumerate(tapes):
        meta = tape.meta
        if settings.symbol not in ("", meta.symbol) or settings.venue not in ("", meta.venue):
            raise InputError(
                f"holds {meta.symbol} of {meta.venue}, asked for was {settings.symbol or 'any symbol'} of "
                f"{settings.venue or 'any venue'}",
                where=str(tape.path),
                remedy="leave --symbol and --venue out, or give other tapes",
            )
        if not _same_market(meta, tapes[0].meta):
            raise InputError(
                f"holds {meta.symbol} of {meta.venue}, the first {tapes[0].meta.symbol} of {tapes[0].meta.venue}, or "
                "another grid",
                where=str(tape.path),
                remedy="tune on tapes of one instrument",
            )
        for other in tapes[:number]:
            if _overlap(meta, other.meta):
                raise InputError(
                    f"holds the same market time as {other.path}: what the search has seen cannot confirm it",
                    where=str(tape.path),
                    remedy="give tapes that do not overlap",
                )
    for tape in tapes:
        window_count(tape, settings.window_seconds)
