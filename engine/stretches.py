"""The stretches of a run: from its start, and from each time that its bot was started again after it had died.

Each stretch began with a bot that knew the position and the parameters of the journal, no order, and, live, a tape of
its own; so each is replayed by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.bot.loop import RESUMED
from engine.maker.state import Array
from engine.market.tape import Tape
from engine.parity import replayed_fills
from engine.profile import Profile
from engine.run_changes import PARAMS, RunChange
from engine.soak import RunPlan
from engine.soak_market import tapes_of
from engine.warehouse.db import Warehouse


@dataclass(frozen=True)
class Stretch:
    """[start_ns, end_ns) of a run on one tape."""

    tape: Tape
    start_ns: int
    end_ns: int


def resumed_at(wh: Warehouse, run_id: str) -> list[int]:
    """Market times (ns) at which the run went on after its bot had died."""
    rows = wh.execute(
        "SELECT ts_ns FROM raw_record WHERE run_id = ? AND type = 'gap' AND reason = ? ORDER BY seq", [run_id, RESUMED]
    )
    return [int(ts_ns) for (ts_ns,) in rows]


def stretches_of(plan: RunPlan, resumed_ns: Sequence[int]) -> list[Stretch]:
    """The run's stretches in order of time, those of a live run with the tape that was recorded in them.

    A tape that is begun after a bot's death is begun after the market time at which the run goes on. One of a bot
    that died before it had journalled anything is nobody's; a stretch without a tape had no market.
    """
    tapes = tapes_of(plan)
    starts = [plan.schedule.start_ns, *resumed_ns]
    ends = [*resumed_ns, plan.schedule.end_ns]
    found = []
    for number, (start_ns, end_ns) in enumerate(zip(starts, ends, strict=True)):
        begun = [
            tape
            for tape in tapes
            if not plan.live
            or (tape.meta.first_local_ts_ns < end_ns and (not number or tape.meta.first_local_ts_ns >= start_ns))
        ]
        if begun:
            found.append(Stretch(begun[-1], start_ns, end_ns))
    return found


def replay_stretches(
    plan: RunPlan, profile: Profile, stretches: Sequence[Stretch], changes: Sequence[RunChange]
) -> dict[int, Array]:
    """{lane: int64[n, 4]} fills (engine.parity.FILL_FIELDS) of all stretches, each going on with what went before."""
    lanes = [dict(lane["params"]) for lane in plan.lanes]
    held = [plan.position_start_lots] * len(lanes)
    parts: list[list[Array]] = [[] for _ in lanes]
    for number, stretch in enumerate(stretches):
        known = [change for change in changes if number and change.ts_ns <= stretch.start_ns and change.name == PARAMS]
        if known:
            lanes[0] = dict(known[-1].values)
        inside = [
            change for change in changes if stretch.start_ns <= change.ts_ns < stretch.end_ns and change not in known
        ]
        fills = replayed_fills(
            stretch.tape, profile, lanes, inside, stretch.start_ns, stretch.end_ns, held,
            reference_mid2=stretches[0].tape.reference_mid2(),
        )  # fmt: skip
        for lane, rows in fills.items():
            parts[lane].append(rows)
            held[lane] += int((rows[:, 1] * rows[:, 3]).sum())
    return {lane: np.concatenate(rows) for lane, rows in enumerate(parts)}
