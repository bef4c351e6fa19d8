"""What stands in a champion's folder: state and history, held against each other. Nothing is written here.

state whole, its seq that of the history's last line or beyond   the state
state missing, damaged or older                                  the history's last whole line, said in `note`
neither is there                                                 the baseline: nothing was ever promoted
state damaged, no history                                        an error: it is no first run
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.champion.change import BASELINE, Before, Champion, Change, Former, parse_change
from engine.champion.log import read_log
from engine.errors import InputError, NightsoakError, StorageError, did_you_mean
from engine.params import Params

STATE, HISTORY = "champion_state.json", "history.jsonl"


@dataclass(frozen=True)
class OnDisk:
    """`last` is what is in force, None before the first change; `changes` the history's whole lines; `note` says what
    had to be restored from what."""

    last: Change | None
    changes: tuple[Change, ...]
    note: str


def read_folder(folder: Path) -> OnDisk:
    """State and history.

    Raises:
        OverridesError: the state's parameters are outside the table; names the parameter.
        StorageError: the state is damaged and there is no history to restore it from.
    """
    changes, damage = _read_history(folder / HISTORY)
    state = read_state(folder / STATE)
    last = changes[-1] if changes else None
    if isinstance(state, Change):
        if last is None or state.seq >= last.seq:
            lost = [] if last and last.seq == state.seq else [f"{HISTORY} lacks change {state.seq}"]
            return OnDisk(state, changes, _sentence([*damage, *lost]))
        state = f"is older than the history ({state.seq} of {last.seq} changes)"
    if last is None:
        if state is None and not damage:
            return OnDisk(None, (), "")
        raise StorageError(
            f"is damaged ({state or damage[0]}), and there is no history to restore it from",
            where=str(folder / STATE),
            remedy="restore a backup, or remove the folder to begin again from the baseline",
        )
    said = f"{STATE} {state or 'was missing'}; restored from the history, change {last.seq}: {last.id}"
    return OnDisk(last, changes, _sentence([said, *damage]))


def read_state(file: Path) -> Change | str | None:
    """The state; why it is damaged; None where there is none. Raises OverridesError as `read_folder`."""
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    change = parse_change(raw)
    if isinstance(change, str):
        return f"was damaged: {change}"
    checked(change.params, str(file))  # what a person wrote into it is refused aloud, not put right
    return change if change.whole else "was altered: its parameters are not those of its digest"


def _read_history(file: Path) -> tuple[tuple[Change, ...], list[str]]:
    changes: list[Change] = []
    damage: list[str] = []
    for number, line in enumerate(read_log(file).lines, 1):
        change = parse_change(line)
        if isinstance(change, str) or not change.whole:
            damage.append(f"{HISTORY} line {number} is damaged and left out")
        elif not changes or change.seq > changes[-1].seq:
            changes.append(change)
    return tuple(changes), damage


def find(read: OnDisk, champion_id: str, *, where: str) -> tuple[Params, Before | None]:
    """Parameters of a champion that was, and what it had replaced when it last became champion.

    Raises:
        InputError: no champion has had that id; names those that had one.
    """
    if champion_id == BASELINE:
        return Params(), None
    for change in reversed(read.changes):
        if change.id == champion_id:
            return checked(change.params, f"champion {champion_id}"), change.previous
        if change.previous is not None and change.previous.id == champion_id:
            return checked(change.previous.params, f"champion {champion_id}"), replaced_by(read, champion_id)
    known = dict.fromkeys([BASELINE, *(change.id for change in read.changes)])
    raise InputError(f"no champion {champion_id!r}", where=where, remedy=did_you_mean(champion_id, known))


def replaced_by(read: OnDisk, champion_id: str) -> Before | None:
    """What that champion had replaced; None where the history does not say."""
    return next((change.previous for change in reversed(read.changes) if change.id == champion_id), None)


def last_taking_effect(changes: Sequence[Change]) -> Change | None:
    """The last promotion or rollback: freezing puts nothing in force."""
    return next((done for done in reversed(changes) if done.kind in ("promote", "rollback")), None)


def champion_of(read: OnDisk, symbol: str) -> Champion:
    """The champion that state and history name.

    Raises:
        OverridesError: its parameters are outside the table; names the parameter.
    """
    last = read.last
    if last is None:
        return Champion(symbol, BASELINE, Params(), "", False, None, 0, "", "", "initial values", {}, read.note)
    before = last.previous
    former = None
    if before is not None:
        try:
            former = Former(before.id, checked(before.params, f"the former champion {before.id}"))
        except NightsoakError as error:  # the champion itself is sound
            read = replace(read, note=_sentence([read.note, str(error)]))
    return Champion(
        symbol=symbol,
        id=last.id,
        params=checked(last.params, f"champion {last.id} of {symbol}"),
        since_utc=last.since_utc,
        frozen=last.frozen,
        former=former,
        seq=last.seq,
        who=last.who,
        when_utc=last.when_utc,
        why=last.why,
        evidence=last.evidence,
        note=read.note,
    )


def checked(values: Mapping[str, Any], where: str) -> Params:
    """A set read from disk against today's table."""
    return Params().with_changes(values, where=where)


def _sentence(parts: list[str]) -> str:
    return "; ".join(part for part in parts if part)
