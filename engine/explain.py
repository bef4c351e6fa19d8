"""Why two verdicts differ: which gate, which component, and what was different to begin with.

Everything is read from the two runs' folders; nothing is made again. Differences are RUN - OTHER, so OTHER is what
RUN is held against. Notation: c the components of net_bps (engine.metrics.COMPONENTS),

    difference of net_bps = sum over c of (c_run - c_other)        exact: rational sums of the values in the JSON
    d_w = 1e4 (P_w - O_w) / N     where both runs have the same windows of the same tape: net PnL of RUN and OTHER in
                                  window w, N OTHER's mean notional per window (engine.report.control's measure)

Two questions are kept apart. Where the difference of these two runs comes from: from what they were given (data, code,
configuration, settings, starting parameters, what somebody wrote into the overrides; what the decision rules changed is
a result). A replay can be done again to the byte, so on one market the difference follows from whatever alone differs;
of several things no arithmetic over two runs can tell which, and a third run is named that would. Whether it would come
again on another market: the interval says that, from the scatter of the windows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.differences import ABSENT, differences
from engine.errors import InputError
from engine.metrics import COMPONENTS
from engine.params import NAMES
from engine.report.manifest import MANIFEST
from engine.report.record import EDGE, GATE, METRICS_FILE, OPERATOR, RunRecord
from engine.soak import SoakSettings
from engine.tuning.bands import SEVERITY

_DATA = ("tape", "digest", "start_ns", "end_ns", "events", "coverage_pct", "gaps", "quarantined", "flagged")
_RESULTS = ("fills", "notional_quote", "net_pnl_quote", "max_drawdown_quote")
_CODE = ("code_sha256", "lock_sha256")
_NOT_ASKED = ("tape", "seed", "hours", "symbols", "overrides")
"""Settings that choose data and starting parameters: those are compared themselves."""


@dataclass(frozen=True)
class Side:
    """One of the two runs, as its folder has it."""

    record: RunRecord
    manifest: Mapping[str, Any]

    @property
    def totals(self) -> Mapping[str, Any]:
        totals: Mapping[str, Any] = self.record.edge["totals"]
        return totals

    @property
    def start_ns(self) -> int:
        return int(self.record.plan["start_ns"])

    @property
    def end_ns(self) -> int:
        return int(self.record.plan["end_ns"])


def read_side(folder: Path) -> Side:
    """The run in `folder`.

    Raises:
        InputError: the folder holds no report of this version.
    """
    documents = {}
    for name in (EDGE, GATE, METRICS_FILE, MANIFEST):
        try:
            documents[name] = json.loads((folder / name).read_bytes())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(
                f"cannot be read: {reason}",
                where=str(folder / name),
                remedy="name a soak: its folder, its id, or latest",
            ) from error
    side = Side(RunRecord.from_documents(documents), documents[MANIFEST])
    if side.record.foreign:
        raise InputError(
            "is another bot's run: what it was given is not known",
            where=side.record.run_id,
            remedy="see nightsoak kpis of both",
        )
    return side


def explain(run: Side, other: Side) -> dict[str, Any]:
    """The explanation as JSON data.

    Returns:
        {run, other: {run_id, verdict, reason, net_bps, interrupted}, gates, net_bps, chance, windows, parameters,
        data, results, settings, inputs, causes, next}: each list of rows has `run`, `other` and, for numbers,
        `difference`; see the functions below. `next` is the command that tells more, as words after `nightsoak`.
    """
    chance, windows = _chance(run, other)
    found = {
        "run": _head(run),
        "other": _head(other),
        "gates": _gates(run, other),
        "net_bps": _components(run, other),
        "chance": chance,
        "windows": windows,
        "parameters": _parameters(run, other),
        "data": _rows({name: (_data(run)[name], _data(other)[name]) for name in _DATA}),
        "results": _rows({name: (run.totals[name], other.totals[name]) for name in _RESULTS}),
        "settings": _settings(run, other),
        "inputs": _inputs(run, other),
    }
    causes = _causes(found)
    return {**found, "causes": causes, "next": _next(causes, run, other)}


def _head(side: Side) -> dict[str, Any]:
    gate = side.record.gate
    return {
        "run_id": side.record.run_id,
        "symbol": side.record.symbol,
        "pnl_currency": side.record.pnl_currency,
        "verdict": gate["verdict"],
        "reason": gate["reason"],
        "net_bps": side.totals["net_bps"],
        "interrupted": side.record.interrupted,
    }


def _gates(run: Side, other: Side) -> list[dict[str, Any]]:
    """Every check that either has: labels, values, limits; `flipped` where the labels differ, flipped ones first.

    `decides` where the check is what its side's verdict rests on, in either run.
    """
    sides = [{check["metric"]: check for check in side.record.gate["checks"]} for side in (run, other)]
    verdicts = [side.record.gate["verdict"] for side in (run, other)]
    rows = []
    for metric in dict.fromkeys([*sides[0], *sides[1]]):
        checks = [side.get(metric) for side in sides]
        labels = [check["label"] if check else None for check in checks]
        values = [check["observed"] if check else None for check in checks]
        rows.append(
            {
                "metric": metric,
                "run": values[0],
                "other": values[1],
                "difference": _minus(*values),
                "labels": labels,
                "limits": [check["limit"] if check else None for check in checks],
                "flipped": labels[0] != labels[1],
                "decides": any(
                    check is not None and _caps_at(check) == verdict != "SUCCESS"
                    for check, verdict in zip(checks, verdicts, strict=True)
                ),
            }
        )
    worst = {row["metric"]: max(SEVERITY.get(label, -1) for label in row["labels"]) for row in rows}
    return sorted(rows, key=lambda row: (not row["flipped"], not row["decides"], -worst[row["metric"]]))


def _caps_at(check: Mapping[str, Any]) -> str:
    """The best verdict that a check leaves possible (engine.tuning.gate.Check.caps_at)."""
    if check["criticality"] == "report-only":
        return "SUCCESS"
    if check["label"] == "NODATA" and check["criticality"] == "normal":
        return "WARN"
    return str(check["label"])


def _components(run: Side, other: Side) -> dict[str, Any]:
    """{run, other, difference, components: [{name, run, other, difference}] largest first, residual}.

    `difference` is the exact sum of the components' differences; `residual` is what the two values of net_bps leave
    beside it: the rounding of their last digit.
    """
    net = (run.totals["net_bps"], other.totals["net_bps"])
    rows = _rows({name: (run.totals[name], other.totals[name]) for name in COMPONENTS})
    if None in net or any(row["difference"] is None for row in rows):
        return {"run": net[0], "other": net[1], "difference": None, "components": rows, "residual": None}
    exact = sum((Fraction(row["run"]) - Fraction(row["other"]) for row in rows), Fraction(0))
    rows.sort(key=lambda row: -abs(row["difference"]))
    return {
        "run": net[0],
        "other": net[1],
        "difference": float(exact),
        "components": rows,
        "residual": float(Fraction(net[0]) - Fraction(net[1]) - exact),
    }


def _chance(run: Side, other: Side) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """(95 % interval of the difference in bps, or None; the windows by the size of d_w).

    Paired where both have the same windows of the same tape; else from the two intervals, taken as independent.
    """
    windows = [{(w["start_ns"], w["end_ns"]): w for w in side.record.edge["windows"]} for side in (run, other)]
    same_tape = _data(run)["digest"] == _data(other)["digest"] is not None
    if same_tape and windows[0].keys() == windows[1].keys() and windows[0]:
        return _paired([(windows[0][edges], windows[1][edges]) for edges in windows[0]])
    intervals = [side.record.net_interval for side in (run, other)]
    if intervals[0] is None or intervals[1] is None:
        return None, []
    middle = intervals[0]["mean"] - intervals[1]["mean"]
    half = math.hypot(*(0.5 * (interval["high"] - interval["low"]) for interval in intervals if interval))
    return {"paired": False, "difference_bps": middle, "low": middle - half, "high": middle + half}, []


def _paired(
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    from engine.tuning.interval import net_interval  # scipy

    known = [pair for pair in pairs if all(side["net_pnl_quote"] is not None for side in pair)]
    notional = math.fsum(side["notional_quote"] or 0.0 for _, side in known) / len(known) if known else 0.0
    if not notional:
        return None, []
    money = [one["net_pnl_quote"] - other["net_pnl_quote"] for one, other in known]
    rows = [
        {
            "window": one["window"],
            "start_ns": one["start_ns"],
            "run": one["net_pnl_quote"],
            "other": other["net_pnl_quote"],
            "difference_bps": 1e4 * difference / notional,
        }
        for (one, other), difference in zip(known, money, strict=True)
    ]
    rows.sort(key=lambda row: -abs(row["difference_bps"]))
    interval = net_interval(money, [notional] * len(money))
    if interval is None:
        return None, rows
    return {"paired": True, "difference_bps": interval.mean, "low": interval.low, "high": interval.high}, rows


def _parameters(run: Side, other: Side) -> list[dict[str, Any]]:
    """Parameters that differed while both ran: {parameter, since_ns, source, run, other, run_last, other_last, given}.

    Times count from each run's start; `run` and `other` are the values at `since_ns`; `source` is what brought them
    there, in RUN if it changed then, else in OTHER; `given` where that was the start or an operator.
    """
    lines = [_timeline(side) for side in (run, other)]
    both_ns = min(side.end_ns - side.start_ns for side in (run, other))
    times = sorted({at for line in lines for at, _, _ in line if at < both_ns})
    found: dict[str, dict[str, Any]] = {}
    for at in times:
        now = [next(row for row in reversed(line) if row[0] <= at) for line in lines]
        for name in NAMES:
            values = [row[2].get(name) for row in now]
            if values[0] != values[1] and name not in found:
                source = now[0][1] if now[0][0] == at else now[1][1]
                sources = {row[1] for row in now if row[0] == at}
                found[name] = {
                    "parameter": name,
                    "since_ns": at,
                    "source": source,
                    "run": values[0],
                    "other": values[1],
                    "run_last": lines[0][-1][2].get(name),
                    "other_last": lines[1][-1][2].get(name),
                    "given": bool(sources & {"start", OPERATOR}),
                }
    return sorted(found.values(), key=lambda row: (row["since_ns"], NAMES.index(row["parameter"])))


def _timeline(side: Side) -> list[tuple[int, str, Mapping[str, float]]]:
    """(ns since the run's start, source, set), the first at 0."""
    return [
        (max(0, row["effective_ts_ns"] - side.start_ns), row["source"], row["params"]) for row in side.record.parameters
    ]


def _data(side: Side) -> dict[str, Any]:
    tape, quality = side.record.plan.get("tape") or {}, side.record.data_quality
    return {
        "tape": tape.get("name"),
        "digest": tape.get("digest"),
        "start_ns": side.start_ns,
        "end_ns": side.end_ns,
        "events": tape.get("count"),
        "coverage_pct": side.totals["coverage_pct"],
        "gaps": len(quality["gaps"]) if quality.get("gaps") is not None else None,
        "quarantined": (quality.get("ingest") or {}).get("quarantined"),
        "flagged": len(side.manifest.get("flagged", ())),
    }


def _settings(run: Side, other: Side) -> list[dict[str, Any]]:
    """What was asked for differently, tape and seed apart."""
    asked, asked_other = (
        {name: value for name, value in side.record.plan["settings"].items() if name not in _NOT_ASKED}
        | {"profile": side.record.plan["profile"]}
        for side in (run, other)
    )
    return _leaves(asked, asked_other)


def _inputs(run: Side, other: Side) -> list[dict[str, Any]]:
    """Hashes that differ: code, lock, configuration, tape columns."""
    hashes, hashes_other = (
        {name: side.manifest[name] for name in _CODE} | side.manifest["inputs"] for side in (run, other)
    )
    return _leaves(hashes, hashes_other)


def _leaves(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": leaf.path, "run": leaf.first, "other": leaf.second} for leaf in differences(one, other)]


def _rows(pairs: Mapping[str, tuple[Any, Any]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "run": one, "other": other, "difference": _minus(one, other)}
        for name, (one, other) in pairs.items()
    ]


def _minus(one: Any, other: Any) -> float | None:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    return one - other if numbers else None


def _same_file_changed(row: Mapping[str, Any], settings: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a configuration file that both runs read was changed, rather than another one asked for."""
    if not row["name"].startswith("config/") or ABSENT in (row["run"], row["other"]):
        return False
    return row["name"] != "config/profile" or not any(setting["name"] == "profile" for setting in settings)


def _next(causes: Sequence[Mapping[str, Any]], run: Side, other: Side) -> list[str]:
    """Other code: verify says whether it matters. Other data and something else: OTHER again on RUN's market."""
    kinds = [cause["cause"] for cause in causes]
    if "code" in kinds:
        return ["verify", other.record.run_id]
    if "data" in kinds and len(kinds) > 1:
        market = {name: run.record.plan["settings"][name] for name in ("tape", "seed", "hours")}
        asked = SoakSettings.model_validate_json(json.dumps(other.record.plan["settings"] | market))
        return asked.command(other.record.plan["profile"])
    return ["report", run.record.run_id]


def _causes(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """[{cause, what: [name]}]: what the runs were given differently, by kind; the order is no ranking of weight."""
    changed = [row["name"] for row in found["inputs"]]
    data = {row["name"]: row for row in found["data"]}
    kinds = {
        "data": [name for name in ("digest", "start_ns", "end_ns") if data[name]["run"] != data[name]["other"]],
        "parameters": [row["parameter"] for row in found["parameters"] if row["given"]],
        "configuration": [row["name"] for row in found["inputs"] if _same_file_changed(row, found["settings"])],
        "settings": [row["name"] for row in found["settings"]],
        "code": [name for name in changed if name in _CODE],
    }
    return [{"cause": kind, "what": what} for kind, what in kinds.items() if what]
