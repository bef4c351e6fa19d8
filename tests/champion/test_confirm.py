"""From nights to a promotion: what is judged, paid for, promoted, and what waits."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from engine.champion.challengers import write_challengers
from engine.champion.confirm import confirm
from engine.champion.evidence import market_of
from engine.champion.gate_windows import RATIOS, TAILS, pooled_kpis
from engine.champion.ledger import read_ledger, spend
from engine.champion.reigns import Reign, windows_of_test
from engine.errors import StorageError
from engine.params import Params
from engine.warehouse.db import Warehouse
from engine.warehouse.edge import edge_report
from engine.warehouse.ingest import ingest

PROPOSED = datetime(2026, 11, 1, 12, tzinfo=UTC)
JUDGED = datetime(2026, 11, 9, tzinfo=UTC)


@pytest.fixture
def waiting(store, sets):
    return store.propose(sets[0], why="screened", origin="tune-1", at_utc=PROPOSED)


@pytest.fixture
def nights(write_run, sets):
    """Nights of 32 windows; the challenger better by `gain` quote a window, with `cancels` orders cancelled beside the
    two that are filled; without orders in the journal where that is None."""

    def write(count: int, gain: float, first: int = 1, *, cancels: int | None = 1, champion=None, **more) -> None:
        for night in range(first, first + count):
            rng = np.random.default_rng(night)
            base = rng.normal(0, 0.4, 32)
            own = {0: base.tolist(), 1: (base + gain + rng.normal(0, 0.4, 32)).tolist()}
            lanes = {0: ("champion", champion or Params()), 1: ("challenger", sets[0])}
            orders = {} if cancels is None else {1: cancels}
            write_run(f"202611{night:02d}T220000", lanes, own, market=night, cancels=orders, **more)

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
    assert store.challengers() == store.withdrawn() == ()
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
    assert "16 windows to the next look, at most 64: 1 more night like these, at most 2" in done.reason
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


def test_gates_are_judged_on_all_the_nights_of_the_evidence(store, waiting, nights) -> None:
    """A bad night of the challenger fails the gate, and good ones behind it do not hide it, nor it them."""
    nights(1, 0.1, cancels=4)  # 4 of 6 orders end by cancel: above 0.65
    nights(1, 0.1, first=2, cancels=3)
    done = judged(store, waiting)
    assert done.gates.failed == () and done.judgement.verdict == "INCONCLUSIVE"  # (128 + 96) of 352
    nights(1, 0.1, first=3, cancels=12)
    done = judged(store, waiting)
    assert done.judgement.verdict == "REJECT" and done.grant is not None and not done.grant.promoted
    assert "cancel_ratio: 0.76" in done.reason and "above the fail bound 0.65" in done.reason
    assert store.current().seq == 0 and store.challengers() == ()


def test_a_night_without_data_for_a_gate_is_no_pass(store, waiting, nights) -> None:
    nights(2, 0.9, cancels=None)
    done = judged(store, waiting)
    assert (done.judgement.verdict, done.promoted, done.grant) == ("INCONCLUSIVE", None, None)
    assert "better than the champion" in done.reason and "it waits for windows that have them" in done.reason
    assert "cancel_ratio: no data: none in any of 64 windows" in done.reason
    assert store.challengers() == (waiting,)
    nights(1, 0.9, first=3)
    assert judged(store, waiting).promoted is not None


def test_over_a_whole_run_pooled_kpis_are_the_edge_report_s_and_pruned_ones_are_no_pass(store, waiting, nights) -> None:
    nights(1, 0.9, cancels=2)
    with Warehouse(store.paths.warehouse) as wh:
        ingest(wh, [store.paths.journals])
        paired = windows_of_test(wh, "BTCUSDT", waiting, Reign.of(store.current()), 300)
        pooled = pooled_kpis(wh, "BTCUSDT", paired.places())
        lane = edge_report(wh, paired.runs[0].run_id)["lanes"][1]
        for metric in (*RATIOS, *TAILS):
            assert pooled.get(metric) == lane[metric], metric
            assert (metric in pooled["null_reasons"]) == (lane[metric] is None)
        assert pooled["cancel_ratio"] == 0.5 and "kept" in pooled["null_reasons"]["max_drawdown_quote"]
        for table in ("raw_order", "raw_fill", "raw_other"):
            wh.execute(f"DELETE FROM {table}")
        wh.execute('DELETE FROM evidence_gate WHERE "window" < 3')
        done = confirm(wh, store, waiting, at_utc=JUDGED)
    assert (done.judgement.verdict, done.judgement.windows_usable) == ("INCONCLUSIVE", 32)
    assert "cancel_ratio: no data: 3 of 32 windows have no record of it" in done.reason


@pytest.mark.parametrize("count", [0, 1])
def test_before_the_first_look_no_gate_rejects(store, waiting, write_run, sets, count) -> None:
    lanes = {0: ("champion", Params()), 1: ("challenger", sets[0])}
    own = {0: [1.0] * 3 * count, 1: [2.0] * 3 * count} if count else {0: [], 1: []}
    write_run("20261102T220000", lanes, own, cancels={1: 9})
    done = judged(store, waiting)
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


def test_another_champion_ends_the_test_pays_for_its_looks_and_begins_a_new_one(store, waiting, nights, sets) -> None:
    nights(1, 0.0)
    assert judged(store, waiting).ended == ()
    c1 = store.promote(sets[1], who="operator", why="by hand", at_utc=datetime(2026, 11, 3, tzinfo=UTC))
    done = judged(store, waiting)
    assert (done.judgement.verdict, done.judgement.windows_usable, done.champion_id) == ("INCONCLUSIVE", 0, c1.id)
    ended = "its test against baseline ended after 32 windows, looks taken: 1, level 0.05 spent"
    assert done.ended == (ended,) and done.reason.endswith(f"{ended}; it began anew against {c1.id}")
    store.rollback(who="nightsoak", why="worse", at_utc=datetime(2026, 11, 3, 12, tzinfo=UTC))
    done = judged(store, waiting)  # what ran beside it before it was replaced is over
    assert (done.champion_id, done.judgement.windows_usable, done.ended) == ("baseline", 0, (ended,))
    c1 = store.promote(sets[1], who="operator", why="by hand", at_utc=datetime(2026, 11, 3, 18, tzinfo=UTC))
    (paid,) = read_ledger(store.paths, "BTCUSDT").confirmations
    assert (paid.decision, paid.promoted, paid.challenger_sha256) == ("HOLD", False, waiting.sha256)
    nights(1, 0.9, first=4, champion=sets[1])
    assert judged(store, waiting).promoted is not None  # on windows beside the champion in force


def test_one_that_is_withdrawn_is_paid_for_where_it_had_taken_a_look(store, waiting, nights, sets) -> None:
    """Else a set could be withdrawn and proposed again until it passes."""
    nights(1, 0.0)
    store.withdraw(waiting.id, at_utc=datetime(2026, 11, 3, tzinfo=UTC))
    again = store.propose(sets[0], why="once more", origin="op", at_utc=datetime(2026, 11, 3, tzinfo=UTC))
    (gone,) = store.withdrawn()
    done = judged(store, gone)
    assert done.reason == (
        "leaves the list, it was withdrawn: its test against baseline ended after 32 windows, looks taken: 1, "
        "level 0.05 spent"
    )
    (paid,) = read_ledger(store.paths, "BTCUSDT").confirmations
    assert paid.decision == "HOLD" and done.grant is None and done.promoted is None
    assert store.withdrawn() == () and store.challengers() == (again,)
    assert judged(store, again).judgement.windows_usable == 0


def test_no_two_are_promoted_on_the_same_windows(store, waiting, write_run, sets) -> None:
    other = store.propose(sets[1], why="screened", origin="tune-2", at_utc=PROPOSED)
    noise = np.random.default_rng(1).normal(0, 0.4, (2, 32))
    lanes = {0: ("champion", Params()), 1: ("challenger", sets[0]), 2: ("challenger", sets[1])}
    pnl = {0: noise[0].tolist(), 1: (noise[0] + 0.9 + 0.1 * noise[1]).tolist(), 2: (noise[0] + 1.2).tolist()}
    write_run("20261102T220000", lanes, pnl, cancels={1: 1, 2: 1})
    first, second = judged(store, waiting), judged(store, other)
    assert first.promoted is not None and second.promoted is None
    assert (
        second.judgement.windows_usable == 0 and "against baseline ended at PROMOTE after 32 windows" in second.reason
    )
    assert store.challengers() == (other,)


def test_changed_by_hand_between_verdict_and_promotion_nothing_is_promoted(
    store, waiting, nights, sets, monkeypatch
) -> None:
    nights(1, 0.9)
    promote = type(store).promote

    def meanwhile(self, params, **more):
        promote(store, sets[2], who="operator", why="by hand", at_utc=JUDGED)
        return promote(self, params, **more)

    monkeypatch.setattr(type(store), "promote", meanwhile)
    done = judged(store, waiting)
    assert done.promoted is None and store.current().params == sets[2]
    assert "not promoted: operator made" in done.reason and store.challengers() == (waiting,)


def test_proposed_by_a_clock_that_stood_ahead_it_says_why_nothing_counts(store, nights, sets) -> None:
    ahead = store.propose(sets[0], why="screened", origin="tune-1", at_utc=datetime(2031, 1, 1, tzinfo=UTC))
    nights(1, 0.9)
    done = judged(store, ahead)
    assert (done.judgement.verdict, done.judgement.windows_usable) == ("INCONCLUSIVE", 0)
    assert "no window counts before 2031-01-01" in done.reason and "set it right" in done.reason


def test_where_it_is_unknown_what_was_spent_nothing_is_promoted(store, waiting, nights) -> None:
    nights(1, 0.9)
    (store.folder / "evidence.jsonl").write_bytes(b"not json\n")
    with pytest.raises(StorageError, match="line 1 is damaged, and with it what was spent"):
        judged(store, waiting)
    assert store.current().seq == 0 and store.challengers() == (waiting,)


def test_one_that_is_the_champion_leaves_the_list(store, waiting, nights, sets) -> None:
    """As a kill between promotion and list leaves it."""
    nights(1, 0.9)
    store.promote(sets[0], who="operator", why="by hand", at_utc=JUDGED)
    write_challengers(store.challengers_file, [waiting])
    done = judged(store, waiting)
    assert "it is c1-" in done.reason and store.challengers() == () and done.grant is None
