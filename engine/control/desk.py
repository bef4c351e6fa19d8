"""The loop's side of the control plane: carries out actions between two seconds, measures, publishes snapshots.

Everything here runs in the bot's own thread. An action takes effect at the market time it is carried out at, is
journalled there, and changes nothing before; so the run can be done again with the same actions at the same times.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from engine.bot.journal import JournalTail
from engine.bot.loop import Bot
from engine.control.board import Action, Board, Outcome, Snapshot
from engine.control.groups import GROUPS, risk_limits
from engine.control.measures import Measures
from engine.control.reports import make_snapshot, window_so_far
from engine.control.script import SOURCE
from engine.control.settings import ControlSettings, Toxicity
from engine.errors import NightsoakError
from engine.files import write_json
from engine.maker.state import Array
from engine.params import Params
from engine.profile import Profile
from engine.soak import NS_PER_S, RunPlan
from engine.tuning.bands import Gates

_PUBLISH_EVERY_S = 0.05
_LASTING = {"pause": "pause", "resume": "pause"} | {f"reload_{name}": name for name in GROUPS if name != "strategy"}
"""Action whose effect lasts -> what it decides; lane 0's parameters are the journal tail's own."""


@dataclass
class InForce:
    """What actions have made of the bot."""

    paused: bool = False
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)


class Desk:
    """One bot's control desk; engine.bot.loop.Bot calls `act`, `see` and `edge`.

    Args:
        script: actions at their market times, done without being asked for: those of a run that is done again.
    """

    def __init__(
        self,
        bot: Bot,
        plan: RunPlan,
        profile: Profile,
        settings: ControlSettings,
        gates: Gates,
        script: Sequence[tuple[int, Action]] = (),
    ) -> None:
        self.bot, self.plan, self.profile, self.settings, self.gates = bot, plan, profile, settings, gates
        self._script = sorted(script, key=lambda entry: entry[0])
        self.in_force = InForce(
            groups={
                "strategy": dict(bot.params),
                "risk": risk_limits(plan),
                "toxicity": settings.toxicity.model_dump(mode="json", exclude={"comment"}),
                "perf_profile": settings.perf_profile.model_dump(mode="json", exclude={"comment"}),
            }
        )
        instrument = bot.formatter.instrument
        look = bot.market.telemetry(bot.now_ns)
        self.measures = Measures(
            instrument,
            (Fraction(profile.maker_fee_rate), Fraction(profile.taker_fee_rate)),
            look.positions_lots.tolist(),
            bot.now_ns,
            settings.toxicity,
        )
        self.measures.first_look(look)
        self.windows: list[dict[str, Any]] = []
        self.final: dict[str, dict[str, Any]] = {}
        self._apply_perf(self.in_force.groups["perf_profile"])
        self._published_s, self._begun = 0.0, False
        self._started_s, self._started_ns = 0.0, bot.now_ns
        self.pace = 0.0
        self.board = Board(self._snapshot(), settings.queue_limit)

    # --- called by the loop -------------------------------------------------------------------------------------

    def act(self) -> None:
        """Carry out what is waiting; between two seconds of market time."""
        if not self._begun:
            self._begun = True
            if self.bot.tail:
                self._go_on(self.bot.tail)
        while self._script and self._script[0][0] <= self.bot.now_ns:
            self._perform(self._script.pop(0)[1])
        actions = self.board.take()
        for action in actions:
            self.board.resolve(self._perform(action))
        if actions:
            self.publish()

    def see(self, parts: list[Array], wall_ns: int) -> None:
        """A second has passed: its rows, and the wall time that the kernel took."""
        bot = self.bot
        rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
        look = bot.market.telemetry(bot.now_ns)
        self.measures.see(rows, bot.market.touch()[0], bot.now_ns, look, wall_ns)
        self._keep_pace()
        if time.monotonic() - self._published_s >= _PUBLISH_EVERY_S:
            self.publish()

    def edge(self, window: int, *, iteration_end: bool) -> None:
        """A window is over, and with it perhaps an iteration: its reports are the last final ones."""
        self.windows.append(window_so_far(self, window))
        if iteration_end:
            snapshot = self._snapshot()
            self.final = {
                name: {**snapshot.reports[name], "windows_done": window + 1} for name in ("shadow", "toxicity")
            }
        self.measures.next_window()
        self.publish()

    # --- the rest ------------------------------------------------------------------------------------------------

    def _go_on(self, tail: JournalTail) -> None:
        """Measure from where a resumed run goes on, and put back in force what was: nobody has taken it back."""
        look = self.bot.market.telemetry(self.bot.now_ns)
        self.measures.first_look(look)
        self._reset_shadow()
        last = {_LASTING[record["event"]]: record for record in tail.controls if record["event"] in _LASTING}
        for record in last.values():
            self._perform(Action(0, record["event"], record.get("params") or {}), source=f"{SOURCE}, resumed")

    def publish(self) -> None:
        self._published_s = time.monotonic()
        self.board.publish(self._snapshot())

    def _snapshot(self) -> Snapshot:
        return make_snapshot(self)

    def _keep_pace(self) -> None:
        """Hold a replay back to `pace` seconds of market time a second."""
        if not self.pace:
            return
        if not self._started_s:
            self._started_s = time.monotonic()
        market_s = (self.bot.now_ns - self._started_ns) / NS_PER_S
        if (early_s := self._started_s + market_s / self.pace - time.monotonic()) > 0:
            time.sleep(early_s)

    def _perform(self, action: Action, source: str = "") -> Outcome:
        now_ns = self.bot.now_ns
        source = source or f"{SOURCE}, action {action.id}"
        try:
            changed, values = self._do(action, source)
        except NightsoakError as error:
            return Outcome(action.id, action.name, "refused", now_ns, detail=str(error))
        if changed and action.name != "reload_strategy":
            record = {"type": "control", "ts_ns": now_ns, "lane": 0, "event": action.name, "source": source}
            record |= {"params": values} if values else {}
            self.bot.write_now({**record, "effective_ts_ns": now_ns})
        return Outcome(action.id, action.name, "effective", now_ns, changed, values=values)

    def _do(self, action: Action, source: str) -> tuple[bool, dict[str, Any]]:
        """(whether anything changed, the group's values now)"""
        if action.name in ("pause", "resume"):
            return self._pause(action.name == "pause"), {}
        if action.name == "flatten":
            for lane in range(self.measures.lanes):
                self.bot.market.flatten(lane)
            return True, {}
        if action.name == "reset_shadow":
            self._reset_shadow()
            return True, {}
        name = action.name.removeprefix("reload_")
        group, before = GROUPS[name], self.in_force.groups[name]
        if name == "strategy":
            before = dict(self.bot.params)  # the flow changes them too
        after = group.merged(before, action.values)
        self.in_force.groups[name] = after
        if changed := after != before:
            self._apply[name](self, after, source)
        return changed, after

    def _pause(self, paused: bool) -> bool:
        """Every lane: the control lane is compared with lane 0, and only tuning shall tell them apart."""
        changed = paused != self.in_force.paused
        self.in_force.paused = paused
        if changed:
            for lane in range(self.measures.lanes):
                self.bot.market.set_paused(lane, paused)
        return changed

    def _reset_shadow(self) -> None:
        self.measures.reset(self.bot.now_ns, self.bot.market.touch()[0])
        self.windows.clear()

    def _apply_strategy(self, values: dict[str, Any], source: str) -> None:
        params = Params().with_changes(values)
        write_json(self.plan.overrides_file, dict(params))  # or the next edge would take the change back
        self.bot.change_params(params, source)

    def _apply_risk(self, values: dict[str, Any], source: str) -> None:
        market = self.bot.market
        sizes = self.profile.model_copy(update=values).kernel_config(
            self.bot.formatter.instrument, self.bot.reference_mid2
        )
        market.set_limits(sizes.order_lots, sizes.cap_lots)

    def _apply_toxicity(self, values: dict[str, Any], source: str) -> None:
        self.measures.set_toxicity(Toxicity.model_validate_json(json.dumps(values)))

    def _apply_perf(self, values: dict[str, Any], source: str = "") -> None:
        self.bot.journal.buffer_bytes = values["io_flush_batch_bytes"]
        self.bot.journal.rotate_bytes = values["io_rotate_bytes"]

    _apply: ClassVar[dict[str, Callable[[Desk, dict[str, Any], str], None]]] = {
        "strategy": _apply_strategy,
        "risk": _apply_risk,
        "toxicity": _apply_toxicity,
        "perf_profile": _apply_perf,
    }
