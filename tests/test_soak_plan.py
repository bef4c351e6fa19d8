from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.champion.store import ChampionStore
from engine.errors import ConfigError, InputError, NightsoakError, OverridesError, StorageError, TapeError
from engine.files import write_json
from engine.market.tape import Tape
from engine.params import Params
from engine.paths import Paths
from engine.soak import NS_PER_S, RunPlan, SoakSettings, cut_span
from engine.soak_market import default_tape
from engine.soak_plan import check_inputs, make_plan

PlanOf = Callable[..., RunPlan]
START = 1_723_161_600_123_456_789


@given(
    span_ns=st.integers(1, 10**14),
    iterations=st.integers(1, 50),
    window_seconds=st.integers(1, 1000),
)
def test_windows_tile_the_span_in_equal_iterations(span_ns: int, iterations: int, window_seconds: int) -> None:
    try:
        cut = cut_span(START, START + span_ns, iterations, window_seconds)
    except InputError:
        # only where whole seconds cannot give every iteration a window
        assert span_ns < iterations * (iterations + 1) * NS_PER_S
        return
    edges = [cut.window_start_ns(0), *(cut.window_end_ns(window) for window in range(cut.windows))]
    assert (edges[0], edges[-1]) == (START, cut.end_ns)
    lengths = [later - earlier for earlier, later in pairwise(edges)]
    assert all(length == cut.window_seconds * NS_PER_S for length in lengths[:-1])
    assert 0 < lengths[-1] <= cut.window_seconds * NS_PER_S
    assert cut.iterations == iterations
    ends = [window for window in range(cut.windows) if cut.ends_iteration(window)]
    assert ends == [(n + 1) * cut.windows_per_iteration - 1 for n in range(iterations)]
    assert cut.window_seconds <= window_seconds
    assert cut.end_ns <= START + span_ns
    # what is left out is less than a window an iteration, and nothing where windows were shortened
    assert START + span_ns - cut.end_ns < iterations * cut.window_seconds * NS_PER_S


@pytest.mark.parametrize(
    ("span_s", "iterations", "window_s", "windows", "end_s"),
    [
        (10_800, 6, 300, 36, 10_800),
        (10_799.99, 6, 300, 36, 10_799.99),  # the last window is short
        (345.3, 3, 116, 3, 345.3),  # 300 s do not fit into a third of the tape
        (11_520, 6, 300, 36, 10_800),  # 38.4 windows: 2.4 are left over
        (1, 1, 1, 1, 1),
    ],
)
def test_spans_by_example(span_s: float, iterations: int, window_s: int, windows: int, end_s: float) -> None:
    cut = cut_span(0, round(span_s * NS_PER_S), iterations, 300)
    assert (cut.window_seconds, cut.windows, cut.end_ns) == (window_s, windows, round(end_s * NS_PER_S))


def test_a_plan_is_read_back_as_it_was(plan_of: PlanOf) -> None:
    plan = plan_of(symbols=("SIMUSDT",), hours=0.5)
    assert RunPlan.read(plan.file) == plan
    assert re.fullmatch(r"\d{8}T\d{6}-SIMUSDT-[0-9a-f]{4}", plan.run_id)
    assert json.loads(plan.overrides_file.read_text()) == dict(Params())


def test_the_id_hashes_the_inputs_and_never_comes_twice(plan_of: PlanOf) -> None:
    same, again, other = plan_of(), plan_of(), plan_of(profile="moderate")
    assert same.run_id != again.run_id
    assert same.run_id[-4:] == again.run_id[-4:]
    assert same.run_id[-4:] != other.run_id[-4:]
    assert same.inputs == again.inputs
    assert same.inputs["config/profile"] != other.inputs["config/profile"]
    assert {name for name in same.inputs if name.startswith("tape/")} >= {"tape/kind.npy", "tape/qty_lots.npy"}


def test_only_an_auto_tuned_run_has_a_control(plan_of: PlanOf) -> None:
    assert [lane["role"] for lane in plan_of().lanes] == ["champion", "control"]
    assert [lane["role"] for lane in plan_of(auto_tune=False).lanes] == ["champion"]


def test_it_starts_from_given_overrides_else_the_champion_else_the_table(
    plan_of: PlanOf, paths: Paths, tmp_path: Path
) -> None:
    assert (plan_of().params, plan_of().params_source) == (Params(), "baseline")
    ChampionStore(paths, "SIMUSDT").promote(Params(min_interval_ms=80), who="test", why="faster")
    assert (plan_of().params, plan_of().params_source) == (Params(min_interval_ms=80), "champion")
    write_json(tmp_path / "mine.json", {"min_interval_ms": 95})
    plan = plan_of(overrides=str(tmp_path / "mine.json"))
    assert (plan.params, plan.params_source) == (Params(min_interval_ms=95), "overrides file")
    assert json.loads(plan.overrides_file.read_text())["min_interval_ms"] == 95


