"""ROLLBACK.json in words: what ROLLBACK.md shows, rounded and sorted here; the template only lays it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.report.format import plain
from engine.report.table import Markdown, Table, code


@dataclass(frozen=True)
class RollbackView:
    title: str
    summary: tuple[tuple[str, str], ...]
    changes: Table
    detector_text: str
    detector: Table
    steps: tuple[str, ...]
    notice: tuple[str, ...]


def build_rollback_view(document: Mapping[str, Any]) -> RollbackView:
    """The view of a ROLLBACK.json object."""
    before, after = document["from"], document["to"]
    watch = document["evidence"].get("watch")
    symbol = document["symbol"]
    since = f", in force since {_minute(before['since_utc'])}" if before["since_utc"] else ""
    promoted = f" ({before['promoted_why']})" if before["promoted_why"] else ""
    return RollbackView(
        title=f"Rolled back {symbol}: {before['id']} to {after['id']}",
        summary=(
            ("What", f"{before['id']}{since}{promoted}, was taken back; {after['id']} is the champion again."),
            ("Why", document["why"]),
            ("When", f"{_minute(document['when_utc'])} UTC, by {document['who']}"),
            ("Digest", f"sha256 {after['params_sha256'][:16]} of the parameters now in force"),
        ),
        changes=Table(
            ("Parameter", "Unit", "From", "To"),
            "llrr",
            tuple((row["parameter"], row["unit"], plain(row["from"]), plain(row["to"])) for row in document["changes"]),
        ),
        detector_text=_detector_text(watch),
        detector=_detector(watch),
        steps=(
            f"A running bot takes the parameters from {_overrides(symbol)} at once, a replay at its next edge.",
            Markdown(f"See how it came to this: {code(f'nightsoak champion history --symbol {symbol}')}"),
            Markdown(
                f"To let nothing be promoted until the cause is known: "
                f"{code(f'nightsoak champion freeze --symbol {symbol}')}"
            ),
            Markdown(
                f"To undo this rollback: {code(f'nightsoak champion rollback --symbol {symbol} --to ' + before['id'])}"
            ),
        ),
        notice=(
            f"ROLLED BACK · {symbol} · {before['id']} to {after['id']}",
            f"Why: {document['why']}",
            f"Changed: {_moves(document['changes'])}",
            "Decide: whether the market or the parameters were the cause",
            f"Report: nightsoak report {document['rollback_id']}",
        ),
    )


def _moves(changes: Sequence[Mapping[str, Any]]) -> str:
    moves = [f"{row['parameter']} {plain(row['from'])} -> {plain(row['to'])}" for row in changes]
    return ", ".join(moves) or "nothing; both sets are the same"


def _detector_text(watch: Mapping[str, Any] | None) -> str:
    if watch is None:
        return "No detector took part: this rollback was asked for."
    what = "difference to the former champion" if watch["watched"] == "difference" else "level"
    return (
        f"Watched: the {what} over {watch['windows']} windows, {watch['missing']} without data. PnL since then "
        f"{watch['pnl_quote']:+,.4g}, drawdown {watch['drawdown_quote']:,.4g} in quote currency."
    )


def _detector(watch: Mapping[str, Any] | None) -> Table:
    headers = ("Detector", "Observed", "Limit", "Status", "Reason")
    findings = watch["findings"] if watch is not None else {}
    rows = tuple(
        (name, plain(round(found["observed"], 4)), plain(found["limit"]), found["label"], found["reason"])
        for name, found in findings.items()
    )
    return Table(headers, "lrrll", rows)


def _minute(utc: str) -> str:
    return utc[:16].replace("T", " ")


def _overrides(symbol: str) -> str:
    return f"datasets/overrides/{symbol}.json"
