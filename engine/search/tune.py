"""The recipe of a tune: plan -> batches -> walk-forward -> screen -> confirm -> verdict -> artefacts.

Nothing is promoted here. `finish` takes the function that does it, where the caller has one: the evidence ledger and
the champion's state have rules of their own (docs/champion.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.locks import FileLock
from engine.params import Params
from engine.paths import Paths
from engine.search.confirm_fresh import Decided, decide
from engine.search.record import tune_document
from engine.search.rounds import Listener, Searched, Stopwatch, search
from engine.search.select import Selection, select
from engine.search.settings import TuneSettings
from engine.search.state import TuneState
from engine.search.trial_windows import Evaluate, evaluate
from engine.search.tune_plan import Again, TunePlan, make_plan
from engine.tuning.judge import Verdict


@dataclass(frozen=True)
class TuneResult:
    """`document` is TUNE.json, `evidence` what a promotion rests on. `challenger` is None where there is none."""

    tune_id: str
    symbol: str
    verdict: Verdict
    reason: str
    champion: Params
    challenger: Params | None
    evidence: Mapping[str, Any]
    document: Mapping[str, Any]
    trials: tuple[Mapping[str, Any], ...]
    wall_clock: Mapping[str, Any]

    @property
    def p_value(self) -> float | None:
        """Of the look that decided, adjusted for those before; None without a look."""
        value: float | None = self.evidence["p_value"]
        return value


Promote = Callable[[TuneResult], str]
"""Makes the challenger the champion, or does not; the sentence it returns stands in the report."""


def run_tune(
    settings: TuneSettings,
    paths: Paths,
    *,
    tell: Listener = lambda _: None,
    again: Again | None = None,
    seconds_left: float | None = None,
    evaluate: Evaluate = evaluate,
) -> TuneResult:
    """A tune up to its verdict; taken up where a killed one of the same inputs stopped.

    Args:
        again: of a tune that is done again, what its record says (engine.search.verify_tune).
        seconds_left: of settings.max_runtime_sec, where other tunes used some of it.
        evaluate: replays lanes over tapes; by default in this process.

    Raises:
        InputError: see `make_plan`.
        LockHeldError: the same tune is running.
        StorageError: the state cannot be written.
    """
    watch = Stopwatch({})
    began = datetime.now(UTC)

    def generating(share: float) -> None:
        tell({"event": "generating", "share": share})

    plan: TunePlan = watch.run("plan_s", lambda: make_plan(settings, paths, progress=generating, again=again))
    plan = replace(plan, evaluate=evaluate)
    with _state(plan, paths) as state:
        stored, damaged = state.load_plan()
        resumed = stored is not None
        if stored is None:
            stored = {"tune_id": plan.new_id(), "key": plan.key}
            state.save_plan(stored)
        tune_id = str(stored["tune_id"])
        notes = [*plan.notes, *([_goes_on(state)] if resumed else [])]
        tell({"event": "planned", "run_id": tune_id, "notes": notes, "windows": plan.windows(plan.selection)})
        searched, more = search(plan, state, watch, tell, seconds_left)
        notes = [*damaged, *more]
        for note in notes:
            tell({"event": "note", "text": note})
        selection, decided = watch.run("select_s", lambda: _select_and_decide(plan, searched))
    document, evidence = tune_document(tune_id, plan, searched, selection, decided)
    finished = datetime.now(UTC)
    times = {
        "started_utc": began.isoformat(timespec="seconds"),
        "finished_utc": finished.isoformat(timespec="seconds"),
        "seconds": {name: round(value, 3) for name, value in sorted(watch.seconds.items())},
        "notes": notes,
    }
    candidate = selection.candidate if selection else None
    return TuneResult(
        tune_id=tune_id,
        symbol=plan.symbol,
        verdict=decided.verdict,
        reason=decided.reason,
        champion=plan.champion,
        challenger=candidate.params if candidate else None,
        evidence=evidence,
        document=document,
        trials=tuple(selection.trials if selection else searched.trials),
        wall_clock=times,
    )


def finish(result: TuneResult, promote: Promote | None = None) -> TuneResult:
    """The result with what became of it: promoted by `promote`, or what is left to do."""
    if result.verdict == "PROMOTE" and promote is not None:
        sentence = promote(result)
    elif result.verdict == "PROMOTE":
        sentence = "Shown to be better; tune itself changes nothing."
    else:
        sentence = f"The champion stays: {result.verdict} never promotes."
    return replace(result, document={**result.document, "promotion": sentence})


def publish(result: TuneResult, paths: Paths) -> Path:
    """Write the report's folder, then remove the tune's state; the folder.

    Raises:
        StorageError: nothing is half-written, and the state stays for another attempt.
    """
    from engine.report.tune_artefacts import publish_tune

    folder = publish_tune(result.document, result.trials, paths.reports, wall_clock=result.wall_clock)
    tune_state(paths, result).clear()
    return folder


def tune_state(paths: Paths, result: TuneResult) -> TuneState:
    """The state that the tune left on disk."""
    return TuneState(_folder(paths, result.document["key"]))


def _select_and_decide(plan: TunePlan, searched: Searched) -> tuple[Selection | None, Decided]:
    scored = [trial for trial in searched.trials if trial["objective"]["value_bps"] is not None]
    if not scored:
        return None, decide(plan, None, None, searched.cut_short)
    selection = select(plan, searched)
    return selection, decide(plan, selection, searched.batches[0]["champion"], "")


def _goes_on(state: TuneState) -> str:
    return f"Goes on with an unfinished tune: {state.batches_on_disk} batches of trials are there already."


def _folder(paths: Paths, key: str) -> Path:
    return paths.datasets / "tunes" / key


@contextmanager
def _state(plan: TunePlan, paths: Paths) -> Iterator[TuneState]:
    with FileLock(paths.locks / f"tune-{plan.key}.lock", what="this tune"):
        yield TuneState(_folder(paths, plan.key))