def test_the_profile_is_the_one_asked_for_else_the_environments_else_s1(
    plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plan_of().profile == "S1"
    monkeypatch.setenv("MM_PROFILE", "moderate")
    assert plan_of().profile == "moderate"
    assert plan_of(profile="S1").profile == "S1"


def test_what_differs_from_the_request_is_said(plan_of: PlanOf) -> None:
    short = plan_of(hours=3.0, window_seconds=300)
    assert short.schedule.window_seconds == 20
    assert any("60 s of market time are used of the 10,800 s asked for" in note for note in short.notes)
    assert any("windows are 20 s instead of 300 s" in note for note in short.notes)
    assert plan_of(hours=30 / 3600, window_seconds=10).notes == ()


def test_hours_bound_the_market_time(plan_of: PlanOf) -> None:
    schedule = plan_of(hours=30 / 3600, window_seconds=5).schedule
    assert schedule.end_ns - schedule.start_ns == 30 * NS_PER_S


def test_the_default_tape_is_generated_once_and_named_by_what_it_is_made_of(paths: Paths) -> None:
    settings = SoakSettings(hours=20 / 3600, iterations=2)
    folder, _ = default_tape(settings, paths)
    shares: list[float] = []
    first = make_plan(settings, paths, progress=shares.append)
    written_ns = (folder / "meta.json").stat().st_mtime_ns
    second = make_plan(settings, paths)
    assert first.tape == folder.resolve()
    assert shares[-1] == pytest.approx(1.0, abs=0.05)
    assert (folder / "meta.json").stat().st_mtime_ns == written_ns
    assert second.inputs == first.inputs
    assert default_tape(SoakSettings(hours=20 / 3600, seed=5), paths)[0] != folder
    assert first.latency_modelled
    assert first.tape_facts["default"] is True


def damaged(tape: Tape, folder: Path) -> Path:
    copy = folder / "copy"
    shutil.copytree(tape.path, copy)
    return copy


def truncate(tape: Path) -> None:
    file = tape / "price_ticks.npy"
    file.write_bytes(file.read_bytes()[:-100])


def flip(tape: Path) -> None:
    file = tape / "qty_lots.npy"
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"price_ticks\.npy"),
        (flip, r"qty_lots\.npy: is altered"),
        (lambda tape: (tape / "kind.npy").unlink(), r"kind\.npy: is missing"),
        (shutil.rmtree, "no such folder"),
    ],
    ids=["truncated", "bit flipped", "column missing", "tape missing"],
)
def test_a_damaged_tape_is_named_and_nothing_is_begun(
    paths: Paths, short_tape: Tape, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    copy = damaged(short_tape, tmp_path)
    damage(copy)
    with pytest.raises(TapeError, match=message):
        make_plan(SoakSettings(tape=str(copy)), paths)
    assert not (paths.datasets / "runs").exists()
    assert not paths.overrides("SIMUSDT").exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"symbols": ("NOPE",)}, InputError, "holds SIMUSDT, not NOPE"),
        ({"symbols": ("SIMUSDT", "BTCUSDT")}, InputError, "more than one symbol"),
        ({"profile": "S9"}, ConfigError, "no profile 'S9'.*known ones: S1, moderate"),
        ({"overrides": "/nowhere/x.json"}, OverridesError, "cannot be read"),
        ({"iterations": 100, "window_seconds": 1}, InputError, "cannot be cut into 100 iterations"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    paths: Paths, plan_of: PlanOf, changes: dict[str, object], error: type[NightsoakError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        plan_of(**changes)
    assert caught.value.exit_code == 2
    assert not (paths.datasets / "runs").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"spread": 1}', "unknown parameter 'spread'"),
        ('{"min_lot": "1"}', "min_lot must be a number"),
        ('{"min_lot": NaN}', "min_lot nan is out of range"),
        ('{"min_lot": 21}', "min_lot 21 is out of range"),
    ],
)
def test_bad_overrides_that_lie_there_are_refused_and_left_alone(
    paths: Paths, plan_of: PlanOf, text: str, message: str
) -> None:
    file = paths.overrides("SIMUSDT")
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(OverridesError, match=message):
        plan_of()
    assert file.read_text() == text


def test_a_folder_that_cannot_be_written_is_found_out_first(
    paths: Paths, plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setattr("engine.soak_plan.make_run_id", lambda *_: pytest.fail("the run was begun"))
    for name in ("datasets", "reports"):
        folders = vars(paths) | {name: tmp_path / "a file" / name}
        with pytest.raises(StorageError, match="cannot write"):
            make_plan(SoakSettings(), Paths(**folders))


def test_checking_writes_nothing(paths: Paths, short_tape: Tape) -> None:
    check_inputs(SoakSettings(tape=str(short_tape.path)), paths)
    assert list(paths.datasets.iterdir()) == []
    assert list(paths.reports.iterdir()) == []
