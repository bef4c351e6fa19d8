"""Files are whole or absent: under a full disk, a folder that is none, and a kill at any moment."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.errors import StorageError
from engine.files import sha256_file, sync_folder, to_json, write_atomic, write_json

ROOT = Path(__file__).parents[1]
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits and signals")


def run(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_writes_text_and_bytes_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_atomic(path, "grün\n")
    assert path.read_bytes() == "grün\n".encode()
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write") as error:
        write_atomic(tmp_path / "reports" / "file.txt", "x")
    assert "file.txt" in str(error.value)
    assert error.value.exit_code == 3
    assert (tmp_path / "reports").read_text() == "in the way"


def test_a_target_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file.txt").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        write_atomic(tmp_path / "file.txt", "x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="Permission denied"):
            write_atomic(tmp_path / "file.txt", "x")
    finally:
        tmp_path.chmod(0o700)


_LIMITED = """
import resource, sys
from pathlib import Path
from engine.errors import StorageError
from engine.files import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_atomic(Path(sys.argv[1]), b"x" * int(sys.argv[2]))
except StorageError as error:
    print(error.exit_code, error)
"""


@posix
@pytest.mark.parametrize("former", [None, "former"])
def test_no_more_room(tmp_path: Path, former: str | None) -> None:
    """A limit on the size of files stands for a full disk: the write fails in its middle."""
    path = tmp_path / "file.bin"
    if former is not None:
        path.write_text(former)
    done = run(_LIMITED, str(path), "300000")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"3 {path}: cannot write: ")
    assert [entry.name for entry in tmp_path.iterdir()] == ([] if former is None else ["file.bin"])
    assert former is None or path.read_text() == former
    done = run(_LIMITED, str(path), "100000")
    assert (done.stdout, path.stat().st_size) == ("", 100_000)


_ENDLESS = """
import sys
from pathlib import Path
from engine.files import write_atomic
path, size = Path(sys.argv[1]), int(sys.argv[2])
for i in range(1_000_000):
    write_atomic(path, bytes([i % 256]) * size)
    print(i, flush=True)
"""


@posix
def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path, size = tmp_path / "file.bin", 3_000_000
    for attempt in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", _ENDLESS, str(path), str(size)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.003 * attempt)
        process.send_signal(signal.SIGKILL)
        process.stdout.read()
        process.stdout.close()
        process.wait()
        data = path.read_bytes()
        assert len(data) == size
        assert len(set(data)) == 1


def test_json_is_stable_and_has_no_nan(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": {"ü": True}}
    assert to_json(value) == '{\n  "a": {\n    "ü": true\n  },\n  "b": [\n    1,\n    2.5,\n    null\n  ]\n}\n'
    write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == value
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(tmp_path / "y.json", {"x": bad})
    assert not (tmp_path / "y.json").exists()


def test_sha256(tmp_path: Path) -> None:
    for size in (0, 1, 1 << 20, (1 << 20) + 1):
        data = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
        (tmp_path / "f").write_bytes(data)
        assert sha256_file(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_syncing_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    sync_folder(tmp_path / "none")
