"""The view-model of SOAK_RESULTS.md, summary.txt and the verdict table: every word and every rounded number.

`build_view` turns a completed RunRecord into text and tables; the template lays them out and decides nothing.
Sections with more to them than a few lines are built in their own module (checks, tuning_view).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.metrics import COMPONENTS
from engine.report import commands
from engine.report.chart_data import prepare
from engine.report.checks import Checks, build_checks, observed_text
from engine.report.format import (
    NO_DATA,
    count,
    interval,
    minutes,
    money,
    money_digits,
    number,
    plain,
    span,
    utc,
)
from engine.report.record import RunRecord
from engine.report.table import Markdown, Table
from engine.report.tuning_view import Tuning, build_tuning, changes_in_words

_NS_PER_S = 10**9
_MODES = {"replay": "replay", "shadow": "shadow (paper)", "live": "live"}


@dataclass(frozen=True)
class View:
    """What the templates use; `charts` holds the names of the charts that exist."""

    run_id: str
    date: str
    symbol: str
    verdict: str
    partial: str
    generated: str
    headline: str
    why: str
    changed: str
    decision: str
    next: Markdown
    checks: Checks
    components: Table
    components_notes: tuple[str, ...]
    windows_text: str
    windows: Table
    tuning: Tuning
    blocks: Table | None
    blocks_text: str
    quality: Table
    quality_notes: tuple[str, ...]
    gaps: Table | None
    provenance: Table
    inputs: Table | None
    provenance_note: str
    again: tuple[Markdown, ...]
    charts: tuple[str, ...]
    summary: tuple[str, ...]


def build_view(record: RunRecord) -> View:
    checks = build_checks(record)
    tuning = build_tuning(record)
    blocks, blocks_text = _blocks(record)
    quality, quality_notes, gaps = _quality(record)
    partial = _partial(record)
    return View(
        run_id=record.run_id,
        date=record.utc_date,
        symbol=record.symbol,
        verdict=record.gate["verdict"],
        partial=partial,
        generated=_generated(record),
        headline=_headline(record),
        why=checks.why,
        changed=changes_in_words(record),
        decision=_decision(record),
        next=commands.next_step(record),
        checks=checks,
        components=_components(record),
        components_notes=_components_notes(record),
        windows_text=_windows_text(record),
        windows=_windows(record),
        tuning=tuning,
        blocks=blocks,
        blocks_text=blocks_text,
        quality=quality,
        quality_notes=quality_notes,
        gaps=gaps,
        provenance=_provenance(record),
        inputs=_inputs(record),
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
    parts = [_MODES.get(plan["mode"], plan["mode"]), str(plan["venue"]), f"profile {plan['profile']}"]
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


def _generated(record: RunRecord) -> str:
    origin = (record.plan.get("tape") or {}).get("generated")
    if not origin:
        return ""
    return (
        f"This market is generated (seed {origin.get('seed', NO_DATA)}), not recorded. The result shows that the "
        "machinery works; it says nothing about what the bot would earn on a venue."
    )


def _decision(record: RunRecord) -> str:
    """The decision matrix's sentence, and the package it proposes with the values it would lead to."""
    text, package = str(record.gate["action"]), record.gate.get("action_package")
    if not package:
        return text
    moves = ", ".join(
        f"{change['parameter']} {plain(change['before'])} -> {plain(change['after'])}" for change in package["changes"]
    ) or ", ".join(f"{name} by {plain(move)}" for name, move in package["moves"].items())
    return f"{text} Proposed for {package['driver']}, not applied: {moves} ({package['effect']})."


