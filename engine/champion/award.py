"""A final verdict becomes a fact: paid for from the error budget, and where that covers it, promoted.

The order makes it safe to be stopped: the verdict is paid for once under an id of its own, and only then is anything
promoted. Done again it comes to the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from engine.champion.change import Champion, params_sha256
from engine.champion.ledger import Grant, spend, synchronise
from engine.champion.promotion import tell_promotion
from engine.champion.store import ChampionStore
from engine.params import Params
from engine.warehouse.db import Warehouse


@dataclass(frozen=True)
class Award:
    """`promoted` is the new champion where there is one; `reason` why, or why not."""

    grant: Grant
    promoted: Champion | None
    reason: str


def award(
    wh: Warehouse,
    store: ChampionStore,
    params: Params,
    *,
    against: str,
    confirmation_id: str,
    decision: str,
    p_value: float,
    who: str,
    why: str,
    evidence: Mapping[str, Any],
    at_utc: datetime | None = None,
) -> Award:
    """Pay for `decision` on `params`, and promote them where it is PROMOTE and covered.

    Args:
        against: params_sha256 of the champion they were compared with; over another one nothing is promoted.
        p_value: the judge's at its last look; 1 where it took none.

    Raises:
        InputError: the champion was frozen meanwhile.
        StorageError: history, ledger or event could not be written; done again it goes on where it stopped.
    """
    grant = spend(
        wh,
        store.paths,
        store.symbol,
        p_value,
        confirmation_id=confirmation_id,
        challenger_sha256=params_sha256(params),
        decision=decision,
        at_utc=at_utc,
    )
    promoted, reason = None, grant.reason
    if grant.promoted:
        now = store.promote(
            params,
            who=who,
            why=f"{why}; {grant.reason}",
            evidence={**evidence, "grant": asdict(grant)},
            at_utc=at_utc,
            over=against,
        )
        if now.sha256 == params_sha256(params):
            promoted = now
            tell_promotion(store)
        else:
            reason = f"not promoted: {now.who} made {now.id} the champion meanwhile, with which it was not compared"
    synchronise(wh, store.paths, store.symbol)
    return Award(grant, promoted, reason)
