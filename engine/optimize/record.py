"""The optimiser's memory: an audit line per decision, and the state that follows from the lines.

`long_regression_audit.jsonl` is the truth, appended and made durable line by line; the state file is the lines folded,
written whole after each of them. So a kill leaves the state at most one line behind, which the next start folds in,
and a damaged state is made again from the lines. A line has an id (round and step) and is written once.

    begin      which tapes the round works on, and the champion it begins with
    verdict    what the tune said
    champion   what became of its candidate: promoted, refused, waiting, nothing
    drift      the champion's own level on the fresh tapes, and whether it was taken back
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.champion.change import utc_text
from engine.champion.log import append, one_line, read_log
from engine.errors import StorageError
from engine.files import to_json, write_atomic
from engine.optimize.settings import AUDIT

FORMAT = 1
Step = Literal["begin", "verdict", "champion", "drift"]
STEPS: tuple[Step, ...] = ("begin", "verdict", "champion", "drift")
_SHOWN_ROUNDS = 20


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Line(_Strict):
    """A decision. `state`: the state file's name; what does not belong to the step is null. `data` is what the state
    takes from it beside the fields."""

    format: int = FORMAT
    id: str
    state: str
    round: int = Field(ge=1)
    step: Step
    utc: str
    symbol: str
    tune_id: str | None = None
    verdict: str | None = None
    reason: str | None = None
    effect_bps: float | None = None
    p_value: float | None = None
    grant: dict[str, Any] | None = None
    champion_before: str
    champion_after: str
    drift: dict[str, Any] | None = None
    done: str
    data: dict[str, Any]

    @property
    def place(self) -> tuple[int, int]:
        return self.round, STEPS.index(self.step)


class WatchedLevel(_Strict):
    """The champion's windows since it took effect, and those of its confirmation, which are the healthy ones.

    A window is (PnL, notional, the former champion's PnL, its notional) in the PnL currency, null where unknown.
    `quote_per_pnl`: what that is multiplied by to be in quote currency, one a window of `windows`; fewer, of the newest
    windows, in a state from before they were kept.
    """

    champion: str
    since_utc: str
    healthy: tuple[tuple[float | None, ...], ...] = ()
    windows: tuple[tuple[float | None, ...], ...] = ()
    quote_per_pnl: tuple[float | None, ...] = ()


class State(_Strict):
    """`round`, `step`: of the last line folded; 0 and "drift" before the first. `open`: what the unfinished round
    began with; null between rounds. `champions`: id in force after each round. `rounds`: the last 20, merged."""

    round: int = 0
    step: Step = "drift"
    symbol: str = ""
    seen: tuple[str, ...] = ()
    open: dict[str, Any] | None = None
    champions: tuple[tuple[int, str], ...] = ()
    rounds: tuple[dict[str, Any], ...] = ()
    watch: WatchedLevel | None = None

    @property
    def place(self) -> tuple[int, int]:
        return self.round, STEPS.index(self.step)

    def after(self, line: Line) -> State:
        """The state behind `line`, which comes next."""
        shown = {
            name: value
            for name, value in line.model_dump(exclude={"format", "id", "state", "step", "data", "done"}).items()
            if value is not None and not (name == "reason" and line.step == "begin")
        }
        former = self.rounds[-1] if self.rounds and line.step != "begin" else {"done": {}}
        merged = {**former, **shown, "done": {**former["done"], line.step: line.done}}
        others = self.rounds if line.step == "begin" else self.rounds[:-1]
        changes: dict[str, Any] = {
            "round": line.round,
            "step": line.step,
            "symbol": line.symbol,
            "rounds": (*others, merged)[-_SHOWN_ROUNDS:],
        }
        if line.step == "begin":
            changes |= {"open": line.data, "seen": (*self.seen, *line.data["digests"])}
        elif line.step == "champion" and line.data:
            changes |= {"watch": WatchedLevel.model_validate(line.data)}
        elif line.step == "drift":
            changes |= {"open": None, "champions": (*self.champions, (line.round, line.champion_after))}
            changes |= {"watch": self._watch_after(line)}
        return self.model_copy(update=changes)

    def _watch_after(self, line: Line) -> WatchedLevel | None:
        if line.champion_after != line.champion_before:
            return self.watch if line.drift is None else None  # promoted in this round, or taken back
        if not line.data:
            return self.watch
        seen = WatchedLevel.model_validate(line.data)
        known = self.watch
        if known is None or (known.champion, known.since_utc) != (seen.champion, seen.since_utc):
            return seen
        rates = (*known.quote_per_pnl, *seen.quote_per_pnl)
        return known.model_copy(update={"windows": (*known.windows, *seen.windows), "quote_per_pnl": rates})


class Record:
    """`Record(state_file)` with `load` and `write`; the caller holds the state file's lock."""

    def __init__(self, state_file: Path) -> None:
        self.state_file = state_file
        self.audit_file = state_file.with_name(AUDIT)
        self.state = State()

    def load(self) -> list[str]:
        """Read the state; what had to be restored, in sentences.

        Raises:
            StorageError: the state is damaged and the audit file does not hold what is needed.
        """
        state, damage = self._read_state()
        lines, torn = self._read_lines()
        notes = []
        if state is None:
            if torn or (damage and not lines):
                raise StorageError(
                    f"is {damage or 'missing'}, and the audit file has {torn or 'no line of it'}",
                    where=str(self.state_file),
                    remedy=f"restore a backup, or remove it and {self.audit_file} to begin again",
                )
            if damage:
                self.state_file.replace(self.state_file.with_name(f"{self.state_file.name}.damaged"))
            if lines:
                notes.append(f"{self.state_file} is {damage or 'missing'}; restored from {self.audit_file.name}")
        self.state = state or State()
        behind = [line for line in lines if line.place > self.state.place]
        for line in behind:
            self.state = self.state.after(line)
        if behind:
            self._write_state()
        return notes

    def write(self, step: Step, utc: str | None = None, **fields: Any) -> None:
        """Append the line of the open round's `step` and fold it in.

        Raises:
            StorageError: it could not be written; the step counts as not done.
        """
        number = self.state.round + (step == "begin")
        line = Line(
            id=f"r{number}-{step}",
            state=self.state_file.name,
            round=number,
            step=step,
            utc=utc or utc_text(None),
            **fields,
        )
        append(self.audit_file, one_line(line.model_dump(mode="json"), where=str(self.audit_file)))
        # What is folded is what can be read back.
        self.state = self.state.after(Line.model_validate_json(line.model_dump_json()))
        self._write_state()

    def _write_state(self) -> None:
        value = self.state.model_dump(mode="json")
        write_atomic(self.state_file, to_json({"format": FORMAT, "sha256": _digest(value), "state": value}))

    def _read_state(self) -> tuple[State | None, str]:
        """(state or None, what is wrong with the file)."""
        try:
            raw = self.state_file.read_bytes()
        except FileNotFoundError:
            return None, ""
        except OSError as error:
            raise StorageError(
                f"cannot be read: {error.strerror}", where=str(self.state_file), remedy="name a file that can be read"
            ) from error
        try:
            envelope = json.loads(raw)
            if envelope["format"] != FORMAT or envelope["sha256"] != _digest(envelope["state"]):
                return None, "damaged or altered"
            return State.model_validate(envelope["state"]), ""
        except (ValueError, KeyError, TypeError, RecursionError):
            return None, "damaged or altered"

    def _read_lines(self) -> tuple[list[Line], str]:
        """(the lines of this state in order, what is wrong with the file)."""
        lines, bad = [], ""
        for number, raw in enumerate(read_log(self.audit_file).lines, 1):
            try:
                line = Line.model_validate_json(raw)
            except ValidationError:
                bad = bad or f"a damaged line {number}"
                continue
            if line.state == self.state_file.name:
                lines.append(line)
        return lines, bad


def _digest(value: Any) -> str:
    return hashlib.sha256(to_json(value).encode()).hexdigest()
