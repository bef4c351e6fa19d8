"""`nightsoak record` and `nightsoak venue` as a user runs them: two processes and a real websocket between."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.live.venue_thread import VenueThread
from engine.market.tape import Tape, verify_tape
from engine.paths import CHECKOUT, Paths
from nightsoak.__main__ import main

SAMPLE = CHECKOUT / "datasets" / "sample"


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nightsoak", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT)


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A venue's address, as its hint names it; Ctrl-C ends it without a word of complaint."""
    with start("venue", "--tape", str(SAMPLE), "--port", "0", "--speed", "20", "--loop") as venue:
        assert venue.stderr is not None
        try:
            served, hint = venue.stderr.readline(), venue.stderr.readline()
            found = re.search(r"nightsoak soak --feed bybit --endpoint (ws://127\.0\.0\.1:\d+) --symbols SIMUSDT", hint)
            assert served.startswith("bybit frames of SIMUSDT at ws://127.0.0.1:") and found is not None
            yield found[1]
            venue.send_signal(signal.SIGINT)
            assert venue.wait(10) == 0 and venue.stderr.read() == "stopped\n"
        finally:
            venue.kill()


def committed(file: Path) -> int:
    """Events that a recording says are whole."""
    return int.from_bytes(file.read_bytes()[:8], "little")


def test_record_kill_recover_and_interrupt(endpoint: str, paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["record", "--feed", "bybit", "--endpoint", endpoint, "--symbols", "SIMUSDT"]
    with start(*words) as recorder:
        try:
            until_s = time.monotonic() + 30
            while not any(committed(file) > 3000 for file in (paths.tapes / ".recording").glob("*/commit")):
                assert time.monotonic() < until_s, "nothing was recorded"
                time.sleep(0.05)
        finally:
            recorder.kill()
    assert main([*words, "--hours", "0.0002", "--rotate-minutes", "0.005"]) == 0
    printed = capsys.readouterr()
    assert "recovered what a recorder that was killed left: " in printed.err
    assert printed.err.splitlines()[-1].startswith("hint: check it with: nightsoak tape verify ")
    sealed = [Path(line.split()[0]) for line in printed.out.splitlines()]
    assert len(sealed) >= 2 and all(verify_tape(path).ok for path in sealed)
    (recovered,) = {path for path in paths.tapes.iterdir() if not path.name.startswith(".")} - set(sealed)
    assert verify_tape(recovered).ok and Tape.open(recovered).meta.count > 3000
    assert list((paths.tapes / ".recording").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["record", "--symbols", "BTCUSDT", "--endpoint", "ws://127.0.0.1:9"], 3, "the venue does not answer"),
        (["record", "--symbols", "BTCUSDT", "BTCUSDT"], 2, "a symbol is given twice"),
        (["record", "--symbols", "BTCUSDT", "--endpoint", "http://x"], 2, "is not a websocket address"),
        (["venue", "--tape", "nowhere"], 2, "is not a tape"),
        (["venue", "--tape", str(SAMPLE), "--fault", "flood@3s"], 2, "is no fault"),
        (["venue", "--tape", str(SAMPLE), "--symbols", "A", "B"], 2, "1 tapes and the symbols A, B"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: list[str], code: int, what: str, paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ") and what in printed.err
    assert len(printed.err.splitlines()) == 1 and not paths.tapes.exists()


def test_a_recorder_that_received_nothing_says_why(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    with VenueThread(Tape.open(SAMPLE)) as venue:
        venue.inject("refuse", 60)
        words = ["--symbols", "SIMUSDT", "--endpoint", venue.endpoint, "--hours", "0.0001"]
        assert main(["record", *words]) == 3
    printed = capsys.readouterr()
    assert printed.out == "" and list(paths.tapes.glob("bybit-*")) == []
    assert "nothing was received (connection: server rejected WebSocket connection: HTTP 503)" in printed.err
