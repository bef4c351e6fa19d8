"""Growing tapes: the same events as were appended, while they grow, sealed, and after a SIGKILL."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine.live.growing as growing
from engine.errors import LockHeldError, StorageError, TapeError
from engine.live.growing import GrowingTape, recover, recover_all, window_around
from engine.maker.session import MakerSession
from engine.market.events import GAP, LAST, Columns
from engine.market.tape import Tape, verify_tape
from engine.market.tape_meta import Gap
from engine.params import Params
from engine.paths import CHECKOUT
from engine.profile import load_profile

EVENTS = 6000


@pytest.fixture
def part(sample: Tape) -> Columns:
    """About 6,000 events of the sample, to the end of a message."""
    end = int(np.flatnonzero(sample.columns.flags[:EVENTS] & LAST)[-1]) + 1
    return sample.columns.part(0, end)


def messages(columns: Columns, at_once: int) -> list[Columns]:
    """The columns cut at message ends, `at_once` messages a piece."""
    ends = np.flatnonzero(columns.flags & LAST)[at_once - 1 :: at_once] + 1
    cuts = [0, *ends.tolist(), len(columns.kind)]
    return [columns.part(a, b) for a, b in pairwise(cuts) if b > a]


def same(ours: Columns, theirs: Columns) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_what_was_handed_out_stays_true_while_the_tape_grows(
    sample: Tape, part: Columns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "PIECE_EVENTS", 1000)
    tape = GrowingTape.create(tmp_path / "r" / "one", sample.meta.instrument(), feed="bybit", sync_s=0)
    seen: list[Columns] = []
    for piece in messages(part, 97):
        tape.append(piece)
        seen.append(tape.columns)
    for columns in seen:
        assert same(columns, part.part(0, len(columns.kind))) and not columns.kind.flags.writeable
    tape.release()
    assert same(tape.columns, part)
    sealed = tape.seal(tmp_path / "sealed")
    assert sealed is not None and same(sealed.columns, part) and verify_tape(sealed.path).ok
    assert not (tmp_path / "r" / "one").exists()


def test_a_kernel_fed_while_the_tape_grows_decides_as_on_the_sealed_tape(
    sample: Tape, part: Columns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "PIECE_EVENTS", 1000)
    profile = load_profile(CHECKOUT / "config", "S1")
    instrument, mid2 = sample.meta.instrument(), sample.reference_mid2()
    config = profile.kernel_config(instrument, mid2)._replace(arrival=1)
    window, start_ns = window_around(mid2), int(part.exch_ts_ns[0])
    tape = GrowingTape.create(tmp_path / "one", instrument, feed="bybit")
    tape.set_window(window)
    live = MakerSession(config, [Params()], window, start_ns)
    records = []
    for piece in messages(part, 40):
        tape.append(piece)
        records.append(live.advance(tape.columns, int(piece.local_ts_ns[-1])))
    end_ns = int(part.local_ts_ns[-1]) + 1
    records.append(live.advance(tape.columns, end_ns))
    sealed = tape.seal(tmp_path / "sealed")
    assert sealed is not None and tape.outside == 0
    replay = MakerSession(config, [Params()], window, start_ns)
    expected = replay.advance(sealed.columns, end_ns)
    assert len(expected) > 20 and np.array_equal(np.concatenate(records), expected)


def test_gaps_window_and_counts_are_told_by_the_sealed_tape(sample: Tape, part: Columns, tmp_path: Path) -> None:
    tape = GrowingTape.create(tmp_path / "one", sample.meta.instrument(), feed="binance")
    tape.set_window((25_000, 25_003))
    first = messages(part, 500)[0]
    tape.append(first)
    at_ns = int(first.local_ts_ns[-1])
    marker = Columns.empty(1)
    marker.exch_ts_ns[:], marker.local_ts_ns[:], marker.kind[:], marker.flags[:] = at_ns, at_ns, 2, GAP | LAST
    tape.append(marker, [Gap(local_ts_ns=at_ns, reason="silence")])
    sealed = tape.seal(tmp_path / "sealed", {"garbage": 3})
    assert sealed is not None and sealed.meta.gaps == (Gap(local_ts_ns=at_ns, reason="silence"),)
    assert sealed.meta.source is not None and sealed.meta.source.format == "binance-live"
    counts = sealed.meta.source.counts
    prices = first.price_ticks[first.kind != 2]
    assert counts["outside_window"] == int(np.count_nonzero((prices < 25_000) | (prices >= 25_003))) > 0
    assert counts["garbage"] == 3
    assert (sealed.meta.price_low_ticks, sealed.meta.price_high_ticks) == (25_000, 25_002)
    assert sealed.meta.order == "arrival" and sealed.meta.clock_shift_ns == 0


@pytest.mark.parametrize(
    ("mid2", "window"), [(2_000_001, (900_000, 1_100_002)), (300, (1, 352)), (10_000, (4500, 5502))]
)
def test_the_window_is_a_tenth_either_way_and_two_hundred_ticks_at_least(mid2: int, window: tuple[int, int]) -> None:
    assert window_around(mid2) == window


def test_nothing_recorded_leaves_no_tape(sample: Tape, tmp_path: Path) -> None:
    tape = GrowingTape.create(tmp_path / "one", sample.meta.instrument(), feed="bybit")
    assert tape.seal(tmp_path / "sealed") is None and list(tmp_path.iterdir()) == []


WRITER = """
import sys
from itertools import pairwise
from pathlib import Path
import numpy as np
from engine.live.growing import GrowingTape
from engine.market.events import LAST
from engine.market.tape import Tape
from engine.market.tape_meta import Gap

