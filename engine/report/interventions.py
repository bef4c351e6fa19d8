"""The replays with one driver removed, as a table and the sentence that says what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.report.format import interval, money, money_digits, number
from engine.report.record import RunRecord
from engine.report.table import Table

_SHORT = {"gross_bps": "gross", "fees_eff_bps": "fees", "slippage_bps": "slippage", "inventory_bps": "inventory"}
_WIDE_MONEY = 1000.0


def build_interventions(record: RunRecord) -> tuple[Table | None, str]:
    """(table, sentence); nothing and an empty sentence where no replay was made."""
    measured = record.interventions
    if measured is None:
        return None, ""
    if not measured["same_as_run"]:
        return None, (
            f"A replay without any change gives {measured['unchanged']['fills']} fills and not this run's "
            f"{record.edge['totals']['fills']}, so nothing was measured against it."
        )
    rows = measured["interventions"]
    if not measured["unchanged"]["fills"] and not any(row["fills"] for row in rows):
        return None, "There were no fills, and none of the bot's own limits is the reason: no replay had any."
    digits = _digits(rows)
    table = Table(
        ("Changed", "Accounting, bps", "net_bps by", f"{record.pnl_currency} by", "95 %"),
        "lrrrr",
        tuple(
            (
                row["name"],
                f"{_SHORT[row['component']]} {number(row['component_bps'], 2, sign=True)}",
                number(row["difference_bps"], 2, sign=True),
                number(row["difference_quote"], digits, sign=True),
                interval(row["low_quote"], row["high_quote"], digits) or "-",
            )
            for row in rows
        ),
    )
    return table, _sentence(record, rows)


def _sentence(record: RunRecord, rows: list[Mapping[str, Any]]) -> str:
    blamed = next(iter(record.edge["totals"].get("neg_edge_drivers") or ()), None)
    of_driver = [row for row in rows if row["component"] == blamed]
    if not of_driver:
        return (
            "No component is below its target; each row is the difference that one change alone would have made to "
            "net_bps and PnL, and its interval is that of the PnL."
        )
    row = max(of_driver, key=lambda row: abs(row["difference_quote"]))
    digits = _digits([row])
    bounds = interval(row["low_quote"], row["high_quote"], digits)
    bps = "" if row["difference_bps"] is None else f"net_bps by {number(row['difference_bps'], 2, sign=True)} and "
    return (
        f"Accounting blames {_SHORT[row['component']]} most; replayed with {row['name']}, the same market changes "
        f"{bps}PnL by {money(row['difference_quote'], record.pnl_currency, digits=digits)}"
        f"{' ' + bounds if bounds else ''}, {_told(row)}."
    )


def _told(row: Mapping[str, Any]) -> str:
    if row["difference_quote"] == 0:
        return "so that it changed nothing here"
    if row["low_quote"] is None:
        return "on too few windows to tell it from chance"
    if row["low_quote"] <= 0 <= row["high_quote"]:
        return "which cannot be told from chance"
    return "which is more than chance explains"


def _digits(rows: list[Mapping[str, Any]]) -> int:
    values = [row[name] for row in rows for name in ("difference_quote", "low_quote", "high_quote")]
    wide = any(value is not None and abs(value) >= _WIDE_MONEY for value in values)
    return 0 if wide else money_digits(values)
