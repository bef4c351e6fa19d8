"""Champion against challengers in the report: verdict, effect, what is still needed, and every window of the night."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.report.format import NO_DATA, count, interval, number
from engine.report.record import RunRecord
from engine.report.table import Markdown, Table

_KINDS = {"challenger": "challenger", "former": "champion before"}


@dataclass(frozen=True)
class DuelView:
    """One companion lane: a heading, sentences, and a table with a row per window of this run."""

    heading: str
    lines: tuple[str, ...]
    windows: Table


def build_duels(record: RunRecord) -> tuple[str, Table | None, tuple[DuelView, ...]]:
    """(what to know, one row per companion, the details)."""
    duels = record.duels or ()
    if not duels and record.foreign:
        return "", None, ()
    if not duels:
        return Markdown("No challenger waits for its confirmation: `nightsoak tune` looks for one."), None, ()
    text = (
        f"On the same market, lane {duels[0]['champion_lane']} with the champion's parameters against "
        f"{count(len(duels), 'companion')}; + means that the companion earned more. Windows of earlier nights count. "
        f"{record.error_rates}"
    )
    rows = tuple(_row(duel) for duel in duels)
    table = Table(("Lane", "Companion", "Difference, bps [95 %]", "Windows", "Verdict", "Nights"), "rlrrlr", rows)
    return text, table, tuple(_details(duel) for duel in duels)


def _row(duel: Mapping[str, Any]) -> tuple[str, ...]:
    judgement = duel["judgement"]
    needed = str(duel["nights_needed"]) if judgement["verdict"] == "INCONCLUSIVE" else "-"
    return (
        str(duel["lane"]),
        f"{duel['id']} ({_KINDS.get(duel['kind'], duel['kind'])})",
        _effect(judgement),
        str(judgement["windows_usable"]),
        str(judgement["verdict"]),
        needed,
    )


def _effect(judgement: Mapping[str, Any]) -> str:
    effect = judgement["effect"]
    if effect is None:
        return NO_DATA
    return f"{number(effect['mean_bps'], 2, sign=True)} {interval(effect['low_bps'], effect['high_bps'], 2)}"


def _details(duel: Mapping[str, Any]) -> DuelView:
    judgement = duel["judgement"]
    lines = [
        f"{judgement['verdict']}: {judgement['reason']}.",
        f"{duel['counted']} of this run's {duel['windows']} windows and {duel['earlier_windows']} of earlier runs are "
        "evidence"
        + ("." if duel["counted"] == duel["windows"] else "; a window that was seen before, or is short, is not."),
    ]
    if judgement["verdict"] == "INCONCLUSIVE":
        lines.append(
            f"{judgement['to_next_look']} windows to the next look, at most {judgement['at_most_needed']} to a "
            f"decision: about {count(duel['nights_needed'], 'night')} like this one."
        )
    lines += [f"{warning}." for warning in judgement["warnings"]]
    rows = tuple(
        (
            str(row["window"]) if row["counted"] else f"({row['window']})",
            number(row["difference_bps"], 2, sign=True),
            number(row["mean_bps"], 2, sign=True),
            interval(row["low_bps"], row["high_bps"], 2) or NO_DATA,
            str(row["to_next_look"]),
        )
        for row in duel["by_window"]
    )
    headers = ("Window", "d_w, bps", "Mean so far", "95 %, for one look", "To next look")
    return DuelView(f"Lane {duel['lane']}: {duel['id']}", tuple(lines), Table(headers, "rrrrr", rows))
