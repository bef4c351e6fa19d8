"""The recipe on real tapes: verdicts, resumption after a kill, and everything it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.config import parse_config
from engine.errors import ConfigError, InputError, LockHeldError, OverridesError
from engine.files import to_json
from engine.locks import FileLock
from engine.market.events import LAST
from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape, write_tape
from engine.params import Params
from engine.paths import CHECKOUT, Paths
from engine.report.tune_artefacts import build_tune, read_tune
from engine.search.confirm_fresh import decide
from engine.search.rounds import Stopwatch, search
from engine.search.select import select
from engine.search.settings import TuneSettings, load_search
from engine.search.state import TuneState
from engine.search.tune import TuneResult, finish, publish, run_tune
from engine.search.tune_plan import TunePlan, check_inputs, estimate_seconds, make_plan, split_tapes
from engine.search.tune_tapes import recorded_tapes
from engine.search.verify_tune import verify_tune

Asked = Callable[..., TuneSettings]


def same(result: TuneResult) -> str:
    """The whole outcome as text, without the id's stamp."""
    whole = to_json({"document": dict(result.document), "trials": list(result.trials)})
    return whole.replace(result.tune_id, "ID")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tapes: list[Tape]) -> TuneResult:
    """A tune of both tapes that nothing disturbed."""
    home = tmp_path_factory.mktemp("whole")
    paths = Paths(config=CHECKOUT / "config", datasets=home / "datasets", reports=home / "reports")
    text = json.dumps(small(tapes))
    return run_tune(TuneSettings.model_validate_json(text), paths)


def small(tapes: list[Tape]) -> dict[str, Any]:
    names = [str(tape.path) for tape in tapes]
    return {"tapes": names, "trials": 12, "lanes": 4, "window_seconds": 15, "profile": "quick", "maker_profile": "S1"}


def test_a_tune_ends_in_a_verdict_with_its_evidence(whole: TuneResult, tapes: list[Tape]) -> None:
    document = whole.document
    assert whole.verdict in ("PROMOTE", "HOLD", "INCONCLUSIVE", "REJECT")
    assert document["windows"] == {"selection": 60, "fresh": 60}
    assert document["trials"]["searched"] == 12
    assert [tape["digest"] for tape in document["tapes"]] == [tape.meta.digest for tape in tapes]
    assert whole.evidence["selection_tapes"] == [tapes[0].meta.digest]
    assert whole.evidence["fresh_after_ns"] == tapes[0].meta.last_exch_ts_ns
    assert whole.evidence["champion"] == dict(Params())
    if document["judgement"] is not None:
        assert len(whole.evidence["fresh_windows"]) == 60
        looks = document["judgement"]["looks"]
        assert whole.p_value == (looks[-1]["p_value"] if looks else None)


def test_the_objective_of_every_trial_stands_in_the_trials(whole: TuneResult) -> None:
    for trial in whole.trials:
        objective = trial["objective"]
        taken = sum(term["penalty_bps"] for term in objective["terms"].values())
        assert objective["value_bps"] == pytest.approx(objective["ev_net_bps"] - taken)
        assert len(trial["pnl_quote"]) == 60


def test_the_same_tune_again_is_the_same(whole: TuneResult, asked: Asked, paths: Paths) -> None:
    assert same(run_tune(asked(), paths)) == same(whole)


KILLED = """
import sys
from engine.paths import Paths
from engine.search.confirm_fresh import decide
from engine.search.rounds import Stopwatch, search
from engine.search.select import select
from engine.search.settings import TuneSettings
from engine.search.state import TuneState
from engine.search.tune import run_tune
run_tune(TuneSettings.model_validate_json(sys.argv[1]), Paths.from_environment())
"""


