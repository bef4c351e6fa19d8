"""What an ingest came to: counts, alarms, the first reasons of the quarantine, and the files that were refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from engine.errors import JournalError
from engine.warehouse.reasons import Refusals

SHOWN_REASONS = 5


@dataclass(frozen=True)
class Quarantined:
    """Lines quarantined for one reason; `first` is path:line of the first of them."""

    reason: str
    count: int
    first: str


@dataclass(frozen=True)
class Refused:
    """A file that adds nothing. `conflicts`: its lines that tell a known record otherwise, 0 if none is a record."""

    path: str
    what: str
    remedy: str
    conflicts: int


class ConflictError(Exception):
    """Undoes a reading of all files, which begins again without the one that is `refused`."""

    def __init__(self, refused: Refused) -> None:
        self.refused = refused


@dataclass(frozen=True)
class IngestResult:
    """Counts of one call: accepted + duplicates + quarantined + torn = lines. `torn` lines wait for their end.

    `alarms` are files that are not what they were (shorter, replaced) or not whole (a gzip that ends early), in words:
    such a file is read from its beginning, and what was read before counts as duplicates. `reasons` are the first ones
    for which lines went to quarantine. The lines of a file refused for its conflicts are in no count.
    """

    files: int
    lines: int
    accepted: int
    duplicates: int
    quarantined: int
    torn: int
    alarms: tuple[str, ...] = ()
    reasons: tuple[Quarantined, ...] = ()
    refused: tuple[Refused, ...] = ()

    def require_taken(self) -> None:
        """
        Raises:
            JournalError: a file was refused; names the first.
        """
        for one in self.refused:
            raise JournalError(one.what, where=one.path, remedy=one.remedy)


class Tally:
    """Counts the first few reasons; there may be as many as lines."""

    def __init__(self) -> None:
        self._found: dict[str, Quarantined] = {}

    @property
    def first(self) -> tuple[Quarantined, ...]:
        return tuple(self._found.values())

    def add(self, refusals: Refusals, first_line: int, path: Path) -> None:
        """Count the refusals of a chunk whose first line has the number `first_line`."""
        for reason, count in Counter(refusals.reasons).items():
            known = self._found.get(reason)
            if known is not None:
                self._found[reason] = Quarantined(reason, known.count + count, known.first)
            elif len(self._found) < SHOWN_REASONS:
                line = int(refusals.index[refusals.reasons.index(reason)]) + first_line
                self._found[reason] = Quarantined(reason, count, f"{path}:{line}")


def contradicting(
    path: Path, conflicts: int, line: int, seq: int, run_id: str, known_path: str | None, known_line: int
) -> Refused:
    """A file with `conflicts` lines that tell known records otherwise, the first of them and where it was known from.

    `known_path` is None where the file contradicts itself.
    """
    more = f" ({conflicts - 1} more such lines)" if conflicts > 1 else ""
    return Refused(
        str(path),
        f"line {line} is no duplicate: seq {seq} of run {run_id} was read before with other content, from "
        f"{known_path or path}:{known_line}{more}; nothing of the file was taken",
        "a corrected export needs a run_id of its own; or put it in the old file's place, then `nightsoak ingest "
        "--rebuild`",
        conflicts,
    )


def without_record(path: Path, lines: int, first: str) -> Refused:
    """A file of which every line is in quarantine."""
    return Refused(
        str(path),
        f"no line of it is a journal's: {lines} in quarantine, the first: {first}",
        "see docs/journal.md, or name the --format of an export",
        0,
    )