sample = Tape.open(Path(sys.argv[1]))
tape = GrowingTape.create(Path(sys.argv[2]), sample.meta.instrument(), feed="bybit", sync_s=0.01)
start = 0
for end in (np.flatnonzero(sample.columns.flags & LAST) + 1).tolist():
    tape.append(sample.columns.part(start, end))
    start = end
    sys.stdout.write(f"{end}\\n")
    sys.stdout.flush()
"""


def test_after_a_sigkill_everything_that_was_committed_is_there(sample: Tape, tmp_path: Path) -> None:
    recording, tapes = tmp_path / ".recording", tmp_path / "tapes"
    for number, events in enumerate((50, 3000)):
        folder = recording / str(number)
        command = [sys.executable, "-c", WRITER, str(sample.path), str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as writer:
            assert writer.stdout is not None
            said = next(line for line in writer.stdout if int(line) > events)
            with pytest.raises(LockHeldError, match="the recording is in use by process"):
                recover(folder, tapes / "x")
            writer.kill()
            said = ([said, *writer.stdout])[-1]
        (tape,), failed = recover_all(recording, tapes)
        assert failed == [] and not folder.exists()
        assert tape.meta.count >= int(said) and same(tape.columns, sample.columns.part(0, tape.meta.count))
        assert verify_tape(tape.path).ok
        assert tape.meta.source is not None and tape.meta.source.counts["recovered"] == 1


def test_rows_that_never_reached_the_disk_are_left_out(sample: Tape, part: Columns, tmp_path: Path) -> None:
    """As after a power cut: the commit is newer than the columns; what was synced is kept."""
    tape = GrowingTape.create(tmp_path / "one", sample.meta.instrument(), feed="bybit", sync_s=0)
    pieces = messages(part, 500)
    tape.append(pieces[0])
    tape.sync()
    tape.append(pieces[1])
    tape.close()
    size = len(pieces[0].kind)
    with (tmp_path / "one" / "local_ts_ns").open("r+b") as file:
        file.seek(8 * (size + 5))
        file.write(bytes(8 * 20))
    found = recover(tmp_path / "one", tmp_path / "sealed")
    assert found is not None and same(found.columns, pieces[0])
    assert found.meta.source is not None and found.meta.source.counts["events_not_whole"] == len(pieces[1].kind)


def test_a_gap_whose_reason_was_torn_off_is_still_a_gap(sample: Tape, part: Columns, tmp_path: Path) -> None:
    tape = GrowingTape.create(tmp_path / "one", sample.meta.instrument(), feed="bybit")
    tape.append(messages(part, 500)[0])
    at_ns = int(tape.columns.local_ts_ns[-1])
    marker = Columns.empty(1)
    marker.exch_ts_ns[:], marker.local_ts_ns[:], marker.kind[:], marker.flags[:] = at_ns, at_ns, 2, GAP | LAST
    tape.append(marker, [Gap(local_ts_ns=at_ns, reason="silence")])
    tape.close()
    notes = tmp_path / "one" / "gaps.jsonl"
    notes.write_bytes(notes.read_bytes()[:-9])
    found = recover(tmp_path / "one", tmp_path / "sealed")
    assert found is not None and found.meta.gaps == (Gap(local_ts_ns=at_ns, reason="reason lost with the recorder"),)
    assert verify_tape(found.path).ok


def test_what_is_no_recording_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / ".recording" / "odd"
    folder.mkdir(parents=True)
    (folder / "head.json").write_text("{}")
    with pytest.raises(TapeError, match="is no recording"):
        recover(folder, tmp_path / "sealed")
    tapes, failed = recover_all(tmp_path / ".recording", tmp_path)
    assert tapes == [] and len(failed) == 1 and folder.exists()


def test_a_full_disk_is_an_error_and_what_was_committed_stays(sample: Tape, tmp_path: Path) -> None:
    script = (
        WRITER.replace(
            "import sys\n",
            "import resource, signal, sys\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n",
            1,
        )
        .replace("sync_s=0.01", "sync_s=0")
        .replace("tape = Grow", "import engine.live.growing as g\ng.PIECE_EVENTS = 4096\ntape = Grow")
    )
    folder = tmp_path / "one"
    done = subprocess.run(
        [sys.executable, "-c", script, str(sample.path), str(folder)], capture_output=True, text=True, cwd=CHECKOUT
    )
    assert done.returncode == 1 and "StorageError" in done.stderr and "cannot record: File too large" in done.stderr
    last = int(done.stdout.splitlines()[-1])
    found = recover(folder, tmp_path / "sealed")
    assert found is not None and found.meta.count == last and same(found.columns, sample.columns.part(0, last))


def failing(calls: Callable[..., Any], on: Callable[[int], bool]) -> Callable[..., Any]:
    """`calls`, but for the calls whose file descriptor is `on`: there the disk is full."""

    def call(handle: int, *rest: Any) -> Any:
        if on(handle):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return calls(handle, *rest)

    return call


@pytest.mark.parametrize("at", ["gaps.jsonl", "commit", "fsync"])
def test_what_is_counted_is_what_is_committed_wherever_it_fails(
    at: str, sample: Tape, part: Columns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece with its gap is there, in the tape and on disk, or is not; then it can be added again."""
    tape = GrowingTape.create(tmp_path / "one", sample.meta.instrument(), feed="bybit", sync_s=0)
    first, second = messages(part, 500)[:2]
    tape.append(first)
    at_ns = int(first.local_ts_ns[-1])
    marker = Columns.empty(1)
    marker.exch_ts_ns[:], marker.local_ts_ns[:], marker.kind[:], marker.flags[:] = at_ns, at_ns, 2, GAP | LAST
    gap = Gap(local_ts_ns=at_ns, reason="silence")
    with monkeypatch.context() as patch:
        if at == "fsync":
            tape._sync_s = 1e-9
            patch.setattr("engine.live.growing.os.fsync", failing(os.fsync, lambda handle: True))
        else:
            handle = tape._handles[at]
            patch.setattr("engine.live.growing.os.pwrite", failing(os.pwrite, lambda found: found == handle))
        with pytest.raises(StorageError, match="No space left"):
            tape.append(marker, [gap])
    added = at == "fsync"  # written and committed, but not safe against a power cut
    assert (tape.count, tape.gaps) == (len(first.kind) + added, [gap] * added)
    tape._sync_s = 0
    if not added:
        tape.append(marker, [gap])
    tape.append(second)
    tape.close()
    found = recover(tmp_path / "one", tmp_path / "sealed")
    assert found is not None and found.meta.gaps == (gap,)
    assert found.meta.count == len(first.kind) + 1 + len(second.kind)


def test_a_tape_that_cannot_begin_leaves_neither_lock_nor_folder(
    sample: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("engine.files.os.fsync", failing(os.fsync, lambda handle: True))
        with pytest.raises(StorageError, match="cannot write: No space left"):
            GrowingTape.create(tmp_path / "one", sample.meta.instrument(), feed="bybit")
    assert list(tmp_path.iterdir()) == []
    GrowingTape.create(tmp_path / "one", sample.meta.instrument(), feed="bybit").close()


def test_a_folder_that_is_there_is_not_taken(sample: Tape, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot begin a tape"):
        GrowingTape.create(tmp_path, sample.meta.instrument(), feed="bybit")
