"""What was changed automatically, by which rule and why, and what it was worth against the frozen control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.params import PARAMETERS
from engine.report.chart_data import parameters_by_iteration
from engine.report.format import count, interval, money_digits, number, plain
from engine.report.record import RunRecord
from engine.report.table import Table

_ITERATIONS_PER_TABLE = 5
_STATUSES = ("fired", "clamped", "refused")


@dataclass(frozen=True)
class IterationNote:
    """One iteration's decision: a heading and one line per wish of a rule."""

    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Tuning:
    text: str
    parameters: Table
    by_iteration: tuple[Table, ...]
    notes: tuple[IterationNote, ...]
    control_text: str
    control: Table | None
    control_windows: Table | None


def build_tuning(record: RunRecord) -> Tuning:
    control_text, control, control_windows = _control(record)
    return Tuning(
        text=_text(record),
        parameters=_parameters(record),
        by_iteration=_by_iteration(record),
        notes=tuple(_note(decision) for decision in record.decisions),
        control_text=control_text,
        control=control,
        control_windows=control_windows,
    )


def changes_in_words(record: RunRecord) -> str:
    """`base_spread_bps_delta 0.1 -> 0.14, tail_age_ms 650 -> 700`, or why there is none."""
    moved = [
        f"{name} {_value(record.params_start[name])} -> {_value(record.params_final[name])}"
        for name in _names(record)
        if record.params_start[name] != record.params_final[name]
    ]
    if record.foreign:
        return f"by the bot itself: {', '.join(moved)}" if moved else "nothing; Nightsoak only read this run"
    if moved:
        return ", ".join(moved)
    if not record.plan["auto_tune"]:
        return "nothing; auto-tune was off"
    if not any(change["status"] != "refused" for change in _changes(record)):
        return "nothing; no rule changed a parameter"
    return "nothing in the end; every change was taken back"


def _names(record: RunRecord) -> list[str]:
    known = sorted(record.params_final) if record.foreign else PARAMETERS
    return [name for name in known if name in record.params_start and name in record.params_final]


