"""A champion is taken back: parameters byte for byte, report, event, and the same after a kill at any step."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from engine.champion import rollback
from engine.champion.change import canonical
from engine.champion.guard import guard
from engine.champion.rollback import finish_rollback, roll_back
from engine.champion.watch import watch_champion
from engine.errors import InputError, StorageError
from engine.events import emit, read_events
from engine.files import write_json
from engine.params import Params
from engine.report.rollback_artefacts import render_rollback
from engine.tuning.judge import load_judge
from engine.tuning.pairing import window_series
from engine.warehouse.db import Warehouse
from engine.warehouse.ingest import ingest

DAY = 86_400


@pytest.fixture
def promoted(store, sets, at):
    """A, then B; the overrides file as a soak writes it for B."""
    first = store.promote(sets[0], who="tune", why="shown", at_utc=at(0))
    second = store.promote(sets[1], who="tune", why="shown again", at_utc=at(1))
    write_json(store.paths.overrides("BTCUSDT"), dict(sets[1]))
    return first, second


def seen_loss(paths):
    return watch_champion(window_series([0, 1], [-200.0, -90.0], [1e4, 1e4]), None, load_judge(paths.config))


def test_everything_is_restored_reported_and_told(paths, store, promoted, sets, at) -> None:
    first, second = promoted
    done = roll_back(paths, "BTCUSDT", why="loss of 290", watch=seen_loss(paths), at_utc=at(2))
    assert done.champion.id == first.id == store.current().id
    assert paths.overrides("BTCUSDT").read_bytes() == canonical(sets[0]) == first.bytes
    assert done.report == done.folder / "ROLLBACK.md"
    assert done.folder.parent.parent == paths.reports
    assert done.folder.parent.name == at(2).date().isoformat()
    document = json.loads((done.folder / "ROLLBACK.json").read_text())
    assert document["changes"] == [{"parameter": "min_interval_ms", "unit": "ms", "from": 120, "to": 80}]
    assert document["evidence"]["watch"]["verdict"] == "rollback"
    text = done.report.read_text()
    for words in (
        f"# Rolled back BTCUSDT: {second.id} to {first.id}",
        "loss of 290",
        "| min_interval_ms |",
        "| breaker ",
        f"nightsoak champion rollback --symbol BTCUSDT --to {second.id}",
    ):
        assert words in text
    assert text == render_rollback(document)["ROLLBACK.md"].decode()
    assert max(map(len, text.splitlines())) <= 80
    (event,) = read_events(paths)
    assert event == done.event
    assert event.payload["report"] == done.report.relative_to(paths.reports).as_posix()
    assert store.history()[-1].evidence["watch"]["pnl_quote"] == -290.0


def test_the_report_tells_why_the_set_was_promoted_not_why_it_was_frozen(paths, store, promoted) -> None:
    store.freeze(why="holiday")
    done = roll_back(paths, "BTCUSDT", why="worse")
    document = json.loads((done.folder / "ROLLBACK.json").read_text())
    assert document["from"]["promoted_why"] == "shown again"
    assert document["from"]["since_utc"] == promoted[1].since_utc
    assert done.champion == store.current() and done.champion.frozen


def test_a_rollback_by_hand_says_that_no_detector_took_part(paths, promoted) -> None:
    text = roll_back(paths, "BTCUSDT", why="asked for", who="op").report.read_text()
    assert "No detector took part" in text
    assert "by op" in text


@pytest.mark.parametrize("how", ["asked again", "finished by one who does not know of it"])
@pytest.mark.parametrize("step", ["write_atomic", "write_rollback", "emit"])
def test_stopped_at_any_step_it_can_be_finished(paths, store, promoted, monkeypatch, step, how) -> None:
    first, second = promoted

    def full(*args, **kwargs):
        raise StorageError("the disk is full", where="here", remedy="make room")

    with monkeypatch.context() as patch:
        patch.setattr(rollback, step, full)
        with pytest.raises(StorageError):
            roll_back(paths, "BTCUSDT", why="worse", failing=second.id)
    assert store.current().id == first.id
    if how == "asked again":
        done = roll_back(paths, "BTCUSDT", why="worse", failing=second.id)
        assert roll_back(paths, "BTCUSDT", why="worse", failing=second.id) == done
    else:
        store.freeze()
        done = finish_rollback(paths, "BTCUSDT")
        store.freeze(False)
    assert finish_rollback(paths, "BTCUSDT") is None
    assert [change.kind for change in store.history()][:3] == ["promote", "promote", "rollback"]
    assert paths.overrides("BTCUSDT").read_bytes() == first.bytes
    assert done.report.is_file()
    assert len(read_events(paths)) == 1
    assert len(list(done.folder.parent.iterdir())) == 1


def test_there_is_nothing_to_finish_where_nothing_was_rolled_back(paths, store, promoted) -> None:
    assert finish_rollback(paths, "ETHUSDT") is None
    assert finish_rollback(paths, "BTCUSDT") is None
    roll_back(paths, "BTCUSDT", why="worse")
    paths.events.unlink()
    store.promote(Params(min_interval_ms=200), who="t", why="")
    assert finish_rollback(paths, "BTCUSDT") is None  # it is no longer in force


def test_another_champion_than_the_failing_one_is_left_alone(paths, store, promoted) -> None:
    with pytest.raises(InputError, match="is not the champion"):
        roll_back(paths, "BTCUSDT", why="worse", failing="c9-none")
    with pytest.raises(InputError, match="nothing to go back to"):
        roll_back(paths, "ETHUSDT", why="worse")
    assert store.current() == promoted[1]
    assert not paths.reports.exists()


def test_events_are_written_once_and_read_past_damage(paths) -> None:
    for _ in range(2):
        emit(paths, "a", {"x": 1}, event_id="1", at_utc="2026-11-20T00:00:00+00:00")
    with paths.events.open("ab") as file:
        file.write(b"junk\n{torn")
    emit(paths, "b", {}, event_id="2", at_utc="2026-11-20T00:00:01+00:00")
    assert [(event.id, event.name) for event in read_events(paths)] == [("1", "a"), ("2", "b")]
    with pytest.raises(InputError, match="as JSON"):
        emit(paths, "c", {"x": float("inf")}, event_id="3", at_utc="")


def test_the_guard_finds_a_drop_since_the_promotion_over_nights(paths, store, sets, write_run, at) -> None:
    a, b, _ = sets
    rng = np.random.default_rng(1)
    base = [rng.normal(1.0, 0.3, 30) for _ in range(3)]

    def night(stamp, champion, other, drop, number):
        own, beside = base[number] - drop + rng.normal(0, 0.4, 30), base[number]
        write_run(stamp, {0: ("champion", champion), 1: ("challenger", other)}, {0: own.tolist(), 1: beside.tolist()},
                  market=number)  # fmt: skip

    def watched():
        with Warehouse(paths.warehouse) as wh:
            ingest(wh, [paths.journals])
            return guard(wh, store)

    night("20261101T220000", a, b, 0.0, 0)  # before the promotion: the confirmation
    day = 1_793_318_400  # 2026-10-30
    store.promote(a, who="t", why="", at_utc=datetime.fromtimestamp(day, UTC))
    store.promote(b, who="t", why="", at_utc=datetime.fromtimestamp(day + 3 * DAY + DAY, UTC))  # 2026-11-03
    assert watched().watch.verdict == "nodata"
    night("20261103T220000", b, a, 0.1, 1)
    first = watched()
    assert (first.watch.watched, first.watch.windows, first.watch.verdict) == ("difference", 30, "ok")
    assert first.watch.findings["cusum"]["baseline_from"] == "30 windows before the promotion"
    night("20261104T220000", b, a, 1.0, 2)
    found = watched()
    assert (found.watch.verdict, found.watch.windows) == ("rollback", 60)
    assert found.where.endswith("of run 20261104T220000-BTCUSDT-0002")
    roll_back(paths, "BTCUSDT", why="worse", watch=found.watch, failing=found.champion.id)
    assert store.current().params == a


INVERSE = {"lot": "1", "contract": "inverse", "contract_size": "1", "quote_currency": "USD", "pnl_currency": "BTC"}


@pytest.mark.parametrize(("contracts", "label"), [(10, "HEALTHY"), (10_000, "ROLLBACK")])
def test_the_breaker_takes_pnl_in_coins_at_the_mid(paths, store, write_run, contracts, label) -> None:
    """Bought at 60,060, sold at 60,000: 10,000 contracts lose 10,000/60,000 - 10,000/60,060 = 0.000167 BTC, or 9.99
    USD a window; 30 of them 300 USD, which is 0.005 in the PnL currency, far below a limit of 250 read as BTC."""
    store.promote(Params(min_interval_ms=90), who="t", why="", at_utc=datetime(2026, 10, 30, tzinfo=UTC))
    losing = {0: [(60_060.0, 60_000.0, contracts)] * 30}
    write_run("20261101T220000", {0: ("champion", store.current().params)}, losing, grid=INVERSE, market=59_900)
    with Warehouse(paths.warehouse) as wh:
        ingest(wh, [paths.journals])
        watch = guard(wh, store).watch
    assert watch.findings["breaker"]["label"] == label
    assert watch.pnl_quote == pytest.approx(-30 * contracts * 60_000 * (1 / 60_000 - 1 / 60_060), rel=0.01)


def test_initial_values_that_fail_are_reported_not_rolled_back(paths, store, write_run, sets) -> None:
    write_run("20261101T220000", {0: ("champion", Params())}, {0: [-200.0, -90.0]})
    with Warehouse(paths.warehouse) as wh:
        ingest(wh, [paths.journals])
        found = guard(wh, store)
    assert found.watch.verdict == "fallback"
    assert "no former champion to go back to" in found.watch.reasons[-1]
