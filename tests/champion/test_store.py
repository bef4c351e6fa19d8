"""The champion on disk: what a change does, what is restored, and that every kill leaves the old state or the new."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.champion.change import BASELINE, Change, canonical, parse_change
from engine.champion.reading import champion_of, read_folder
from engine.champion.store import ChampionStore
from engine.errors import ConfigError, InputError, OverridesError, StorageError
from engine.files import to_json
from engine.params import PARAMETERS, Params
from engine.paths import CHECKOUT, Paths, file_name


def test_without_files_the_baseline_is_champion(store: ChampionStore) -> None:
    champion = store.current()
    assert (champion.id, champion.params, champion.seq, champion.note) == (BASELINE, Params(), 0, "")
    assert champion.former is None
    assert store.history() == ()
    assert not store.folder.exists()


def test_a_promotion_says_who_when_why_and_knows_its_former(store, sets, at) -> None:
    a, b, _ = sets
    first = store.promote(a, who="tune", why="better", evidence={"p_value": 0.01}, at_utc=at(0))
    second = store.promote(b, who="op", why="by hand", at_utc=at(1))
    assert (first.former.id, first.former.params) == (BASELINE, Params())
    assert (second.former.id, second.former.params) == (first.id, a)
    again = ChampionStore(store.paths, "BTCUSDT").current()
    assert again == second
    assert (again.who, again.why, again.when_utc, again.since_utc) == ("op", "by hand", *[again.when_utc] * 2)
    assert [(change.kind, change.id, change.instead_of) for change in store.history()] == [
        ("promote", first.id, BASELINE),
        ("promote", second.id, first.id),
    ]
    assert store.history()[0].evidence == {"p_value": 0.01}


def test_a_rollback_goes_back_step_by_step_or_to_any(store, sets) -> None:
    a, b, c = sets
    ids = [store.promote(params, who="t", why="").id for params in (a, b, c)]
    assert store.rollback(who="t", why="worse").id == ids[1]
    made, back = store.rollback(who="t", why="worse still"), store.current()
    assert made == store.history()[-1]
    assert (made.id, back.id, back.params) == (ids[0], ids[0], a)
    assert back.former.id == BASELINE
    assert store.rollback(to=ids[2], who="t", why="it was good").params == dict(c)
    assert store.current().former.id == ids[1]
    assert store.rollback(to=BASELINE, who="t", why="start again").params == dict(Params())
    with pytest.raises(InputError, match="nothing to go back to"):
        store.rollback(who="t", why="")
    with pytest.raises(InputError, match="known ones: baseline, c1-"):
        store.rollback(to="c9-none", who="t", why="")
    with pytest.raises(InputError, match="is the champion already"):
        store.rollback(to=BASELINE, who="t", why="")


def test_only_the_failing_champion_is_rolled_back(store, sets) -> None:
    a, b, _ = sets
    first, second = (store.promote(params, who="t", why="") for params in (a, b))
    done = store.rollback(who="t", why="", failing=second.id)
    assert done.id == first.id
    assert store.rollback(who="t", why="", failing=second.id) == done
    store.freeze()
    assert store.rollback(who="t", why="", failing=second.id) == done  # freezing puts nothing in force
    assert len(store.history()) == 4


def test_a_frozen_champion_refuses_promotion_and_not_rollback(store, sets) -> None:
    a, b, _ = sets
    store.promote(a, who="t", why="")
    assert store.freeze(who="op", why="holiday").frozen
    assert store.freeze().frozen
    with pytest.raises(InputError, match="frozen"):
        store.promote(b, who="t", why="")
    assert store.rollback(who="t", why="").frozen
    assert not store.freeze(False).frozen
    assert store.promote(b, who="t", why="").params == b
    assert [change.kind for change in store.history()] == ["promote", "freeze", "rollback", "unfreeze", "promote"]


def test_the_same_parameters_are_no_promotion(store, sets) -> None:
    with pytest.raises(InputError, match="already"):
        store.promote(Params(), who="t", why="")
    with pytest.raises(OverridesError, match="min_interval_ms 301"):
        store.promote(Params(min_interval_ms=301), who="t", why="")
    with pytest.raises(InputError, match="as JSON"):
        store.promote(sets[0], who="t", why="", evidence={"p_value": float("nan")})
    assert store.current().seq == 0


@st.composite
def any_params(draw: st.DrawFn) -> Params:
    values = {}
    for name, row in PARAMETERS.items():
        numbers = st.integers(int(row.low), int(row.high)) if row.integer else st.floats(row.low, row.high)
        values[name] = draw(numbers)
    return Params().with_changes(values)


@settings(max_examples=25)
@given(params=any_params(), other=any_params())
def test_a_rollback_restores_the_bytes(tmp_path_factory: pytest.TempPathFactory, params: Params, other: Params) -> None:
    home = tmp_path_factory.mktemp("home")
    store = ChampionStore(Paths(home, home, home), "X")
    if canonical(params) in (canonical(Params()), canonical(other)):
        return
    before = store.promote(params, who="t", why="").bytes
    if canonical(other) != canonical(params):
        store.promote(other, who="t", why="")
        store.rollback(who="t", why="")
    assert ChampionStore(store.paths, "X").current().bytes == before == to_json(dict(params)).encode()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": 1}', b"NaN"])
def test_a_damaged_state_is_restored_from_the_history_and_said(store, sets, damage) -> None:
    champion = store.promote(sets[0], who="t", why="")
    store.state_file.write_bytes(damage)
    read = store.current()
    assert read.params == champion.params
    assert "champion_state.json was damaged" in read.note
    assert f"restored from the history, change 1: {champion.id}" in read.note
    assert store.current().note == ""  # the file is whole again


@pytest.mark.parametrize("value", ["NaN", '"80"', "true", "[80]", "null"])
def test_wrong_types_in_the_state_are_damage(store, sets, value) -> None:
    store.promote(sets[0], who="t", why="")
    text = store.state_file.read_text().replace('"min_interval_ms": 80', f'"min_interval_ms": {value}')
    store.state_file.write_text(text)
    read = store.current()
    assert (read.params, "damaged" in read.note) == (sets[0], True)


def test_an_altered_state_is_restored_and_an_older_or_missing_one_too(store, sets) -> None:
    store.promote(sets[0], who="t", why="")
    old = store.state_file.read_bytes()
    store.promote(sets[1], who="t", why="")
    for damage, words in ((old, "is older than the history (1 of 2 changes)"), (None, "was missing")):
        if damage is None:
            store.state_file.unlink()
        else:
            store.state_file.write_bytes(damage)
        read = store.current()
        assert read.params == sets[1]
        assert words in read.note
    store.state_file.write_text(store.state_file.read_text().replace('"min_interval_ms": 120', '"min_interval_ms": 90'))
    assert "was altered" in store.current().note
    assert store.current().params == sets[1]


def test_a_champion_outside_the_table_names_the_parameter(store, sets) -> None:
    store.promote(sets[0], who="t", why="")
    text = store.state_file.read_text()
    for wrong, words in (('min_interval_ms": 5000', "min_interval_ms 5000 is out of range"), ('pace": 80', "'pace'")):
        store.state_file.write_text(text.replace('min_interval_ms": 80', wrong))
        with pytest.raises(OverridesError, match=words):
            store.current()
        with pytest.raises(OverridesError, match=words):
            store.promote(sets[1], who="t", why="")
    store.state_file.unlink()  # what the error's reader may do
    assert store.current().params == sets[0]


def test_a_damaged_state_without_history_is_no_first_run(store, sets) -> None:
    store.promote(sets[0], who="t", why="")
    store.history_file.unlink()
    assert "lacks change 1" in store.current().note
    assert len(store.history()) == 1  # written again from the state
    store.history_file.unlink()
    store.state_file.write_bytes(b"{")
    with pytest.raises(StorageError, match="no history to restore it from"):
        store.current()
    store.state_file.unlink()
    store.history_file.write_bytes(b"junk\n")
    with pytest.raises(StorageError, match="line 1 is damaged"):
        store.current()


def test_damaged_lines_inside_the_history_are_left_out_and_said(store, sets) -> None:
    for params in sets:
        store.promote(params, who="t", why="")
    lines = store.history_file.read_bytes().splitlines(keepends=True)
    store.history_file.write_bytes(lines[0] + b"junk\n" + lines[2])
    assert [change.seq for change in store.history()] == [1, 3]
    assert "line 2 is damaged" in store.current().note
    assert store.rollback(who="t", why="").params == dict(sets[1])  # every line knows what came before it


def test_cut_at_every_byte_it_is_the_old_state_or_the_new(store, sets) -> None:
    """A kill while the history grows, and one while a state file is written in place by something less careful."""
    old = store.promote(sets[0], who="t", why="").params
    history, state = store.history_file.read_bytes(), store.state_file.read_bytes()
    new = store.promote(sets[1], who="t", why="").params
    grown, replaced = store.history_file.read_bytes(), store.state_file.read_bytes()

    def cut_down(path: Path, first: int) -> Iterator[int]:
        """Every length from the whole file's down to `first`, cut in place."""
        for length in range(path.stat().st_size, first - 1, -1):
            os.truncate(path, length)
            yield length

    store.state_file.write_bytes(state)
    for length in cut_down(store.history_file, len(history)):
        assert in_force(store) == (new if length == len(grown) else old)
    store.history_file.write_bytes(grown)
    for length in cut_down(store.state_file, 0):
        assert in_force(store) == new, length
    store.state_file.write_bytes(replaced)
    for length in cut_down(store.history_file, len(history)):  # the state names what the history has lost
        assert in_force(store) == new, length
    for length in range(len(history), len(grown), 97):  # and it can be changed from there
        store.state_file.write_bytes(state)
        store.history_file.write_bytes(grown[:length])
        assert store.promote(sets[2], who="t", why="").former.params == old
        assert [change.seq for change in store.history()] == [1, 2]


