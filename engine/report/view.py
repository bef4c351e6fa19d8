"""The view-model of SOAK_RESULTS.md, summary.txt and the verdict table: every word and every rounded number.

`build_view` turns a completed RunRecord into text and tables; the template lays them out and decides nothing.
Sections with more to them than a few lines are built in their own module (checks, sections, tuning_view).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from engine.report import commands, sections
from engine.report.chart_data import prepare
from engine.report.checks import Checks, build_checks, observed_text
from engine.report.duels import DuelView, build_duels
from engine.report.format import (
    NO_DATA,
    and_list,
    count,
    minutes,
    money,
    plain,
    span,
)
from engine.report.interventions import build_interventions
from engine.report.origin import Origin, origin_of
from engine.report.quality import build_expectations
from engine.report.record import RECOMMENDED, RunRecord
from engine.report.table import Markdown, Table
from engine.report.tuning_view import Tuning, build_tuning, changes_in_words

_NS_PER_S = 10**9
_CALMER = (
    " That package is fallback in config/packages.json; nightly-soak starts from it by itself while the champion's "
    "watch says fallback."
)
_OF_OURS = "Packages are sets of the parameters of Nightsoak's own bot; this one's are for you to set."
_MODES = {"replay": "replay", "shadow": "shadow (paper)", "live": "live"}


@dataclass(frozen=True)
class View:
    """What the templates use; `charts` holds the names of the charts that exist."""

    date: str
    symbol: str
    verdict: str
    partial: str
    origin: Origin | None
    headline: str
    why: str
    changed: str
    decision: str
    next: Markdown
    checks: Checks
    components: Table
    components_notes: tuple[str, ...]
    markouts: Table | None
    interventions: Table | None
    interventions_text: str
    windows_text: str
    windows: Table
    tuning: Tuning
    duels_text: str
    duels: Table | None
    duel_details: tuple[DuelView, ...]
    blocks: Table | None
    blocks_text: str
    quality: Table
    quality_notes: tuple[str, ...]
    parity_text: str
    expectations_text: str
    expectations: Table | None
    flagged: Table | None
    gaps: Table | None
    provenance: Table
    inputs: Table | None
    provenance_note: str
    again: tuple[Markdown, ...]
    charts: tuple[str, ...]
    summary: tuple[str, ...]


def build_view(record: RunRecord, folder: str = "") -> View:
    """The view of a run's record; `folder`: where the report is, by default in reports/ of the working folder."""
    checks = build_checks(record)
    tuning = build_tuning(record)
    blocks, blocks_text = sections.blocks(record)
    duels_text, duels, duel_details = build_duels(record)
    quality, quality_notes, gaps = sections.quality(record)
    expectations_text, expectations, flagged = build_expectations(record)
    interventions, interventions_text = build_interventions(record)
    partial = _partial(record)
    return View(
        date=record.utc_date,
        symbol=record.symbol,
        verdict=record.gate["verdict"],
        partial=partial,
        origin=origin_of(record),
        headline=_headline(record),
        why=checks.why,
        changed=changes_in_words(record),
        decision=_decision(record, checks),
        next=commands.next_step(record, folder or f"reports/{record.utc_date}/{record.run_id}"),
        checks=checks,
        components=sections.components(record),
        components_notes=sections.components_notes(record),
        markouts=sections.markouts(record),
        interventions=interventions,
        interventions_text=interventions_text,
        windows_text=sections.windows_text(record),
        windows=sections.windows(record),
        tuning=tuning,
        duels_text=duels_text,
        duels=duels,
        duel_details=duel_details,
        blocks=blocks,
        blocks_text=blocks_text,
        quality=quality,
        quality_notes=quality_notes,
        parity_text=sections.parity_text(record),
        expectations_text=expectations_text,
        expectations=expectations,
        flagged=flagged,
        gaps=gaps,
        provenance=sections.provenance(record),
        inputs=sections.inputs(record),
        provenance_note=(
            "truth_manifest.json beside this file has the sha256 of every input and artefact, the hash of the code "
            "and of the lock, and each parameter set with its time of effect. Only wall_clock.json holds real times."
        ),
        again=commands.again(record),
        charts=prepare(record).names(),
        summary=_summary(record, checks, partial),
    )


