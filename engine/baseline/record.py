"""The record of a ladder, BASELINE.json: what was tried, on what, and what came of it; all that is shown follows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.baseline.ladder import Ladder
from engine.baseline.presets import Preset
from engine.baseline.verdict import GO, NO_GO, SymbolResult, Verdict, judge_attempt, symbol_result, together
from engine.report.record import EDGE, GATE, json_value
from engine.soak import RunPlan

FORMAT = 1


@dataclass(frozen=True)
class AttemptRun:
    """One symbol's run of an attempt: its parameters, where its report is, and its KPIs."""

    result: SymbolResult
    folder: Path
    verdict: str
    params: dict[str, float]
    overrides: str
    windows_s: int
    latency_modelled: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Attempt:
    """A preset that was tried on every symbol."""

    preset: Preset
    runs: tuple[AttemptRun, ...]
    verdict: Verdict

    @property
    def go(self) -> bool:
        return self.verdict.decision == GO


def read_run(plan: RunPlan, folder: Path, notes: Sequence[str]) -> AttemptRun:
    """The run whose report is in `folder`, from its own JSON files."""
    edge = json.loads((folder / EDGE).read_bytes())
    gate = json.loads((folder / GATE).read_bytes())
    return AttemptRun(
        result=symbol_result(edge),
        folder=folder,
        verdict=gate["verdict"],
        params=dict(plan.params),
        overrides=plan.settings.overrides,
        windows_s=plan.schedule.window_seconds,
        latency_modelled=plan.latency_modelled,
        notes=(*notes, *(f"{plan.symbol}: {note}" for note in plan.notes)),
    )


def make_attempt(ladder: Ladder, preset: Preset, runs: Sequence[AttemptRun]) -> Attempt:
    return Attempt(preset, tuple(runs), judge_attempt([run.result for run in runs], ladder.presets))


def document(ladder: Ladder, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """BASELINE.json: JSON values only, no path of this machine, no wall clock but the id's stamp."""
    judged = attempts[-1]
    decision = GO if judged.go else NO_GO
    value = {
        "format": FORMAT,
        "id": ladder.id,
        "decision": decision,
        "action": ladder.presets.next.go if judged.go else ladder.presets.next.no_go,
        "judged": judged.preset.name,
        "settings": ladder.settings.model_dump(mode="json", exclude={"comment"}),
        "command": ladder.settings.command(ladder.profile),
        "profile": ladder.profile,
        "markets": [
            {"symbol": m.symbol, "tape": m.shown, "venue": m.instrument.venue, "generated": m.generated}
            for m in ladder.markets
        ],
        "presets": [
            {**preset.model_dump(mode="json", exclude={"comment"}), "title": preset.title}
            for preset in ladder.presets.presets
        ],
        "notes": list(ladder.notes),
        "attempts": [_attempt(attempt) for attempt in attempts],
    }
    return dict(json_value(value, "BASELINE.json"))


def _attempt(attempt: Attempt) -> dict[str, Any]:
    values, reasons = together([run.result for run in attempt.runs])
    return {
        "preset": attempt.preset.name,
        "title": attempt.preset.title,
        "kpis": values,
        "null_reasons": reasons,
        **attempt.verdict.to_json(),
        "notes": list(dict.fromkeys(note for run in attempt.runs for note in run.notes)),
        "symbols": [
            {
                **asdict(run.result),
                "report": f"../../{run.folder.parent.name}/{run.folder.name}/SOAK_RESULTS.md",
                "verdict": run.verdict,
                "params": run.params,
                "overrides": run.overrides,
                "window_seconds": run.windows_s,
                "latency_modelled": run.latency_modelled,
            }
            for run in attempt.runs
        ],
    }
