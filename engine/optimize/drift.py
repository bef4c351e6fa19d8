"""The champion's own level on tapes it was not chosen on, since its promotion; and taking it back.

    level         1e4 P_w / N of the champion's windows; its winsorised CUSUM is the drift that is reported
    difference    1e4 (P_w - F_w) / N against the former champion, which runs beside it as a lane

The champion is taken back when the difference's CUSUM alarms, when the loss breaker trips, or when the level's CUSUM
alarms and the former champion earned no less on the same windows. Where the level alarms alone the market has changed:
the former set would have lost more, so the drift is reported and the champion stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.champion.rollback import RolledBack, roll_back
from engine.champion.store import ChampionStore
from engine.champion.watch import Watch, watch_champion
from engine.market.tape import Tape
from engine.optimize.promote import WHO
from engine.optimize.record import WatchedLevel
from engine.params import Params
from engine.paths import Paths
from engine.profile import default_profile_name, load_profile
from engine.search.trial_windows import LaneWindows, evaluate
from engine.tuning.judge import load_judge
from engine.tuning.pairing import WindowSeries, window_series

Window = tuple[float | None, ...]


@dataclass(frozen=True)
class FreshWindows:
    """`rows` as engine.optimize.record.WatchedLevel has them, in `pnl_currency`; `quote_per_pnl`: what turns each into
    quote currency, in which the breaker's limits are."""

    rows: tuple[Window, ...]
    quote_per_pnl: tuple[float | None, ...]
    pnl_currency: str


@dataclass(frozen=True)
class Drift:
    """`watched`: this round's windows alone, as the state takes them. `rollback`: why, in words, or empty."""

    watched: WatchedLevel
    level: Watch
    difference: Watch | None
    rollback: str
    done: str

    def to_json(self) -> dict[str, Any]:
        """What stands in the audit line."""
        known = [
            (pnl, notional) for pnl, notional, *_ in self.watched.windows if pnl is not None and notional is not None
        ]
        traded = sum(notional for _, notional in known)
        return {
            "watched": self.level.watched,
            "windows": self.level.windows,
            "windows_this_round": len(self.watched.windows),
            "net_bps_this_round": 1e4 * sum(pnl for pnl, _ in known) / traded if traded > 0 else None,
            "label": self.level.findings["cusum"]["label"],
            "reason": self.level.findings["cusum"]["reason"],
            "statistic_sd": self.level.statistic,
            "limit_sd": self.level.limit,
            "difference_sd": self.difference.statistic if self.difference else None,
            "pnl_quote": self.level.pnl_quote,
            "drawdown_quote": self.level.drawdown_quote,
            "verdict": self.difference.verdict if self.difference else self.level.verdict,
        }


def fresh_windows(
    paths: Paths, folders: Sequence[Path], champion: Mapping[str, Any], window_seconds: int, maker_profile: str
) -> FreshWindows:
    """The champion's windows on the tapes, and those of the champion before it where there was one.

    Args:
        champion: as a `begin` line holds it.
    """
    profile = load_profile(paths.config, maker_profile or default_profile_name())
    former = champion["former"]
    lanes = [Params().with_changes(one["params"]) for one in (champion, *([former] if former else []))]
    tapes = [Tape.open(folder) for folder in folders]
    windows = evaluate(tapes, profile, lanes, window_seconds)
    columns = [_column(values[lane]) for lane in range(len(lanes)) for values in _money(windows)]
    rates = tuple(_column(windows.quote_per_pnl))
    return FreshWindows(tuple(zip(*columns, strict=True)), rates, tapes[0].meta.pnl_currency)


