"""Captures: the real ones where they are at hand, and a way to write small ones."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson
import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def real_captures() -> Path:
    """The folder of real captures: NIGHTSOAK_DATA, else beside the checkout."""
    folder = Path(os.environ.get("NIGHTSOAK_DATA", CHECKOUT.parent / "shared" / "data"))
    if not (folder / "binance").is_dir():
        pytest.skip(f"no real captures in {folder}; set NIGHTSOAK_DATA to their folder")
    return folder


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[..., Path]:
    """Write `(local ns or None, message)` pairs, or raw bytes, as a capture; a name in .gz is compressed."""

    def write(lines: Iterable[tuple[int | None, object] | bytes], name: str = "capture.gz") -> Path:
        raw = b""
        for line in lines:
            if isinstance(line, bytes):
                raw += line
                continue
            local_ns, message = line
            raw += (b"" if local_ns is None else b"%d " % local_ns) + orjson.dumps(message) + b"\n"
        file = tmp_path / name
        file.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return file

    return write
