"""Journals -> raw tables, every line exactly once: accepted, a duplicate, in quarantine, or torn and waiting.

A file is known by its first record, not by its name or inode, so it may be renamed, copied or compressed. What was read
of it (the watermark) commits together with the rows and the quarantine, in one transaction per call. A last line
without a newline waits; once a later file of the run exists nobody will finish it, and it goes to quarantine. Of a file
that tells a record otherwise than it was read before, nothing is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import JournalError
from engine.warehouse.arrow import INDEXED, bool_column, bytes_column, number_column, numbers, text_column
from engine.warehouse.db import Feed, Warehouse
from engine.warehouse.dedupe import REPEATED, Seen, conflicts
from engine.warehouse.fields import JOURNAL_VERSION, KINDS, PARTS
from engine.warehouse.outcome import ConflictError, IngestResult, Refused, Tally, contradicting, without_record
from engine.warehouse.parse import LineReader, refuse_version
from engine.warehouse.reasons import Refusals
from engine.warehouse.source import MAX_LINE_BYTES, RAW_TEXT_BYTES, Chunk, Source

_RULES = (Path(__file__).parent / "sql" / "quality" / "record_reason.sql").read_text(encoding="utf-8")
_ROTATED = re.compile(r"(?P<stem>.+)\.(?P<number>\d+)\.jsonl(\.gz)?\Z")
_MEMORY = "192MB"
"""Of DuckDB's; with the scanner, a chunk and all else the process stays below 600 MB."""
_TORN = "torn: the file ended inside this line"
_OVERLONG = "longer than {} bytes"


def _insert(part: str, fields: Iterable[str]) -> tuple[pa.Schema, str]:
    """(columns fed, statement) for the rows of a part."""
    columns = ", ".join(f'"{name}"' for name in fields)
    schema = pa.schema([INDEXED.field(name) for name in (*fields, "index")])
    return schema, (
        f"INSERT INTO raw_{part} BY NAME "
        f'SELECT ?::INTEGER AS file_id, "index" + ?::BIGINT AS line, {columns} FROM incoming_{part}'
    )


_PARTS = {"other": tuple(KINDS), **PARTS}
_INSERTS = {name: _insert(name, fields) for name, fields in _PARTS.items()}
"""The tables raw_<name>, in the order of the numbers that rows name their part by."""
_JUDGED = pa.schema(
    [
        INDEXED.field(name)
        for name in (
            *("index", "v", "type", "run_id", "seq", "ts_ns", "symbol", "lane", "side", "event", "price", "qty"),
            *("liquidity", "mid", "reason", "count", "instrument", "window_seconds", "amount", "params"),
        )
    ]
)
"""What record_reason.sql looks at."""
_REFUSED = pa.schema(
    [
        ("file_id", pa.int32()),
        ("line", pa.int64()),
        ("offset_bytes", pa.int64()),
        ("length_bytes", pa.int64()),
        ("reason", pa.string()),
        ("raw_text", pa.string()),
    ]
)
_QUARANTINE = "INSERT INTO raw_quarantine BY NAME SELECT * FROM refused"
# A file that is read again from its beginning brings the lines again that were refused before.
_QUARANTINE_NEW = (
    _QUARANTINE + " AS i WHERE NOT EXISTS (SELECT 1 FROM raw_quarantine AS q WHERE q.file_id = i.file_id "
    "AND q.offset_bytes = i.offset_bytes AND q.length_bytes = i.length_bytes AND q.raw_text = i.raw_text)"
)


@dataclass
class _Watermark:
    """How far a file has been read; the columns of raw_file."""

    identity: str
    run_id: str | None
    first_seq: int | None
    file_id: int = 0
    offset_bytes: int = 0
    lines: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    tail_sha256: str | None = None
    former_lines: int = 0
    packed_bytes: int | None = None
    known: bool = False


@dataclass
class _Call:
    """The state of one reading of all files."""

    wh: Warehouse
    seen: Seen
    successors: _Successors
    feeds: dict[str, Feed]
    reader: LineReader = field(default_factory=LineReader)
    torn: int = 0
    alarms: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    unreadable: list[Refused] = field(default_factory=list)
    # of the file that is being read
    conflicts: int = 0
    first_conflict: tuple[Any, ...] = ()
    first_reason: str = ""


