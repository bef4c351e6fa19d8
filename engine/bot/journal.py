"""The journal on disk: JSON Lines, appended and flushed at edges, rotated by size, never rewritten.

`JournalWriter` writes, `read_tail` finds out where a run that was killed had got to. A run's files are
`<run_id>.<n>.jsonl`, n from 0. A torn last line is final: the resumed run starts the next file and takes its seq.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from engine.errors import JournalError, StorageError
from engine.files import sync_folder

JOURNAL_VERSION = 1
ROTATE_BYTES = 64 << 20
_BUFFER_BYTES = 1 << 20


class JournalWriter:
    """Appends records of one run; gives each its version, run id, seq and symbol.

    Args:
        folder: datasets/journals.
        start_file, start_seq: 0 for a new run; a resumed one goes on behind its tail.
        rotate_bytes: a file that has grown beyond this is closed at the next flush.

    `guard` is asked before anything is written; where it raises, nothing is (engine.bot.account).

    Raises:
        JournalError: the file exists already; a journal is never rewritten.
        StorageError: the disk is full or the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        run_id: str,
        symbol: str,
        *,
        start_file: int = 0,
        start_seq: int = 0,
        rotate_bytes: int = ROTATE_BYTES,
    ) -> None:
        self.folder, self.run_id, self.symbol = folder, run_id, symbol
        self.next_seq = start_seq
        self._number, self.rotate_bytes, self.buffer_bytes = start_file, rotate_bytes, _BUFFER_BYTES
        self.guard: Callable[[], None] = _nobody
        self._buffer = bytearray()
        self._file: IO[bytes] | None = None
        self._open()

    @property
    def path(self) -> Path:
        """The file being written."""
        return journal_path(self.folder, self.run_id, self._number)

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record (`type`, `ts_ns`, `lane` and its own fields); it is on disk after `flush`."""
        line = {"v": JOURNAL_VERSION, "run_id": self.run_id, "seq": self.next_seq, "symbol": self.symbol, **record}
        self._buffer += orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        self.next_seq += 1
        if len(self._buffer) >= self.buffer_bytes:
            self._drain()

    def write_all(self, records: Iterable[Mapping[str, Any]]) -> None:
        for record in records:
            self.write(record)

    def drain(self) -> None:
        """Hand everything written so far to the system: it outlives a kill of this process, not a power cut."""
        self._drain()

    def flush(self) -> None:
        """Make everything written so far durable; then rotate if the file has grown enough."""
        self._drain()
        assert self._file is not None, "the journal is closed"
        with _storage_errors(self.path):
            os.fsync(self._file.fileno())
            size_bytes = self._file.tell()
        if size_bytes >= self.rotate_bytes:
            self._file.close()
            self._number += 1
            self._open()

    def close(self) -> None:
        """Flush and close; closing twice does nothing."""
        if self._file is not None:
            self._drain()
            with _storage_errors(self.path):
                os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _open(self) -> None:
        with _storage_errors(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._file = self.path.open("xb", buffering=0)
            except FileExistsError as error:
                raise JournalError(
                    "the journal exists already and is never rewritten", where=str(self.path), remedy="resume the run"
                ) from error
            sync_folder(self.folder)

    def _drain(self) -> None:
        assert self._file is not None, "the journal is closed"
        self.guard()
        with _storage_errors(self.path):
            view = memoryview(bytes(self._buffer))
            self._buffer.clear()
            while view:  # a raw write on a nearly full disk writes less than asked, without an error
                view = view[self._file.write(view) :]


def _nobody() -> None:
    """Lets everything pass."""


class _storage_errors:  # noqa: N801  (reads as a statement)
    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError):
            raise StorageError(
                f"cannot write the journal: {error.strerror}",
                where=str(self.path),
                remedy="free some space or make the folder writable, then resume the run",
            ) from error


@dataclass(frozen=True)
class JournalTail:
    """Where a journal ends. `positions_lots` and `last_order_ids` by lane; `params` is lane 0's set in force.

    `start` is the run_start record, `last` the last whole one; `next_window` is the first that was not closed.
    `controls` are its control records. `file_number` is that of the last file, `torn` whether its last line lacks
    its end.
    """

    file_number: int
    start: Mapping[str, Any]
    last: Mapping[str, Any]
    torn: bool
    positions_lots: Mapping[int, int] = field(default_factory=dict)
    last_order_ids: Mapping[int, int] = field(default_factory=dict)
    params: Mapping[str, float] = field(default_factory=dict)
    next_window: int = 0
    controls: tuple[Mapping[str, Any], ...] = ()

    @property
    def awaits_decision(self) -> bool:
        """Whether the run was killed at an iteration's end, before the decision came in."""
        return bool(self.last["type"] == "window_end" and self.last["iteration_end"])

    @property
    def next_seq(self) -> int:
        return int(self.last["seq"]) + 1

    @property
    def resume_ns(self) -> int:
        """The market time to go on at. Of what the kernel did at one time all is written or the last of it is known;
        the loop's own records stand before anything else of their time."""
        return int(self.last["ts_ns"]) + (self.last["type"] in ("fill", "order"))

    @property
    def ended(self) -> bool:
        return bool(self.last["type"] == "run_end")


