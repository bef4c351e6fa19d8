from __future__ import annotations

import threading

import pytest

from engine.control.board import KEPT_OUTCOMES, Board, Outcome, QueueFullError, RunOverError, Snapshot

NOTHING = Snapshot(0, {}, {}, {})


def test_actions_come_out_in_the_order_they_went_in() -> None:
    board = Board(NOTHING, 10)
    first, future = board.submit("pause")
    second, _ = board.submit("reload_risk", {"a": 1})
    assert board.take() == [first, second]
    assert board.take() == []
    assert dict(second.values) == {"a": 1}
    outcome = board.outcome(first.id)
    assert outcome is not None
    assert outcome.status == "pending"
    board.resolve(Outcome(first.id, "pause", "effective", 5, True))
    assert future.result(0).effective_ts_ns == 5
    assert board.outcome(first.id) == future.result(0)


def test_a_full_queue_takes_no_more_until_the_loop_has_taken_some() -> None:
    board = Board(NOTHING, 2)
    board.submit("pause")
    board.submit("resume")
    with pytest.raises(QueueFullError):
        board.submit("pause")
    board.take()
    assert board.submit("pause")[0].id == 3


def test_what_still_waits_at_the_end_expires() -> None:
    board = Board(NOTHING, 2)
    _, taken = board.submit("pause")
    board.take()
    _, future = board.submit("pause")
    board.close()
    assert (taken.result(0).status, future.result(0).status) == ("expired", "expired")
    with pytest.raises(RunOverError):
        board.submit("pause")
    assert board.take() == []


def test_nobody_who_waits_can_cancel_an_action() -> None:
    board = Board(NOTHING, 2)
    action, future = board.submit("pause")
    assert not future.cancel()
    board.resolve(Outcome(action.id, "pause", "effective"))


def test_outcomes_are_kept_up_to_a_number() -> None:
    board = Board(NOTHING, KEPT_OUTCOMES + 5)
    for _ in range(KEPT_OUTCOMES + 5):
        board.submit("pause")
    assert board.outcome(5) is None
    assert board.outcome(6) is not None


def test_every_action_of_many_threads_is_taken_once() -> None:
    board = Board(NOTHING, 10_000)
    threads = [threading.Thread(target=lambda: [board.submit("pause") for _ in range(200)]) for _ in range(8)]
    taken = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken += board.take()
    taken += board.take()
    assert sorted(action.id for action in taken) == list(range(1, 1601))
