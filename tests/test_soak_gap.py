"""A soak across a gap that no snapshot mends: nothing is quoted beyond it, and the report says what is not known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.maker.session import MakerSession
from engine.maker.state import REC_FILL
from engine.market.events import GAP, LAST, MARKER, Columns
from engine.market.tape import Gap, Tape, write_tape
from engine.params import Params
from engine.paths import CHECKOUT
from engine.profile import load_profile
from engine.replay import ReplaySettings, kernel_config
from engine.soak import RunPlan
from engine.soak_recipe import run_soak
from engine.soak_steps import report


def first_fill_ns(tape: Tape) -> int:
    config = kernel_config(tape, load_profile(CHECKOUT / "config", "S1"), ReplaySettings())
    window = (tape.meta.price_low_ticks, tape.meta.price_high_ticks + 1)
    session = MakerSession(config, [dict(Params())], window, tape.meta.first_exch_ts_ns)
    records = session.advance(tape.columns, tape.meta.last_local_ts_ns, tape.exch_order)
    return int(records["ts_ns"][records["kind"] == REC_FILL][0])


def with_gap(tape: Tape, folder: Path, at_ns: int) -> Tape:
    """The tape with a GAP marker as a message of its own at the first message end after `at_ns`."""
    ends = np.flatnonzero(tape.columns.flags & LAST)
    row = int(ends[np.searchsorted(tape.columns.local_ts_ns[ends], at_ns)]) + 1
    marker = Columns.empty(1)
    marker.exch_ts_ns[:] = tape.columns.exch_ts_ns[row - 1]
    marker.local_ts_ns[:] = tape.columns.local_ts_ns[row - 1]
    marker.kind[:], marker.flags[:] = MARKER, GAP | LAST
    columns = Columns(*(np.insert(old, row, new[0]) for old, new in zip(tape.columns, marker, strict=True)))
    gap = Gap(local_ts_ns=int(marker.local_ts_ns[0]), reason="sequence")
    return write_tape(folder, columns, instrument=tape.meta.instrument(), gaps=[gap])


def test_a_position_held_into_a_gap_is_not_valued(plan_of: Callable[..., RunPlan], tmp_path: Path) -> None:
    """The book is gone for minutes while a position stands: what it is worth is unknown, and so is net."""
    sample = Tape.open(CHECKOUT / "datasets" / "sample")
    tape = with_gap(sample, tmp_path / "gap", first_fill_ns(sample) + 10**9)
    plan = plan_of(tape=str(tape.path), window_seconds=30)
    run_soak(plan)
    made = report(plan)
    edge = json.loads((made.folder / "EDGE_REPORT.json").read_text())
    gate = json.loads((made.folder / "KPI_GATE.json").read_text())
    page = (made.folder / "SOAK_RESULTS.md").read_text()
    assert made.verdict == gate["verdict"] == "NODATA"
    assert edge["totals"]["net_bps"] is None and edge["totals"]["null_reasons"]["net_bps"]
    assert edge["windows"][-1]["net_pnl_quote"] is None
    assert edge["totals"]["coverage_pct"] < 50
    assert edge["totals"]["block_reasons"]["gap"]["count"] > 100
    fills = [window["fills"] for window in edge["windows"]]
    assert fills[-1] == 0 < sum(fills), "nothing is quoted across the gap"
    assert "Gaps in the data" in page
