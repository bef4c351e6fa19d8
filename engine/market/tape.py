"""Tapes: market events on disk, whole or absent, memory-mapped.

A tape is a folder: meta.json and one .npy per column of COLUMN_DTYPES, in the order of receipt. Where
exchange times fall in that order, exch_order.npy (int64) holds the stable sort by them.
"""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from engine.errors import StorageError, TapeError
from engine.files import sha256_file, sync_folder, to_json
from engine.instrument import Instrument
from engine.market.book_scan import BookScan, first_mid2, price_window, scan_book
from engine.market.checks import FAIL, OK, WARN, Finding, check_columns
from engine.market.events import COLUMN_DTYPES, DEPTH, LAST, TRADE, Array, Columns
from engine.market.tape_meta import IMPORT_AGAIN, META_FILE, Gap, Source, TapeMeta, read_meta

_INT64 = np.dtype("<i8")
MOST_WINDOW_TICKS = 1 << 27
"""A kernel keeps about 50 bytes for each tick of its price window."""


@dataclass(frozen=True)
class Tape:
    """An open tape. Its arrays are mapped copy-on-write: writing to them never reaches the disk."""

    path: Path
    meta: TapeMeta
    columns: Columns
    exch_order: Array | None

    @classmethod
    def open(cls, path: Path, verify: bool = False) -> Tape:
        """Open a tape; with `verify`, also compare the sha256 of every file.

        Raises:
            TapeError: no tape is there, or a file is missing, truncated, of the wrong type or length, or
                altered; it names the file.
        """
        path = Path(path)
        meta = read_meta(path)
        dtypes = dict(COLUMN_DTYPES)
        if "exch_order.npy" in meta.sha256:
            dtypes["exch_order"] = _INT64
        arrays = {name: _map(path / f"{name}.npy", dtype, meta.count) for name, dtype in dtypes.items()}
        for name in dtypes if verify else ():
            file = path / f"{name}.npy"
            if sha256_file(file) != meta.sha256.get(file.name):
                raise TapeError("is altered: its sha256 is not that of meta.json", where=str(file), remedy=IMPORT_AGAIN)
        order = arrays.pop("exch_order", None)
        return cls(path, meta, Columns(**arrays), order)

    def reference_mid2(self) -> int:
        """Bid + ask in ticks at the start of the tape, at which sizes in quote currency become lots.

        Raises:
            TapeError: the tape never has a two-sided book.
        """
        mid2 = first_mid2(self.columns)
        if not mid2:
            raise TapeError("never has a two-sided book", where=str(self.path), remedy="take another tape")
        return mid2

    def release(self, events: int) -> None:
        """Give back the memory of the first `events` events; they are read from disk again if asked for.

        Where the system takes no such advice (Windows) nothing is done.
        """
        advice = getattr(mmap, "MADV_DONTNEED", None)
        for array in (*self.columns, self.exch_order) if advice is not None else ():
            mapped = None if array is None else array.base
            if isinstance(mapped, np.memmap):
                done = (mapped.offset + events * mapped.itemsize) // mmap.PAGESIZE * mmap.PAGESIZE
                mapped._mmap.madvise(advice, 0, done)  # type: ignore[attr-defined]


def exchange_order(exch_ts_ns: Array) -> Array | None:
    """The stable sort by exchange time (int64[n]); None where tape order is that order already."""
    if bool((np.diff(exch_ts_ns) >= 0).all()):
        return None
    return np.argsort(exch_ts_ns, kind="stable").astype(_INT64)