def _components(record: RunRecord) -> Table:
    totals = record.edge["totals"]
    currency = record.pnl_currency
    drivers = {driver["name"]: driver for driver in totals.get("edge_drivers", [])}
    notional = totals["notional_quote"]

    def quote(bps: float | None) -> float | None:
        return None if bps is None or notional is None else bps * notional / 1e4

    digits = money_digits([quote(totals[name]) for name in (*COMPONENTS, "net_bps")])
    rows = []
    for name in COMPONENTS:
        driver = drivers.get(name, {})
        bounds = (record.kpi_intervals or {}).get(name, {})
        rows.append(
            (
                name,
                number(totals[name], 2, sign=True),
                interval(bounds.get("low"), bounds.get("high"), 2) or "-",
                _at_least(driver.get("target_bps")),
                _shortfall(driver),
                number(quote(totals[name]), digits, sign=True),
            )
        )
    net, parts = totals["net_bps"], [totals[name] for name in COMPONENTS]
    residual = None if net is None or None in parts else net - sum(parts)
    bounds = record.net_interval or {}
    rows += [
        ("residual", number(residual, 9), "-", "0", "-", number(quote(residual), digits)),
        (
            "net_bps",
            number(net, 2, sign=True),
            interval(bounds.get("low"), bounds.get("high"), 2) or "-",
            _at_least(record.net_target_bps),
            "-" if net is None else number(max(0.0, record.net_target_bps - net), 2),
            number(None if net is None else totals["net_pnl_quote"], digits, sign=True),
        ),
    ]
    return Table(("Component", "bps", "95 %", "Target", "Short by", currency), "lrrrrr", tuple(rows))


def _at_least(target: float | None) -> str:
    return "-" if target is None else f">= {plain(target)}"


def _shortfall(driver: dict[str, Any]) -> str:
    missing = driver.get("shortfall_bps")
    return "-" if missing is None else number(max(0.0, missing), 2)


def _components_notes(record: RunRecord) -> tuple[str, ...]:
    totals = record.edge["totals"]
    notes = [
        "net_bps = gross_bps + fees_eff_bps + slippage_bps + inventory_bps. Each is 1e4 times its sum of money over "
        "the traded notional; + helps net, - costs. The residual is what the four leave unexplained.",
        "gross: distance to the mid when quoted. fees: + rebate, - cost. slippage: what the mid did between quoting "
        "and filling. inventory: what the position earned or lost afterwards, funding included.",
    ]
    if totals["adverse_bps"] is not None:
        notes.append(
            f"adverse_bps {number(totals['adverse_bps'], 2)} (+ is a cost: the mid 5 s after a fill against the fill) "
            "is already inside inventory and is never added."
        )
    drivers = totals.get("neg_edge_drivers") or []
    if drivers:
        notes.append(f"Below target, worst first: {', '.join(drivers)}.")
    return tuple(notes)


def _windows_text(record: RunRecord) -> str:
    windows = record.edge.get("windows", [])
    known = [window["net_bps"] for window in windows if window["net_bps"] is not None]
    if not windows:
        return "No window was completed."
    text = f"{count(len(windows), 'window')} of {plain(record.plan['window_seconds'])} s"
    if not known:
        return f"{text}, none with fills: there is no net_bps to show."
    reached = sum(1 for value in known if value >= record.net_target_bps)
    lowest, highest = min(known), max(known)
    text += f": {reached} at or above {plain(record.net_target_bps)} bps, {len(known) - reached} below"
    if len(known) < len(windows):
        text += f", {len(windows) - len(known)} without fills (no data, not zero)"
    return f"{text}; lowest {number(lowest, 2)}, highest {number(highest, 2)}."


def _windows(record: RunRecord) -> Table:
    windows = record.edge.get("windows", [])
    currency = record.pnl_currency
    digits = money_digits([window["net_pnl_quote"] for window in windows])
    clock = "%H:%M:%S" if record.plan["window_seconds"] % 60 else "%H:%M"
    rows = tuple(
        (
            str(window["window"]),
            str(window["iteration"]),
            f"{utc(window['start_ns'], clock)}-{utc(window['end_ns'], clock)}",
            number(window["fills"], 0),
            number(window["net_bps"], 2),
            number(window["net_pnl_quote"], digits, sign=True),
        )
        for window in windows
    )
    return Table(("Window", "Iteration", "UTC", "Fills", "net_bps", f"PnL, {currency}"), "rrlrrr", rows)


_BLOCK_MEANING = {
    "min_interval": "wanted again within the venue's spacing",
    "throttle": "over the budget of amendments",
    "concurrency": "a request was still in flight",
    "risk": "position limit",
    "stale": "market data too old",
    "gap": "no book after a gap in the data",
}


