"""The expectations on a run's rows in the report: a sentence, every expectation, and the rows that failed one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.report.format import and_list, count
from engine.report.record import RunRecord
from engine.report.table import Table

_SHOWN = 20


def flagged(quality: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """[{table, lane, seq, failed: [title]}] of every row that failed an expectation, sorted."""
    rows: dict[tuple[str, int, int], list[str]] = {}
    for one in (quality or {}).get("expectations", ()):
        for key in one["keys"]:
            rows.setdefault((one["table"], key["lane"], key["seq"]), []).append(one["title"])
    return [
        {"table": table, "lane": lane, "seq": seq, "failed": titles}
        for (table, lane, seq), titles in sorted(rows.items())
    ]


def build_expectations(record: RunRecord) -> tuple[str, Table | None, Table | None]:
    """(sentences, every expectation, the first rows that failed one)."""
    quality = record.quality
    if quality is None:
        return "The rows were not checked against expectations.", None, None
    if quality["error"]:
        return f"The rows could not be checked against expectations: {quality['error']}.", None, None
    everything = quality["expectations"]
    broken = [one for one in everything if one["failed"]]
    unknown = [one for one in everything if not one["checked"]]
    rows = and_list(f"{number} {name}" for name, number in sorted(quality["rows"].items()))
    text = f"{count(len(everything) - len(unknown), 'expectation')} on {rows}: "
    text += f"{len(broken)} not met." if broken else "all met."
    if unknown:
        names = "; ".join(f"{one['table']}: {one['title']} ({one['reason']})" for one in unknown)
        text += f" Not checked: {names}."
    rows_flagged = flagged(quality)
    if rows_flagged:
        text += (
            f" {count(len(rows_flagged), 'row')} flagged; they stay in the ledger, and the verdict is no better than "
            f"{'NODATA' if any(one['critical'] for one in broken) else 'WARN'}."
        )
    return text, _all(everything), _first(rows_flagged)


def _all(expectations: list[Mapping[str, Any]]) -> Table:
    return Table(
        ("Rows", "Expectation", "Checked", "Failed", "Severity"),
        "llrrl",
        tuple(
            (
                one["table"],
                one["title"],
                str(one["checked"]),
                str(one["failed"]),
                "critical" if one["critical"] else "flag",
            )
            for one in expectations
        ),
    )


def _first(rows: list[dict[str, Any]]) -> Table | None:
    if not rows:
        return None
    shown = [(row["table"], str(row["lane"]), str(row["seq"]), ", ".join(row["failed"])) for row in rows[:_SHOWN]]
    if len(rows) > _SHOWN:
        shown.append(("...", "", "", f"{len(rows) - _SHOWN} more: truth_manifest.json has them"))
    return Table(("Rows", "Lane", "seq", "Fails"), "lrrl", tuple(shown))
