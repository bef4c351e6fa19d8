from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.search.state import PLAN, TuneState, key_of


@pytest.fixture
def state(tmp_path: Path) -> TuneState:
    made = TuneState(tmp_path / "tunes" / "k")
    made.save_plan({"tune_id": "t"})
    for number in (1, 2, 3):
        made.save_batch(number, {"batch": number, "trials": [{"value": 0.1 * number, "none": None}]})
    return made


def test_what_was_written_is_read(state: TuneState) -> None:
    assert state.load_plan() == ({"tune_id": "t"}, [])
    batches, notes = state.load_batches()
    assert [batch["batch"] for batch in batches] == [1, 2, 3]
    assert batches[2]["trials"] == [{"value": 0.30000000000000004, "none": None}]
    assert notes == []


@pytest.mark.parametrize("damage", ["cut", "edited", "empty", "list"])
def test_a_damaged_batch_and_all_behind_it_are_set_aside(state: TuneState, damage: str) -> None:
    file = state.folder / "batch-0002.json"
    text = file.read_text()
    edited = json.loads(text)
    edited["value"]["trials"][0]["value"] = 0.9
    file.write_text({"cut": text[:40], "edited": json.dumps(edited), "empty": "", "list": "[]"}[damage])
    batches, notes = state.load_batches()
    assert [batch["batch"] for batch in batches] == [1]
    assert len(notes) == 2
    assert "batch-0002.json is damaged or follows a damaged file; done again" in notes[0]
    assert sorted(path.name for path in state.folder.glob("*.damaged")) == [
        "batch-0002.json.damaged",
        "batch-0003.json.damaged",
    ]
    assert state.load_batches() == (batches, [])


def test_a_missing_batch_ends_the_row(state: TuneState) -> None:
    (state.folder / "batch-0001.json").unlink()
    batches, notes = state.load_batches()
    assert batches == []
    assert len(notes) == 2


def test_a_damaged_plan_takes_everything_with_it(state: TuneState) -> None:
    (state.folder / PLAN).write_text("{")
    plan, notes = state.load_plan()
    assert plan is None
    assert len(notes) == 4
    assert state.load_batches() == ([], [])


def test_cleared_is_empty(state: TuneState) -> None:
    state.clear()
    assert list(state.folder.iterdir()) == []
    assert state.load_plan() == (None, [])


def test_the_key_is_of_everything_that_decides() -> None:
    assert key_of({"a": 1, "b": [1, 2]}) == key_of({"b": [1, 2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})
