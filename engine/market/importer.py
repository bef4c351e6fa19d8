"""From raw captures to a tape: tell the format, read, write the tape with where it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from engine.errors import CaptureError
from engine.files import sha256_file
from engine.instrument import Instrument
from engine.market.binance import read_binance
from engine.market.bybit import read_bybit
from engine.market.capture import Capture, read_lines
from engine.market.instruments import InstrumentFlags, read_instruments
from engine.market.neutral import read_neutral
from engine.market.tape import Tape, refuse_overwrite, write_tape
from engine.market.tape_meta import Source, SourceFile

FORMATS = ("binance", "bybit", "neutral")
_LINES_LOOKED_AT = 100


def import_capture(
    files: Sequence[Path],
    out: Path,
    *,
    format_name: str | None = None,
    flags: InstrumentFlags | None = None,
    known: tuple[Instrument, ...] | None = None,
    force: bool = False,
) -> Tape:
    """Import one capture, cut into `files` in order of time, as the tape `out`.

    Args:
        format_name: one of FORMATS; told from the contents when None.
        flags: what the command line says about the instrument.
        known: the instruments to look symbols up in; config/instruments.json when None.

    Raises:
        CaptureError: the capture cannot be read (see the readers).
        TapeError, StorageError: the tape cannot be written (see `write_tape`). Nothing is left half-written.
    """
    refuse_overwrite(out, force=force)
    files = [Path(file) for file in files]
    for file in files:
        if not file.is_file():
            raise CaptureError("no such file", where=str(file), remedy="check the path")
    format_name = format_name or tell_format(files[0])
    known = read_instruments() if known is None else known
    capture = _read(files, format_name, flags or InstrumentFlags(), known)
    source = Source(
        format=format_name,
        files=tuple(SourceFile(name=file.name, sha256=sha256_file(file)) for file in files),
        counts=capture.counts,
        local_clock=capture.local_clock,
    )
    return write_tape(
        out,
        capture.columns,
        instrument=capture.instrument,
        source=source,
        clock_shift_ns=capture.clock_shift_ns,
        gaps=capture.gaps,
        force=force,
    )


def _read(files: Sequence[Path], format_name: str, flags: InstrumentFlags, known: tuple[Instrument, ...]) -> Capture:
    if format_name == "binance":
        return read_binance(files, flags, known)
    if format_name == "bybit":
        return read_bybit(files, flags, known)
    if format_name != "neutral":
        reason = f"unknown format {format_name!r}"
        raise CaptureError(reason, where=str(files[0]), remedy=f"known ones: {', '.join(FORMATS)}")
    if len(files) != 1:
        reason = f"{len(files)} neutral files given, not one"
        raise CaptureError(reason, where=str(files[1]), remedy="import each as a tape of its own")
    return read_neutral(files[0], flags, known)


def tell_format(file: Path) -> str:
    """The format of a capture by its name and first lines.

    Raises:
        CaptureError: it is none of FORMATS.
    """
    if file.suffix == ".npz":
        return "neutral"
    for line in read_lines([file], Counter()):
        if line.number > _LINES_LOOKED_AT:
            break
        if "stream" in line.value or "lastUpdateId" in line.value or "e" in line.value:
            return "binance"
        if "topic" in line.value:
            return "bybit"
    raise CaptureError(
        f"its first {_LINES_LOOKED_AT} lines are of no known format",
        where=str(file),
        remedy=f"say which with --format ({', '.join(FORMATS)})",
    )
