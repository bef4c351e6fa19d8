from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import LockHeldError, StorageError
from engine.locks import FileLock
from engine.paths import CHECKOUT

HOLD = """
import sys, time
from pathlib import Path
from engine.locks import FileLock
with FileLock(Path(sys.argv[1]), what="the warehouse") as lock:
    lock.describe("run-1")
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_process_is_told_who_holds_it_and_a_kill_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "soak.lock"
    argv = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(LockHeldError, match=rf"the warehouse is in use by process {first.pid} \(run run-1\)"):
            FileLock(path, what="the warehouse").__enter__()
        first.kill()
        first.wait()
    with FileLock(path, what="the warehouse"):
        pass


def test_it_can_be_taken_again_and_again_but_not_twice_at_once(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            FileLock(tmp_path / "lock", what="it"),
            pytest.raises(LockHeldError, match=f"process {os.getpid()}"),
            FileLock(tmp_path / "lock", what="it"),
        ):
            pass


def test_a_text_that_is_no_holder_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("not json")
    with FileLock(tmp_path / "lock", what="it"):
        (tmp_path / "lock").write_text("not json")
        with pytest.raises(LockHeldError, match="it is in use by another process"):
            FileLock(tmp_path / "lock", what="it").__enter__()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="cannot open the lock"), FileLock(tmp_path / "locks" / "x", what="it"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is held cannot be replaced there")
def test_who_was_succeeded_finds_out(tmp_path: Path) -> None:
    """As with a frozen holder: it never let go."""
    path = tmp_path / "one.lock"
    with FileLock(path, what="it") as old:
        old.describe("run-1", start=0)
        assert old.is_ours()
        second = FileLock(path, what="it")
        with pytest.raises(LockHeldError, match="run-1"):
            second.__enter__()
        assert second.holder["start"] == 0
        second.take_over()
        second.describe("run-2", start=1)
        assert second.is_ours() and not old.is_ours()
        with pytest.raises(LockHeldError, match="run-2"), FileLock(path, what="it"):
            pass
    assert second.is_ours(), "the old one's end took it away"
    second.__exit__(None, None, None)
    with FileLock(path, what="it") as third:
        assert third.is_ours()
    assert [file.name for file in tmp_path.iterdir()] == ["one.lock"]