def write_tape(
    path: Path,
    columns: Columns,
    *,
    instrument: Instrument,
    generated: Mapping[str, Any] | None = None,
    source: Source | None = None,
    clock_shift_ns: int = 0,
    gaps: Sequence[Gap] = (),
    replay_order: Literal["exchange", "arrival"] = "exchange",
    window: tuple[int, int] | None = None,
    force: bool = False,
) -> Tape:
    """Write a tape, whole or not at all, and open it; counts, window, coverage and hashes are derived here.

    Args:
        columns: events in order of receipt, clock shift already removed.
        generated: seed and settings, where a simulator made the events.
        replay_order: "arrival" for our own shadow recordings, whose bot could not have known better.
        window: the kernel's price window (low, high exclusive) in ticks, where a bot has run with it already; by
            default what the touch has reached, and a margin.
        force: replace a tape that stands at `path`; anything else there is never touched.

    Raises:
        TapeError: something stands at `path` already, or the events are not what a tape may hold.
        StorageError: the folder cannot be written or the disk is full; `path` is as it was.
    """
    path = Path(path)
    refuse_overwrite(path, force=force)
    columns = Columns(*(np.ascontiguousarray(column) for column in columns))
    for finding in check_columns(columns):
        if finding.label == FAIL:
            at = "" if finding.row is None else f" (the first is event {finding.row})"
            raise TapeError(f"not a tape's events: {finding.what}{at}", where=str(path), remedy="mend their source")
    arrays = dict(zip(COLUMN_DTYPES, columns, strict=True))
    order = exchange_order(columns.exch_ts_ns)
    if order is not None:
        arrays["exch_order"] = order
    facts = _facts(columns, order)
    if window is not None:
        facts |= {"price_low_ticks": window[0], "price_high_ticks": window[1] - 1}
    low, high = facts["price_low_ticks"], facts["price_high_ticks"]
    if window is None and high - low >= MOST_WINDOW_TICKS and first_mid2(columns):  # without a mid nothing runs on it
        raise TapeError(
            f"not a tape's events: the touch spans {low} to {high} ticks, more than {MOST_WINDOW_TICKS}",
            where=str(path),
            remedy="a price is misplaced, or the tick is too small: mend their source",
        )
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temp, ignore_errors=True)
        temp.mkdir()
        meta = TapeMeta.build(
            instrument,
            generated=None if generated is None else dict(generated),
            source=source,
            clock_shift_ns=clock_shift_ns,
            order=replay_order,
            gaps=tuple(gaps),
            sha256={f"{name}.npy": _write_column(temp / f"{name}.npy", array) for name, array in arrays.items()},
            **facts,
        )
        with (temp / META_FILE).open("wb") as file:
            file.write(to_json(meta.model_dump(mode="json")).encode())
            _sync(file)
        sync_folder(temp)
        put_in_place(temp, path)
    except OSError as error:
        raise StorageError(
            f"cannot write the tape: {error.strerror or error}",
            where=str(path),
            remedy="free some space or make the folder writable, then run again",
        ) from error
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return Tape.open(path)


@dataclass(frozen=True)
class Verification:
    """Findings of `verify_tape`, in a fixed order; `ok` when none is a fail. Warnings do not fail a tape."""

    path: Path
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return all(finding.label != FAIL for finding in self.findings)


def verify_tape(path: Path) -> Verification:
    """Check a whole tape again: files and hashes, order, messages, sizes, gaps, crossed message ends.

    Raises:
        TapeError: there is no tape at `path`. A damaged one is a finding, not an error.
    """
    path = Path(path)
    if not (path / META_FILE).is_file():
        read_meta(path)
    try:
        tape = Tape.open(path, verify=True)
    except TapeError as error:
        return Verification(path, (Finding(FAIL, str(error)),))
    meta, columns = tape.meta, tape.columns
    found = [Finding(OK, "every file is whole and has the sha256 of meta.json"), *check_columns(columns)]
    if any(finding.label == FAIL for finding in found):
        return Verification(path, tuple(found))  # a book kept from broken columns would mean nothing
    order = exchange_order(columns.exch_ts_ns)
    same = tape.exch_order is None if order is None else np.array_equal(order, tape.exch_order)  # type: ignore[arg-type]
    found.append(Finding(OK if same else FAIL, "exchange order is the stable sort by exchange time"))
    facts = _facts(columns, order)
    if meta.order == "arrival":  # the bot's own window, chosen at its first book
        facts = {name: value for name, value in facts.items() if name not in ("price_low_ticks", "price_high_ticks")}
    wrong = [name for name, value in facts.items() if getattr(meta, name) != value]
    differ = f": {', '.join(wrong)} differ" if wrong else ""
    found.append(Finding(FAIL if wrong else OK, f"meta.json tells what the events are{differ}"))

    def judge(what: str, count: int, row: int, label: str) -> None:
        found.append(Finding(label, f"{what}: {count} found", row) if count else Finding(OK, what))

    scan = scan_book(columns)
    judge("no message leaves a crossed book", scan.crossed_message_ends, scan.first_crossed_row, FAIL)
    if order is not None:
        other = scan_book(columns, order)
        what = "no message leaves a crossed book, in exchange order"
        judge(what, other.crossed_message_ends, other.first_crossed_row, FAIL)
    found.append(Finding(OK if scan.touch_low_ticks else FAIL, "some message leaves a whole, uncrossed book"))
    judge("no message leaves an empty side", scan.empty_side_ends, scan.first_empty_row, WARN)
    judge("no gaps", scan.gap_count, scan.first_gap_row, WARN)
    agree = scan.gap_count == len(meta.gaps)
    found.append(Finding(OK if agree else FAIL, "meta.json lists every gap"))
    return Verification(path, tuple(found))


