"""Rounds on real tapes: what they leave, when they stop, and that a kill at any moment changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import engine.optimize.rounds as rounds
from engine.champion.ledger import read_ledger
from engine.champion.store import ChampionStore
from engine.errors import InputError, LockHeldError
from engine.events import ROLLED_BACK, read_events
from engine.locks import FileLock
from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape
from engine.optimize.loop import optimize
from engine.optimize.record import Record, State, Step
from engine.optimize.settings import OptimizeSettings
from engine.optimize.tapes import new_tapes
from engine.params import Params
from engine.paths import CHECKOUT, Paths
from engine.search.tune import TuneResult, run_tune
from engine.search.verify_tune import verify_tune

SYMBOL = "SIMUSDT"
Asked = Callable[..., OptimizeSettings]
Lines = Callable[..., list[dict[str, Any]]]
Timeless = Callable[..., str]
Kill = Callable[[pytest.MonkeyPatch], None]


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def test_two_rounds_each_on_tapes_of_its_own(asked: Asked, paths: Paths, tapes: list[Tape], audit: Lines) -> None:
    settings = asked(continuous=True, max_rounds=2)
    told: list[dict[str, Any]] = []
    outcome = optimize(settings, paths, told.append)
    assert outcome.rounds == 2 and "--max-rounds 2" in outcome.stopped
    assert [message["round"]["round"] for message in told if message["event"] == "round"] == [1, 2]
    lines = audit(settings.state_file)
    steps = ("begin", "verdict", "champion", "drift")
    assert [line["id"] for line in lines] == [f"r{n}-{step}" for n in (1, 2) for step in steps]
    begun = [line["data"]["digests"] for line in lines if line["step"] == "begin"]
    assert begun == [[tape.meta.digest for tape in pair] for pair in (tapes[:2], tapes[2:])]
    state = Record(Path(settings.state_file))
    assert state.load() == []
    assert state.state.seen == tuple(tape.meta.digest for tape in tapes)
    assert state.state.open is None and [number for number, _ in state.state.champions] == [1, 2]
    trials = read_ledger(paths, SYMBOL).trials
    assert [trial.tune_id for trial in trials] == [line["tune_id"] for line in lines if line["step"] == "verdict"]
    index = (paths.reports / "index.md").read_text()
    for line in lines:
        if line["step"] == "champion":
            page = rounds.report_of(line["tune_id"], paths)
            assert page.parent.name in index
            assert json.loads((page.parent / "TUNE.json").read_text())["promotion"] == line["done"]
    drift = [line["drift"] for line in lines if line["step"] == "drift"]
    assert drift[0]["windows"] == 60 and drift[0]["windows_this_round"] == 60
    assert not list(paths.datasets.glob("tunes/*/*"))


def test_without_two_new_tapes_nothing_is_done(asked: Asked, paths: Paths, tapes: list[Tape], audit: Lines) -> None:
    first_two = [str(tape.path) for tape in tapes[:2]]
    optimize(asked(tapes=first_two), paths)
    before = audit(asked().state_file)
    third = [*first_two, str(tapes[2].path)]
    outcome = optimize(asked(tapes=third), paths)
    assert outcome.rounds == 0 and outcome.stopped.startswith("1 of the 2 new tapes")
    assert audit(asked().state_file) == before
    assert outcome.last is not None and outcome.last["round"] == 1


def test_one_tape_alone_is_refused(asked: Asked, paths: Paths, tapes: list[Tape]) -> None:
    with pytest.raises(InputError, match="one tape only"):
        optimize(asked(tapes=[str(tapes[0].path)]), paths)


def test_a_folder_of_tapes_and_the_recorded_ones_are_looked_through(
    asked: Asked, paths: Paths, tapes: list[Tape], tmp_path: Path
) -> None:
    empty = tmp_path / "later"
    empty.mkdir()
    assert optimize(asked(tapes=[str(empty)]), paths).stopped.startswith("0 of the 2 new tapes")
    for tape in tapes[:2]:
        (empty / tape.path.name).symlink_to(tape.path, target_is_directory=True)
    (empty / "damaged").mkdir()
    (empty / "damaged" / "meta.json").write_text("{")
    assert optimize(asked(tapes=[str(empty)]), paths).rounds == 1
    assert optimize(asked(tapes=[]), paths).stopped.startswith("0 of the 2 new tapes")  # none recorded


def test_a_tape_without_a_window_is_left_out_and_said(
    asked: Asked, paths: Paths, tapes: list[Tape], tmp_path: Path, audit: Lines
) -> None:
    folder = tmp_path / "later"
    folder.mkdir()
    generate_tape(folder / "torn", read_settings(paths.config, "s1").with_run(seed=55, duration_s=5))
    (folder / "first").symlink_to(tapes[0].path, target_is_directory=True)
    settings = asked(tapes=[str(folder)], window_seconds=10, trials=2)
    said = "(left out, without one whole window: torn)"
    assert optimize(settings, paths).stopped == f"1 of the 2 new tapes that a round needs {said}; nothing was done"
    (folder / "second").symlink_to(tapes[1].path, target_is_directory=True)
    assert optimize(settings, paths).rounds == 1
    assert audit(settings.state_file)[0]["done"] == f"2 new tapes {said}"


def test_generated_markets_take_the_next_seeds(asked: Asked, paths: Paths) -> None:
    """In the place of those of the round before."""
    settings, names = asked(tapes=[], mock=True, mock_hours=0.002), []
    for number in (0, 1):
        found = new_tapes(settings, paths, State(round=number), lambda share: None)
        names.append([folder.name for _, folder in found.tapes])
        assert sorted(folder.name for folder in paths.datasets.glob("optimize/mock-*/*")) == names[-1]
    assert names == [["seed101", "seed102"], ["seed103", "seed104"]]


def test_a_stop_file_at_the_start(asked: Asked, paths: Paths, tmp_path: Path) -> None:
    settings = asked(continuous=True)
    settings.stop_path(paths).touch()
    outcome = optimize(settings, paths)
    assert outcome.rounds == 0 and "nothing was done" in outcome.stopped and outcome.last is None
    assert not Path(settings.state_file).exists() and not paths.datasets.exists()


def test_a_stop_file_at_the_start_still_shows_the_last_round_and_its_tune_the_limit_that_was_asked_for(
    asked: Asked, paths: Paths
) -> None:
    settings = asked(max_runtime_sec=600)
    assert optimize(settings, paths).rounds == 1
    settings.stop_path(paths).touch()
    outcome = optimize(settings, paths)
    assert outcome.last is not None and outcome.last["round"] == 1 and outcome.report is not None
    document = json.loads((outcome.report.parent / "TUNE.json").read_text())
    assert document["settings"]["max_runtime_sec"] == 600
    assert verify_tune(outcome.report.parent, paths).verified


def test_the_stop_file_ends_a_search_between_batches_and_the_round_goes_on(
    asked: Asked, paths: Paths, timeless: Timeless, whole: str
) -> None:
    settings = asked(continuous=True)

    def stop(message: dict[str, Any]) -> None:
        if message["event"] == "tuning":
            settings.stop_path(paths).touch()

    outcome = optimize(settings, paths, stop)
    assert outcome.rounds == 0 and "goes on where it stopped" in outcome.stopped
    assert len(list(paths.datasets.glob("tunes/*/batch-*.json"))) == 1
    settings.stop_path(paths).unlink()
    assert optimize(asked(), paths).rounds == 1
    assert timeless(settings.state_file) == whole


def test_the_stop_file_ends_the_waiting(asked: Asked, paths: Paths, tapes: list[Tape]) -> None:
    settings = asked(continuous=True, poll_seconds=3600, tapes=[str(tapes[0].path)])
    notes: list[str] = []

    def stop(message: dict[str, Any]) -> None:
        notes.append(message["text"])
        settings.stop_path(paths).touch()

    assert "the stop file" in optimize(settings, paths, stop).stopped
    assert notes == ["waits: 1 of the 2 new tapes that a round needs"]


def test_no_round_begins_behind_the_time(asked: Asked, paths: Paths) -> None:
    outcome = optimize(asked(continuous=True, max_runtime_sec=1e-9), paths)
    assert outcome.rounds == 0 and "--max-runtime-sec" in outcome.stopped


def test_a_second_optimiser_is_refused(asked: Asked, paths: Paths) -> None:
    state = Path(asked().state_file)
    with FileLock(state.with_name(f".{state.name}.lock"), what="it"), pytest.raises(LockHeldError, match="optimiser"):
        optimize(asked(), paths)


def test_state_and_stop_file_must_not_be_one(asked: Asked, paths: Paths, tmp_path: Path) -> None:
    for name in ("state.json", "long_regression_audit.jsonl"):
        with pytest.raises(InputError, match="the state's or the audit's file"):
            optimize(asked(stop_file=str(tmp_path / name)), paths)
    with pytest.raises(InputError, match="the audit's file"):
        optimize(asked(state_file=str(tmp_path / "long_regression_audit.jsonl")), paths)
    assert list(tmp_path.iterdir()) == []


def test_tapes_of_another_symbol_are_refused(asked: Asked, paths: Paths) -> None:
    record = Record(Path(asked().state_file))
    fields = {"champion_before": "baseline", "champion_after": "baseline", "done": ""}
    record.write("begin", symbol="BTCUSDT", **fields, data={"digests": []})
    record.write("drift", symbol="BTCUSDT", **fields, data={})
    with pytest.raises(InputError, match="holds SIMUSDT, the state file's rounds are of BTCUSDT"):
        optimize(asked(), paths)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, asked_at: Asked, timeless: Timeless) -> str:
    """State and audit of a round that nothing disturbed, without times."""
    home = tmp_path_factory.mktemp("whole")
    paths = Paths(config=CHECKOUT / "config", datasets=home / "datasets", reports=home / "reports")
    optimize(asked_at(home / "state.json"), paths)
    return timeless(home / "state.json")


RUN = """
import sys
from engine.optimize.loop import optimize
from engine.optimize.settings import OptimizeSettings
from engine.paths import Paths
optimize(OptimizeSettings.model_validate_json(sys.argv[1]), Paths.from_environment())
"""


def test_killed_in_the_middle_it_goes_on_to_the_same_end(
    asked: Asked, paths: Paths, timeless: Timeless, whole: str
) -> None:
    """kill -9 as soon as the first batch is on disk."""
    words = [sys.executable, "-c", RUN, asked().model_dump_json()]
    run = subprocess.Popen(words, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(paths.datasets.glob("tunes/*/batch-*.json")) and time.monotonic() < deadline:
        assert run.poll() is None
        time.sleep(0.005)
    run.kill()
    run.wait()
    assert optimize(asked(), paths).rounds == 1
    assert timeless(asked().state_file) == whole


def killed_before_line(step: str) -> Kill:
    def kill(patch: pytest.MonkeyPatch) -> None:
        write = Record.write

        def killed(self: Record, name: Step, **fields: Any) -> None:
            if name == step:
                raise Killed
            write(self, name, **fields)

        patch.setattr(Record, "write", killed)

    return kill


def killed_before_state(patch: pytest.MonkeyPatch) -> None:
    write = Record._write_state

    def killed(self: Record) -> None:
        if self.state.step == "champion":
            raise Killed
        write(self)

    patch.setattr(Record, "_write_state", killed)


def killed_in(owner: object, name: str) -> Kill:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    return lambda patch: patch.setattr(owner, name, killed)


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(killed_before_line("verdict"), id="page written, verdict's line not"),
        pytest.param(killed_in(ChampionStore, "promote"), id="paid, not promoted"),
        pytest.param(killed_in(rounds, "publish"), id="promoted, page not written"),
        pytest.param(killed_before_state, id="champion's line written, state not"),
        pytest.param(killed_before_line("drift"), id="drift's line not written"),
    ],
)
def test_stopped_anywhere_it_promotes_and_pays_once(
    kill: Kill,
    asked: Asked,
    paths: Paths,
    planted: Callable[..., TuneResult],
    timeless: Timeless,
    promoting: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rounds, "run_tune", lambda *args, **words: planted(run_tune(*args, **words), 1.5))
    with monkeypatch.context() as patch:
        kill(patch)
        with pytest.raises(Killed):
            optimize(asked(), paths)
    assert optimize(asked(), paths).rounds == 1
    assert timeless(asked().state_file) == promoting
    assert [change.kind for change in ChampionStore(paths, SYMBOL).history()] == ["promote"]
    assert len(read_ledger(paths, SYMBOL).confirmations) == 1
    assert len(list(paths.reports.glob("*/*/TUNE.json"))) == 1


@pytest.fixture(scope="module")
def promoting(
    tmp_path_factory: pytest.TempPathFactory,
    asked_at: Asked,
    timeless: Timeless,
    planted: Callable[..., TuneResult],
) -> str:
    """State and audit of an undisturbed round that promotes."""
    home = tmp_path_factory.mktemp("promoting")
    paths = Paths(config=CHECKOUT / "config", datasets=home / "datasets", reports=home / "reports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "run_tune", lambda *args, **words: planted(run_tune(*args, **words), 1.5))
        outcome = optimize(asked_at(home / "state.json"), paths)
    assert outcome.last is not None and outcome.last["champion_after"] == ChampionStore(paths, SYMBOL).current().id
    return timeless(home / "state.json")


def test_a_planted_regression_is_taken_back(paths: Paths, tmp_path: Path, asked: Asked, audit: Lines) -> None:
    """Nothing is replaced here: a champion that loses, on real tapes, against the initial values beside it."""
    market = read_settings(paths.config, "s1")
    for seed in (41, 42):
        generate_tape(tmp_path / "market" / str(seed), market.with_run(seed=seed, duration_s=200))
    store = ChampionStore(paths, SYMBOL)
    bad = store.promote(Params().with_changes({"base_spread_bps_delta": 0.0}), who="test", why="a regression")
    settings = asked(tapes=[str(tmp_path / "market")], window_seconds=2)
    outcome = optimize(settings, paths)
    drift = audit(settings.state_file)[-1]
    assert (drift["champion_before"], drift["champion_after"]) == (bad.id, "baseline")
    assert drift["drift"]["verdict"] == "rollback"
    assert store.current().params == Params()
    (event,) = read_events(paths)
    assert event.name == ROLLED_BACK and event.payload["from"] == bad.id
    assert (paths.reports / event.payload["report"]).is_file() and event.payload["report"] in drift["done"]
    assert paths.overrides(SYMBOL).read_bytes() == store.current().bytes
    assert outcome.last is not None and outcome.last["champion_after"] == "baseline"
