"""`nightsoak drill rollback`: a regression played through the real path, in a home of its own.

A good set is champion, a bad one is promoted over it, and a bot runs both over a generated market: the bad one in
lane 0, the former champion beside it. At every edge the journal is read, the champion is watched, and once the watch
says so it is rolled back; the bot goes on and picks the former parameters up. Bot, journal, warehouse, detector, store,
report and event are those of a night. The market is s1 with more of everything to trade on, so that a maker that is
too wide and too small earns visibly less than its predecessor in windows of half a minute.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.bot.process import BotProcess
from engine.champion.guard import guard
from engine.champion.rollback import RolledBack, roll_back
from engine.champion.store import ChampionStore
from engine.errors import RunError
from engine.events import ROLLED_BACK, read_events
from engine.files import write_json
from engine.market.simulator import SimulatorSettings, generate_tape, read_settings
from engine.params import Params
from engine.paths import Paths
from engine.soak import Companion, RunPlan, SoakSettings
from engine.soak_plan import make_plan
from engine.warehouse.db import Warehouse
from engine.warehouse.ingest import ingest

WINDOW_SECONDS, WINDOWS_PER_ITERATION, ITERATIONS = 30, 6, 6
GOOD = Params(base_spread_bps_delta=0.0, impact_cap_ratio=0.12, max_delta_ratio=0.2, touch_dwell_ms=0)
BAD = Params(base_spread_bps_delta=0.6, impact_cap_ratio=0.04, max_delta_ratio=0.1, touch_dwell_ms=100)
_SEED = 5
_BUSY = {
    "public_news_permille": 0,
    "react_ms": 500,
    "informed_permille": 1000,
    "informed_threshold_millitick": 200,
    "rush_permille": 8000,
    "sweep_per_10k": 200,
}


@dataclass(frozen=True)
class Drill:
    """What came of it. Times in seconds of the wall clock, from the moment the watch said rollback.

    `windows_to_detection` counts the windows that the bad set had run. The checks are what "restored" means.
    """

    symbol: str
    windows_to_detection: int
    reasons: tuple[str, ...]
    files_restored_s: float
    bot_restored_s: float | None
    report: Path
    checks: dict[str, bool]

    @property
    def restored(self) -> bool:
        return all(self.checks.values())

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "report": str(self.report), "reasons": list(self.reasons), "restored": self.restored}


def drill_rollback(home: Path, config: Path, *, tell: Callable[[str], None] = lambda text: None) -> Drill:
    """Play it in `home`, which must be empty or absent; `config` is copied there.

    Raises:
        RunError: the regression was not found on the whole tape.
        NightsoakError: as the bot, the warehouse and the store raise.
    """
    paths = Paths(config=home / "config", datasets=home / "datasets", reports=home / "reports")
    shutil.copytree(config, paths.config)
    tape = paths.tapes / "drill"
    tell("generating the market")
    market = busy_market(paths.config)
    generate_tape(tape, market)
    store = ChampionStore(paths, market.symbol)
    good = store.promote(GOOD, who="drill", why="the champion before the regression")
    bad = store.promote(BAD, who="drill", why="deliberately bad: too wide and too small")
    plan = _plan(paths, tape, good.id)
    tell(f"{bad.id} runs in lane 0, {good.id} beside it")
    rolled, detected_s, files_s, bot_s, windows, reasons = _play(plan, store, bad.id, tell)
    shutil.rmtree(tape)
    now = store.current()
    events = [event for event in read_events(paths) if event.name == ROLLED_BACK]
    checks = {
        "the state is the former champion's": now.id == good.id and now.params == GOOD,
        "the overrides file is the former one byte for byte": paths.overrides(market.symbol).read_bytes() == good.bytes,
        "the bot runs the former parameters": bot_s is not None,
        "the history has the rollback": store.history()[-1].kind == "rollback",
        "the report is there": rolled.report.is_file(),
        "one event was emitted": [event.id for event in events] == [rolled.rollback_id],
    }
    bot_restored_s = None if bot_s is None else bot_s - detected_s
    return Drill(market.symbol, windows, reasons, files_s - detected_s, bot_restored_s, rolled.report, checks)


def busy_market(config: Path) -> SimulatorSettings:
    """The drill's market, long enough for its iterations."""
    market = read_settings(config, "s1").with_run(
        seed=_SEED, duration_s=WINDOW_SECONDS * WINDOWS_PER_ITERATION * ITERATIONS
    )
    values = market.model_dump() | _BUSY
    for regime in values["regimes"]:
        regime["news_every_ms"] = 1000
        regime["news_median_millitick"] *= 5
        regime["trade_orders_per_1000_s"] *= 3
    return SimulatorSettings.model_validate(values)


def _plan(paths: Paths, tape: Path, former_id: str) -> RunPlan:
    settings = SoakSettings(tape=str(tape), iterations=ITERATIONS, window_seconds=WINDOW_SECONDS)
    plan = make_plan(settings, paths)
    if all(one.params != GOOD for one in plan.companions):
        plan = replace(plan, companions=(*plan.companions, Companion(former_id, "former", GOOD)))
        write_json(plan.file, plan.to_json())
    return plan


def _play(
    plan: RunPlan, store: ChampionStore, failing: str, tell: Callable[[str], None]
) -> tuple[RolledBack, float, float, float | None, int, tuple[str, ...]]:
    """(the rollback, then moments of detection, files, bot; windows run by then; reasons)."""
    found: tuple[RolledBack, float, float, int, tuple[str, ...]] | None = None
    bot_s: float | None = None
    with BotProcess(plan.file, plan.folder / "bot.log") as bot:
        for message in bot.messages():
            if message["event"] == "params" and found is not None:
                bot_s = time.monotonic() if Params().with_changes(message["params"]) == GOOD else None
                bot.command("stop", reason="restored")
                break
            if message["event"] != "edge":
                continue
            if found is None:
                with Warehouse(plan.paths.warehouse) as wh:
                    ingest(wh, [plan.paths.journals])
                    guarded = guard(wh, store, window_seconds=WINDOW_SECONDS)
                detected_s = time.monotonic()
                watch = guarded.watch
                tell(f"window {message['window'] + 1}: {watch.verdict}, CUSUM {watch.statistic:.1f} of {watch.limit:g}")
                if watch.verdict == "rollback":
                    why = f"{'; '.join(watch.reasons)}, since {guarded.where}"
                    rolled = roll_back(plan.paths, plan.symbol, why=why, who="drill", watch=watch, failing=failing)
                    found = rolled, detected_s, time.monotonic(), message["window"] + 1, watch.reasons
            bot.command("continue", source="rollback" if found else "overrides file")
    if found is None:
        raise RunError(
            "the regression was not found on the whole tape",
            where=str(plan.folder),
            remedy="see the cusum settings in config/judge.json: a rollback would not have come either",
        )
    rolled, detected_s, files_s, windows, reasons = found
    return rolled, detected_s, files_s, bot_s, windows, reasons
