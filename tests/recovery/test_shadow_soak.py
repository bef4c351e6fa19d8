"""Ten real minutes: `nightsoak soak --feed bybit` against `nightsoak venue` with faults, and the bot killed once."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.paths import CHECKOUT, Paths
from engine.soak import NS_PER_S

pytestmark = pytest.mark.soak
FAULTS = ("disconnect@60s", "gap@120s:5", "silence@180s:30s", "refuse@300s:10s", "garbage@400s:2")
REASONS = ("connection: ", "sequence: ", "silence: ", "connection: ", "garbage: ", "resumed")
WINDOW_S, WINDOWS, KILL_AFTER = 30, 20, 14
GROWTH_BOUND_KB = 48 << 10
"""How much a bot's peak memory may grow from its third minute on: pages of the growing tape, and no more."""
_SECOND_LOOK_S = 120


def peak_kb(pid: int) -> int:
    """VmHWM of a process; 0 once it is gone."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def test_ten_minutes_in_the_shadow(
    paths: Paths,
    nightsoak: Callable[..., Any],
    processes_of: Callable[..., Any],
    kill: Callable[[int], float],
    newest_plan: Callable[..., Any],
    records: Callable[..., Any],
    check_whole: Callable[..., Any],
    row: Callable[..., None],
) -> None:
    faults = [word for fault in FAULTS for word in ("--fault", fault)]
    venue = nightsoak("venue", "--tape", str(CHECKOUT / "datasets" / "sample"), "--port", "0", "--loop", *faults)
    venue.stderr.readline()
    endpoint = re.search(r"ws://127\.0\.0\.1:\d+", venue.stderr.readline())
    assert endpoint is not None
    hours = str(WINDOW_S * WINDOWS / 3600)
    words = ("--hours", hours, "--iterations", "5", "--window-seconds", str(WINDOW_S), "--auto-tune")
    soak = nightsoak("soak", "--feed", "bybit", "--symbols", "SIMUSDT", "--endpoint", endpoint[0], *words)
    peaks: dict[int, list[tuple[float, int]]] = {}
    killed_pid, killed_s, back_s, said_at_kill = 0, 0.0, 0.0, ""
    began_s = time.monotonic()
    while soak.poll() is None:
        assert time.monotonic() < began_s + 900, "the soak does not end"
        for bot in processes_of(paths.datasets, "engine.bot"):
            peaks.setdefault(bot.pid, []).append((time.monotonic(), peak_kb(bot.pid)))
            files = sorted(paths.journals.glob("*.jsonl"))
            if not killed_pid and f'"window":{KILL_AFTER},' in (files[0].read_text() if files else ""):
                killed_pid, killed_s = bot.pid, kill(bot.pid)
                said_at_kill = files[0].read_text().splitlines()[-1]
            if killed_pid and not back_s and len(files) > 1 and files[1].stat().st_size:
                back_s = time.monotonic()
        time.sleep(1)
    out, said = soak.communicate()
    assert soak.returncode == 0, said
    assert killed_pid and back_s

    plan = newest_plan(paths)
    written = check_whole(plan)
    assert written[-1]["reason"] == "complete" and written[-1]["ts_ns"] == plan.schedule.end_ns
    assert said_at_kill in (paths.journals / f"{plan.run_id}.0.jsonl").read_text().splitlines()
    (line,) = (line for line in said.splitlines() if "started again" in line)
    assert re.search(r"report: \S*SOAK_RESULTS\.md", out)
    report = (paths.reports / "latest" / "SOAK_RESULTS.md").read_text()
    assert "Parity: the tape replayed gives every lane's" in report
    assert json.loads((paths.reports / "latest" / "KPI_GATE.json").read_text())["verdict"]

    gaps = [record for record in written if record["type"] == "gap"]
    told = [next((begin for begin in REASONS if gap["reason"].startswith(begin)), gap["reason"]) for gap in gaps]
    assert set(told) == set(REASONS), told
    windows = [record for record in written if record["type"] == "window_end"]
    assert len(windows) == WINDOWS
    spans = []
    for gap in gaps:
        after = (one["ts_ns"] for one in written if one["type"] == "mark" and one["ts_ns"] > gap["ts_ns"])
        spans.append((gap["ts_ns"], next(after)))
    for window in windows:
        begin_ns, end_ns = window["start_ns"], window["ts_ns"]
        dark_ns = sum(max(0, min(end, end_ns) - max(begin, begin_ns)) for begin, end in spans)
        missing_s = WINDOW_S - window["valid_book_ms"] / 1000
        assert missing_s <= dark_ns / NS_PER_S + 1.0, f"window {window['window']}: {missing_s:.1f} s are not explained"

    growth_kb = 0
    for seen in peaks.values():
        later = [kb for at_s, kb in seen if at_s > seen[0][0] + _SECOND_LOOK_S]
        growth_kb = max(growth_kb, later[-1] - later[0] if later else 0)
    top_kb = max(kb for seen in peaks.values() for _, kb in seen)
    sys.stdout.write(f"\nbot: peak {top_kb / 1024:.0f} MB, grown by {growth_kb / 1024:.1f} MB after two minutes\n")
    assert growth_kb < GROWTH_BOUND_KB
    dark_s = sum((end - begin) / NS_PER_S for begin, end in spans)
    row(
        "shadow_soak",
        seen=line,
        lost=f"no journalled record of {len(written):,}; {dark_s:.0f} s of market in {len(gaps)} gaps",
        seconds=back_s - killed_s,
    )
