"""How many messages a second a live feed takes in on one core: CPU of our side alone, over a real websocket.

    python benchmarks/feed.py [--seconds 600]

The local venue runs in a process of its own and sends a generated market as fast as it is read. Measured is the CPU
time of the receiving process (socket, parsing, book, growing tape), per data frame; then the parser alone on the
same frames. Prints JSON rows {name, ours, peer, unit, ratio, bound, holds}; exit 1 if one does not hold.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BOUND = 5000
WAIT_S = 300.0


def serve(tape: str, mode: str, told: Any, stop: Any) -> None:
    from engine.live.venue_thread import VenueThread
    from engine.market.tape import Tape

    with VenueThread(Tape.open(Path(tape)), mode=mode, speed=0) as venue:
        told.put(venue.endpoint)
        while not stop.is_set() and not venue.finished:
            time.sleep(0.02)
        told.put("finished")
        stop.wait()


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(tape: Path, mode: str, folder: Path) -> tuple[float, float, int]:
    """(frames per CPU second over the socket, frames per CPU second of the parser alone, frames)."""
    from engine.live.frames import Item, Kind
    from engine.live.runner import LiveSource
    from engine.live.settings import FeedSettings
    from engine.market.book_scan import first_mid2
    from engine.market.tape import Tape

    opened = Tape.open(tape)
    instrument = opened.meta.instrument()
    first_mid2(opened.columns)  # compiled, or read from its cache: that is no frame's doing
    context = multiprocessing.get_context("spawn")
    told, stop = context.Queue(), context.Event()
    venue = context.Process(target=serve, args=(str(tape), mode, told, stop), daemon=True)
    venue.start()
    frames: list[Item] = []
    try:
        settings = FeedSettings(mode, (instrument,), endpoint=told.get(timeout=WAIT_S), queue_frames=1 << 20)
        source = LiveSource(settings, folder / f"{mode}-live")
        take = source.intake._take

        def keep(item: Item) -> None:
            frames.append(item)
            take(item)

        source.intake._take = keep  # type: ignore[method-assign]
        before_s = cpu_s()
        source.start()
        assert told.get(timeout=WAIT_S) == "finished"
        source.rows_until(source.now_ns())
        messages = source.counters.messages
        over_socket = messages / (cpu_s() - before_s)
        assert source.counters.dropped == source.counters.gaps == 0, source.health()
        source.stop()
    finally:
        stop.set()
        venue.join(10)
    again = LiveSource(settings, folder / f"{mode}-again")
    for item in frames:
        if item.kind in (Kind.FRAME, Kind.SNAPSHOT, Kind.OPENED):
            again.queue.put(item)
    stopping = threading.Event()
    stopping.set()
    before_s = cpu_s()
    again.intake.run(stopping)
    alone = len(frames) / (cpu_s() - before_s)
    assert again.counters.rows == source.counters.rows, "the parser alone saw other events"
    again.recording.close()
    return over_socket, alone, messages


def rows(quick: bool = False, seconds: int = 600) -> list[dict[str, Any]]:
    """The measurements; `seconds` of the `tight` market, whose messages are the densest; `quick`: 200; in
    a shorter one the start-up weighs as much as the frames."""
    seconds = 200 if quick else seconds
    sys.path.insert(0, str(ROOT))
    from engine.market.simulator import generate_tape, read_settings

    found = []
    with tempfile.TemporaryDirectory() as name:
        settings = read_settings(ROOT / "config", "tight").with_run(seed=7, duration_s=seconds)
        tape = generate_tape(Path(name) / "tape", settings)
        for mode in ("bybit", "binance"):
            over_socket, alone, messages = measure(tape.path, mode, Path(name))
            for what, rate in (("over a websocket", over_socket), ("parsing alone", alone)):
                row = {
                    "name": f"live feed, {mode}, {what}, {messages:,} messages",
                    "ours": round(rate),
                    "peer": None,
                    "unit": "messages per CPU s",
                    "ratio": round(rate / BOUND, 2),
                    "bound": f"at least {BOUND:,}",
                    "holds": rate >= BOUND,
                }
                found.append(row)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="length of the generated market")
    found = rows(seconds=parser.parse_args().seconds)
    for row in found:
        print(json.dumps(row))
    return 0 if all(row["holds"] for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