def _blocks(record: RunRecord) -> tuple[Table | None, str]:
    reasons = record.edge["totals"].get("block_reasons") or {}
    shown = sorted(
        ((name, row) for name, row in reasons.items() if row["count"]), key=lambda item: (-item[1]["count"], item[0])
    )
    if record.edge["totals"].get("block_reasons") is None:
        why = (record.edge["totals"].get("null_reasons") or {}).get("block_ratios", "not journalled")
        return None, f"No data on blocked intents: {why}."
    if not shown:
        return None, "No intent to change a quote was blocked."
    rows = tuple(
        (
            name,
            str(row["count"]),
            NO_DATA if row["ratio"] is None else f"{number(100 * row['ratio'], 1)} %",
            _BLOCK_MEANING.get(name, ""),
        )
        for name, row in shown
    )
    return Table(("Reason", "Blocked", "Share", "Meaning"), "lrrl", rows), (
        "An intent is a wish to send, amend or cancel a quote; the share is blocked / (allowed + blocked)."
    )


def _quality(record: RunRecord) -> tuple[Table, tuple[str, ...], Table | None]:
    data, totals, tape = record.data_quality, record.edge["totals"], record.plan.get("tape") or {}
    gaps = data.get("gaps")
    coverage = totals["coverage_pct"]
    rows = [
        ("Coverage (seconds with a valid book)", NO_DATA if coverage is None else f"{number(coverage, 2)} %"),
        ("Gaps in the data", NO_DATA if gaps is None else str(len(gaps))),
        ("Message ends with a crossed book", _known(data.get("crossed_message_ends"))),
        ("Market events", _known(tape.get("count"))),
    ]
    for name, value in sorted((data.get("ingest") or {}).items()):
        rows.append((f"Ingest: {name}", _known(value)))
    latency = totals["p95_latency_ms"]
    rows.append(("p95 latency of the feed", NO_DATA if latency is None else f"{number(latency, 1)} ms"))
    notes = []
    if record.plan.get("latency_modelled"):
        notes.append("Latency is modelled, not measured: the tape is generated.")
    missing = totals.get("null_reasons") or {}
    if missing:
        names_of: dict[str, list[str]] = {}
        for name in sorted(missing):
            names_of.setdefault(str(missing[name]), []).append(name)
        for reason, names in sorted(names_of.items()):
            notes.append(f"No data, and so never a pass ({reason}): {', '.join(names)}.")
    table = None
    if gaps:
        table = Table(
            ("UTC", "Reason"),
            "ll",
            tuple((utc(gap["ts_ns"], "%F %H:%M:%S"), str(gap["reason"])) for gap in gaps),
        )
    return Table(("Data", "Observed"), "lr", tuple(rows)), tuple(notes), table


def _known(value: Any) -> str:
    return NO_DATA if value is None else str(value)


def _provenance(record: RunRecord) -> Table:
    plan, tape = record.plan, record.plan.get("tape") or {}
    rows = [("Run", record.run_id), ("Profile", str(plan["profile"])), ("Seed", _known(plan.get("seed")))]
    if tape:
        rows.append(("Tape", f"{tape.get('name', NO_DATA)} ({'generated' if tape.get('generated') else 'recorded'})"))
    return Table(("What", "Which"), "ll", tuple(rows))


def _inputs(record: RunRecord) -> Table | None:
    if not record.inputs:
        return None
    rows = tuple((name, record.inputs[name][:16]) for name in sorted(record.inputs))
    return Table(("Input", "sha256, first 16"), "ll", rows)


def _summary(record: RunRecord, checks: Checks, partial: str) -> tuple[str, ...]:
    """The notice: verdict word first, at most 8 lines."""
    totals = record.edge["totals"]
    currency = record.pnl_currency
    day = f"{int(record.run_id[6:8])} {utc(_stamp_ns(record), '%b')}"
    lines = [
        " · ".join(
            [
                record.gate["verdict"] + (" (partial)" if partial else ""),
                record.symbol,
                day,
                f"checks {checks.passed}/{len(checks.rows)}",
                *(["generated market"] if _generated(record) else []),
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
    lines += [
        f"Changed: {changes_in_words(record)}",
        f"Decide: {record.gate['action']}",
        f"Report: nightsoak report {record.run_id}",
    ]
    return tuple(lines)


def _stamp_ns(record: RunRecord) -> int:
    from datetime import UTC, datetime

    return int(datetime.strptime(record.run_id[:8], "%Y%m%d").replace(tzinfo=UTC).timestamp()) * _NS_PER_S