def _value(value: Any) -> str:
    """A parameter's value; another bot's need not be a number."""
    return plain(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _changes(record: RunRecord) -> list[Mapping[str, Any]]:
    return [change for decision in record.decisions for change in decision["changes"]]


def _text(record: RunRecord) -> str:
    if record.foreign:
        return "As the bot journalled them; Nightsoak does not tune it." if record.params_final else ""
    if not record.plan["auto_tune"]:
        return "Auto-tune was off: the starting parameters held throughout."
    changes = _changes(record)
    if not record.decisions:
        return "No iteration was completed before the last one, so no rule was asked."
    if not changes:
        return f"No rule asked for a change in {count(len(record.decisions), 'decision')}."
    tally = {status: sum(1 for change in changes if change["status"] == status) for status in _STATUSES}
    return (
        f"{count(len(record.decisions), 'decision')}, {count(len(changes), 'wish', 'wishes')} of rules: "
        f"{tally['fired']} fired as wanted, {tally['clamped']} clamped, {tally['refused']} refused. "
        "Iterations and windows count from 0, as in the JSON."
    )


def _parameters(record: RunRecord) -> Table:
    if record.foreign:
        sets = record.params_start, record.params_final
        rows = [
            (name, *(_value(values[name]) if name in values else "-" for values in sets))
            for name in sorted(record.params_final)
        ]
        return Table(("Parameter", "Start", "Final"), "lrr", tuple(rows))
    rows = []
    for name in _names(record):
        moves = sum(
            1
            for change in _changes(record)
            if change["parameter"] == name and change["status"] != "refused" and change["before"] != change["after"]
        )
        row = PARAMETERS[name]
        rows.append(
            (
                name,
                plain(record.params_start[name]),
                plain(record.params_final[name]),
                str(moves),
                f"{plain(row.low)} to {plain(row.high)} {row.unit}",
            )
        )
    return Table(("Parameter", "Start", "Final", "Changes", "Allowed"), "lrrrl", tuple(rows))


def _by_iteration(record: RunRecord) -> tuple[Table, ...]:
    """Parameters as rows, iterations as columns, a few iterations to a table; only parameters that changed."""
    in_force = parameters_by_iteration(record)
    names = [name for name in _names(record) if len({values[name] for _, values in in_force}) > 1]
    if not names:
        return ()
    tables = []
    for start in range(0, len(in_force), _ITERATIONS_PER_TABLE):
        part = in_force[start : start + _ITERATIONS_PER_TABLE]
        tables.append(
            Table(
                ("In force in iteration", *(str(iteration) for iteration, _ in part)),
                "l" + "r" * len(part),
                tuple((name, *(plain(values[name]) for _, values in part)) for name in names),
            )
        )
    return tuple(tables)


def _note(decision: Mapping[str, Any]) -> IterationNote:
    heading = f"After iteration {decision['iteration']}: {decision['note']}"
    lines = [_change(change) for change in decision["changes"]]
    return IterationNote(heading, tuple(lines))


def _change(change: Mapping[str, Any]) -> str:
    before, wanted, after = (plain(change[key]) for key in ("before", "wanted", "after"))
    if change["status"] == "refused":
        move = f"{change['parameter']} stays {before}, wanted {wanted}"
    elif change["status"] == "clamped":
        move = f"{change['parameter']} {before} -> {after}, wanted {wanted}"
    else:
        move = f"{change['parameter']} {before} -> {after}"
    return f"{change['status']}: {move} ({change['rule']}: {change['reason']})"


def _control(record: RunRecord) -> tuple[str, Table | None, Table | None]:
    control = record.control
    if control is None:
        text = "" if record.foreign else "The run had no control lane, so what tuning was worth is not known."
        return text, None, None
    currency = record.pnl_currency
    sides = control["tuned"], control["control"]
    digits = money_digits([side["net_pnl_quote"] for side in sides])
    table = Table(
        ("", "Tuned", "Frozen control"),
        "lrr",
        (
            ("net_bps", *(number(side["net_bps"], 2) for side in sides)),
            (f"Net PnL, {currency}", *(number(side["net_pnl_quote"], digits, sign=True) for side in sides)),
            (f"Notional, {currency}", *(number(side["notional_quote"], digits) for side in sides)),
            ("Fills", *(number(side["fills"], 0) for side in sides)),
        ),
    )
    steps = [row["tuned_pnl_quote"] - row["control_pnl_quote"] for row in control["windows"]]
    step_digits = money_digits(steps)
    windows = Table(
        ("Window", f"Tuned, {currency}", f"Control, {currency}", "Difference", "d_w, bps"),
        "rrrrr",
        tuple(
            (
                str(row["window"]),
                number(row["tuned_pnl_quote"], step_digits, sign=True),
                number(row["control_pnl_quote"], step_digits, sign=True),
                number(step, step_digits, sign=True),
                number(row["difference_bps"], 2, sign=True),
            )
            for row, step in zip(control["windows"], steps, strict=True)
        ),
    )
    return _control_text(control), table, windows


def _control_text(control: Mapping[str, Any]) -> str:
    """The mean paired difference with its interval, and what may be concluded from it."""
    mean, low, high = control["mean_bps"], control["low"], control["high"]
    if mean is None:
        return "The control lane did not trade, so the difference has no scale and is not given in bps."
    text = (
        f"Tuned minus control, lane {control['lane']} frozen on the same market: "
        f"{number(mean, 2, sign=True)} bps of the control's mean notional per window"
    )
    windows = f"over {count(control['n'], 'paired window')}"
    if control["unknown_windows"]:
        windows += f" ({control['unknown_windows']} more left out, their PnL is unknown)"
    if low is None or high is None:
        text = f"{text}, {windows}; too few for an interval."
    else:
        if low > 0:
            conclusion = "tuning helped: the interval lies above zero"
        elif high < 0:
            conclusion = "tuning hurt: the interval lies below zero"
        elif low == high == 0:
            conclusion = "no difference in any window: both lanes did the same"
        else:
            conclusion = "unresolved: zero lies inside the interval"
        text = f"{text} {interval(low, high, 2)} {windows}; {conclusion}."
    tuned, frozen = control["tuned"]["notional_quote"], control["control"]["notional_quote"]
    if frozen and (tuned or 0.0) < frozen / 2:
        text += " The tuned lane traded less than half of the control's notional: a gain by not trading is none."
    return text
