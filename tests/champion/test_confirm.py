"""From nights to a promotion: what is judged, paid for, promoted, and what waits."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from engine.champion.confirm import confirm
from engine.champion.evidence import market_of
from engine.champion.ledger import read_ledger, spend
from engine.errors import StorageError
from engine.params import Params
from engine.warehouse.db import Warehouse
from engine.warehouse.ingest import ingest

PROPOSED = datetime(2026, 11, 1, 12, tzinfo=UTC)
JUDGED = datetime(2026, 11, 9, tzinfo=UTC)


@pytest.fixture
def waiting(store, sets):
    return store.propose(sets[0], why="screened", origin="tune-1", at_utc=PROPOSED)


@pytest.fixture
def nights(write_run, sets):
    """Nights of 32 windows; the challenger better by `gain` quote a window."""

    def write(count: int, gain: float, first: int = 1) -> None:
        for night in range(first, first + count):
            rng = np.random.default_rng(night)
            base = rng.normal(0, 0.4, 32)
            own = {0: base.tolist(), 1: (base + gain + rng.normal(0, 0.4, 32)).tolist()}
            lanes = {0: ("champion", Params()), 1: ("challenger", sets[0])}
            write_run(f"202611{night:02d}T220000", lanes, own, market=night)

    return write


def judged(store, challenger, **more):
    with Warehouse(store.paths.warehouse) as wh:
        ingest(wh, [store.paths.journals])
        return confirm(wh, store, challenger, at_utc=JUDGED, **more)


def test_a_better_one_is_promoted_paid_for_and_leaves_the_list(store, waiting, nights) -> None:
    nights(2, 0.6)
    done = judged(store, waiting)
    assert done.judgement.verdict == "PROMOTE"
    assert done.promoted == store.current()
    assert store.current().params == waiting.params
    assert store.challengers() == ()
    evidence = store.history()[-1].evidence
    assert evidence["runs"] == ["20261101T220000-BTCUSDT-0001", "20261102T220000-BTCUSDT-0002"]
    assert evidence["p_value"] <= evidence["grant"]["level"]
    (paid,) = read_ledger(store.paths, "BTCUSDT").confirmations
    assert (paid.promoted, paid.challenger_sha256) == (True, waiting.sha256)
    with Warehouse(store.paths.warehouse) as wh:
        assert wh.execute("SELECT kind, champion_id FROM champion_history") == [("promote", store.current().id)]


def test_an_open_verdict_costs_nothing_and_says_how_many_nights_are_missing(store, waiting, nights) -> None:
    nights(1, 0.0)
    done = judged(store, waiting)
    assert (done.judgement.verdict, done.grant, done.promoted) == ("INCONCLUSIVE", None, None)
    assert done.nights_missing == (1, 2)
    assert "16 windows to the next look, at most 64: 1 more nights like these, at most 2" in done.reason
    assert store.challengers() == (waiting,)
    assert read_ledger(store.paths, "BTCUSDT").confirmations == ()


def test_one_that_is_not_shown_is_paid_for_and_taken_off(store, waiting, nights) -> None:
    nights(3, 0.0)
    done = judged(store, waiting)
    assert done.judgement.verdict in ("HOLD", "REJECT")
    assert not done.grant.promoted
    assert store.challengers() == ()
    assert store.current().seq == 0
    again = judged(store, waiting)
    assert again.grant == done.grant
    assert len(read_ledger(store.paths, "BTCUSDT").confirmations) == 1


FAILED = ["cancel_ratio: 0.7 is above 0.65"]
NO_DATA = ["order_age_p95_ms: no data"]


def test_gates_without_data_let_a_better_one_wait_and_one_that_fails_rejects(store, waiting, nights) -> None:
    nights(1, 0.9)
    done = judged(store, waiting, gates_missing=NO_DATA)
    assert (done.judgement.verdict, done.promoted, done.grant) == ("INCONCLUSIVE", None, None)
    assert NO_DATA[0] in done.reason and "better than the champion" in done.reason
    done = judged(store, waiting, ran=False)
    assert (done.judgement.verdict, done.promoted, done.grant) == ("INCONCLUSIVE", None, None)
    assert "it did not run in this night" in done.reason and done.nights_missing is not None
    assert store.challengers() == (waiting,)
    done = judged(store, waiting, gate_failures=FAILED)
    assert (done.judgement.verdict, done.promoted) == ("REJECT", None)
    assert FAILED[0] in done.reason and not done.grant.promoted
    assert store.current().seq == 0 and store.challengers() == ()


@pytest.mark.parametrize("count", [0, 1])
def test_before_the_first_look_no_gate_rejects(store, waiting, write_run, sets, count) -> None:
    lanes = {0: ("champion", Params()), 1: ("challenger", sets[0])}
    write_run("20261102T220000", lanes, {0: [1.0] * 3 * count, 1: [2.0] * 3 * count} if count else {0: [], 1: []})
    done = judged(store, waiting, gate_failures=FAILED, gates_missing=NO_DATA)
    assert (done.judgement.verdict, done.grant, done.judgement.windows_usable) == ("INCONCLUSIVE", None, 3 * count)
    assert store.challengers() == (waiting,)


def test_a_promotion_says_on_which_market_it_rests(store, waiting, nights, write_run, sets) -> None:
    nights(1, 0.9)
    lanes = {0: ("champion", Params()), 1: ("challenger", sets[0])}
    said = {"market": "recorded", "generator": None}
    write_run("20261104T220000", lanes, {0: [1.0], 1: [0.0]}, said=said, grid={"venue": "bybit-linear"}, market=90)
    done = judged(store, waiting)
    assert (done.judgement.verdict, done.judgement.windows_usable) == ("INCONCLUSIVE", 1)
    assert done.reason.endswith("on bybit-linear, profile S1")  # the market of the champion's last run
    with Warehouse(store.paths.warehouse) as wh:
        mock = market_of(wh, "BTCUSDT", "20261101T220000-BTCUSDT-0001")
    done = judged(store, waiting, market=mock)
    assert done.promoted is not None and done.reason.endswith("profile S1")
    assert store.history()[-1].evidence["market"]["kind"] == "generated"
    assert "the generated market of" in store.current().why


def test_a_promotion_that_the_budget_does_not_cover_is_not_made(store, waiting, nights) -> None:
    nights(3, 0.09)
    with Warehouse(store.paths.warehouse) as wh:
        for number in range(12):
            spend(wh, store.paths, "BTCUSDT", 1.0, confirmation_id=f"c{number}", challenger_sha256="d", decision="HOLD",
                  at_utc=JUDGED)  # fmt: skip
    done = judged(store, waiting)
    assert done.judgement.verdict == "PROMOTE"
    assert done.promoted is None
    assert "not covered" in done.reason
    assert store.current().seq == 0


def test_a_frozen_champion_lets_it_wait(store, waiting, nights) -> None:
    nights(1, 0.9)
    store.freeze()
    done = judged(store, waiting)
    assert (done.grant, done.promoted) == (None, None)
    assert "frozen" in done.reason
    store.freeze(False)
    assert judged(store, waiting).promoted is not None


def test_stopped_between_paying_and_promoting_it_goes_on(store, waiting, nights, monkeypatch) -> None:
    nights(1, 0.9)

    def full(*args, **kwargs):
        raise StorageError("the disk is full", where="here", remedy="make room")

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "promote", full)
        with pytest.raises(StorageError):
            judged(store, waiting)
    assert len(read_ledger(store.paths, "BTCUSDT").confirmations) == 1
    assert judged(store, waiting).promoted is not None
    assert len(read_ledger(store.paths, "BTCUSDT").confirmations) == 1


def test_after_a_rollback_the_old_evidence_does_not_promote_again(store, waiting, nights, sets) -> None:
    nights(1, 0.9)
    assert judged(store, waiting).promoted is not None
    store.rollback(who="t", why="worse", at_utc=JUDGED)
    again = store.propose(sets[0], why="once more", origin="op", at_utc=JUDGED)
    done = judged(store, again)
    assert (done.judgement.verdict, done.judgement.windows_usable) == ("INCONCLUSIVE", 0)
