"""The commands a report names: how to do the run again, and what to run next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from engine.report.format import plain
from engine.report.record import RunRecord
from engine.report.table import Markdown, code, escape


def soak_command(plan: Mapping[str, Any], *, hours: float | None = None) -> str:
    """The `nightsoak soak` line that makes this run again: plan["command"] where the plan has it."""
    given = plan.get("command")
    if given and hours is None:
        return shlex.join(["nightsoak", *given])
    tape = plan.get("tape") or {}
    words = ["nightsoak", "soak", "--hours", plain(plan["hours"] if hours is None else hours)]
    words += ["--iterations", str(plan["iterations"])]
    if plan["auto_tune"]:
        words.append("--auto-tune")
    if tape.get("name") and not tape.get("default"):
        words += ["--tape", str(tape["name"])]
    return shlex.join([*words, "--profile", str(plan["profile"])])


def again(record: RunRecord) -> tuple[Markdown, ...]:
    """Shell lines for a fenced block: the run again, and the report again from its own files."""
    return Markdown(soak_command(record.plan)), Markdown(f"nightsoak report {record.run_id}")


def next_step(record: RunRecord) -> Markdown:
    """One sentence with one command, by verdict."""
    verdict, plan = record.gate["verdict"], record.plan
    if record.interrupted:
        return Markdown(f"run it to the end, {code(soak_command(plan))}")
    if verdict == "SUCCESS":
        return Markdown(f"the long soak, {code(soak_command(plan, hours=24))}")
    if verdict == "NODATA":
        tape = (plan.get("tape") or {}).get("name")
        if tape:
            return Markdown(f"check the tape, {code(f'nightsoak tape verify {shlex.quote(str(tape))}')}")
        return Markdown(f"check the set-up, {code('nightsoak doctor')}")
    return Markdown(f"{escape('after your changes')}, {code(soak_command(plan))}")
