"""A symbol's champion on disk: champion_state.json (what is in force) and history.jsonl (every change, whole).

A change takes the lock, appends its line to the history and makes it durable, then replaces the state file. So after
a kill at any moment the state file is that of the last line or of the one before, and reading makes the first of the
second (engine/champion/reading.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from engine.champion.challengers import CHALLENGERS, Challenger, challenger_id, read_challengers, write_challengers
from engine.champion.change import FORMAT, Before, Champion, Change, Kind, params_sha256, utc_text
from engine.champion.log import append, cut, locked, one_line, storage_error
from engine.champion.reading import (
    HISTORY,
    STATE,
    OnDisk,
    champion_of,
    find,
    last_taking_effect,
    read_folder,
    read_state,
    replaced_by,
)
from engine.errors import InputError, NightsoakError, StorageError, did_you_mean
from engine.files import to_json, write_atomic
from engine.params import Params
from engine.paths import Paths, file_name


class ChampionStore:
    """`ChampionStore(paths, "BTCUSDT")`: reads and changes one symbol's champion.

    Raises:
        InputError: the symbol is empty.
    """

    def __init__(self, paths: Paths, symbol: str) -> None:
        if not symbol:
            raise InputError("the symbol is empty", remedy="name one, such as BTCUSDT")
        self.paths, self.symbol = paths, symbol
        self.folder = paths.champion(symbol)
        self.state_file, self.history_file = self.folder / STATE, self.folder / HISTORY
        self.challengers_file = self.folder / CHALLENGERS

    def lock(self) -> AbstractContextManager[None]:
        """Held while anything in the folder changes."""
        file = self.paths.locks / f"champion-{file_name(self.symbol)}.lock"
        return locked(file, what=f"the champion of {self.symbol}")

    def current(self) -> Champion:
        """The champion; a state file that had to be restored from history is written again.

        Raises:
            OverridesError: its parameters are outside the table; names the parameter.
            StorageError: the state is damaged and there is no history to restore it from.
        """
        read = read_folder(self.folder)
        if read.note:
            with self.lock():  # perhaps it was only read in the middle of a change
                read = read_folder(self.folder)
                with suppress(StorageError):  # said all the same
                    self._mend(read)
        return champion_of(read, self.symbol)

    def history(self) -> tuple[Change, ...]:
        """Every change in order, oldest first; lines that cannot be read are left out (`current().note` says so)."""
        return read_folder(self.folder).changes

    def params_of(self, champion_id: str) -> Params:
        """The parameters of a champion that is or was.

        Raises:
            InputError: no champion has had that id.
            OverridesError: its parameters are outside today's table.
        """
        params, _ = find(read_folder(self.folder), champion_id, where=self.symbol)
        return params

    def promote(
        self,
        params: Params,
        *,
        who: str,
        why: str,
        evidence: Mapping[str, Any] | None = None,
        at_utc: datetime | None = None,
        over: str | None = None,
    ) -> Champion:
        """Make `params` the champion.

        Args:
            over: only over the set with this digest; over another one nothing changes, and that one is returned.

        Raises:
            InputError: the champion is frozen, or is this set already, or the evidence is no JSON.
            OverridesError: a value is out of range.
            StorageError: it could not be written; the champion is as it was.
        """
        params = Params().with_changes(params, where="the new champion")

        def change(now: Champion, read: OnDisk) -> Change | None:
            if over is not None and now.sha256 != over:
                return None
            if now.frozen:
                raise InputError(
                    f"the champion of {self.symbol} is frozen, nothing is promoted",
                    where=str(self.state_file),
                    remedy="`nightsoak champion unfreeze` lifts that",
                )
            if params_sha256(params) == now.sha256:
                raise InputError(
                    f"these parameters are those of the champion {now.id} already",
                    where=self.symbol,
                    remedy="promote another set",
                )
            number = 1 + sum(done.kind == "promote" for done in read.changes)
            before = Before(id=now.id, params=_plain(now.params))
            new_id = f"c{number}-{params_sha256(params)[:8]}"
            return self._next(read, now, "promote", new_id, params, before, who, why, evidence, at_utc)

        champion = self._change(change)[0]
        self._waits_no_more(champion.params, at_utc)
        return champion

    def rollback(
        self,
        to: str | None = None,
        *,
        who: str,
        why: str,
        evidence: Mapping[str, Any] | None = None,
        at_utc: datetime | None = None,
        failing: str | None = None,
    ) -> Change:
        """Put a former champion back, by default the one that this one replaced. A frozen champion may be rolled back.

        Returns:
            the change that was made; where `failing` is not the champion, the last promotion or rollback.

        Args:
            to: the id of any champion of the history, or "baseline".
            failing: roll back only if this is the champion; if not, nothing changes.

        Raises:
            InputError: there is nothing to go back to, or no champion has had that id.
            StorageError: it could not be written; the champion is as it was.
        """

        def change(now: Champion, read: OnDisk) -> Change:
            if failing is not None and now.id != failing:
                last = last_taking_effect(read.changes)
                if last is None:
                    raise InputError("nothing was ever promoted", where=self.symbol, remedy="nothing to roll back")
                return last
            target = to if to is not None else (now.former.id if now.former else None)
            if target is None:
                raise InputError(
                    f"the champion {now.id} has replaced none, there is nothing to go back to",
                    where=self.symbol,
                    remedy="name one of `nightsoak champion history` with --to",
                )
            if target == now.id:
                raise InputError(f"{target} is the champion already", where=self.symbol, remedy="name another one")
            if to is None and now.former is not None:
                params, previous = now.former.params, replaced_by(read, target)
            else:
                params, previous = find(read, target, where=self.symbol)
            return self._next(read, now, "rollback", target, params, previous, who, why, evidence, at_utc)

        now, made = self._change(change)
        assert made is not None
        self._waits_no_more(now.params, at_utc)
        return made

    def freeze(
        self, frozen: bool = True, *, who: str = "operator", why: str = "", at_utc: datetime | None = None
    ) -> Champion:
        """Refuse promotions from here on, or let them pass again; freezing twice changes nothing."""

        def change(now: Champion, read: OnDisk) -> Change | None:
            if now.frozen == frozen:
                return None
            kind: Kind = "freeze" if frozen else "unfreeze"
            before = Before(id=now.former.id, params=_plain(now.former.params)) if now.former else None
            made = self._next(read, now, kind, now.id, now.params, before, who, why, None, at_utc)
            return made.model_copy(update={"frozen": frozen, "since_utc": now.since_utc})

        return self._change(change)[0]

    def challengers(self) -> tuple[Challenger, ...]:
        """Candidates that wait for their confirmation, oldest first.

        Raises:
            ConfigError, OverridesError: the file is not what it must be; names the key or the parameter.
        """
        return tuple(known for known in self._listed() if not known.withdrawn_utc)

    def withdrawn(self) -> tuple[Challenger, ...]:
        """Those that wait no more and whose tests are still to be paid for. Raises as `challengers`."""
        return tuple(known for known in self._listed() if known.withdrawn_utc)

    def _listed(self) -> tuple[Challenger, ...]:
        return read_challengers(self.challengers_file)

    def propose(
        self,
        params: Params,
        *,
        why: str,
        origin: str,
        fresh_after_ns: int | None = None,
        seen_tapes: Collection[str] = (),
        at_utc: datetime | None = None,
    ) -> Challenger:
        """Let `params` wait for a confirmation; a set that waits already is returned as it is.

        Args:
            origin: the tune it comes from, or who proposes it.
            fresh_after_ns: market time before which windows were seen when it was chosen.
            seen_tapes: digests of the tapes that were seen.

        Raises:
            InputError: it is the champion's own set.
            OverridesError: a value is out of range.
            StorageError: it could not be written; nothing changed.
        """
        params = Params().with_changes(params, where="the challenger")
        if params_sha256(params) == self.current().sha256:
            raise InputError("these are the champion's own parameters", where=self.symbol, remedy="propose others")
        seen = tuple(sorted(set(seen_tapes)))
        new = Challenger(challenger_id(params), params, utc_text(at_utc), why, origin, fresh_after_ns, seen)
        with self.lock():
            known = next((known for known in self.challengers() if known.sha256 == new.sha256), None)
            if known is None:
                write_challengers(self.challengers_file, (*self._listed(), new))
        return known or new

    def withdraw(self, challenger: str, *, at_utc: datetime | None = None) -> Challenger:
        """Let a challenger wait no more; the next night pays for the looks that its test took (engine.champion.reigns).

        Raises:
            InputError: none has that id; names those that wait.
        """
        with self.lock():
            waiting = self.challengers()
            gone = next((known for known in waiting if known.id == challenger), None)
            if gone is None:
                remedy = did_you_mean(challenger, [known.id for known in waiting])
                raise InputError(f"no challenger {challenger!r} waits", where=self.symbol, remedy=remedy)
            self._mark({gone.id}, at_utc)
        return gone

    def forget(self, gone: Challenger) -> None:
        """Take a challenger off the list whose tests are paid for."""
        with self.lock():
            left = [known for known in self._listed() if (known.id, known.since_utc) != (gone.id, gone.since_utc)]
            write_challengers(self.challengers_file, left)

    def _mark(self, ids: Collection[str], at_utc: datetime | None) -> None:
        """Those of the waiting as withdrawn."""
        gone = {known.id for known in self.challengers()} & set(ids)
        if gone:
            when = utc_text(at_utc)
            rows = [
                replace(known, withdrawn_utc=when) if known.id in gone and not known.withdrawn_utc else known
                for known in self._listed()
            ]
            write_challengers(self.challengers_file, rows)

    def _waits_no_more(self, params: Params, at_utc: datetime | None) -> None:
        """The new champion is no challenger; a list that cannot be read is told elsewhere."""
        with suppress(NightsoakError), self.lock():
            self._mark({challenger_id(params)}, at_utc)

    def _change(self, make: Callable[[Champion, OnDisk], Change | None]) -> tuple[Champion, Change | None]:
        """(the champion behind it, what `make` gave); nothing is written where that is nothing or of before."""
        with self.lock():
            read = read_folder(self.folder)
            now = champion_of(read, self.symbol)
            change = make(now, read)
            if change is None or change.seq <= now.seq:
                return now, change
            self._mend(read)
            length = append(self.history_file, self._line(change))
            try:
                self._write_state(change)
            except (OSError, NightsoakError) as error:
                if read_state(self.state_file) != change:  # else it is there, and the history has made it durable
                    cut(self.history_file, length)
                    raise storage_error(self.state_file, error) from error
            return champion_of(OnDisk(change, (*read.changes, change), ""), self.symbol), change

    def _mend(self, read: OnDisk) -> None:
        """Write again what state or history lacks of the last change."""
        if read.last is None or not read.note:
            return
        if not read.changes or read.changes[-1].seq < read.last.seq:
            append(self.history_file, self._line(read.last))
        else:
            self._write_state(read.last)

    def _next(
        self,
        read: OnDisk,
        now: Champion,
        kind: Kind,
        new_id: str,
        params: Params,
        previous: Before | None,
        who: str,
        why: str,
        evidence: Mapping[str, Any] | None,
        at_utc: datetime | None,
    ) -> Change:
        when = utc_text(at_utc)
        return Change(
            format=FORMAT,
            seq=now.seq + 1,
            kind=kind,
            id=new_id,
            params=_plain(params),
            params_sha256=params_sha256(params),
            since_utc=when,
            frozen=now.frozen,
            previous=previous,
            instead_of=now.id,
            who=who,
            when_utc=when,
            why=why,
            evidence=dict(evidence or {}),
        )

    def _line(self, change: Change) -> bytes:
        return one_line(change.model_dump(), where=str(self.history_file))

    def _write_state(self, change: Change) -> None:
        write_atomic(self.state_file, to_json(change.model_dump()))


def _plain(params: Mapping[str, float]) -> dict[str, int | float]:
    return dict(params)
