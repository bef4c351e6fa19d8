"""TUNE.json: what a tune tried, on what, and what came of it. All that the report shows follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from engine.report.record import json_value
from engine.search.confirm_fresh import Decided
from engine.search.rounds import Searched
from engine.search.select import Selection
from engine.search.space import trust_region
from engine.search.tune_plan import TunePlan

FORMAT = 1
_SHOWN = 10


def tune_document(
    tune_id: str, plan: TunePlan, searched: Searched, selection: Selection | None, decided: Decided
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(TUNE.json, the evidence of a promotion): JSON values only, no path of this machine, no wall clock."""
    candidate = selection.candidate if selection else None
    made = len(selection.trials) if selection else len(searched.trials)
    evidence = _evidence(plan, selection, decided, made)
    value: dict[str, Any] = {
        "format": FORMAT,
        "id": tune_id,
        "key": plan.key,
        "symbol": plan.symbol,
        "verdict": decided.verdict,
        "reason": decided.reason,
        "promotion": "",
        "settings": plan.settings.model_dump(mode="json", exclude={"comment"}),
        "command": _command(plan),
        "maker_profile": plan.profile.name,
        "effort": plan.effort.model_dump(mode="json", exclude={"comment"}),
        "champion": {"params": dict(plan.champion), "source": plan.champion_source},
        "challenger": dict(candidate.params) if candidate else None,
        "candidate": asdict(candidate) | {"params": dict(candidate.params)} if candidate else None,
        "objective": _objective(selection),
        "penalties": plan.search.penalties.model_dump(mode="json", exclude={"comment"}),
        "space": [asdict(axis) for axis in trust_region(plan.champion, plan.search.trust_radius).axes],
        "trials": {
            "asked": plan.effort.trials,
            "searched": len(searched.trials),
            "made": made,
            "failed": sum(trial["objective"]["value_bps"] is None for trial in searched.trials),
            "stopped": sum(trial["stopped"] for trial in searched.trials),
            "cut_short": searched.cut_short,
        },
        "best": _best(selection),
        "walk_forward": _walk_forward(selection),
        "overfitting": selection.luck.to_json() if selection else None,
        "screen": asdict(decided.screen) if decided.screen else None,
        "judgement": decided.fresh.judgement.to_json() if decided.fresh else None,
        "windows_missing": decided.windows_missing,
        "error_rates": plan.error_rates,
        "kpis": {"champion": decided.fresh.kpis[0], "challenger": decided.fresh.kpis[1]} if decided.fresh else None,
        "tapes": _tapes(plan),
        "windows": {"selection": plan.windows(plan.selection), "fresh": plan.windows(plan.fresh)},
        "evidence": evidence,
        "inputs": plan.inputs,
        "notes": list(plan.notes),
    }
    return json_value(value, "TUNE.json"), json_value(evidence, "evidence")


def _evidence(plan: TunePlan, selection: Selection | None, decided: Decided, made: int) -> dict[str, Any]:
    """What a promotion rests on, and what further nights can be added to."""
    fresh = decided.fresh
    looks = fresh.judgement.looks if fresh else ()
    effect = fresh.judgement.effect if fresh else None
    windows = []
    if fresh:
        a, b = fresh.windows
        for i, start_ns in enumerate(fresh.starts_ns):
            windows.append(
                {
                    "start_ns": start_ns,
                    "champion_pnl_quote": a["pnl_quote"][i],
                    "champion_notional_quote": a["notional_quote"][i],
                    "challenger_pnl_quote": b["pnl_quote"][i],
                    "challenger_notional_quote": b["notional_quote"][i],
                }
            )
    return {
        "p_value": looks[-1].p_value if looks else None,
        "effect": asdict(effect) if effect else None,
        "windows_used": fresh.judgement.windows_used if fresh else 0,
        "windows_to_next_look": fresh.judgement.to_next_look if fresh else None,
        "windows_at_most_needed": fresh.judgement.at_most_needed if fresh else None,
        "window_seconds": plan.settings.window_seconds,
        "trials": made,
        "seed": plan.settings.seed,
        "champion": dict(plan.champion),
        "challenger": dict(selection.candidate.params) if selection and selection.candidate else None,
        "selection_tapes": [tape.meta.digest for tape in plan.selection],
        "fresh_tapes": [tape.meta.digest for tape in plan.fresh],
        "fresh_after_ns": max(tape.meta.last_exch_ts_ns for tape in plan.selection),
        "fresh_windows": windows,
    }


def _objective(selection: Selection | None) -> Mapping[str, Any] | None:
    if selection is None or selection.candidate is None:
        return None
    objective: Mapping[str, Any] = selection.trials[selection.candidate.trial - 1]["objective"]
    return objective


def _best(selection: Selection | None) -> list[dict[str, Any]]:
    """The trials with the highest posterior mean."""
    if selection is None:
        return []
    order = sorted(selection.posterior, key=lambda number: (-selection.posterior[number][0], number))[:_SHOWN]
    return [
        {
            "trial": number,
            "ev_net_bps": selection.trials[number - 1]["objective"]["ev_net_bps"],
            "objective_bps": selection.trials[number - 1]["objective"]["value_bps"],
            "posterior_bps": selection.posterior[number][0],
            "posterior_sd_bps": selection.posterior[number][1],
            "walk_forward_bps": selection.scores.get(number),
            "stopped": selection.trials[number - 1]["stopped"],
        }
        for number in order
    ]


def _walk_forward(selection: Selection | None) -> dict[str, Any] | None:
    if selection is None:
        return None
    folds = [asdict(fold) | {"best": fold.best + 1} for fold in selection.forward.folds]
    return {
        "folds": folds,
        "optimism_bps": selection.forward.optimism_bps,
        "note": selection.forward.note,
        "top": list(selection.top),
    }


def _tapes(plan: TunePlan) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "part": "selection" if number < len(plan.selection) else "fresh",
            "digest": tape.meta.digest,
            "events": tape.meta.count,
            "windows": plan.windows([tape]),
            "generated": tape.meta.generated,
            "coverage_pct": tape.meta.coverage_pct,
            "first_exch_ts_ns": tape.meta.first_exch_ts_ns,
            "last_exch_ts_ns": tape.meta.last_exch_ts_ns,
        }
        for number, (tape, name) in enumerate(zip((*plan.selection, *plan.fresh), plan.names, strict=True))
    ]


def _command(plan: TunePlan) -> list[str]:
    """The words after `nightsoak` that ask for the same tune."""
    s, effort = plan.settings, plan.effort
    words = ["tune", *(["--tape", *s.tapes] if s.tapes else [])]
    for option, value in (("--symbol", s.symbol), ("--venue", s.venue)):
        words += [option, value] if value else []
    words += ["--trials", str(effort.trials), "--lanes", str(effort.lanes), "--seed", str(s.seed)]
    words += ["--profile", s.profile, "--selection-mode", s.selection_mode]
    words += ["--walkforward-windows", str(effort.walkforward_windows)]
    words += ["--top-k-consensus", str(effort.top_k_consensus), "--window-seconds", str(s.window_seconds)]
    words += ["--maker-profile", plan.profile.name]
    return words + (["--overrides", s.overrides] if s.overrides else [])