def test_killed_in_the_middle_it_goes_on_to_the_same_end(
    whole: TuneResult, asked: Asked, paths: Paths, tapes: list[Tape]
) -> None:
    """kill -9 as soon as the first batch is on disk."""
    words = [sys.executable, "-c", KILLED, json.dumps(small(tapes))]
    run = subprocess.Popen(words, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(paths.datasets.glob("tunes/*/batch-*.json")) and time.monotonic() < deadline:
        assert run.poll() is None
        time.sleep(0.005)
    run.kill()
    run.wait()
    done = len(list(paths.datasets.glob("tunes/*/batch-*.json")))
    assert 1 <= done <= 3
    messages: list[dict[str, Any]] = []
    result = run_tune(asked(), paths, tell=messages.append)
    assert same(result) == same(whole)
    assert sum(message["event"] == "tuning" for message in messages) == 3 - done
    planned = next(message for message in messages if message["event"] == "planned")
    assert any(note.startswith(f"Goes on with an unfinished tune: {done} batches") for note in planned["notes"])


def test_a_damaged_state_is_restored_from_the_batches_before_and_said(
    whole: TuneResult, asked: Asked, paths: Paths
) -> None:
    run_tune(asked(), paths)  # leaves its state, as publish would remove it
    (state,) = paths.datasets.glob("tunes/*")
    (state / "batch-0002.json").write_text("garbage")
    result = run_tune(asked(), paths)
    assert same(result) == same(whole)
    assert any("batch-0002.json is damaged" in note for note in result.wall_clock["notes"])


def test_published_whole_and_the_state_is_gone(whole: TuneResult, asked: Asked, paths: Paths) -> None:
    result = finish(run_tune(asked(), paths))
    folder = publish(result, paths)
    assert sorted(file.name for file in folder.iterdir()) == [
        "TUNE.json",
        "TUNE_RESULTS.md",
        "auto_tuned_thresholds.json",
        "recommended_overrides.json",
        "summary.txt",
        "truth_manifest.json",
        "tune_trials.json",
        "wall_clock.json",
    ]
    assert list(paths.datasets.glob("tunes/*/*")) == []
    assert read_tune(folder)["verdict"] == result.verdict
    Params().with_changes(json.loads((folder / "recommended_overrides.json").read_text()))
    assert result.tune_id in (paths.reports / "index.md").read_text()
    text = (folder / "TUNE_RESULTS.md").read_text()
    assert result.verdict in text
    assert all(len(line) <= 81 for line in text.splitlines() if not line.startswith("nightsoak"))
    again = build_tune(finish(whole).document, whole.trials)
    stamp = whole.tune_id.encode()
    for name, data in again.items():
        if name != "truth_manifest.json":
            assert data.replace(stamp, b"ID") == (folder / name).read_bytes().replace(result.tune_id.encode(), b"ID")


def test_finish_calls_promote_for_promote_alone(whole: TuneResult) -> None:
    called: list[str] = []

    def promote(result: TuneResult) -> str:
        called.append(result.tune_id)
        return "made the champion"

    promoted = finish(replace(whole, verdict="PROMOTE"), promote)
    assert promoted.document["promotion"] == "made the champion"
    for verdict in ("HOLD", "INCONCLUSIVE", "REJECT"):
        held = finish(replace(whole, verdict=verdict), promote)  # type: ignore[arg-type]
        assert "never promotes" in held.document["promotion"]
    assert called == [whole.tune_id]


@pytest.mark.parametrize(("level", "verdict"), [(0.49, "INCONCLUSIVE"), (1e-9, "HOLD")])
def test_one_tape_cannot_confirm_and_says_so(
    asked: Asked, paths: Paths, tapes: list[Tape], level: float, verdict: str
) -> None:
    """Who fails the screen is not proposed either: the windows for it were there."""
    plan = make_plan(asked(tapes=[str(tapes[0].path)], trials=8), paths)
    level_of_screen = plan.judge.screen.model_copy(update={"level": level})
    plan = replace(plan, judge=plan.judge.model_copy(update={"screen": level_of_screen}))
    searched, _ = search(plan, TuneState(paths.datasets / "state"), Stopwatch({}), lambda _: None)
    selection = select(plan, searched)
    assert selection.candidate is not None
    decided = decide(plan, selection, searched.batches[0]["champion"], "")
    assert decided.verdict == verdict
    assert "one tape only" in decided.reason and "confirmation is impossible" in decided.reason
    assert plan.fresh == () and decided.fresh is None


def test_too_few_selection_windows_do_not_spend_the_fresh_ones(asked: Asked, paths: Paths) -> None:
    result = run_tune(asked(window_seconds=60, trials=4), paths)
    if result.challenger is not None:
        assert result.verdict == "INCONCLUSIVE"
        assert "15 usable windows, 48 needed" in result.reason
        assert result.document["windows_missing"] == 33
    assert result.document["judgement"] is None


def test_no_fills_is_inconclusive_with_the_reason(asked: Asked, paths: Paths, wide_profile_config: Path) -> None:
    result = run_tune(asked(maker_profile="wide"), replace(paths, config=wide_profile_config))
    assert result.verdict == "INCONCLUSIVE"
    assert "the champion has not traded in these windows" in result.reason
    assert result.document["trials"]["searched"] == 4  # the first batch said enough
    assert result.document["trials"]["failed"] == 4
    assert result.challenger is None
    assert "INCONCLUSIVE" in build_tune(finish(result).document, result.trials)["TUNE_RESULTS.md"].decode()


def test_a_search_cut_short_is_counted_and_repeatable(asked: Asked, paths: Paths) -> None:
    cut = run_tune(asked(max_runtime_sec=1e-6), paths)
    assert cut.document["trials"]["searched"] == 4
    assert cut.document["trials"]["asked"] == 12
    assert "4 of 12 trials were made" in cut.document["trials"]["cut_short"]
    other = replace(paths, datasets=paths.datasets / "other")
    again = run_tune(asked(trials=4), other)
    points = lambda result: [trial["point"] for trial in result.trials[:4]]  # noqa: E731
    assert points(cut) == points(again)


def test_a_cut_short_tune_is_verified_with_its_own_count_and_champion(
    asked: Asked, paths: Paths, tmp_path: Path
) -> None:
    """The champion's file is gone and the clock has no say: the record holds what is needed."""
    champion = tmp_path / "champion.json"
    champion.write_text('{"tail_age_ms": 700}')
    folder = publish(finish(run_tune(asked(max_runtime_sec=1e-6, overrides=str(champion)), paths)), paths)
    champion.unlink()
    done = verify_tune(folder, paths)
    assert done.verified and done.compared == 7 and not done.changed_inputs, done
    assert list(paths.datasets.glob("tunes/*/*.json")) == []
    (folder / "tune_trials.json").write_text((folder / "tune_trials.json").read_text().replace("1", "2", 1))
    again = verify_tune(folder, paths)
    assert not again.verified and {found.file for found in again.findings} == {"tune_trials.json"}
    assert any("its artefacts were changed later" in note for note in again.notes)


def test_halving_stops_the_worse_half_after_the_first_tapes(asked: Asked, paths: Paths, tapes: list[Tape]) -> None:
    config = paths.datasets.parent / "config"
    shutil.copytree(paths.config, config)
    search = json.loads((config / "search.json").read_text())
    search["profiles"]["quick"]["halving"] = True
    search["fresh_share"] = 0.01
    (config / "search.json").write_text(json.dumps(search))
    market = Path(tapes[0].path).parent / "third"
    if not market.exists():
        from engine.market.simulator import generate_tape, read_settings

        generate_tape(market, read_settings(paths.config, "s1").with_run(seed=33, duration_s=300))
    names = [str(tapes[0].path), str(tapes[1].path), str(market)]
    result = run_tune(asked(tapes=names, trials=4), replace(paths, config=config))
    stopped = [trial for trial in result.trials if trial["stopped"]]
    assert len(stopped) == 2
    for trial in stopped:
        assert trial["pnl_quote"][60:] == [None] * 60
        assert trial["objective"]["windows"] == 60
    kept = [trial["objective"]["windows"] for trial in result.trials if not trial["stopped"]]
    assert set(kept) == {120}
    assert (
        result.document["candidate"] is None or not result.trials[result.document["candidate"]["trial"] - 1]["stopped"]
    )


def test_an_estimate_above_the_limit_is_refused_beforehand(asked: Asked, paths: Paths) -> None:
    with pytest.raises(InputError, match=r"estimated to take \d+ s, more than 1 s.*fewer --trials"):
        run_tune(asked(max_estimated_sec=1.0), paths)
    assert not (paths.datasets / "tunes").exists()


def test_the_estimate_grows_with_what_is_asked() -> None:
    search = load_search(CHECKOUT / "config")
    quick, deep = search.profiles.quick, search.profiles.deep
    few = estimate_seconds([10**6], [10**6], quick, search)
    assert few < estimate_seconds([10**6], [10**6], deep, search)
    assert few < estimate_seconds([10**7], [10**6], quick, search)


def test_a_tape_given_twice_is_refused(asked: Asked, paths: Paths, tapes: list[Tape], tmp_path: Path) -> None:
    twice = [str(tapes[0].path), str(tapes[0].path)]
    with pytest.raises(InputError, match=r"holds the same market time.*do not overlap"):
        make_plan(asked(tapes=twice), paths)
    from engine.market.simulator import generate_tape, read_settings

    longer = generate_tape(tmp_path / "l", read_settings(paths.config, "s1").with_run(seed=31, duration_s=60))
    with pytest.raises(InputError, match="holds the same market time"):
        make_plan(asked(tapes=[str(tapes[0].path), str(longer.path)]), paths)


def test_a_champion_outside_the_table_is_refused(asked: Asked, paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "o.json"
    file.write_text('{"min_interval_ms": 10}')
    with pytest.raises(OverridesError, match=r"min_interval_ms 10 is out of range"):
        check_inputs(asked(overrides=str(file)), paths)


def test_budgets_of_nothing_are_refused() -> None:
    for text in ('{"trials": 0}', '{"lanes": 0}', '{"max_runtime_sec": 0}', '{"max_estimated_sec": -1}'):
        with pytest.raises(ConfigError, match="tune"):
            parse_config(text, TuneSettings, where="tune")


def test_without_anything_said_all_has_a_default() -> None:
    settings = TuneSettings()
    assert settings.effort(load_search(CHECKOUT / "config")).trials == 64


def test_the_same_tune_runs_once_at_a_time(asked: Asked, paths: Paths) -> None:
    plan: TunePlan = make_plan(asked(), paths)
    with FileLock(paths.locks / f"tune-{plan.key}.lock", what="this tune"), pytest.raises(LockHeldError):
        run_tune(asked(), paths)


@pytest.mark.parametrize(
    ("windows", "cut"), [([10], 1), ([72, 72], 1), ([36, 36, 36, 36], 2), ([72, 36, 36], 1), ([10, 100], 1)]
)
def test_the_last_whole_tapes_are_fresh(windows: list[int], cut: int) -> None:
    assert split_tapes(windows, 0.5) == cut


def test_the_tapes_of_a_verification_are_found_by_their_digests(
    asked: Asked, paths: Paths, tapes: list[Tape], tmp_path: Path
) -> None:
    """Moved, and with newer ones beside them; a generated one that is gone is generated again, a recorded one is
    asked for."""
    record(tapes[0], paths.tapes / "mon", symbol="SIMUSDT", days=0)
    record(tapes[1], paths.tapes / "tue", symbol="SIMUSDT", days=1)
    folder = publish(finish(run_tune(asked(tapes=[], trials=4), paths)), paths)
    (paths.tapes / "mon").rename(paths.tapes / "another-name")
    record(tapes[0], paths.tapes / "wed", symbol="SIMUSDT", days=2)
    done = verify_tune(folder, paths)
    assert done.verified, done
    (paths.tapes / "tue").rename(tmp_path / "tue")
    with pytest.raises(InputError, match=r"the tape tue \(digest \w+\) is not here.*--tape DIR"):
        verify_tune(folder, paths)
    assert verify_tune(folder, paths, tapes=[tmp_path]).verified

    market = read_settings(paths.config, "s1")
    made = [generate_tape(tmp_path / f"g{seed}", market.with_run(seed=seed, duration_s=120)) for seed in (41, 42)]
    names = [str(tape.path) for tape in made]
    generated = publish(finish(run_tune(asked(tapes=names, trials=4, window_seconds=2), paths)), paths)
    for tape in made:
        shutil.rmtree(tape.path)
    assert verify_tune(generated, paths).verified


def test_a_manifest_that_cannot_be_verified_says_why(paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        verify_tune(tmp_path, paths)
    for text, why in (
        ("[]", "is not a manifest"),
        ('{"format": 2}', "is not a tune's manifest"),
        ('{"kind": "tune", "format": 9}', "is not format 1"),
        ('{"kind": "tune", "format": 1, "run_id": "x"}', "has no inputs"),
    ):
        (tmp_path / "truth_manifest.json").write_text(text)
        with pytest.raises(InputError, match=why):
            verify_tune(tmp_path, paths)


def record(tape: Tape, folder: Path, *, symbol: str, days: int, last_s: int | None = None) -> None:
    """A generated tape as if it had been recorded, so many days later; of its first `last_s` alone where given."""
    columns = tape.columns
    until = len(columns.local_ts_ns)
    if last_s is not None:
        (ends,) = np.nonzero(columns.flags & LAST)
        until = int(ends[columns.local_ts_ns[ends] < columns.local_ts_ns[0] + last_s * 10**9][-1]) + 1
    moved, shift = columns.part(0, until), days * 86_400 * 10**9
    moved = moved._replace(exch_ts_ns=moved.exch_ts_ns + shift, local_ts_ns=moved.local_ts_ns + shift)
    write_tape(folder, moved, instrument=replace(tape.meta.instrument(), symbol=symbol))


def test_recorded_tapes_are_the_newest_of_one_market_long_enough(paths: Paths, tapes: list[Tape]) -> None:
    assert recorded_tapes(paths, 15).folders == ()
    shutil.copytree(tapes[0].path, paths.tapes / "generated")
    assert recorded_tapes(paths, 15).folders == ()  # generated ones were not recorded
    record(tapes[0], paths.tapes / "mon", symbol="SIMUSDT", days=0)
    record(tapes[1], paths.tapes / "tue", symbol="SIMUSDT", days=1)
    record(tapes[1], paths.tapes / "tue.1", symbol="SIMUSDT", days=2, last_s=10)
    record(tapes[0], paths.tapes / "other", symbol="OTHERUSDT", days=3)
    record(tapes[0], paths.tapes / "torn", symbol="THIRDUSDT", days=4, last_s=10)

    def names(**market: str) -> tuple[list[str], list[str]]:
        found = recorded_tapes(paths, 15, **market)
        return [one.name for one in found.folders], [one.name for one in found.short]

    assert names() == (["other"], [])
    assert names(symbol="SIMUSDT") == (["mon", "tue"], ["tue.1"])
    assert names(symbol="SIMUSDT", venue="elsewhere") == ([], [])
    assert names(symbol="THIRDUSDT") == ([], ["torn"])


def test_a_short_tape_is_left_out_and_said_and_a_symbol_is_what_was_asked_for(
    asked: Asked, paths: Paths, tapes: list[Tape]
) -> None:
    record(tapes[0], paths.tapes / "mon", symbol="SIMUSDT", days=0)
    record(tapes[1], paths.tapes / "tue", symbol="SIMUSDT", days=1)
    record(tapes[1], paths.tapes / "tue.1", symbol="SIMUSDT", days=2, last_s=10)
    record(tapes[0], paths.tapes / "other", symbol="OTHERUSDT", days=3)
    settings = asked(tapes=[], symbol="SIMUSDT")
    check_inputs(settings, paths)
    plan = make_plan(settings, paths)
    assert plan.symbol == "SIMUSDT"
    assert [tape.path.name for tape in (*plan.selection, *plan.fresh)] == ["mon", "tue"]
    assert "Left out, without one window of 15 s: tue.1." in plan.notes
    with pytest.raises(InputError, match="no recorded tape of NONE holds a window of 15 s"):
        check_inputs(asked(tapes=[], symbol="NONE"), paths)
    with pytest.raises(InputError, match=r"holds SIMUSDT of .*, asked for was NONE of any venue"):
        check_inputs(asked(tapes=[str(paths.tapes / "mon")], symbol="NONE"), paths)