def judge_drift(paths: Paths, champion: Mapping[str, Any], known: WatchedLevel | None, new: FreshWindows) -> Drift:
    """The verdict on every window since the champion took effect, those of this round included."""
    settings = load_judge(paths.config)
    same = known is not None and (known.champion, known.since_utc) == (champion["id"], champion["since_utc"])
    before = (
        known if same and known is not None else WatchedLevel(champion=champion["id"], since_utc=champion["since_utc"])
    )
    rows = (*before.windows, *new.rows)
    kept = (*before.quote_per_pnl, *new.quote_per_pnl)
    older = 1.0 if all(rate == 1.0 for rate in new.quote_per_pnl) else None  # of a state that did not keep them
    rates = np.array([older] * (len(rows) - len(kept)) + list(kept), np.float64)
    own, former = _series(rows, 0, "champion"), _series(rows, 2, "former champion")
    healthy, healthy_former = _series(before.healthy, 0, "champion"), _series(before.healthy, 2, "former champion")
    level = watch_champion(
        own, None, settings, healthy=(healthy, None) if before.healthy else None, quote_per_pnl=rates
    )
    difference = None
    if champion["former"] is not None:
        confirmed = (healthy, healthy_former) if before.healthy else None
        difference = watch_champion(own, former, settings, healthy=confirmed, quote_per_pnl=rates)
    rollback, done = _decide(champion, level, difference, own, former, new.pnl_currency)
    watched = WatchedLevel(
        champion=champion["id"], since_utc=champion["since_utc"], windows=new.rows, quote_per_pnl=new.quote_per_pnl
    )
    return Drift(watched, level, difference, rollback, done)


def take_back(paths: Paths, symbol: str, champion_id: str, drift: Drift) -> RolledBack | None:
    """Put the former champion back, with report and event; None where somebody changed the champion meanwhile.

    Raises:
        StorageError: done again it goes on where it stopped.
    """
    store = ChampionStore(paths, symbol)
    history = store.history()
    done = bool(history) and history[-1].kind == "rollback" and history[-1].instead_of == champion_id
    if store.current().id != champion_id and not done:
        return None
    watch = drift.difference if drift.difference and drift.difference.verdict == "rollback" else drift.level
    return roll_back(paths, symbol, why=drift.rollback, who=WHO, watch=watch, failing=champion_id)


def _decide(
    champion: Mapping[str, Any],
    level: Watch,
    difference: Watch | None,
    own: WindowSeries,
    former: WindowSeries,
    currency: str,
) -> tuple[str, str]:
    name = champion["id"]
    if difference is None:
        if level.verdict == "rollback":
            return "", f"{name} stays: {'; '.join(level.reasons)}; there is no former champion to go back to."
        return "", f"{name} stays: {_calm(level)}."
    if difference.verdict == "rollback":
        return "; ".join(difference.reasons), ""
    if level.verdict != "rollback":
        return "", f"{name} stays: {_calm(difference)}."
    shared = np.isfinite(own.pnl_quote) & np.isfinite(former.pnl_quote)
    ours, theirs = (float(series.pnl_quote[shared].sum()) for series in (own, former))
    former_id = champion["former"]["id"]
    said = f"{'; '.join(level.reasons)}; the former {former_id} made {theirs:+.6g} {currency} on the same windows"
    if theirs >= ours:
        return f"{said}, no less than {ours:+.6g}", ""
    return "", f"{name} stays although its level drifted: {said}, less than {ours:+.6g}."


def _calm(watch: Watch) -> str:
    if watch.verdict == "fallback":
        return f"{'; '.join(watch.reasons)}; two losing windows are no rollback"
    return (
        watch.findings["cusum"]["reason"]
        if watch.verdict == "nodata"
        else f"nothing against it in {watch.windows} windows"
    )


def _series(rows: Sequence[Window], first: int, name: str) -> WindowSeries:
    """A lane of the rows, PnL in column `first`; without any window where the rows do not have it."""
    usable = [(at, row) for at, row in enumerate(rows) if len(row) > first]
    pnl, notional = (np.array([row[first + more] for _, row in usable], np.float64) for more in (0, 1))
    return window_series([at for at, _ in usable], pnl, notional, name=name)


def _money(windows: LaneWindows) -> tuple[Any, Any]:
    return windows.pnl_quote, windows.notional_quote


def _column(values: Any) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
