"""The commands a report names: how to do the run again, and what to run next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from engine.report.record import RECOMMENDED, RunRecord
from engine.report.table import Markdown, code

_LONG_SOAK_HOURS = "24"


def shell_line(words: Sequence[str]) -> str:
    """`nightsoak` and its arguments as one line that a shell takes as it is."""
    return shlex.join(["nightsoak", *(" ".join(word.splitlines()) for word in words)])


def again(record: RunRecord) -> tuple[Markdown, ...]:
    """Shell lines for a fenced block: the run again (of another bot's its windows), and the report again."""
    first = _windows(record) if record.foreign else record.plan["command"]
    return tuple(Markdown(shell_line(words)) for words in (first, ["report", record.run_id]))


def next_step(record: RunRecord, folder: str) -> Markdown:
    """One sentence with one command, by verdict. `folder`: where the report is."""
    verdict, plan = record.gate["verdict"], record.plan
    if record.foreign and verdict == "NODATA":
        return Markdown(f"see what each KPI lacks, {code(shell_line(['kpis', record.run_id]))}")
    if record.foreign:
        return Markdown(f"see it window by window, {code(shell_line(_windows(record)))}")
    command = list(plan["command"])
    if record.interrupted:
        return Markdown(f"run it to the end, {code(shell_line(command))}")
    if verdict == "SUCCESS":
        return Markdown(f"the long soak, {code(shell_line(_with(command, '--hours', _LONG_SOAK_HOURS)))}")
    if verdict == "NODATA":
        tape = (plan.get("tape") or {}).get("name")
        words = ["tape", "verify", str(tape)] if tape else ["doctor"]
        return Markdown(f"check the {'tape' if tape else 'set-up'}, {code(shell_line(words))}")
    if record.recommended is not None:
        words = _with(command, "--overrides", f"{folder}/{RECOMMENDED}")
        return Markdown(f"soak with the proposed set, {code(shell_line(words))}")
    return Markdown(f"after your changes, {code(shell_line(command))}")


def _windows(record: RunRecord) -> list[str]:
    return ["windows", record.run_id, "--seconds", str(record.plan["window_seconds"]), "--csv"]


def _with(words: list[str], option: str, value: str) -> list[str]:
    if option not in words:
        return [*words, option, value]
    at = words.index(option) + 1
    return [*words[:at], value, *words[at + 1 :]]