def ingest(wh: Warehouse, paths: Iterable[Path | str]) -> IngestResult:
    """Read what is new in the journal files (folders stand for their *.jsonl and *.jsonl.gz), all of it or nothing.

    A file that contradicts what was read before is left out, and named among the result's `refused`.

    Raises:
        JournalError: a file cannot be read, or is of a newer version.
        StorageError: the disk is full, or the warehouse is damaged.
    """
    return ingest_files(wh, journal_files(paths))


def ingest_files(wh: Warehouse, files: Sequence[Path]) -> IngestResult:
    """The same for files in an order of one's own: where two hold a record, the one read first has it."""
    successors = _Successors(wh)
    for path in files:
        with Source(path) as source:
            successors.add(source)
    refused: list[Refused] = []
    while True:
        left_out = {one.path for one in refused}
        try:
            return _ingest_once(wh, [path for path in files if str(path) not in left_out], successors, refused)
        except ConflictError as conflict:
            refused.append(conflict.refused)


def _ingest_once(
    wh: Warehouse, files: Sequence[Path], successors: _Successors, refused: Sequence[Refused]
) -> IngestResult:
    totals = dict.fromkeys(("lines", "accepted", "duplicates", "quarantined"), 0)
    count = 0
    with ExitStack() as stack:
        stack.enter_context(wh.memory(_MEMORY))
        schemas = {"incoming": _JUDGED, "refused": _REFUSED, "incoming_repeated": REPEATED}
        schemas |= {f"incoming_{part}": schema for part, (schema, _) in _INSERTS.items()}
        feeds = {name: stack.enter_context(wh.feed(name, schema)) for name, schema in schemas.items()}
        stack.enter_context(wh.transaction())
        call = _Call(wh, Seen(wh), successors, feeds)
        for path in files:
            with Source(path) as source:
                if source.identity is None:
                    _notice_empty(call, source)
                    continue
                count += 1
                mark = _load(wh, source)
                before = (mark.lines + mark.former_lines, mark.accepted, mark.duplicates, mark.quarantined)
                if mark.packed_bytes is None or mark.packed_bytes != source.packed_bytes:
                    _read_on(call, source, mark)
                after = (mark.lines + mark.former_lines, mark.accepted, mark.duplicates, mark.quarantined)
                for name, was, now in zip(totals, before, after, strict=True):
                    totals[name] += now - was
    wh.built = None
    totals["lines"] += call.torn
    return IngestResult(
        files=count,
        **totals,
        torn=call.torn,
        alarms=tuple(call.alarms),
        reasons=call.tally.first,
        refused=(*refused, *call.unreadable),
    )


def journal_files(paths: Iterable[Path | str]) -> list[Path]:
    """The files that `paths` stand for, in order of rotation."""
    found: list[Path] = []
    for path in map(Path, paths):
        found.extend([*path.glob("*.jsonl"), *path.glob("*.jsonl.gz")] if path.is_dir() else [path])
    return sorted(set(found), key=_rotation_order)


def _rotation_order(path: Path) -> tuple[str, str, int, str]:
    match = _ROTATED.match(path.name)
    return (
        str(path.parent),
        match["stem"] if match else path.name,
        int(match["number"]) if match else 0,
        path.name,
    )


class _Successors:
    """Does a later file of the run exist: beside a file by name, in this call, or read before?"""

    def __init__(self, wh: Warehouse) -> None:
        self._wh = wh
        self._last_number: dict[Path, dict[str, int]] = {}
        self._last_first_seq: dict[str, int] = {}

    def add(self, source: Source) -> None:
        if source.run_id is not None and source.first_seq is not None:
            known = self._last_first_seq.get(source.run_id, -1)
            self._last_first_seq[source.run_id] = max(known, source.first_seq)

    def of(self, source: Source) -> bool:
        match = _ROTATED.match(source.path.name)
        if match and self._in_folder(source.path.parent).get(match["stem"], -1) > int(match["number"]):
            return True
        if source.run_id is None or source.first_seq is None:
            return False
        if self._last_first_seq.get(source.run_id, -1) > source.first_seq:
            return True
        rows = self._wh.execute(
            "SELECT count(*) FROM raw_file WHERE run_id = ? AND first_seq > ?", [source.run_id, source.first_seq]
        )
        return bool(rows[0][0])

    def _in_folder(self, folder: Path) -> dict[str, int]:
        if folder not in self._last_number:
            numbers: dict[str, int] = {}
            for match in filter(None, (_ROTATED.match(path.name) for path in folder.iterdir())):
                numbers[match["stem"]] = max(numbers.get(match["stem"], -1), int(match["number"]))
            self._last_number[folder] = numbers
        return self._last_number[folder]