def journal_path(folder: Path, run_id: str, number: int) -> Path:
    return folder / f"{run_id}.{number}.jsonl"


def journal_files(folder: Path, run_id: str) -> list[Path]:
    """The run's files in order of writing."""
    pattern = re.compile(re.escape(run_id) + r"\.(\d+)\.jsonl")
    numbered = [(pattern.fullmatch(path.name), path) for path in folder.glob(f"{run_id}.*.jsonl")]
    return [path for _, path in sorted((int(match[1]), path) for match, path in numbered if match)]


def read_tail(folder: Path, run_id: str) -> JournalTail:
    """Read a run's journal once, first line to last.

    Raises:
        JournalError: there is none, it does not begin with run_start, or a line before the last is not a record.
    """
    files = journal_files(folder, run_id)
    if not files:
        raise JournalError(f"no journal of run {run_id}", where=str(folder), remedy="start the run without --resume")
    start: dict[str, Any] | None = None
    last: dict[str, Any] = {}
    torn = False
    positions: dict[int, int] = {}
    order_ids: dict[int, int] = {}
    params: Mapping[str, float] = {}
    next_window = 0
    controls: list[Mapping[str, Any]] = []
    for path in files:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                torn = not line.endswith(b"\n")
                if torn:
                    break
                record = _parse(line, path, number)
                kind, lane = record["type"], record["lane"]
                if start is None:
                    if kind != "run_start":
                        raise JournalError("does not begin with run_start", where=str(path), remedy="start a new run")
                    start = record
                    params = record["lanes"][0]["params"]
                elif kind == "fill":
                    positions[lane] = record["position_after_lots"]
                elif kind == "order":
                    order_ids[lane] = max(order_ids.get(lane, 0), record["order_id"])
                elif kind == "params" and lane == 0:
                    params = record["params"]
                elif kind == "window_end":
                    next_window = record["window"] + 1
                elif kind == "control":
                    controls.append(record)
                last = record
    if start is None:
        raise JournalError("holds no whole record", where=str(files[0]), remedy="start a new run")
    number = int(files[-1].name.split(".")[-2])
    return JournalTail(number, start, last, torn, positions, order_ids, params, next_window, tuple(controls))


def _parse(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = orjson.loads(line)
        record["type"], record["lane"], record["seq"], record["ts_ns"]
    except (ValueError, KeyError, TypeError) as error:
        raise JournalError(
            "is not a journal record", where=f"{path}, line {number}", remedy="set the file aside and start a new run"
        ) from error
    return dict(record)
