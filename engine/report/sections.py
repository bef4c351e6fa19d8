"""The report's tables below the checks: components, windows, block reasons, data quality, provenance."""

from __future__ import annotations

from typing import Any

from engine.metrics import COMPONENTS
from engine.report.format import NO_DATA, and_list, count, interval, money_digits, number, plain, utc
from engine.report.record import RunRecord
from engine.report.table import Table


def components(record: RunRecord) -> Table:
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
        ("residual", _residual(residual), "-", "0", "-", number(quote(residual), digits)),
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


def _residual(bps: float | None) -> str:
    if bps is None:
        return NO_DATA
    return "< 1e-9" if abs(bps) < 1e-9 else f"{bps:+.1e}"


def _at_least(target: float | None) -> str:
    return "-" if target is None else f">= {plain(target)}"


def _shortfall(driver: dict[str, Any]) -> str:
    missing = driver.get("shortfall_bps")
    return "-" if missing is None else number(max(0.0, missing), 2)


def markouts(record: RunRecord) -> Table | None:
    """The markout cost by horizon and side; + is a cost."""
    rows = record.edge.get("markouts") or []
    if not any(row["markout_bps"] is not None for row in rows):
        return None
    by_place = {(row["side"], row["horizon_s"]): row for row in rows}

    def cell(side: str, horizon: int) -> str:
        row = by_place.get((side, horizon))
        return NO_DATA if row is None else number(row["markout_bps"], 2, sign=True)

    table_rows = tuple(
        (
            f"{horizon} s",
            *(cell(side, horizon) for side in ("both", "buy", "sell")),
            number(by_place["both", horizon]["n"], 0),
            number(by_place["both", horizon]["missing"], 0),
        )
        for horizon in sorted({row["horizon_s"] for row in rows})
    )
    return Table(("After", "All fills, bps", "Buys", "Sells", "n", "Without mid"), "lrrrrr", table_rows)


def _queue_note(record: RunRecord) -> list[str]:
    """What the run would have made had the queue been as bad, or as good, as displayed depth allows."""
    if record.queue_bounds is None:
        return []
    worst, best = record.queue_bounds["pessimistic"], record.queue_bounds["optimistic"]
    return [
        f"Queue: net_bps {number(worst['net_bps'], 2, sign=True)} ({count(worst['fills'], 'fill')}) if only trades "
        f"move us forward, {number(best['net_bps'], 2, sign=True)} ({count(best['fills'], 'fill')}) if every cancel "
        f"was ahead of us; the run used {record.queue_bounds['used']}. Displayed depth cannot tell which is true."
    ]


def components_notes(record: RunRecord) -> tuple[str, ...]:
    totals = record.edge["totals"]
    notes = [
        *_queue_note(record),
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


def windows_text(record: RunRecord) -> str:
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


def windows(record: RunRecord) -> Table:
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


def blocks(record: RunRecord) -> tuple[Table | None, str]:
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


def parity_text(record: RunRecord) -> str:
    """Whether the tape, replayed, gives the journal's fills."""
    if record.parity is None and record.foreign:
        return "Parity: not possible, as a journal has no tape that could be replayed."
    if record.parity is None:
        return "Parity: not measured, as the run did not come to its end."
    lanes = record.parity["lanes"]
    fills = ", ".join(f"lane {row['lane']} {row['journalled']}" for row in lanes)
    if record.parity["same"]:
        return (
            f"Parity: the tape replayed gives every lane's journalled fills, one by one ({fills}); digest of lane 0 "
            f"{lanes[0]['digest'][:16]}."
        )
    worst = next(row for row in lanes if not row["same"])
    at = utc(worst["first_difference_ns"], "%F %H:%M:%S")
    return (
        f"Parity is broken: lane {worst['lane']} journalled {count(worst['journalled'], 'fill')}, its tape replayed "
        f"gives {worst['replayed']}; they part at {at} UTC."
    )


def quality(record: RunRecord) -> tuple[Table, tuple[str, ...], Table | None]:
    data, totals, tape = record.data_quality, record.edge["totals"], record.plan.get("tape") or {}
    gaps = data.get("gaps")
    coverage = totals["coverage_pct"]
    rows = [
        ("Coverage (seconds with a valid book)", NO_DATA if coverage is None else f"{number(coverage, 2)} %"),
        ("Gaps in the data", NO_DATA if gaps is None else str(len(gaps))),
    ]
    if not record.foreign:  # of a tape, which another bot's run has not
        rows.append(("Message ends with a crossed book", _known(data.get("crossed_message_ends"))))
        rows.append(("Market events", _known(tape.get("count"))))
    for name, value in sorted((data.get("ingest") or {}).items()):
        rows.append((f"Ingest: {name}", _known(value)))
    latency = totals["p95_latency_ms"]
    rows.append(("p95 latency of the feed", NO_DATA if latency is None else f"{number(latency, 1)} ms"))
    notes = [str(note) for note in data.get("notes") or ()]
    notes += [
        f"Overrides refused at {utc(refused['ts_ns'], '%H:%M:%S')} UTC: {refused['reason']}."
        for refused in data.get("overrides_refused") or ()
    ]
    resumed = [utc(ts_ns, "%H:%M:%S") for ts_ns in data.get("resumed_ns") or ()]
    if resumed:
        notes.append(
            f"The bot died and was started again; the run went on from {and_list(resumed)} UTC. What it had not "
            "journalled is lost, and no quote stood until its next book."
        )
    if record.plan.get("latency_modelled"):
        notes.append("Latency is modelled, not measured" + (": the tape is generated." if tape else "."))
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


def provenance(record: RunRecord) -> Table:
    plan, tape = record.plan, record.plan.get("tape") or {}
    rows = [("Run", record.run_id)]
    if record.foreign:
        rows.append(("Bot", str(record.foreign["bot"] or NO_DATA)))
    for label, key in (("Profile", "profile"), ("Starting parameters", "params_source"), ("Seed", "seed")):
        if plan.get(key) is not None:
            rows.append((label, str(plan[key])))
    if tape:
        rows.append(("Tape", f"{tape.get('name', NO_DATA)} ({'generated' if tape.get('generated') else 'recorded'})"))
    return Table(("What", "Which"), "ll", tuple(rows))


def inputs(record: RunRecord) -> Table | None:
    if not record.inputs:
        return None
    rows = tuple((name, record.inputs[name][:16]) for name in sorted(record.inputs))
    return Table(("Input", "sha256, first 16"), "ll", rows)