def _bounds_ns(record: RunRecord) -> tuple[int, int] | None:
    """Start of the first window and end of the last one that was completed."""
    windows = record.edge.get("windows", [])
    return (windows[0]["start_ns"], windows[-1]["end_ns"]) if windows else None


def _headline(record: RunRecord) -> str:
    plan, bounds = record.plan, _bounds_ns(record)
    parts = [f"bot {record.foreign['bot']}"] if record.foreign and record.foreign["bot"] else []
    parts += [_MODES.get(plan[name], str(plan[name])) for name in ("mode", "venue") if plan[name]]
    parts += [f"profile {plan['profile']}"] if plan["profile"] else []
    if bounds is None:
        return " · ".join([*parts, "no window completed"])
    length_s = (bounds[1] - bounds[0]) / _NS_PER_S
    coverage_pct = record.edge["totals"]["coverage_pct"]
    observed = NO_DATA if coverage_pct is None else minutes(length_s * coverage_pct / 100)
    parts += [span(*bounds), f"{observed} of {minutes(length_s)} min observed"]
    return " · ".join(parts)


def _partial(record: RunRecord) -> str:
    if not record.interrupted:
        return ""
    done = len(record.edge.get("windows", []))
    return (
        f"The run was interrupted after {count(done, 'window')} in {_iterations(record)} of "
        f"{record.plan['iterations']} iterations. What follows covers that part only and is no verdict on the night."
    )


def _iterations(record: RunRecord) -> int:
    return len(record.edge.get("iterations", []))


def _decision(record: RunRecord, checks: Checks) -> str:
    """The decision matrix's sentence, and the package it proposes with the values it would lead to."""
    text, package = str(record.gate["action"]), record.gate.get("action_package")
    if record.foreign:
        return f"{text} {_OF_OURS}" if record.gate["verdict"] in ("WARN", "FAIL") else text
    if not package and record.gate["verdict"] == "WARN":
        behind = and_list([*checks.breached_rules, *checks.without_data])
        return f"{text} No package is proposed here: there is none for {behind}."
    if not package:
        return text + _CALMER if record.gate["verdict"] == "FAIL" else text
    if record.recommended is None:
        why = "this is a part of the run" if record.interrupted else "its parameters are at their limits already"
        return f"{text} The package for {package['driver']} ({package['package']}) is not proposed: {why}."
    return (
        f"{text} Proposed for {package['driver']}, not applied: {_moves(package)} ({package['effect']}). The whole set "
        f"is in {RECOMMENDED} beside this report."
    )


def _moves(package: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{change['parameter']} {plain(change['before'])} -> {plain(change['after'])}"
        for change in package["changes"]
        if change["after"] != change["before"]
    )


def _summary(record: RunRecord, checks: Checks, partial: str) -> tuple[str, ...]:
    """The notice: verdict word first, at most 8 lines."""
    totals = record.edge["totals"]
    currency = record.pnl_currency
    on = date.fromisoformat(record.utc_date)
    day = f"{on.day} {on:%b}"
    lines = [
        " · ".join(
            [
                record.gate["verdict"] + (" (partial)" if partial else ""),
                record.symbol,
                day,
                f"checks {checks.passed}/{len(checks.rows)}",
                *([origin.tag] if (origin := origin_of(record)) else []),
            ]
        ),
        ("No fills" if totals["fills"] == 0 else f"Net {money(totals['net_pnl_quote'], currency)}")
        + f", net_bps {observed_text(record, 'net_bps')}"
        + (", unresolved" if "net_bps" in checks.unresolved else ""),
    ]
    if checks.breached:
        lines.append(f"Breached: {'; '.join(checks.breached)}")
    if checks.without_data:
        lines.append(f"Without data: {', '.join(checks.without_data)}")
    lines += [f"Changed: {changes_in_words(record)}", f"Decide: {record.gate['action']}"]
    if record.recommended is not None:
        lines.append(f"Proposed: {_moves(record.gate['action_package'])} ({RECOMMENDED})")
    lines += [
        f"Report: {commands.shell_line(['report', record.run_id])}",
    ]
    return tuple(lines)
