"""State and audit file: what is found damaged, behind, or missing at the start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import StorageError
from engine.optimize.record import Record, State, WatchedLevel
from engine.optimize.settings import AUDIT

SAME = {"symbol": "BTCUSDT", "champion_before": "c1", "champion_after": "c1"}
LEVEL = {"champion": "c1", "since_utc": "T"}


def play(record: Record, digest: str = "d1") -> None:
    """A round in which nothing changed but the champion's windows."""
    record.write("begin", **SAME, done="2 new tapes", data={"digests": [digest, f"{digest}b"]})
    record.write("verdict", **SAME, tune_id="t", verdict="HOLD", reason="why", effect_bps=0.1, done="HOLD", data={})
    record.write("champion", **SAME, done="nothing", data={})
    rows = [[1.0, 100.0, None, 90.0]]
    record.write("drift", **SAME, drift={"statistic_sd": 1.5}, done="stays", data={**LEVEL, "windows": rows})


@pytest.fixture
def played(tmp_path: Path) -> Record:
    record = Record(tmp_path / "state.json")
    assert record.load() == []
    play(record)
    return record


def reload(record: Record) -> tuple[State, list[str]]:
    again = Record(record.state_file)
    notes = again.load()
    return again.state, notes


def test_a_round_is_folded_into_the_state(played: Record) -> None:
    state = played.state
    assert (state.round, state.step, state.open, state.seen) == (1, "drift", None, ("d1", "d1b"))
    assert state.champions == ((1, "c1"),)
    assert state.watch == WatchedLevel(**LEVEL, windows=((1.0, 100.0, None, 90.0),))
    (shown,) = state.rounds
    assert shown["verdict"] == "HOLD" and shown["effect_bps"] == 0.1 and shown["drift"] == {"statistic_sd": 1.5}
    assert list(shown["done"]) == ["begin", "verdict", "champion", "drift"]
    assert reload(played) == (state, [])


def test_windows_add_up_over_rounds_and_begin_anew_behind_a_promotion_and_a_rollback(played: Record) -> None:
    play(played, "d2")
    assert played.state.watch is not None and len(played.state.watch.windows) == 2
    changed = SAME | {"champion_after": "c2"}
    played.write("begin", **SAME, done="", data={"digests": ["d3"]})
    played.write("champion", **changed, done="", data={"champion": "c2", "since_utc": "U", "healthy": [[1, 2, 3, 4]]})
    played.write("drift", **changed, done="", data={})
    assert played.state.watch == WatchedLevel(champion="c2", since_utc="U", healthy=((1, 2, 3, 4),))
    back = {"symbol": "BTCUSDT", "champion_before": "c2", "champion_after": "c1"}
    played.write("begin", **back, done="", data={"digests": ["d4"]})
    played.write("drift", **back, drift={}, done="", data={"champion": "c2", "since_utc": "U", "windows": [[1, 2]]})
    assert played.state.watch is None and played.state.champions[-1] == (4, "c1")
    assert reload(played) == (played.state, [])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "sha256": "x", "state": {}}'])
def test_a_damaged_state_is_restored_from_the_audit_file_and_said(played: Record, text: str) -> None:
    played.state_file.write_text(text)
    state, (note,) = reload(played)
    assert state == played.state
    assert note.endswith(f"damaged or altered; restored from {AUDIT}")
    assert played.state_file.with_name("state.json.damaged").read_text() == text
    assert reload(played) == (played.state, [])


def test_an_altered_state_is_no_state(played: Record) -> None:
    value = json.loads(played.state_file.read_text())
    value["state"]["seen"] = []
    played.state_file.write_text(json.dumps(value))
    state, notes = reload(played)
    assert state == played.state and len(notes) == 1


def test_a_missing_state_is_restored_too(played: Record) -> None:
    played.state_file.unlink()
    state, (note,) = reload(played)
    assert state == played.state and "is missing; restored" in note


def test_a_damaged_state_without_its_lines_is_refused(played: Record) -> None:
    played.state_file.write_text("{")
    whole = played.audit_file.read_text()
    for text, said in (("", "no line of it"), (whole.replace('"round":1', '"round":x', 1), "a damaged line 1")):
        played.audit_file.write_text(text)
        with pytest.raises(StorageError, match=said):
            Record(played.state_file).load()
    assert played.state_file.read_text() == "{"


def test_a_state_that_is_one_line_behind_catches_up(played: Record) -> None:
    before = played.state_file.read_bytes()
    played.write("begin", **SAME, done="", data={"digests": ["d2"]})
    played.state_file.write_bytes(before)
    assert reload(played) == (played.state, [])


def test_a_torn_line_was_never_written(played: Record) -> None:
    with played.audit_file.open("a") as file:
        file.write('{"id": "r2-beg')
    state, _ = reload(played)
    assert state == played.state
    play(played, "d2")
    ids = [json.loads(line)["id"] for line in played.audit_file.read_text().splitlines()]
    assert len(ids) == len(set(ids)) == 8


def test_the_audit_file_may_be_put_away(played: Record) -> None:
    played.audit_file.unlink()
    assert reload(played) == (played.state, [])
    play(played, "d2")
    assert reload(played)[0].round == 2


def test_two_state_files_share_an_audit_file(played: Record) -> None:
    other = Record(played.state_file.with_name("other.json"))
    assert other.load() == []
    play(other, "e")
    assert reload(played) == (played.state, [])
    other.state_file.unlink()
    assert reload(other)[0] == other.state


def test_every_line_has_all_keys(played: Record) -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in played.audit_file.read_text().splitlines()]
    assert len({tuple(sorted(line)) for line in lines}) == 1
    assert {"round", "utc", "tune_id", "verdict", "reason", "effect_bps", "p_value", "grant", "drift", "done"} <= set(
        lines[0]
    )
