"""Journals -> raw_record, every line exactly once: accepted, a duplicate, in quarantine, or torn and waiting.

A file is known by its first record, not by its name or inode, so it may be renamed or copied. What was read of it
(the watermark) commits together with the rows and the quarantine, in one transaction per call. A last line without
a newline waits; once a later file of the run exists nobody will finish it, and it goes to quarantine.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import JournalError
from engine.warehouse.db import Warehouse
from engine.warehouse.fields import JOURNAL_VERSION
from engine.warehouse.parse import LineError, read_line, read_lines, refuse_version

CHUNK_BYTES = 1 << 20
BATCH_CHUNKS = 16
RAW_TEXT_BYTES = 1 << 16
_RULES = (Path(__file__).parent / "sql" / "quality" / "record_reason.sql").read_text(encoding="utf-8")
_ROTATED = re.compile(r"(?P<stem>.+)\.(?P<number>\d+)\.jsonl\Z")


@dataclass(frozen=True)
class IngestResult:
    """Counts of one call: accepted + duplicates + quarantined + torn = lines. `torn` lines wait for their end."""

    files: int
    lines: int
    accepted: int
    duplicates: int
    quarantined: int
    torn: int


@dataclass
class _File:
    """One journal file and how far it has been read."""

    path: Path
    identity: str
    run_id: str | None
    first_seq: int | None
    file_id: int = 0
    offset: int = 0
    lines: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    torn: int = 0


@dataclass(frozen=True)
class _Chunk:
    """Whole lines of a file: the bytes, where they start, and the number of lines before them."""

    data: bytes
    offset: int
    lines_before: int
    count: int


@dataclass
class _Batch:
    tables: list[pa.Table] = field(default_factory=list)
    rejects: list[tuple[int, str]] = field(default_factory=list)
    """(line number from 1, reason)"""
    chunks: list[_Chunk] = field(default_factory=list)


def ingest(wh: Warehouse, paths: Iterable[Path | str]) -> IngestResult:
    """Read what is new in the journal files (folders stand for their *.jsonl), all of it or nothing.

    Raises:
        JournalError: a file cannot be read, has become shorter or other than it was, or is of a newer version.
        StorageError: the disk is full.
    """
    files = [file for path in _expand(paths) if (file := _open(path)) is not None]
    total = dict.fromkeys(("lines", "accepted", "duplicates", "quarantined", "torn"), 0)
    with wh.transaction():
        for file in files:
            known = _load_watermark(wh, file)
            before = (file.lines, file.accepted, file.duplicates, file.quarantined)
            _read_on(wh, file, final=_has_successor(wh, file, files))
            if file.lines != before[0]:
                _save_watermark(wh, file, known)
            for name, was in zip(("lines", "accepted", "duplicates", "quarantined"), before, strict=True):
                total[name] += getattr(file, name) - was
            total["torn"] += file.torn
            total["lines"] += file.torn
    wh.built = None
    return IngestResult(files=len(files), **total)


def _expand(paths: Iterable[Path | str]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, paths):
        found.extend(path.glob("*.jsonl") if path.is_dir() else [path])
    return sorted(set(found), key=_rotation_order)


def _rotation_order(path: Path) -> tuple[str, str, int, str]:
    match = _ROTATED.match(path.name)
    return (
        str(path.parent),
        match["stem"] if match else path.name,
        int(match["number"]) if match else 0,
        path.name,
    )


def _open(path: Path) -> _File | None:
    """The file by its first line; None for an empty file."""
    try:
        with path.open("rb") as stream:
            line = stream.readline()
    except OSError as error:
        raise JournalError(f"cannot be read: {error.strerror}", where=str(path), remedy="check the path") from error
    if not line:
        return None
    run_id, first_seq = None, None
    if line.endswith(b"\n"):
        try:
            record = read_line(line[:-1])
        except LineError:
            record = {}
        except JournalError as error:
            raise JournalError(error.what, where=f"{path}:1", remedy=error.remedy) from error
        run_id, first_seq = record.get("run_id"), record.get("seq")
    if run_id is None or first_seq is None:
        return _File(path, "sha256:" + hashlib.sha256(line).hexdigest(), None, None)
    return _File(path, f"{run_id}#{first_seq}", run_id, first_seq)


def _has_successor(wh: Warehouse, file: _File, files: list[_File]) -> bool:
    """Does a later file of the run exist: beside this one by name, in this call, or read before?"""
    match = _ROTATED.match(file.path.name)
    if match:
        for sibling in file.path.parent.glob("*.jsonl"):
            other = _ROTATED.match(sibling.name)
            if other and other["stem"] == match["stem"] and int(other["number"]) > int(match["number"]):
                return True
    if file.run_id is None or file.first_seq is None:
        return False
    if any(f.run_id == file.run_id and (f.first_seq or 0) > file.first_seq for f in files):
        return True
    rows = wh.execute("SELECT count(*) FROM raw_file WHERE run_id = ? AND first_seq > ?", [file.run_id, file.first_seq])
    return bool(rows[0][0])


def _load_watermark(wh: Warehouse, file: _File) -> bool:
    rows = wh.execute(
        "SELECT file_id, offset_bytes, lines, accepted, duplicates, quarantined FROM raw_file WHERE identity = ?",
        [file.identity],
    )
    if rows:
        file.file_id, file.offset, file.lines, file.accepted, file.duplicates, file.quarantined = rows[0]
        return True
    file.file_id = wh.execute("SELECT coalesce(max(file_id), 0) + 1 FROM raw_file")[0][0]
    return False


def _save_watermark(wh: Warehouse, file: _File, known: bool) -> None:
    counts = [str(file.path), file.offset, file.lines, file.accepted, file.duplicates, file.quarantined]
    if known:
        wh.execute(
            "UPDATE raw_file SET path = ?, offset_bytes = ?, lines = ?, accepted = ?, duplicates = ?, quarantined = ? "
            "WHERE file_id = ?",
            [*counts, file.file_id],
        )
    else:
        wh.execute(
            "INSERT INTO raw_file (file_id, identity, run_id, first_seq, path, offset_bytes, lines, accepted, "
            "duplicates, quarantined) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [file.file_id, file.identity, file.run_id, file.first_seq, *counts],
        )


def _read_on(wh: Warehouse, file: _File, *, final: bool) -> None:
    """Read from the watermark to the last newline, and past it if `final`; counts are kept in `file`."""
    batch = _Batch()
    for chunk in _chunks(file):
        if not chunk.data.endswith(b"\n"):
            if final:
                batch.rejects.append((chunk.lines_before + 1, "torn: the file ended inside this line"))
                batch.chunks.append(chunk)
                file.offset += len(chunk.data)
                file.lines += 1
            else:
                file.torn = 1
            break
        try:
            table, rejects = read_lines(chunk.data)
        except JournalError as error:
            raise JournalError(error.what, where=str(file.path), remedy=error.remedy) from error
        line = pc.add(table["index"], chunk.lines_before + 1)
        batch.tables.append(table.set_column(table.num_columns - 1, "index", line))
        batch.rejects.extend((chunk.lines_before + 1 + r.index, r.reason) for r in rejects)
        batch.chunks.append(chunk)
        file.offset += len(chunk.data)
        file.lines += chunk.count
        if len(batch.chunks) == BATCH_CHUNKS:
            _write(wh, file, batch)
            batch = _Batch()
    _write(wh, file, batch)


def _chunks(file: _File) -> Iterator[_Chunk]:
    """Runs of whole lines of about CHUNK_BYTES; at last the bytes after the last newline, if any."""
    try:
        with file.path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size < file.offset:
                raise JournalError(
                    f"is shorter ({size} bytes) than what was read of it before ({file.offset} bytes)",
                    where=str(file.path),
                    remedy="a journal is only appended to: put the whole file back",
                )
            offset, lines = file.offset, file.lines
            stream.seek(offset)
            rest: list[bytes] = []
            while block := stream.read(CHUNK_BYTES):
                cut = block.rfind(b"\n") + 1
                if not cut:
                    rest.append(block)
                    continue
                data = b"".join([*rest, block[:cut]])
                rest = [block[cut:]] if cut < len(block) else []
                count = data.count(b"\n")
                yield _Chunk(data, offset, lines, count)
                offset, lines = offset + len(data), lines + count
            if rest:
                yield _Chunk(b"".join(rest), offset, lines, 0)
    except OSError as error:
        raise JournalError(
            f"cannot be read: {error.strerror}", where=str(file.path), remedy="check the disk"
        ) from error


def _write(wh: Warehouse, file: _File, batch: _Batch) -> None:
    """Put a batch's rows and refused lines into the open transaction."""
    if batch.tables:
        rows = pa.concat_tables(batch.tables)
        newest = pc.max(rows["v"]).as_py()
        if newest is not None and newest > JOURNAL_VERSION:
            try:
                refuse_version(newest)
            except JournalError as error:
                raise JournalError(error.what, where=str(file.path), remedy=error.remedy) from None
        with wh.incoming(rows):
            refused = wh.execute(_RULES)
        if refused:
            batch.rejects.extend(refused)
            rows = rows.filter(pc.invert(pc.is_in(rows["index"], pa.array([line for line, _ in refused], pa.int64()))))
        fresh = _without_duplicates(wh, rows)
        if fresh.num_rows:
            with wh.incoming(fresh.rename_columns([*fresh.column_names[:-1], "line"])):
                wh.execute(
                    "INSERT INTO raw_record BY NAME SELECT ?::INTEGER AS file_id, * FROM incoming", [file.file_id]
                )
        file.accepted += fresh.num_rows
        file.duplicates += rows.num_rows - fresh.num_rows
    if batch.rejects:
        _quarantine(wh, file, batch)


