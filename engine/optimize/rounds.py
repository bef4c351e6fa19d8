"""One round: begin -> tune -> verdict -> ledger and champion -> the champion's own level. Each step may be done again.

What was done stands in the audit file, and a step whose line is there is passed over. What lies behind a line cannot be
lost with it: the tune's report is on disk before its verdict's line, the promotion in the champion's history before
the champion's line, the rollback before the drift's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from engine.champion.store import ChampionStore
from engine.errors import InputError
from engine.optimize.drift import fresh_windows, judge_drift, take_back
from engine.optimize.promote import settle
from engine.optimize.record import STEPS, Record, Step
from engine.optimize.settings import OptimizeSettings
from engine.optimize.tapes import NEEDED, new_tapes
from engine.params import Params
from engine.paths import Paths
from engine.report.manifest import WALL_CLOCK
from engine.report.tune_artefacts import DOCUMENT, TRIALS, publish_tune, read_tune
from engine.search.rounds import Listener
from engine.search.tune import TuneResult, publish, run_tune
from engine.search.tune_plan import check_configuration, check_inputs


def play_round(
    record: Record, settings: OptimizeSettings, paths: Paths, tell: Listener, seconds_left: Callable[[], float | None]
) -> str | None:
    """Begin a round, or go on with the one that was left, up to its end.

    Returns:
        None when the round is over; what it waits for where there were too few new tapes, and nothing was done.

    Raises:
        InputError: tapes, champion or configuration.
        StorageError, LockHeldError: done again it goes on where it stopped.
    """
    if record.state.open is None:
        waits = _begin(record, settings, paths, tell)
        if waits:
            return waits
    opened: dict[str, Any] = record.state.open or {}
    number, symbol = record.state.round, record.state.symbol
    before = opened["champion"]["id"]

    if not _written(record, "verdict"):
        folders = tuple(opened["folders"])
        result = run_tune(settings.tuning(folders, number), paths, tell=tell, seconds_left=seconds_left())
        publish_tune(result.document, result.trials, paths.reports, wall_clock=result.wall_clock)
        record.write("verdict", symbol=symbol, champion_before=before, champion_after=before, **_verdict(result))
    if not _written(record, "champion"):
        result = _result(record, settings, paths, tell)
        became = settle(result, paths, number=number, min_delta_bps=settings.min_objective_delta_bps)
        publish(replace(result, document={**result.document, "promotion": became.done}), paths)
        healthy = [
            [row[f"{role}_{what}_quote"] for role in ("challenger", "champion") for what in ("pnl", "notional")]
            for row in result.evidence["fresh_windows"]
        ]
        made = became.promoted
        record.write(
            "champion",
            symbol=symbol,
            tune_id=result.tune_id,
            grant=asdict(became.grant) if became.grant else None,
            champion_before=before,
            champion_after=ChampionStore(paths, symbol).current().id,
            done=became.done,
            data={"champion": made.id, "since_utc": made.since_utc, "healthy": healthy} if made else {},
        )
    if not _written(record, "drift"):
        _drift(record, settings, paths)
    return None


def report_of(tune_id: str, paths: Paths) -> Path:
    """TUNE_RESULTS.md of a round's tune."""
    return paths.reports / f"{tune_id[:4]}-{tune_id[4:6]}-{tune_id[6:8]}" / tune_id / DOCUMENT


