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

import pytest

from engine.config import parse_config
from engine.errors import ConfigError, InputError, LockHeldError, OverridesError
from engine.files import to_json
from engine.locks import FileLock
from engine.market.tape import Tape
from engine.params import Params
from engine.paths import CHECKOUT, Paths
from engine.report.tune_artefacts import build_tune, read_tune
from engine.search.settings import TuneSettings, load_search
from engine.search.tune import TuneResult, finish, publish, run_tune
from engine.search.tune_plan import TunePlan, check_inputs, estimate_seconds, make_plan, recorded_tapes, split_tapes
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
from engine.search.settings import TuneSettings
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


def test_one_tape_cannot_confirm_and_says_so(asked: Asked, paths: Paths, tapes: list[Tape]) -> None:
    result = run_tune(asked(tapes=[str(tapes[0].path)], trials=4), paths)
    assert result.verdict == "INCONCLUSIVE"
    assert "one tape only" in result.reason
    assert "confirmation is impossible" in result.reason
    assert result.document["windows"] == {"selection": 60, "fresh": 0}
    assert result.p_value is None


def test_too_few_selection_windows_do_not_spend_the_fresh_ones(asked: Asked, paths: Paths) -> None:
    result = run_tune(asked(window_seconds=60, trials=4), paths)
    if result.challenger is not None:
        assert result.verdict == "INCONCLUSIVE"
        assert "48 selection windows, there are 15" in result.reason
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
    assert done.ok, done
    assert list(paths.datasets.glob("tunes/*/*.json")) == []
    manifest = json.loads((folder / "truth_manifest.json").read_text())
    manifest["artefacts"]["tune_trials.json"] = "0" * 64
    (folder / "truth_manifest.json").write_text(json.dumps(manifest))
    assert verify_tune(folder, paths).differing == ("tune_trials.json",)


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


def test_recorded_tapes_are_the_newest_of_one_symbol(paths: Paths, tapes: list[Tape]) -> None:
    assert recorded_tapes(paths) == []
    shutil.copytree(tapes[0].path, paths.tapes / "generated")
    assert recorded_tapes(paths) == []  # generated ones were not recorded
