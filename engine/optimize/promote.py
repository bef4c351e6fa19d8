"""What becomes of a round's candidate: paid for from the error budget, and promoted, refused, or left to wait.

The confirmation is this tune's on these tapes and has an id made of both, so it is paid for once however often it is
done again, and a promotion is found again in the champion's history by the tune's id.

A test is paid for when its looks could have promoted: whatever it said, since its windows are used up. That is one
payment more than in a night, where an open test goes on with the next night's windows: here an INCONCLUSIVE test that
took a look ends with its tapes, and its candidate waits for a test of its own in the coming soaks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.champion.award import award
from engine.champion.change import Champion, Change, params_sha256
from engine.champion.ledger import PROMOTE, Grant
from engine.champion.store import ChampionStore
from engine.night import settle_tune
from engine.paths import Paths
from engine.proposals import record_tune
from engine.search.tune import TuneResult
from engine.warehouse.opening import open_warehouse

WHO = "optimize"
HOLD = "HOLD"


@dataclass(frozen=True)
class Became:
    """`promoted` is the new champion where there is one; `grant` None where nothing was paid; `done` in words."""

    done: str
    grant: Grant | None
    promoted: Change | Champion | None


def settle(result: TuneResult, paths: Paths, *, number: int, min_delta_bps: float) -> Became:
    """Put the tune of round `number` into the ledger, pay for its confirmation, promote where that is covered.

    Raises:
        StorageError, LockHeldError: ledger, history or warehouse could not be written; done again it ends the same.
    """
    store = ChampionStore(paths, result.symbol)
    made = next((one for one in store.history() if one.kind == "promote" and _of(one) == result.tune_id), None)
    now = store.current()
    against = made is None and now.sha256 != params_sha256(result.champion)
    if result.verdict == PROMOTE and made is None and (against or now.frozen):
        why = "is frozen" if now.frozen else f"was changed by {now.who} while the tune ran"
        said = settle_tune(result, paths)
        return Became(f"Not promoted and nothing paid: the champion {now.id} {why}. {said}", None, None)
    decision = _decision(result, min_delta_bps)
    if result.verdict == PROMOTE:
        with open_warehouse(paths) as warehouse:
            record_tune(warehouse, result.document, paths)
        said = f"below --min-objective-delta {min_delta_bps:g} bps" if decision == HOLD else ""
    else:
        said = settle_tune(result, paths)
    if not decision or result.challenger is None:
        return Became(said, None, None)
    with open_warehouse(paths) as warehouse:
        became = award(
            warehouse,
            store,
            result.challenger,
            against=params_sha256(result.champion),
            confirmation_id=confirmation_id(result),
            decision=decision,
            p_value=1.0 if result.p_value is None else result.p_value,
            who=WHO,
            why=f"round {number}, tune {result.tune_id}: {result.reason}",
            evidence=_evidence(result),
        )
    grant, promoted = became.grant, made or became.promoted
    if promoted is None:
        told = f"Not promoted: {said or became.reason}." if result.verdict == PROMOTE else said
        return Became(f"{told} The confirmation cost {grant.level:.3g} of the error budget.", grant, None)
    return Became(f"{promoted.id} is the champion instead of {_before(promoted)}: {grant.reason}.", grant, promoted)


def confirmation_id(result: TuneResult) -> str:
    """One confirmation: this tune's candidate on these fresh tapes."""
    said = (result.symbol, result.tune_id, *sorted(result.evidence["fresh_tapes"]))
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def _decision(result: TuneResult, min_delta_bps: float) -> str:
    """The verdict as the ledger takes it; "" where no test was made on the fresh windows."""
    judgement: Mapping[str, Any] | None = result.document["judgement"]
    if judgement is None or (result.verdict == "INCONCLUSIVE" and not judgement["looks"]):
        return ""
    if result.verdict == "INCONCLUSIVE":
        return HOLD
    if result.verdict == PROMOTE and result.evidence["effect"]["mean_bps"] < min_delta_bps:
        return HOLD
    return result.verdict


def _evidence(result: TuneResult) -> dict[str, Any]:
    names = ("effect", "p_value", "windows_used", "window_seconds", "trials", "selection_tapes", "fresh_tapes")
    return {
        "origin": result.tune_id,
        "verdict": result.verdict,
        "confirmation_id": confirmation_id(result),
        **{name: result.evidence[name] for name in names},
    }


def _of(change: Change) -> str:
    return str(change.evidence.get("origin", "")) if change.who == WHO else ""


def _before(promoted: Change | Champion) -> str:
    former = promoted.previous if isinstance(promoted, Change) else promoted.former
    return former.id if former else "none"