def in_force(store: ChampionStore) -> Params:
    """What a reader takes the champion to be, without putting anything right."""
    return champion_of(read_folder(store.folder), "BTCUSDT").params


class Failing:
    """Counts calls that reach the disk and fails the n-th."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.left = number
        for owner, name in (
            (os, "open"), (os, "write"), (os, "fsync"), (os, "ftruncate"), (os, "lseek"),
            (Path, "open"), (Path, "replace"), (Path, "mkdir"), (Path, "read_bytes"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, name, self._wrap(getattr(owner, name)))

    def _wrap(self, function):
        def call(*args, **kwargs):
            self.left -= 1
            if self.left == 0:
                raise OSError(28, "No space left on device")
            return function(*args, **kwargs)

        return call


def test_whichever_io_fails_it_is_the_old_state_or_the_new(store, sets) -> None:
    store.promote(sets[0], who="t", why="")
    params, failed = [sets[0]], 0
    for number in range(1, 200):
        wanted = sets[number % 2 + 1]
        if wanted == params[-1]:
            wanted = sets[0]
        with pytest.MonkeyPatch.context() as patch:
            disk = Failing(patch, number)
            try:
                store.promote(wanted, who="t", why="")
                done = True
            except StorageError:
                done = False
        read = store.current()
        assert read.params == (wanted if done else params[-1]), f"I/O {number}"
        assert store.current().note == ""
        params.append(read.params)
        failed += not done
        if disk.left > 0:
            break
    assert disk.left > 0
    assert failed >= 8


PROMOTER = """
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from engine.champion.store import ChampionStore
from engine.params import Params
from engine.paths import Paths
home = Path(sys.argv[1])
store = ChampionStore(Paths(home, home, home), "BTCUSDT")
number = store.current().seq
while True:
    number += 1
    params = Params(min_interval_ms=50 + number % 251)
    print("begin", 50 + number % 251, flush=True)
    store.promote(params, who="loop", why=str(number))
    print("done", 50 + number % 251, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this platform has no SIGKILL")
def test_killed_at_any_moment_nothing_promised_is_lost(tmp_path: Path) -> None:
    store = ChampionStore(Paths(tmp_path, tmp_path, tmp_path), "BTCUSDT")
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    promised, changes = 70, 0
    for round_ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", PROMOTER, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            begun = promised
            for count, line in enumerate(process.stdout):
                word, value = line.split()
                begun, promised = (int(value), promised) if word == "begin" else (begun, int(value))
                if count == 5 + 4 * round_:
                    process.kill()
                    break
            for line in process.stdout:  # what it still said before it died
                if line.endswith("\n") and len(line.split()) == 2:
                    word, value = line.split()
                    begun, promised = (int(value), promised) if word == "begin" else (begun, int(value))
        champion = store.current()
        assert champion.params["min_interval_ms"] in (promised, begun)
        promised = int(champion.params["min_interval_ms"])
        seqs = [change.seq for change in store.history()]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) > changes
        changes = len(seqs)


