"""What was done to a running bot, at its market times: parameters, and the control plane's actions on trading.

A run's fills follow from its tape, its starting parameters and these; so they are what a replay must be given, and
what a run's certificate must hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.instrument import Instrument
from engine.maker.session import MakerSession
from engine.params import journalled
from engine.profile import Profile
from engine.warehouse.db import Warehouse

PARAMS = "params"
ACTIONS = ("pause", "resume", "flatten", "reload_risk")
"""Those that change what is traded; the others change what is shown or how it is written."""


@dataclass(frozen=True)
class RunChange:
    """`name`: PARAMS or one of ACTIONS; `values`: lane 0's parameters, or the risk limits."""

    ts_ns: int
    name: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"effective_ts_ns": self.ts_ns, "name": self.name, "values": dict(self.values)}


def changes_in_time(wh: Warehouse, run_id: str) -> list[RunChange]:
    """Every change that the run journalled and that fills can follow from, in order of time."""
    rows = wh.execute(
        "SELECT coalesce(effective_ts_ns, ts_ns), type, event, params FROM raw_record "
        "WHERE run_id = ? AND type IN ('params', 'control') AND lane = 0 ORDER BY ts_ns, seq",
        [run_id],
    )
    changes = []
    for ts_ns, kind, event, params in rows:
        name = PARAMS if kind == "params" else str(event)
        if name != PARAMS and name not in ACTIONS:
            continue
        values = json.loads(params) if params else {}
        if name == PARAMS:
            values = dict(journalled(values))
        changes.append(RunChange(int(ts_ns), name, values))
    return changes


def parameters_of(changes: Sequence[RunChange]) -> list[tuple[int, dict[str, float]]]:
    """(time of effect in ns, lane 0's set) of the changes that are of parameters."""
    return [(change.ts_ns, dict(change.values)) for change in changes if change.name == PARAMS]


def perform(
    session: MakerSession, change: RunChange, profile: Profile, instrument: Instrument, reference_mid2: int
) -> None:
    """Do to `session` what was done to the bot: parameters to lane 0, actions to all lanes."""
    if change.name == PARAMS:
        session.set_params(0, change.values)
        return
    lanes = range(len(session.state.lanes))
    if change.name == "reload_risk":
        limits = profile.model_copy(update=dict(change.values))
        sizes = limits.kernel_config(instrument, reference_mid2)
        session.config = session.config._replace(order_lots=sizes.order_lots, cap_lots=sizes.cap_lots)
    for lane in lanes:
        if change.name in ("pause", "resume"):
            session.set_paused(lane, change.name == "pause")
        elif change.name == "flatten":
            session.flatten(lane)