def _begin(record: Record, settings: OptimizeSettings, paths: Paths, tell: Listener) -> str:
    """Write the round's first line; "", or what is missing for it, and nothing is written."""
    check_configuration(settings.tuning((), record.state.round + 1), paths)  # before any tape is generated
    new = new_tapes(settings, paths, record.state, lambda share: tell({"event": "generating", "share": share}))
    found = new.tapes
    if len(found) < NEEDED:
        return f"{len(found)} of the {NEEDED} new tapes that a round needs{new.left_out}"
    folders = tuple(str(folder) for _, folder in found)
    number = record.state.round + 1
    check_inputs(settings.tuning(folders, number), paths)
    symbol = found[0][0].symbol
    champion = ChampionStore(paths, symbol).current()
    former = champion.former
    record.write(
        "begin",
        symbol=symbol,
        champion_before=champion.id,
        champion_after=champion.id,
        done=f"{len(found)} new tapes{new.left_out}",
        data={
            "folders": list(folders),
            "digests": [meta.digest for meta, _ in found],
            "champion": {
                "id": champion.id,
                "params": dict(champion.params),
                "since_utc": champion.since_utc,
                "former": {"id": former.id, "params": dict(former.params)} if former else None,
            },
        },
    )
    return ""


def _drift(record: Record, settings: OptimizeSettings, paths: Paths) -> None:
    opened: dict[str, Any] = record.state.open or {}
    symbol, champion = record.state.symbol, opened["champion"]
    shown = record.state.rounds[-1]
    now = shown["champion_after"]
    fields: dict[str, Any] = {"symbol": symbol, "champion_before": champion["id"], "champion_after": now, "data": {}}
    if now != champion["id"]:
        record.write("drift", **fields, done=f"{now} is watched from the next round on.")
        return
    tapes = {digest: Path(folder) for digest, folder in zip(opened["digests"], opened["folders"], strict=True)}
    document = read_tune(report_of(shown["tune_id"], paths).parent)
    fresh = [tapes[tape["digest"]] for tape in document["tapes"] if tape["part"] == "fresh"]
    new = fresh_windows(paths, fresh, champion, document["settings"]["window_seconds"], document["maker_profile"])
    drift = judge_drift(paths, champion, record.state.watch, new)
    fields |= {"drift": drift.to_json(), "data": drift.watched.model_dump(mode="json")}
    done = drift.done
    if drift.rollback:
        taken = take_back(paths, symbol, champion["id"], drift)
        now = ChampionStore(paths, symbol).current()
        fields["champion_after"] = now.id
        if taken:
            report = taken.report.relative_to(paths.reports).as_posix()
            done = f"{champion['id']} was taken back, {now.id} is in force: {drift.rollback}. Report: {report}"
        else:
            done = (
                f"{now.who} made {now.id} the champion meanwhile; {champion['id']} would have gone: {drift.rollback}."
            )
    record.write("drift", **fields, done=done)


def _written(record: Record, step: Step) -> bool:
    return record.state.place >= (record.state.round, STEPS.index(step))


def _verdict(result: TuneResult) -> dict[str, Any]:
    effect = result.evidence["effect"]
    return {
        "tune_id": result.tune_id,
        "verdict": result.verdict,
        "reason": result.reason,
        "effect_bps": effect["mean_bps"] if effect else None,
        "p_value": result.p_value,
        "done": f"{result.verdict}: {result.reason}",
        "data": {},
    }


def _result(record: Record, settings: OptimizeSettings, paths: Paths, tell: Listener) -> TuneResult:
    """The round's tune, from its report; made again where the report is gone."""
    folder = report_of(record.state.rounds[-1]["tune_id"], paths).parent
    try:
        document = read_tune(folder)
        trials = json.loads((folder / TRIALS).read_bytes())["trials"]
        times = json.loads((folder / WALL_CLOCK).read_bytes())
    except (InputError, OSError, ValueError, KeyError):
        folders = tuple((record.state.open or {})["folders"])
        return run_tune(settings.tuning(folders, record.state.round), paths, tell=tell)
    found = document["challenger"]
    return TuneResult(
        tune_id=document["id"],
        symbol=document["symbol"],
        verdict=document["verdict"],
        reason=document["reason"],
        champion=Params().with_changes(document["champion"]["params"]),
        challenger=Params().with_changes(found) if found else None,
        evidence=document["evidence"],
        document=document,
        trials=tuple(trials),
        wall_clock=times,
    )