def test_two_that_promote_at_once_take_turns(tmp_path: Path) -> None:
    code = PROMOTER.replace("while True:", "for _ in range(15):").replace("number += 1", "number += int(sys.argv[2])")
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), step], stdout=subprocess.DEVNULL, env=environment)
        for step in ("3", "7")
    ]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    store = ChampionStore(Paths(tmp_path, tmp_path, tmp_path), "BTCUSDT")
    history = store.history()
    assert [change.seq for change in history] == list(range(1, 31))
    assert all(after.instead_of == before.id for before, after in pairwise(history))
    assert store.current().note == ""


@pytest.mark.parametrize("symbol", ["BTC/USDT:USDT", "..", ".", "a*b?", "CON", "kPEPE", "ÄÖ", "x" * 60])
def test_any_symbol_has_a_folder_of_its_own(paths: Paths, sets, symbol) -> None:
    store = ChampionStore(paths, symbol)
    store.promote(sets[0], who="t", why="")
    assert store.folder.parent == paths.datasets / "champion"
    assert paths.champion_symbols() == (symbol,)
    assert not set(file_name(symbol)) & set('/\\:*?"<>|')
    with pytest.raises(InputError, match="empty"):
        ChampionStore(paths, "")


def test_challengers_wait_until_promoted_or_withdrawn(store, sets, at) -> None:
    a, b, c = sets
    assert store.challengers() == ()
    first = store.propose(a, why="screened", origin="tune-1", fresh_after_ns=5, at_utc=at(0))
    second = store.propose(b, why="idea", origin="op", at_utc=at(1))
    assert store.propose(a, why="again", origin="tune-2") == first
    assert [known.id for known in store.challengers()] == [first.id, second.id]
    assert store.challengers()[0] == first
    with pytest.raises(InputError, match=f"known ones: {first.id}, {second.id}"):
        store.withdraw("x-none")
    store.promote(a, who="t", why="shown")
    assert store.challengers() == (second,)
    with pytest.raises(InputError, match="champion's own"):
        store.propose(a, why="", origin="op")
    assert store.withdraw(second.id, at_utc=at(2)) == second
    assert store.challengers() == () and [gone.id for gone in store.withdrawn()] == [first.id, second.id]
    again = store.propose(b, why="", origin="op", at_utc=at(3))
    assert store.challengers() == (again,) and again.since_utc > store.withdrawn()[1].withdrawn_utc
    for gone in store.withdrawn():
        store.forget(gone)
    assert store.challengers() == (again,) and store.withdrawn() == ()
    store.propose(c, why="", origin="op")
    store.challengers_file.write_text("{")
    with pytest.raises(ConfigError, match=r"challengers\.json"):
        store.challengers()


def test_the_state_file_is_the_last_line_of_the_history(store, sets) -> None:
    store.promote(sets[2], who="t", why="ünï", evidence={"windows": 96})
    state = parse_change(store.state_file.read_bytes())
    assert isinstance(state, Change)
    assert state == store.history()[-1]
    assert json.loads(store.state_file.read_text()) == json.loads(store.history_file.read_text())
