"""A tape that is still being written: readable while it grows, sealed into an ordinary tape at its end.

A folder of raw columns (no header, 30 bytes an event in all), each written at its end and mapped for reading:

    head.json     instrument, feed, when it was begun; whole before anything else
    <column>      the values of engine.market.events.COLUMN_DTYPES, little endian, then zeros up to the room made
    gaps.jsonl    {"local_ts_ns", "reason"} of each gap marker
    commit        three int64: events written, events safe on disk, and their sum's complement against torn writes
    lock          held by the writer; a folder whose lock is free belongs to a recorder that is gone

Rows are written first, then `commit`: after a SIGKILL everything committed is there, since what a process has
written stays in the system's cache. Against a power cut all of it is synced every `sync_s` seconds, and the second
number says how far: `recover` falls back to it where the later rows are not whole.

Files are extended by pieces and written with plain writes, never through the mapping: a full disk is then an error
of a write and not a fatal signal. Reading through a mapping what was written this way needs a unified page cache
(Linux, macOS).
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import LockHeldError, StorageError, TapeError
from engine.files import write_json
from engine.instrument import Instrument
from engine.locks import FileLock
from engine.market.book_scan import MARGIN_TICKS, first_mid2
from engine.market.checks import FAIL, check_columns
from engine.market.events import COLUMN_DTYPES, GAP, MARKER, Columns
from engine.market.tape import Tape, write_tape
from engine.market.tape_meta import Gap, Source

PIECE_EVENTS = 1 << 18
WINDOW_RATIO = 0.10
SYNC_S = 5.0
_COMMIT = struct.Struct("<qqq")


def window_around(mid2: int) -> tuple[int, int]:
    """The kernel's price window (low, high exclusive) for a market whose bid + ask in ticks is `mid2` now.

    10 % either way, at least 200 ticks; it must be chosen before the market moves, and cannot be changed after.
    """
    mid = mid2 // 2
    margin = max(MARGIN_TICKS, int(mid * WINDOW_RATIO))
    return max(1, mid - margin), mid + margin + 2


class GrowingTape:
    """Made with `create`; `append` and `seal` are for one thread, `columns` and `count` for any.

    `outside` counts the priced events beyond `window` (None until `set_window`): depth there is not kept by the
    kernel, so anything but a small number says that the market has left the window.
    """

    def __init__(self, folder: Path, instrument: Instrument, feed: str, lock: FileLock, sync_s: float) -> None:
        self.folder, self.instrument, self.feed = folder, instrument, feed
        self.window: tuple[int, int] | None = None
        self.outside = 0
        self.gaps: list[Gap] = []
        self._lock, self._sync_s = lock, sync_s
        self._count = self._room = self._synced = self._gap_bytes = 0
        self._synced_at_s = time.monotonic()
        self._mapped = Columns.empty(0)
        self._mappings: list[mmap.mmap] = []
        self._handles: dict[str, int] = {}

    @classmethod
    def create(cls, folder: Path, instrument: Instrument, *, feed: str, sync_s: float = SYNC_S) -> GrowingTape:
        """Begin a tape in the new folder `folder`.

        Raises:
            StorageError: the folder is there already or cannot be written.
        """
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except OSError as error:
            raise _storage_error("cannot begin a tape", folder, error) from error
        lock = FileLock(folder / "lock", what="the recording")
        lock.__enter__()
        tape = cls(folder, instrument, feed, lock, sync_s)
        try:
            write_json(folder / "head.json", {"instrument": _instrument_json(instrument), "feed": feed})
            for name in (*COLUMN_DTYPES, "gaps.jsonl", "commit"):
                tape._handles[name] = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
            tape._commit(0, 0)
        except (OSError, StorageError) as error:
            tape.close()
            shutil.rmtree(folder, ignore_errors=True)  # or the name would be taken for ever by nothing
            if isinstance(error, StorageError):
                raise
            raise _storage_error("cannot begin a tape", folder, error) from error
        return tape

    @property
    def count(self) -> int:
        """Events that may be read."""
        return self._count

    @property
    def columns(self) -> Columns:
        """The events so far, read-only; what it gives later is the same, or longer."""
        count, mapped = self._count, self._mapped  # in this order: the mapping may only have grown since
        return mapped.part(0, count)

    def set_window(self, window: tuple[int, int]) -> None:
        self.window = window

    def append(self, columns: Columns, gaps: Sequence[Gap] = ()) -> None:
        """Add whole messages, received after all that is there.

        Raises:
            StorageError: the disk is full, and nothing of it was added; what was committed before stays readable and
                can be sealed or recovered. Or it was added and cannot be made safe: `count` tells which.
        """
        added = len(columns.kind)
        if not added:
            return
        start = self._count
        try:
            if start + added > self._room:
                self._make_room(start + added)
            for name, column in zip(COLUMN_DTYPES, columns, strict=True):
                dtype = COLUMN_DTYPES[name]
                data = np.ascontiguousarray(column, dtype).tobytes()
                _write_at(self._handles[name], data, start * dtype.itemsize)
            lines = [json.dumps({"local_ts_ns": gap.local_ts_ns, "reason": gap.reason}) + "\n" for gap in gaps]
            told = "".join(lines).encode()
            _write_at(self._handles["gaps.jsonl"], told, self._gap_bytes)
            self._commit(start + added, self._synced)
        except OSError as error:
            raise _storage_error("cannot record", self.folder, error) from error
        self.gaps.extend(gaps)
        self._gap_bytes += len(told)
        if self.window is not None:
            low, high = self.window
            priced = columns.kind != MARKER
            self.outside += int(
                np.count_nonzero(priced & ((columns.price_ticks < low) | (columns.price_ticks >= high)))
            )
        if self._sync_s and time.monotonic() - self._synced_at_s >= self._sync_s:
            try:
                self.sync()
            except OSError as error:
                raise _storage_error("cannot make the recording safe", self.folder, error) from error

    def _make_room(self, events: int) -> None:
        """Extend the files and map them anew; who holds the former mapping goes on reading the same memory."""
        room = -(-events // PIECE_EVENTS) * PIECE_EVENTS
        arrays, mappings = [], []
        for name, dtype in COLUMN_DTYPES.items():
            handle = self._handles[name]
            os.ftruncate(handle, room * dtype.itemsize)
            mappings.append(mmap.mmap(handle, room * dtype.itemsize, access=mmap.ACCESS_READ))
            arrays.append(np.frombuffer(mappings[-1], dtype))
        self._mapped, self._mappings, self._room = Columns(*arrays), mappings, room

    def release(self) -> None:
        """Give back the memory of what was read so far; it is read from disk again if asked for."""
        for mapping in self._mappings:
            mapping.madvise(mmap.MADV_DONTNEED)

    def _commit(self, count: int, synced: int) -> None:
        """Say so on disk first: what is counted here is then never more than what is committed there."""
        _write_at(self._handles["commit"], _COMMIT.pack(count, synced, ~(count + synced)), 0)
        self._count, self._synced = count, synced

    def sync(self) -> None:
        """Make what was appended safe against a power cut."""
        count = self._count
        for name in (*COLUMN_DTYPES, "gaps.jsonl"):
            os.fsync(self._handles[name])
        self._commit(count, count)
        os.fsync(self._handles["commit"])
        self._synced_at_s = time.monotonic()

    def seal(self, out: Path, counts: Mapping[str, int] | None = None) -> Tape | None:
        """Make the ordinary tape `out` of it and remove the folder; None (and nothing) where nothing was recorded.

        Replays take it in order of arrival. Local times stay as they were stamped (`clock_shift_ns` 0), since that
        is what a bot that ran on them saw. `counts` goes into the tape's `source`.

        Raises:
            TapeError: something stands at `out`.
            StorageError: the disk is full; the recording stays, to be recovered.
        """
        columns = self.columns
        tape = None
        if len(columns.kind) and np.any(columns.kind != MARKER):
            found = {"outside_window": self.outside, **(counts or {})}
            source = Source(format=f"{self.feed}-live", files=(), counts=dict(sorted(found.items())))
            tape = write_tape(
                out,
                columns,
                instrument=self.instrument,
                source=source,
                gaps=self.gaps,
                replay_order="arrival",
                window=self.window,
            )
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return tape

    def close(self) -> None:
        """Let go of the files; what was appended stays for `recover`."""
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()
        self._lock.__exit__(None, None, None)


def recover(folder: Path, out: Path) -> Tape | None:
    """Seal what a recorder that is gone left in `folder` as the tape `out`; None where there was nothing whole.

    Raises:
        LockHeldError: its recorder still runs.
        TapeError: the folder is no recording, or something stands at `out`.
        StorageError: the disk is full; the recording stays.
    """
    with FileLock(folder / "lock", what="the recording"):
        try:
            head = json.loads((folder / "head.json").read_bytes())
            grid = {name: Decimal(head["instrument"][name]) for name in ("tick", "lot", "contract_size")}
            instrument = Instrument(**{**head["instrument"], **grid})
            raw = (folder / "commit").read_bytes()
        except FileNotFoundError:
            shutil.rmtree(folder, ignore_errors=True)  # killed before anything was recorded
            return None
        except (OSError, ValueError, LookupError, TypeError, ArithmeticError) as error:
            raise TapeError(f"is no recording: {error}", where=str(folder), remedy="delete the folder") from error
        written, synced, check = _COMMIT.unpack(raw) if len(raw) == _COMMIT.size else (0, 0, 0)
        columns = Columns.empty(0)
        for count in (written, synced):
            if check == ~(written + synced) and (found := _read_columns(folder, count)) is not None:
                columns = found
                break
        tape = None
        if np.any(columns.kind != MARKER):
            gaps = _read_gaps(folder, columns)
            counts = {"recovered": 1, "events_not_whole": written - len(columns.kind)}
            source = Source(format=f"{head['feed']}-live", files=(), counts=counts)
            mid2 = first_mid2(columns)
            tape = write_tape(
                out,
                columns,
                instrument=instrument,
                source=source,
                gaps=gaps,
                replay_order="arrival",
                window=window_around(mid2) if mid2 else None,
            )
    shutil.rmtree(folder, ignore_errors=True)
    return tape


def recover_all(recording: Path, tapes: Path) -> tuple[list[Tape], list[str]]:
    """Recover what dead recorders left in `recording`; tapes go to `tapes` by their folder's name.

    Returns:
        (tapes sealed, one line for each that could not be).
    """
    sealed, failed = [], []
    for folder in sorted(recording.iterdir()) if recording.is_dir() else ():
        try:
            tape = recover(folder, tapes / folder.name)
        except LockHeldError:
            continue
        except (TapeError, StorageError) as error:
            failed.append(str(error))
            continue
        if tape is not None:
            sealed.append(tape)
    return sealed, failed


def _read_columns(folder: Path, count: int) -> Columns | None:
    """The first `count` events, None where they are not what a tape may hold."""
    arrays = []
    for name, dtype in COLUMN_DTYPES.items():
        file = folder / name
        if count <= 0 or not file.is_file() or file.stat().st_size < count * dtype.itemsize:
            return None
        arrays.append(np.fromfile(file, dtype, count))
    columns = Columns(*arrays)
    bad = any(finding.label == FAIL for finding in check_columns(columns))
    return None if bad or int(columns.local_ts_ns[0]) <= 0 else columns


def _read_gaps(folder: Path, columns: Columns) -> list[Gap]:
    """A reason for every gap marker: as noted, else that it is not known any more."""
    reasons: dict[int, list[str]] = {}
    for line in (folder / "gaps.jsonl").read_bytes().splitlines():
        try:
            said = json.loads(line)
            reasons.setdefault(int(said["local_ts_ns"]), []).append(str(said["reason"]))
        except (ValueError, LookupError, TypeError):
            continue  # a torn last line
    times = columns.local_ts_ns[(columns.flags & GAP) != 0].tolist()
    unknown = ["reason lost with the recorder"]
    return [Gap(local_ts_ns=at_ns, reason=(reasons.get(at_ns) or list(unknown)).pop(0)) for at_ns in times]


def _instrument_json(instrument: Instrument) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(instrument).items()}


def _write_at(handle: int, data: bytes, offset: int) -> None:
    """All of `data`: a full disk may take a part first and fail only then."""
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written


def _storage_error(what: str, folder: Path, error: OSError) -> StorageError:
    reason = f"{what}: {error.strerror or error}"
    return StorageError(reason, where=str(folder), remedy="free some space or make the folder writable, then run again")
