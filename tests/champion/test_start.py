"""What the next run starts from: the champion, or its calmed set with the champion itself beside it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.champion.change import params_sha256
from engine.champion.evidence import champion_windows
from engine.champion.start import start_of
from engine.champion.watch import fallback_params
from engine.params import Params
from engine.tuning.rules import load_packages
from engine.warehouse.db import Warehouse
from engine.warehouse.ingest import ingest

PROMOTED = datetime(2026, 10, 30, tzinfo=UTC)


@pytest.fixture
def read(paths):
    def journals() -> None:
        with Warehouse(paths.warehouse) as wh:
            ingest(wh, [paths.journals])

    return journals


def test_a_champion_that_lost_twice_is_calmed_until_its_own_lane_has_not(paths, store, sets, write_run, read) -> None:
    champion = store.promote(sets[0], who="t", why="", at_utc=PROMOTED)
    assert start_of(paths, "BTCUSDT") == (sets[0], sets[0], "champion", ())  # there is no warehouse yet
    write_run("20261101T220000", {0: ("champion", sets[0])}, {0: [1.0, -1.0, -1.0]}, market=1)
    read()
    start = start_of(paths, "BTCUSDT")
    calmed = fallback_params(sets[0], load_packages(paths.config).fallback)
    assert calmed != sets[0]
    assert (start.params, start.champion, start.source) == (calmed, sets[0], "fallback")
    assert champion.id in start.notes[0] and "-1" in start.notes[0] and "the generated market of" in start.notes[0]

    # the calmed lane 0 is no evidence for the champion, the control is
    lanes = {0: ("champion", calmed), 1: ("control", sets[0])}
    write_run("20261102T220000", lanes, {0: [5.0, 5.0], 1: [-1.0, -1.0]}, market=2)
    read()
    assert start_of(paths, "BTCUSDT").source == "fallback"
    write_run("20261103T220000", lanes, {0: [-5.0, -5.0], 1: [-1.0, 1.0]}, market=3)
    read()
    assert start_of(paths, "BTCUSDT") == (sets[0], sets[0], "champion", ())
    with Warehouse(paths.warehouse) as wh:
        own = champion_windows(wh, "BTCUSDT", params_sha256(sets[0]))
    assert [run.lanes for run in own.runs] == [(0,), (1,), (1,)]


def test_initial_values_that_lose_start_as_they_are(paths, write_run, read) -> None:
    write_run("20261101T220000", {0: ("champion", Params())}, {0: [-1.0, -1.0]})
    read()
    assert start_of(paths, "BTCUSDT") == (Params(), Params(), "baseline", ())


def test_what_is_as_calm_as_the_package_runs_on_and_says_so(paths, store, write_run, read) -> None:
    package = load_packages(paths.config).fallback
    calm = Params()
    while (calmer := fallback_params(calm, package)) != calm:
        calm = calmer
    store.promote(calm, who="t", why="", at_utc=PROMOTED)
    write_run("20261101T220000", {0: ("champion", calm)}, {0: [-1.0, -1.0]})
    read()
    start = start_of(paths, "BTCUSDT")
    assert (start.params, start.source) == (calm, "champion")
    assert "as calm as" in start.notes[0]