_COLUMNS: tuple[str, ...] = (
    *("file_id", "offset_bytes", "lines", "accepted", "duplicates", "quarantined"),
    *("tail_sha256", "former_lines", "packed_bytes"),
)


def _load(wh: Warehouse, source: Source) -> _Watermark:
    assert source.identity is not None
    mark = _Watermark(source.identity, source.run_id, source.first_seq)
    rows = wh.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM raw_file WHERE identity = ? ORDER BY offset_bytes DESC, file_id",
        [source.identity],
    )
    if source.run_id is None:
        # Many files may begin with the same line that is no record: it is the one that it goes on as, or a new one.
        rows = [row for row in rows if not source.stands_at(row[1], row[6])]
    if rows:
        for name, value in zip(_COLUMNS, rows[0], strict=True):
            setattr(mark, name, value)
        mark.known = True
    else:
        mark.file_id = wh.execute("SELECT coalesce(max(file_id), 0) + 1 FROM raw_file")[0][0]
    return mark


def _save(wh: Warehouse, path: Path, mark: _Watermark) -> None:
    names = (*_COLUMNS[1:], "path")
    values = [*(getattr(mark, name) for name in _COLUMNS[1:]), str(path)]
    if mark.known:
        changes = ", ".join(f"{name} = ?" for name in names)
        wh.execute(f"UPDATE raw_file SET {changes} WHERE file_id = ?", [*values, mark.file_id])
    else:
        names = (*names, "file_id", "identity", "run_id", "first_seq")
        values += [mark.file_id, mark.identity, mark.run_id, mark.first_seq]
        wh.execute(f"INSERT INTO raw_file ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)


def _notice_empty(call: _Call, source: Source) -> None:
    where = str(source.path)
    rows = call.wh.execute("SELECT offset_bytes FROM raw_file WHERE path = ? AND offset_bytes > 0", [where])
    if source.damage:
        call.alarms.append(f"{where}: {source.damage}")
    elif rows:
        call.alarms.append(f"{where}: is empty; {rows[-1][0]} bytes had been read from there")


def _read_on(call: _Call, source: Source, mark: _Watermark) -> None:
    """Read from the watermark to the last newline, and past it if nobody will finish that line."""
    alarm = source.stands_at(mark.offset_bytes, mark.tail_sha256) if mark.offset_bytes else ""
    if alarm:
        call.alarms.append(f"{source.path}: {alarm}; it was read again from its beginning")
        mark.former_lines += mark.lines
        mark.offset_bytes = mark.lines = 0
    start = (mark.offset_bytes, mark.former_lines, mark.packed_bytes)
    call.conflicts, call.first_reason = 0, ""
    whole = True
    for chunk in source.chunks(mark.offset_bytes, mark.lines):
        if chunk.torn and not call.successors.of(source):
            call.torn += 1
            whole = False
            break
        if chunk.count:
            try:
                _write(call, mark, chunk, source.path)
            except JournalError as error:
                raise JournalError(error.what, where=str(source.path), remedy=error.remedy) from error
        else:
            reason = _TORN if chunk.torn else _OVERLONG.format(MAX_LINE_BYTES)
            _quarantine(call, mark, chunk, Refusals(np.zeros(1, np.int64), [reason]), source.path)
        mark.offset_bytes = chunk.offset + chunk.size
        mark.lines = chunk.lines_before + max(chunk.count, 1)
        mark.tail_sha256 = chunk.tail
    if call.conflicts:
        raise ConflictError(contradicting(source.path, call.conflicts, *call.first_conflict))
    # A writer that was killed within its first line has written no journal, which is no fault of the file.
    if not (mark.accepted or mark.duplicates) and call.first_reason not in ("", _TORN):
        call.unreadable.append(without_record(source.path, mark.quarantined, call.first_reason))
    mark.packed_bytes = source.packed_bytes if whole and not source.damage else None
    if source.damage:
        call.alarms.append(f"{source.path}: {source.damage}")
    if (mark.offset_bytes, mark.former_lines, mark.packed_bytes) != start:
        _save(call.wh, source.path, mark)


def _write(call: _Call, mark: _Watermark, chunk: Chunk, path: Path) -> None:
    """Put a chunk's rows and refused lines into the open transaction."""
    rows, rejects = call.reader.read(chunk.data, chunk.count)
    newest = pc.max(rows["v"]).as_py()
    if newest is not None and newest > JOURNAL_VERSION:
        refuse_version(newest)
    broken_rules = _refused_by_rules(call, rows)
    if broken_rules.reasons:
        rejects = rejects.merged(broken_rules)
        broken = np.zeros(chunk.count, np.bool_)
        broken[broken_rules.index] = True
        rows = rows.filter(bool_column(~broken[numbers(rows["index"])]))
    if rows.num_rows:
        new = call.seen.new_rows(rows)
        parts = numbers(rows["part"])
        for number, (part, (schema, insert)) in enumerate(_INSERTS.items()):
            chosen = new & (parts == number)
            if chosen.any():
                own = rows.select(schema.names)
                feed = call.feeds[f"incoming_{part}"]
                feed.table = own if chosen.all() else own.filter(bool_column(chosen))
                call.wh.execute(insert, [mark.file_id, chunk.lines_before + 1])
        accepted = int(np.count_nonzero(new))
        if accepted < rows.num_rows:
            _compare(call, rows.select(REPEATED.names).filter(bool_column(~new)), chunk)
        mark.accepted += accepted
        mark.duplicates += rows.num_rows - accepted
    if rejects.reasons:
        _quarantine(call, mark, chunk, rejects, path)


def _compare(call: _Call, repeated: pa.Table, chunk: Chunk) -> None:
    """Note the rows that are no duplicates of what was read under their name; those of this chunk are written."""
    found = conflicts(call.wh, call.feeds["incoming_repeated"], repeated)
    if found and not call.conflicts:
        index, *known = found[0]
        call.first_conflict = (chunk.lines_before + 1 + index, *known)
    call.conflicts += len(found)


def _refused_by_rules(call: _Call, rows: pa.Table) -> Refusals:
    """The rows that are well typed but no journal records."""
    doubtful = numbers(rows["sure"]) == 0
    if not doubtful.any():
        return Refusals()
    rows = rows.select(_JUDGED.names)
    call.feeds["incoming"].table = rows if doubtful.all() else rows.filter(bool_column(doubtful))
    refused = call.wh.execute(_RULES)
    return Refusals(np.array([index for index, _ in refused], np.int64), [reason for _, reason in refused])


def _quarantine(call: _Call, mark: _Watermark, chunk: Chunk, rejects: Refusals, path: Path) -> None:
    index = rejects.index
    if chunk.count:
        ends = np.flatnonzero(np.frombuffer(chunk.data, np.uint8) == 10)
        starts = np.concatenate([[0], ends[:-1] + 1])
        start, length = starts[index], ends[index] - starts[index]
    else:
        start, length = np.zeros(1, np.int64), np.array([chunk.size - (1 if chunk.overlong else 0)], np.int64)
    cuts = zip(start.tolist(), (start + np.minimum(length, RAW_TEXT_BYTES)).tolist(), strict=True)
    columns = [
        number_column(np.full(index.size, mark.file_id, np.int32)),
        number_column(index + (chunk.lines_before + 1)),
        number_column(start + chunk.offset),
        number_column(length),
        text_column(rejects.reasons),
        bytes_column([_readable(chunk.data[begin:end]) for begin, end in cuts]),
    ]
    call.feeds["refused"].table = pa.Table.from_arrays(columns, schema=_REFUSED)
    kept = call.wh.execute(_QUARANTINE_NEW if mark.former_lines else _QUARANTINE)[0][0]
    mark.quarantined += kept
    mark.duplicates += index.size - kept
    if kept == index.size:  # else some of them were told of when they were read first
        call.tally.add(rejects, chunk.lines_before + 1, path)
    call.first_reason = call.first_reason or rejects.reasons[0]


def _readable(raw: bytes) -> bytes:
    return raw if raw.isascii() else raw.decode("utf-8", "backslashreplace").encode()
