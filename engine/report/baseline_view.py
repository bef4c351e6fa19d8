"""The view-model of STEP1_BASELINE_SUMMARY.md and of its notice: every word and every rounded number.

Built from BASELINE.json alone (engine.baseline.record.document).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.metrics import METRICS
from engine.report.commands import shell_line
from engine.report.format import NO_DATA, and_list, beside_limit, count, plain
from engine.report.origin import OWN_FEED
from engine.report.table import Markdown, Table

_STATUS = {"PASS": "met", "FAIL": "missed", "NODATA": NO_DATA}
_RESULT = {"GO": "GO", "NO-GO": "no go"}
_HOW = {
    "maker_taker_ratio": "maker fills over all fills, all symbols together",
    "net_bps": "PnL over notional, all symbols together",
    "p95_latency_ms": "mean of the windows' 95th percentiles, the worst symbol's",
    "risk_ratio": "weighted by time, the worst symbol's",
}


@dataclass(frozen=True)
class AttemptView:
    title: str
    text: str
    table: Table
    runs: tuple[Markdown, ...]
    notes: tuple[str, ...]
    windows: Table


@dataclass(frozen=True)
class BaselineView:
    """What the template uses."""

    title: str
    verdict: str
    head: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    kpis_text: str
    kpis: Table
    kpi_notes: tuple[str, ...]
    presets: Table
    results: Table
    results_text: str
    attempts: tuple[AttemptView, ...]
    decision: str
    reasons_title: str
    reasons: tuple[str, ...]
    recommendations: tuple[str, ...]
    next: str
    next_command: str
    again: tuple[Markdown, ...]
    summary: tuple[str, ...]


def build_baseline_view(record: Mapping[str, Any]) -> BaselineView:
    attempts, judged = record["attempts"], record["attempts"][-1]
    go = record["decision"] == "GO"
    reasons = _reasons(judged)
    return BaselineView(
        title=f"STEP 1 — Baseline Shadow ({_feed(record)[0]}) + Auto-Tune",
        verdict=_verdict(record, judged),
        head=_head(record),
        notes=tuple(dict.fromkeys([*record["notes"], *(note for attempt in attempts for note in attempt["notes"])])),
        kpis_text=f"Of {judged['title']}, the {'attempt that passed' if go else 'last attempt'}.",
        kpis=_kpis(judged),
        kpi_notes=tuple(f"{check['metric']}: {_HOW[check['metric']]}." for check in judged["checks"]),
        presets=_presets(record),
        results=_results(attempts),
        results_text=_results_text(attempts),
        attempts=tuple(_attempt(attempt) for attempt in attempts),
        decision=record["decision"],
        reasons_title="KPI thresholds met by every symbol's data:" if go else "KPI thresholds not met:",
        reasons=tuple(_comparison(check) for check in judged["checks"]) if go else reasons,
        recommendations=tuple(judged["recommendations"]),
        next=record["action"],
        next_command=_next(record, judged),
        again=_again(record, judged),
        summary=_summary(record, judged, reasons),
    )


def _verdict(record: Mapping[str, Any], judged: Mapping[str, Any]) -> str:
    """The verdict and its cause, for the first line."""
    if record["decision"] == "GO":
        return f"GO, {judged['title']} meets every threshold"
    missed = [check["metric"] for check in judged["checks"] if check["label"] != "PASS"]
    missed += ["the coverage that is asked for"] if judged["data"] else []
    tried = count(len(record["attempts"]), "preset")
    return f"{record['decision']}, none of {tried} passes; {judged['title']} misses {and_list(missed)}"


def _head(record: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    settings = record["settings"]
    shown = dict.fromkeys(market["tape"] for market in record["markets"])
    windows = {symbol["window_seconds"] for attempt in record["attempts"] for symbol in attempt["symbols"]}
    seconds = and_list(f"{value} s" for value in sorted(windows))
    return (
        ("Timestamp", datetime.strptime(record["id"][:15], "%Y%m%dT%H%M%S").strftime("%F %T UTC")),
        ("Iterations", f"{count(settings['iterations'], 'window')} of {seconds}"),
        ("Exchange", settings["exchange"]),
        ("Symbols", ", ".join(market["symbol"] for market in record["markets"])),
        ("Profile", record["profile"]),
        ("Feed", f"{_feed(record)[1]}: {', '.join(shown)}"),
    )


def _feed(record: Mapping[str, Any]) -> tuple[str, str]:
    """What the market was: for the title, and in the head."""
    if any(market["generated"] for market in record["markets"]):
        return "Generated Market", "generated market, replayed"
    if record["settings"]["mock"] or record["settings"]["tapes"]:
        return "Recorded Tape", "recorded tape, replayed"
    if endpoint := record["settings"]["endpoint"]:
        return "Own Feed", f"live (paper fills) from {endpoint}, {OWN_FEED}: it may play a tape"
    return "Real Feed", "live (paper fills)"


def _kpis(attempt: Mapping[str, Any]) -> Table:
    rows = [
        (check["metric"], f"{_sign(check)} {plain(check['limit'])}", _value(check), _STATUS[check["label"]])
        for check in attempt["checks"]
    ]
    return Table(("Metric", "Target", "Actual", "Status"), "lrrl", tuple(rows))


def _presets(record: Mapping[str, Any]) -> Table:
    tried = {attempt["preset"]: attempt["decision"] for attempt in record["attempts"]}
    rows = [
        (
            preset["title"],
            plain(preset["touch_dwell_ms"]),
            preset["min_lot_base"],
            _RESULT[tried[preset["name"]]] if preset["name"] in tried else "not needed",
        )
        for preset in record["presets"]
    ]
    return Table(("Attempt", "touch_dwell_ms", "min_lot (base coin)", "Result"), "lrrl", tuple(rows))


def _results(attempts: Sequence[Mapping[str, Any]]) -> Table:
    rows = [(attempt["title"], *(_value(check) for check in attempt["checks"])) for attempt in attempts]
    return Table(("Attempt", *(check["metric"] for check in attempts[0]["checks"])), "l" + "r" * (len(rows[0]) - 1),
                 tuple(rows))  # fmt: skip


def _results_text(attempts: Sequence[Mapping[str, Any]]) -> str:
    shown = {_value(check) for attempt in attempts for check in attempt["checks"] if check["metric"] == "net_bps"}
    if len(attempts) < 2 or len(shown) > 1 or NO_DATA in shown:
        return ""
    return "All attempts show the same net_bps: on this market the presets change next to nothing."


def _attempt(attempt: Mapping[str, Any]) -> AttemptView:
    checks = {check["metric"]: check for check in attempt["checks"]}
    several = len(attempt["symbols"]) > 1
    rows = [("together", *(_value(check) for check in checks.values()))] if several else []
    rows += [
        (one["symbol"], *(_number(name, one["kpis"][name], check["limit"]) for name, check in checks.items()))
        for one in attempt["symbols"]
    ]
    lots = and_list(f"{one['symbol']} {one['params']['min_lot']:g}" for one in attempt["symbols"])
    dwell = and_list(dict.fromkeys(f"{one['params']['touch_dwell_ms']:g}" for one in attempt["symbols"]))
    fills = and_list(f"{one['symbol']} {count(one['fills'], 'fill')}" for one in attempt["symbols"])
    return AttemptView(
        title=f"{attempt['title']}: {attempt['decision']}",
        text=f"touch_dwell_ms {dwell}; min_lot in venue minimums: {lots}; {fills}.",
        table=Table(("Symbol", *checks), "l" + "r" * len(checks), tuple(rows)),
        runs=tuple(_run(one) for one in attempt["symbols"]),
        notes=tuple(f"{name} has no data: {reason}." for name, reason in sorted(attempt["null_reasons"].items())),
        windows=_windows(attempt),
    )


def _windows(attempt: Mapping[str, Any]) -> Table:
    rows = [
        (
            one["symbol"],
            str(row["window"]),
            str(row["fills"] or 0),
            *(_number(name, row[name], None) for name in ("net_bps", "p95_latency_ms", "risk_ratio")),
        )
        for one in attempt["symbols"]
        for row in one["windows"]
    ]
    return Table(("Symbol", "Window", "Fills", "net_bps", "p95_latency_ms", "risk_ratio"), "lrrrrr", tuple(rows))


def _reasons(attempt: Mapping[str, Any]) -> tuple[str, ...]:
    """Each threshold that is not met, as a comparison, and what is wrong with the data."""
    missed = [_comparison(check) for check in attempt["checks"] if check["label"] != "PASS"]
    return (*missed, *attempt["data"])


def _comparison(check: Mapping[str, Any]) -> str:
    if check["observed"] is None:
        return f"{check['metric']}: {NO_DATA} ({check['reason']})"
    if check["label"] == "PASS":
        return f"{check['metric']}: {_value(check)} {_sign(check)} {plain(check['limit'])}"
    sign = {">=": "<", "<=": ">"}[_sign(check)]
    return f"{check['metric']}: {_value(check)} {sign} {plain(check['limit'])}, missed by {check['miss_pct']:.3g} %"


def _again(record: Mapping[str, Any], judged: Mapping[str, Any]) -> tuple[Markdown, ...]:
    reports = [["report", one["run_id"]] for one in judged["symbols"]]
    return tuple(Markdown(shell_line(words)) for words in (*reports, record["command"]))


def _next(record: Mapping[str, Any], judged: Mapping[str, Any]) -> str:
    """The command of the next step: the long soak from the preset that passed, else what a run of the ladder lacked."""
    if record["decision"] != "GO":
        return shell_line(["report", judged["symbols"][0]["run_id"]])
    words = ["soak", "--hours", "3", "--iterations", "6", "--profile", record["profile"]]
    return shell_line([*words, "--overrides", judged["symbols"][0]["overrides"]])


def _summary(record: Mapping[str, Any], judged: Mapping[str, Any], reasons: Sequence[str]) -> tuple[str, ...]:
    """The notice: the decision first, at most 8 lines."""
    day = datetime.strptime(record["id"][:8], "%Y%m%d")
    passed = sum(check["label"] == "PASS" for check in judged["checks"])
    symbols = ", ".join(market["symbol"] for market in record["markets"])
    head = [record["decision"], "baseline", symbols, f"{day.day} {day:%b}", f"checks {passed}/{len(judged['checks'])}"]
    if any(market["generated"] for market in record["markets"]):
        head.append("generated market")
    if record["settings"]["endpoint"]:
        head.append(OWN_FEED)
    values = ", ".join(f"{check['metric']} {_value(check)}" for check in judged["checks"])
    breached = [f"Breached: {'; '.join(reasons)}"] if reasons else []
    return (
        " · ".join(head),
        f"{judged['title']}: {values}",
        *breached,
        f"Tried: {len(record['attempts'])} of {len(record['presets'])} presets",
        f"Decide: {record['action']}",
        f"Report: nightsoak report {record['id']}",
    )


def _sign(check: Mapping[str, Any]) -> str:
    return ">=" if check["sign"] > 0 else "<="


def _value(check: Mapping[str, Any]) -> str:
    return _number(check["metric"], check["observed"], check["limit"])


def _number(metric: str, value: float | None, limit: float | None) -> str:
    digits = 3 if METRICS[metric].unit == "ratio" else 1 if METRICS[metric].unit == "ms" else 2
    return beside_limit(value, limit, digits)


def _run(symbol: Mapping[str, Any]) -> Markdown:
    """The run of a symbol with a link to its report."""
    verdict = f"{symbol['verdict']} by the gates of a soak"
    return Markdown(f"{symbol['symbol']}: [{symbol['run_id']}]({symbol['report']}), {verdict}")
