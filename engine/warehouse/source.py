"""A journal file as a source of whole lines: plain or gzip, known by its first line, read on from a watermark.

One open descriptor serves for identity, watermark and content, so a file that is renamed or replaced meanwhile is read
to its end as the file it was. Memory is bounded by CHUNK_BYTES whatever stands in the file: a line longer than
MAX_LINE_BYTES is passed over and told of by its beginning alone.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.errors import JournalError
from engine.warehouse.parse import LineError, read_line

CHUNK_BYTES = 8 << 20
MAX_LINE_BYTES = 8 << 20
"""A journal record takes less than a kilobyte."""
RAW_TEXT_BYTES = 1 << 10
"""How much of a refused line is kept: DuckDB holds 122,880 rows of a table in memory before it writes any."""
TAIL_BYTES = 4096
_GZIP = b"\x1f\x8b"
_PACKED_BYTES = 1 << 10  # damage loses what was unpacked of its piece
_INFLATED_BYTES = 1 << 20


@dataclass(frozen=True)
class Chunk:
    """Lines of a file.

    `data` is whole lines, each with its newline, or (`count` 0) the beginning of one line: the torn one at the file's
    end, or one that is too long. `size` is what they take in the file, `tail` the digest of the bytes before their end.
    """

    data: bytes
    offset: int
    lines_before: int
    count: int
    size: int
    tail: str
    overlong: bool = False

    @property
    def torn(self) -> bool:
        return not self.count and not self.overlong


class Source:
    """`with Source(path) as source:` opens a journal file.

    Attributes:
        identity: of its first line: "<run_id>#<seq>", or its sha256 where it is no record; None in an empty file.
        run_id, first_seq: of its first record, or None.
        damage: what was found wrong with the file as a whole while it was read, or "".

    Raises:
        JournalError: the file cannot be read, is no regular file, or is of a newer schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage = ""
        self.identity: str | None = None
        self.run_id: str | None = None
        self.first_seq: int | None = None

    def __enter__(self) -> Self:
        try:
            # Without O_NONBLOCK a pipe would be waited for.
            self._handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise self._unreadable(error) from error
        try:
            if not stat.S_ISREG(os.fstat(self._handle).st_mode):
                raise JournalError(
                    "is not a regular file", where=str(self.path), remedy="name a journal file or a folder of them"
                )
            self._packed = self._read(0, 2) == _GZIP
            self._identify()
        except BaseException:
            os.close(self._handle)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)

    def stands_at(self, offset: int, tail: str | None) -> str:
        """Why the file cannot be one that was read up to `offset` before, or "" if it is."""
        seen, last = self._upto(offset)
        if seen < offset:
            return f"is shorter ({seen} bytes) than what was read of it before ({offset} bytes)"
        if tail is not None and tail != _digest(last):
            return f"holds other lines than were read of it before, in the {offset} bytes that were"
        return ""

    @property
    def packed_bytes(self) -> int | None:
        """Size of a gzip file as it lies on the disk; None for a plain file."""
        return os.fstat(self._handle).st_size if self._packed else None

    def chunks(self, offset: int, lines: int) -> Iterator[Chunk]:
        """Everything from `offset` on, which is behind `lines` whole lines."""
        _, last = self._upto(offset)
        rest = b""  # the beginning of the line that the next block goes on with
        skipped = 0  # its length so far, once it is too long to be kept
        for block in self._blocks(offset):
            end = block.find(b"\n")
            piece = block if end < 0 else block[:end]
            length = (skipped or len(rest)) + len(piece)
            if length > MAX_LINE_BYTES:
                last = (last + (b"" if skipped else rest) + block[: len(piece) + 1])[-TAIL_BYTES:]
                rest = (rest + piece)[:RAW_TEXT_BYTES]
                if end < 0:
                    skipped = length
                    continue
                yield Chunk(rest, offset, lines, 0, length + 1, _digest(last), overlong=True)
                offset, lines = offset + length + 1, lines + 1
                rest, skipped, block = b"", 0, block[end + 1 :]
            cut = block.rfind(b"\n") + 1
            if not cut:
                rest += block
                continue
            data = rest + block[:cut] if rest else block[:cut]
            rest = block[cut:]
            last = (last + data[-TAIL_BYTES:])[-TAIL_BYTES:]
            count = data.count(b"\n")
            yield Chunk(data, offset, lines, count, len(data), _digest(last))
            offset, lines = offset + len(data), lines + count
        if rest:
            last = last if skipped else (last + rest)[-TAIL_BYTES:]
            yield Chunk(rest[:RAW_TEXT_BYTES], offset, lines, 0, skipped or len(rest), _digest(last))

    def _identify(self) -> None:
        line = b""
        for block in self._blocks(0, 1 << 16):
            line += block
            if b"\n" in block or len(line) > MAX_LINE_BYTES:
                break
        if not line:
            return
        line, newline, _ = line.partition(b"\n")
        record = {}
        if newline and len(line) <= MAX_LINE_BYTES:
            try:
                record = read_line(line)
            except LineError:
                pass
            except JournalError as error:
                raise JournalError(error.what, where=f"{self.path}:1", remedy=error.remedy) from error
        if record.get("run_id") and record.get("seq") is not None:
            self.run_id, self.first_seq = record["run_id"], record["seq"]
            self.identity = f"{self.run_id}#{self.first_seq}"
        else:
            head = (line + newline)[:MAX_LINE_BYTES]
            self.identity = "sha256:" + hashlib.sha256(head).hexdigest()

    def _upto(self, offset: int) -> tuple[int, bytes]:
        """(bytes of content up to `offset`, the last TAIL_BYTES of them)"""
        if not self._packed:
            size = min(offset, os.fstat(self._handle).st_size)
            begin = max(0, size - TAIL_BYTES)
            return size, self._read(begin, size - begin)
        seen, last = 0, b""
        for block in self._inflate():
            part = block[: offset - seen]
            seen += len(part)
            last = (last + part)[-TAIL_BYTES:]
            if seen == offset:
                break
        return seen, last

    def _blocks(self, offset: int, size: int | None = None) -> Iterator[bytes]:
        whole = size or CHUNK_BYTES
        if not self._packed:
            while block := self._read(offset, whole):
                yield block
                offset += len(block)
            return
        skip = offset
        gathered: list[bytes] = []
        held = 0
        for block in self._inflate():
            part = block[skip:]
            skip = max(0, skip - len(block))
            gathered.append(part)
            held += len(part)
            while held >= whole:
                data = b"".join(gathered)
                yield data[:whole]
                gathered, held = [data[whole:]], held - whole
        if held:
            yield b"".join(gathered)

    def _inflate(self) -> Iterator[bytes]:
        """The content of a gzip file of one or more members, up to where it ends early or is damaged."""
        at, raw = 0, b""
        inflate = zlib.decompressobj(wbits=31)
        while True:
            if not raw:
                raw = self._read(at, _PACKED_BYTES)
                at += len(raw)
            if not raw:
                if not inflate.eof:
                    self.damage = "its gzip stream ends early; what could be unpacked was read"
                return
            if inflate.eof:
                if not raw.strip(b"\0"):
                    raw = b""  # padding behind the last member
                    continue
                inflate = zlib.decompressobj(wbits=31)
            try:
                block = inflate.decompress(raw, _INFLATED_BYTES)
            except zlib.error as error:
                self.damage = f"its gzip stream is damaged ({error}); what could be unpacked before was read"
                return
            raw = inflate.unconsumed_tail or inflate.unused_data
            if block:
                yield block

    def _read(self, offset: int, size: int) -> bytes:
        try:
            os.lseek(self._handle, offset, os.SEEK_SET)
            parts = []
            while size > 0 and (part := os.read(self._handle, size)):
                parts.append(part)
                size -= len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> JournalError:
        return JournalError(
            f"cannot be read: {error.strerror}", where=str(self.path), remedy="check the path and the disk"
        )


def _digest(tail: bytes) -> str:
    return hashlib.sha256(tail).hexdigest()