def _facts(columns: Columns, order: Array | None) -> dict[str, Any]:
    """What meta.json says about the events; the same events give the same facts."""
    scans: tuple[BookScan, ...] = (scan_book(columns),)
    if order is not None:
        scans = (*scans, scan_book(columns, order))
    low, high = price_window(columns, scans)
    exchange = scans[-1]
    return {
        "count": len(columns.kind),
        "depth_count": int(np.count_nonzero(columns.kind == DEPTH)),
        "trade_count": int(np.count_nonzero(columns.kind == TRADE)),
        "message_count": int(np.count_nonzero(columns.flags & LAST)),
        "first_exch_ts_ns": int(columns.exch_ts_ns.min()),
        "last_exch_ts_ns": int(columns.exch_ts_ns.max()),
        "first_local_ts_ns": int(columns.local_ts_ns[0]),
        "last_local_ts_ns": int(columns.local_ts_ns[-1]),
        "price_low_ticks": low,
        "price_high_ticks": high,
        "crossed_message_ends": max(scan.crossed_message_ends for scan in scans),
        "coverage_pct": round(100.0 * exchange.valid_ns / exchange.span_ns, 6) if exchange.span_ns else 0.0,
    }


def _map(file: Path, dtype: np.dtype[Any], count: int) -> Array:
    """Map one column copy-on-write: to numba, mapped and plain arrays are then one type; the file is safe."""
    try:
        array = np.load(file, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError as error:
        raise TapeError("is missing", where=str(file), remedy=IMPORT_AGAIN) from error
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise TapeError(reason, where=str(file), remedy="check its permissions") from error
    except Exception as error:  # a damaged header can make numpy's reader raise nearly anything
        raise TapeError(f"is truncated or not a column: {error}", where=str(file), remedy=IMPORT_AGAIN) from error
    if not isinstance(array, np.memmap) or array.dtype != dtype:
        raise TapeError(f"holds {array.dtype}, not {dtype}", where=str(file), remedy=IMPORT_AGAIN)
    if array.shape != (count,):
        raise TapeError(f"has shape {array.shape}, not ({count},)", where=str(file), remedy=IMPORT_AGAIN)
    if file.stat().st_size != array.offset + count * dtype.itemsize:
        raise TapeError("is longer than its header says", where=str(file), remedy=IMPORT_AGAIN)
    plain: Array = array.view(np.ndarray)
    return plain


def refuse_overwrite(path: Path, *, force: bool) -> None:
    """Raise TapeError unless `path` is free, an empty folder, or (with `force`) a tape."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / META_FILE).is_file():
        raise TapeError("is in the way and is not a tape", where=str(path), remedy="choose another folder")
    if not force:
        raise TapeError("a tape is there already", where=str(path), remedy="choose another folder or say --force")


def put_in_place(temp: Path, path: Path) -> None:
    """Rename the finished tape `temp`, a neighbour of `path`, to `path`.

    What stood at `path` steps aside first and comes back if the rename fails.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
    try:
        temp.rename(path)
    except OSError:
        if aside.exists():
            aside.rename(path)
        raise
    sync_folder(path.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _write_column(file: Path, array: Array) -> str:
    with file.open("wb") as handle:
        np.save(handle, array, allow_pickle=False)
        _sync(handle)
    return sha256_file(file)


def _sync(handle: IO[bytes]) -> None:
    handle.flush()
    os.fsync(handle.fileno())