def _without_duplicates(wh: Warehouse, rows: pa.Table) -> pa.Table:
    """The rows whose (run_id, seq) is neither in the warehouse nor earlier in the batch."""
    keep = np.zeros(rows.num_rows, np.bool_)
    runs = rows["run_id"].combine_chunks().dictionary_encode()
    codes, seqs = np.asarray(runs.indices), rows["seq"].to_numpy()
    for code, run_id in enumerate(runs.dictionary.to_pylist()):
        at = np.flatnonzero(codes == code)
        unique, first = np.unique(seqs[at], return_index=True)
        known = wh.columns(
            "SELECT seq FROM raw_record WHERE run_id = ? AND seq BETWEEN ? AND ?",
            [run_id, int(unique[0]), int(unique[-1])],
        )
        keep[at[first[~np.isin(unique, known["seq"].to_numpy())]]] = True
    return rows if keep.all() else rows.filter(pa.array(keep))


def _quarantine(wh: Warehouse, file: _File, batch: _Batch) -> None:
    reasons = dict(batch.rejects)
    lines, offsets, lengths, texts = [], [], [], []
    for chunk in batch.chunks:
        if not any(chunk.lines_before < n <= chunk.lines_before + max(chunk.count, 1) for n in reasons):
            continue
        offset = chunk.offset
        for number, line in enumerate(chunk.data.split(b"\n"), chunk.lines_before + 1):
            if number in reasons and offset < chunk.offset + len(chunk.data):
                lines.append(number)
                offsets.append(offset)
                lengths.append(len(line))
                texts.append(line[:RAW_TEXT_BYTES].decode("utf-8", "backslashreplace"))
            offset += len(line) + 1
    table = pa.table(
        {
            "file_id": pa.array([file.file_id] * len(lines), pa.int32()),
            "line": pa.array(lines, pa.int64()),
            "offset_bytes": pa.array(offsets, pa.int64()),
            "length_bytes": pa.array(lengths, pa.int64()),
            "reason": [reasons[number] for number in lines],
            "raw_text": texts,
        }
    )
    with wh.incoming(table):
        wh.execute("INSERT INTO raw_quarantine BY NAME SELECT * FROM incoming")
    file.quarantined += len(lines)
