"""The evidence ledger: every trial and every confirmation ever made on a symbol, and what its error budget allows.

datasets/champion/<symbol>/evidence.jsonl is the truth, appended and made durable line by line; the tables
evidence_trial, evidence_confirmation and champion_history are copies that `synchronise` brings up to date, so that a
warehouse made again from its journals loses nothing. The rule is engine/champion/fdr.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from engine.champion.change import utc_text
from engine.champion.fdr import EvidenceSettings, Spent, load_evidence, wealth_after
from engine.champion.log import append, one_line, read_log
from engine.champion.store import ChampionStore
from engine.errors import InputError, StorageError
from engine.paths import Paths
from engine.warehouse.db import Warehouse

EVIDENCE = "evidence.jsonl"
PROMOTE, INCONCLUSIVE = "PROMOTE", "INCONCLUSIVE"
_SECONDS_PER_DAY = 86_400.0


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    format: int = Field(default=1, ge=1)
    when_utc: str


class Trial(_Line):
    """One tune. `lanes`: parameter sets in one pass; `market_start_ns`, `market_end_ns`: the span of its tapes."""

    kind: str = Field(default="trial", pattern="^trial$")
    tune_id: str
    trials: int = Field(ge=0)
    lanes: int = Field(ge=0)
    tape_digests: tuple[str, ...]
    seed: int
    market_start_ns: int | None = None
    market_end_ns: int | None = None


class Confirmation(_Line):
    """One test that was paid for."""

    kind: str = Field(default="confirmation", pattern="^confirmation$")
    confirmation_id: str
    challenger_sha256: str
    decision: str
    p_value: float = Field(ge=0, le=1)
    level: float
    promoted: bool
    wealth_before: float
    wealth_after: float
    reason: str

    @property
    def at_days(self) -> float:
        return datetime.fromisoformat(self.when_utc).timestamp() / _SECONDS_PER_DAY


@dataclass(frozen=True)
class Grant:
    """What a confirmation cost and whether the budget covers its promotion."""

    level: float
    promoted: bool
    wealth_before: float
    wealth_after: float
    reason: str


@dataclass(frozen=True)
class Ledger:
    """What stands in the file; `note` says what could not be read. A tune recorded twice counts once, as last said."""

    trials: tuple[Trial, ...]
    confirmations: tuple[Confirmation, ...]
    note: str

    def tests(self) -> list[Spent]:
        return [Spent(done.at_days, done.level, done.promoted) for done in self.confirmations]

    def summary(self, settings: EvidenceSettings, at_utc: datetime | None = None) -> dict[str, Any]:
        """Counts, the wealth at `at_utc` (now by default), and the level of a confirmation made then."""
        at_days = (at_utc or datetime.now(UTC)).timestamp() / _SECONDS_PER_DAY
        wealth = wealth_after(self.tests(), settings).at(at_days, settings)
        return {
            "tunes": len(self.trials),
            "trials": sum(trial.trials for trial in self.trials),
            "confirmations": len(self.confirmations),
            "promotions": sum(done.promoted for done in self.confirmations),
            "wealth": wealth.value,
            "next_level": wealth.level(settings),
            "alpha": settings.alpha,
            "note": self.note,
        }


def read_ledger(paths: Paths, symbol: str) -> Ledger:
    """The symbol's ledger; empty where there is none.

    Raises:
        StorageError: a line in its middle is damaged: what was spent is unknown, so nothing may be promoted.
    """
    file = _file(paths, symbol)
    trials: dict[str, Trial] = {}
    confirmations: dict[str, Confirmation] = {}
    log = read_log(file)
    for number, raw in enumerate(log.lines, 1):
        try:
            line = _LINE.validate_json(raw)
        except ValidationError as error:
            raise StorageError(
                f"line {number} is damaged, and with it what was spent",
                where=str(file),
                remedy="restore a backup of the datasets folder, or mend the line",
            ) from error
        if isinstance(line, Trial):
            trials[line.tune_id] = line
        else:
            confirmations.setdefault(line.confirmation_id, line)
    note = f"a torn line behind line {len(log.lines)} is passed over" if log.torn else ""
    return Ledger(tuple(trials.values()), tuple(confirmations.values()), note)


def record_trial(
    wh: Warehouse | None,
    paths: Paths,
    symbol: str,
    *,
    tune_id: str,
    trials: int,
    lanes: int,
    tape_digests: Sequence[str],
    seed: int,
    market_span_ns: tuple[int, int] | None = None,
    at_utc: datetime | None = None,
) -> Trial:
    """Put a tune into the ledger; one of that id recorded before is replaced (a resumed tune ends with more trials).

    Args:
        wh: None where the warehouse's copy is to follow later.

    Raises:
        StorageError: it could not be written.
    """
    start_ns, end_ns = market_span_ns or (None, None)
    trial = Trial(
        when_utc=utc_text(at_utc), tune_id=tune_id, trials=trials, lanes=lanes, seed=seed,
        tape_digests=tuple(sorted(set(tape_digests))), market_start_ns=start_ns, market_end_ns=end_ns,
    )  # fmt: skip
    with ChampionStore(paths, symbol).lock():
        known = {done.tune_id: done for done in read_ledger(paths, symbol).trials}.get(tune_id)
        if known is None or known.model_copy(update={"when_utc": trial.when_utc}) != trial:
            _append(paths, symbol, trial)
    if wh is not None:
        synchronise(wh, paths, symbol)
    return trial


def spend(
    wh: Warehouse,
    paths: Paths,
    symbol: str,
    p_value: float,
    *,
    confirmation_id: str,
    challenger_sha256: str,
    decision: str,
    at_utc: datetime | None = None,
    settings: EvidenceSettings | None = None,
) -> Grant:
    """Pay for a confirmation whose verdict is final, whatever it is, and learn whether its promotion is covered.

    Paying comes before promoting: a promotion is made only where `.promoted`. The same `confirmation_id` again gives
    the grant that was given and costs nothing.

    Args:
        p_value: the judge's at its last look; 1 where it took none.
        decision: PROMOTE, HOLD or REJECT.

    Raises:
        InputError: the verdict is not final, or the p-value is none.
        StorageError: the ledger is damaged or could not be written; nothing is granted.
    """
    if decision == INCONCLUSIVE or not decision:
        raise InputError("an inconclusive confirmation is not paid for", where=symbol, remedy="gather more windows")
    if not 0 <= p_value <= 1:
        raise InputError(f"{p_value} is no p-value", where=symbol, remedy="give 0 to 1")
    settings = settings or load_evidence(paths.config)
    with ChampionStore(paths, symbol).lock():
        ledger = read_ledger(paths, symbol)
        known = next((done for done in ledger.confirmations if done.confirmation_id == confirmation_id), None)
        if known is None:
            known = _pay(ledger, p_value, confirmation_id, challenger_sha256, decision, utc_text(at_utc), settings)
            _append(paths, symbol, known)
    synchronise(wh, paths, symbol)
    return Grant(known.level, known.promoted, known.wealth_before, known.wealth_after, known.reason)


def _pay(
    ledger: Ledger,
    p_value: float,
    confirmation_id: str,
    challenger_sha256: str,
    decision: str,
    when_utc: str,
    settings: EvidenceSettings,
) -> Confirmation:
    at_days = datetime.fromisoformat(when_utc).timestamp() / _SECONDS_PER_DAY
    wealth = wealth_after(ledger.tests(), settings).at(at_days, settings)
    level = wealth.level(settings)
    promoted = decision == PROMOTE and p_value <= level
    if promoted:
        reason = f"covered: p {p_value:.3g} at or below level {level:.3g}"
    elif decision == PROMOTE:
        reason = (
            f"not covered: p {p_value:.3g} is above level {level:.3g}; {len(ledger.confirmations)} confirmations "
            f"before left {wealth.value:.3g} of {settings.initial_wealth:g}, and time brings half of the rest back "
            f"in {settings.half_life_days:g} days"
        )
    else:
        reason = f"{decision}: level {level:.3g} spent"
    return Confirmation(
        when_utc=when_utc,
        confirmation_id=confirmation_id,
        challenger_sha256=challenger_sha256,
        decision=decision,
        p_value=float(p_value),
        level=level,
        promoted=promoted,
        wealth_before=wealth.value,
        wealth_after=wealth.after(level, promoted, settings).value,
        reason=reason,
    )


def synchronise(wh: Warehouse, paths: Paths, symbol: str) -> None:
    """Make the warehouse's copy of the symbol's history and ledger that of the files; nothing where they agree."""
    ledger = read_ledger(paths, symbol)
    history = [
        {
            "symbol": symbol, "seq": change.seq, "kind": change.kind, "champion_id": change.id,
            "instead_of": change.instead_of, "params": _json(change.params), "params_sha256": change.params_sha256,
            "since_utc": change.since_utc, "frozen": change.frozen, "who": change.who, "when_utc": change.when_utc,
            "why": change.why, "evidence": _json(change.evidence),
        }
        for change in ChampionStore(paths, symbol).history()
    ]  # fmt: skip
    trials = [
        {"symbol": symbol, **trial.model_dump(exclude={"format", "kind"}), "tape_digests": _json(trial.tape_digests)}
        for trial in ledger.trials
    ]
    confirmations = [
        {"symbol": symbol, "seq": number, **done.model_dump(exclude={"format", "kind"})}
        for number, done in enumerate(ledger.confirmations, 1)
    ]
    tables = {"champion_history": history, "evidence_trial": trials, "evidence_confirmation": confirmations}
    stale = {name: rows for name, rows in tables.items() if _rows(wh, name, symbol) != _sorted(rows)}
    if not stale:
        return
    with wh.transaction():
        for name, rows in stale.items():
            wh.execute(f"DELETE FROM {name} WHERE symbol = ?", [symbol])
            for row in rows:
                names = ", ".join(row)
                wh.execute(f"INSERT INTO {name} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


def synchronise_all(wh: Warehouse, paths: Paths) -> None:
    """The same for every symbol that has a champion's folder."""
    for symbol in paths.champion_symbols():
        synchronise(wh, paths, symbol)


_LINE: TypeAdapter[Trial | Confirmation] = TypeAdapter(Trial | Confirmation)


def _rows(wh: Warehouse, table: str, symbol: str) -> list[str]:
    rows: pa.Table = wh.columns(f"SELECT * FROM {table} WHERE symbol = ?", [symbol])
    return _sorted(rows.to_pylist())


def _sorted(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(_json(row) for row in rows)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _append(paths: Paths, symbol: str, line: Trial | Confirmation) -> None:
    file = _file(paths, symbol)
    append(file, one_line(line.model_dump(mode="json"), where=str(file)))


def _file(paths: Paths, symbol: str) -> Path:
    return paths.champion(symbol) / EVIDENCE
