"""nightsoak champion and drill, as a user calls them."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.champion.drill import Drill
from engine.champion.ledger import read_ledger
from engine.champion.store import ChampionStore
from engine.notice_outbox import outbox_file
from engine.params import Params
from engine.paths import CHECKOUT, Paths
from engine.warehouse.db import Warehouse
from nightsoak.__main__ import main


@pytest.fixture
def home(tmp_path, monkeypatch):
    shutil.copytree(CHECKOUT / "config", tmp_path / "config")
    monkeypatch.setenv("NIGHTSOAK_HOME", str(tmp_path))
    for name in ("CONFIG", "DATASETS", "REPORTS"):
        monkeypatch.delenv(f"NIGHTSOAK_{name}", raising=False)
    return Paths.from_environment()


@pytest.fixture
def nightsoak(home, capsys):
    """Calls a command: (exit code, stdout, stderr)."""

    def call(*args: object) -> tuple[int, str, str]:
        code = main([str(arg) for arg in args])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def overrides(tmp_path):
    def write(**values) -> str:
        path = tmp_path / "set.json"
        path.write_text(json.dumps(values))
        return str(path)

    return write


@pytest.fixture
def two(home):
    """BTCUSDT: a first champion, then a second."""
    store = ChampionStore(home, "BTCUSDT")
    store.promote(Params(min_interval_ms=80), who="tune", why="first")
    store.promote(Params(min_interval_ms=120), who="tune", why="second")
    return store


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_symbol_may_be_left_out_where_there_is_one(nightsoak, home, two) -> None:
    code, out, err = nightsoak("champion", "show")
    assert code == 0
    first, since, reason, before = out.splitlines()[:4]
    assert first == f"{two.current().id} is the champion of BTCUSDT"
    assert since.endswith(f"UTC, promoted over {two.history()[0].id} by tune") and reason == "reason  second"
    assert before == f"before  {two.history()[0].id}"
    assert "min_interval_ms        ms               120    80" in out
    assert "the next one is granted p <= 0.0500" in out
    assert "hint: " in err
    ChampionStore(home, "ETHUSDT").promote(Params(min_interval_ms=90), who="t", why="")
    code, out, err = nightsoak("champion", "show")
    assert (code, out) == (2, "")
    assert "name one of BTCUSDT, ETHUSDT" in err
    _, out, err = nightsoak("champion", "show", "--symbol", "ETHUSD")
    assert out.startswith("baseline is the champion of ETHUSD\nsince   the beginning: ")
    assert "nothing was ever promoted for ETHUSD; did you mean 'ETHUSDT'?" in err


def test_without_any_champion_the_symbol_is_asked_for(nightsoak) -> None:
    code, out, err = nightsoak("champion", "history")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1


def test_history_lists_every_change(nightsoak, two) -> None:
    two.freeze(who="op", why="holiday")
    _, out, _ = nightsoak("champion", "history")
    rows = [line.split()[3] for line in out.splitlines()[1:] if not line.startswith(" ")]
    assert rows == ["promote", "promote", "freeze"]
    assert out.splitlines()[2] == "   why: first"
    shown = nightsoak("champion", "show")[1].splitlines()
    assert shown[0].endswith("of BTCUSDT, frozen") and shown[3].endswith(" UTC by op: holiday")
    value = json.loads(nightsoak("champion", "history", "--json")[1])
    assert [change["kind"] for change in value["changes"]] == ["promote", "promote", "freeze"]
    assert value["changes"][1]["previous"]["id"] == value["changes"][0]["id"]


def test_what_had_to_be_restored_is_said(nightsoak, two) -> None:
    two.state_file.write_bytes(b"{")
    code, out, err = nightsoak("champion", "show")
    assert code == 0
    assert out.startswith(f"{two.current().id} is the champion") and "reason  second" in out
    assert "note: champion_state.json was damaged" in err
    two.state_file.write_text(two.state_file.read_text().replace('"min_interval_ms": 120', '"min_interval_ms": 1200'))
    code, out, err = nightsoak("champion", "show")
    assert (code, out) == (2, "")
    assert "min_interval_ms 1200 is out of range" in err


CHANGES = [
    ("rollback",),
    ("rollback", "--to", "baseline"),
    ("freeze",),
    ("promote", "--overrides", "SET", "--why", "mine"),
    ("propose", "--overrides", "SET", "--why", "mine"),
]


@pytest.mark.parametrize("words", CHANGES, ids=lambda words: " ".join(words[:3]))
def test_nothing_changes_on_a_dry_run_without_a_yes_or_on_a_no(nightsoak, two, overrides, monkeypatch, words) -> None:
    words = [overrides(min_interval_ms=90) if word == "SET" else word for word in words]
    before = {path: path.read_bytes() for path in two.folder.iterdir()}
    code, out, _ = nightsoak("champion", *words, "--dry-run")
    assert code == 0
    assert out.startswith("would ")
    code, out, err = nightsoak("champion", *words)
    assert (code, out) == (2, "")
    assert "say --yes" in err
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    asked = Terminal()
    monkeypatch.setattr(sys, "stderr", asked)
    assert nightsoak("champion", *words)[0] == 0
    assert "? [y/N]" in asked.getvalue()
    assert {path: path.read_bytes() for path in two.folder.iterdir()} == before
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert nightsoak("champion", *words)[0] == 0
    assert {path: path.read_bytes() for path in two.folder.iterdir()} != before


def test_rollback_restores_reports_and_is_copied_to_the_warehouse(nightsoak, home, two) -> None:
    with Warehouse(home.warehouse):
        pass
    code, out, _ = nightsoak("champion", "rollback", "--yes", "--why", "it lost money")
    assert code == 0
    assert two.current().params == Params(min_interval_ms=80)
    assert home.overrides("BTCUSDT").read_bytes() == two.current().bytes
    (report,) = home.reports.glob("*/*/ROLLBACK.md")
    assert str(report) in out
    assert "it lost money" in report.read_text()
    assert "ROLLED BACK · BTCUSDT" in outbox_file(home).read_text(encoding="utf-8"), "told at once"
    with Warehouse(home.warehouse) as wh:
        assert wh.execute("SELECT seq, kind, why FROM champion_history ORDER BY seq")[-1] == (
            3,
            "rollback",
            "it lost money",
        )
    code, out, _ = nightsoak("champion", "rollback", "--to", two.history()[1].id, "--yes", "--json")
    value = json.loads(out)
    assert (code, value["changed"], value["champion"]["params"]["min_interval_ms"]) == (0, True, 120)
    code, _, err = nightsoak("champion", "rollback", "--to", "c9-none", "--yes")
    assert code == 2
    assert "known ones: baseline, c1-" in err


def test_a_busy_warehouse_does_not_hold_up_a_rollback(nightsoak, home, two) -> None:
    with Warehouse(home.warehouse):
        pass
    code = "import duckdb, sys\nconnection = duckdb.connect(sys.argv[1])\nprint('open', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(home.warehouse)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "open\n"
        done, _, err = nightsoak("champion", "rollback", "--yes")
        holder.stdin.close()
    assert done == 0
    assert "follows later" in err
    assert two.current().params == Params(min_interval_ms=80)


def test_freeze_unfreeze_promote(nightsoak, two, overrides) -> None:
    assert "is frozen" in nightsoak("champion", "freeze", "--yes")[1]
    assert "frozen already" in nightsoak("champion", "freeze", "--yes")[1]
    words = ("champion", "promote", "--overrides", overrides(min_interval_ms=90), "--why", "mine", "--yes")
    code, _, err = nightsoak(*words)
    assert code == 2
    assert "unfreeze" in err
    assert nightsoak("champion", "unfreeze", "--yes")[0] == 0
    assert json.loads(nightsoak(*words, "--json")[1])["champion"]["params"]["min_interval_ms"] == 90
    assert two.history()[-1].evidence == {"operator": "no test was made"}
    assert "PROMOTED · BTCUSDT" in outbox_file(two.paths).read_text(encoding="utf-8"), "told at once"
    code, _, err = nightsoak("champion", "promote", "--overrides", overrides(pace=1), "--why", "x", "--yes")
    assert code == 2
    assert "unknown parameter 'pace'" in err


def test_challengers_are_proposed_listed_and_withdrawn(nightsoak, two, overrides) -> None:
    words = ("propose", "--overrides", overrides(min_interval_ms=90), "--why", "mine", "--yes")
    assert nightsoak("champion", *words)[0] == 0
    waiting = json.loads(nightsoak("champion", "challengers", "--json")[1])["challengers"]
    assert [(known["params"]["min_interval_ms"], known["why"]) for known in waiting] == [(90, "mine")]
    assert "min_interval_ms 120 -> 90" in nightsoak("champion", "challengers")[1]
    then = two.current().id
    assert f"  {waiting[0]['id']}, waits against {then}" in nightsoak("champion", "show")[1].splitlines()
    two.rollback(who="op", why="it lost money")
    gone = f"proposed against {then}, which is no longer in force"
    assert all(gone in nightsoak("champion", action)[1] for action in ("show", "challengers"))
    (known,) = json.loads(nightsoak("champion", "challengers", "--json")[1])["challengers"]
    assert known["against"] == then
    assert nightsoak("champion", "withdraw", waiting[0]["id"], "--yes")[0] == 0
    assert two.challengers() == ()


def test_a_set_of_a_tune_is_proposed_with_what_the_search_has_seen(nightsoak, home, two, overrides) -> None:
    """A copy of it elsewhere is the operator's own, unless the tune is named."""
    folder = home.reports / "2026-11-20" / "20261120T000000-BTCUSDT-abcd"
    folder.mkdir(parents=True)
    span = {"first_exch_ts_ns": 10, "last_exch_ts_ns": 20}
    tune = {
        "id": folder.name,
        "symbol": "BTCUSDT",
        "tapes": [span | {"digest": "a" * 64}, span | {"digest": "b" * 64, "last_exch_ts_ns": 30}],
        "effort": {"lanes": 8},
        "evidence": {"trials": 25, "seed": 0, "selection_tapes": ["a" * 64], "fresh_tapes": ["b" * 64]},
    }
    for name, value in (("TUNE.json", tune), ("truth_manifest.json", {}), ("set.json", {"min_interval_ms": 90})):
        (folder / name).write_text(json.dumps(value))

    def propose(file: object, *more: str) -> tuple[int, str, str]:
        return nightsoak("champion", "propose", "--overrides", file, "--why", "mine", "--yes", *more)

    assert "2 tapes that it has seen are no confirmation" in propose(folder / "set.json")[1]
    (beside,) = two.challengers()
    assert (beside.origin, beside.fresh_after_ns, beside.seen_tapes) == (folder.name, 31, ("a" * 64, "b" * 64))
    assert "25 trials in 1 tunes" in nightsoak("champion", "show")[1]
    assert "own: no tune is known behind the file" in propose(overrides(min_interval_ms=91))[1]
    assert two.challengers()[1].seen_tapes == ()
    code, _, err = propose(overrides(min_interval_ms=91), "--tune", folder.name)
    assert code == 2 and f"champion withdraw {two.challengers()[1].id}" in err
    assert propose(overrides(min_interval_ms=92), "--tune", folder.name)[0] == 0
    assert two.challengers()[2].seen_tapes == beside.seen_tapes
    assert len(read_ledger(home, "BTCUSDT").trials) == 1
    code, _, err = propose(folder / "set.json", "--symbol", "ETHUSDT")
    assert code == 2 and "searched for BTCUSDT, not for ETHUSDT" in err
    (folder / "TUNE.json").write_text("{}")
    code, _, err = propose(folder / "set.json")
    assert code == 2 and "is not a tune's record" in err


@pytest.mark.slow
def test_the_drill_restores_everything_and_leaves_the_operators_champion_alone(nightsoak, home, two, tmp_path) -> None:
    before = {path: path.read_bytes() for path in sorted(home.datasets.rglob("*")) if path.is_file()}
    drill = tmp_path / "drill"
    code, out, err = nightsoak("drill", "rollback", "--home", drill, "--json")
    value = json.loads(out)
    assert (code, value["restored"]) == (0, True), err
    assert len(value["checks"]) == 6
    assert value["windows_to_detection"] < 36
    assert 0 <= value["files_restored_s"] <= value["bot_restored_s"]
    assert "CUSUM went above" in Path(value["report"]).read_text()
    assert {path: path.read_bytes() for path in sorted(home.datasets.rglob("*")) if path.is_file()} == before
    assert not home.reports.exists()
    code, _, err = nightsoak("drill", "rollback", "--home", drill)
    assert code == 2
    assert "is not empty" in err


@pytest.mark.parametrize("holds", [True, False])
def test_the_drill_says_what_was_not_restored_and_keeps_only_that(nightsoak, tmp_path, monkeypatch, holds) -> None:
    """Nothing fails to be restored on demand: the outcome is given here."""
    outcome = Drill("SIMUSDT", 24, ("CUSUM went above",), 0.12, 0.34, tmp_path / "ROLLBACK.md", {"restored": holds})
    monkeypatch.setattr("engine.champion.drill.drill_rollback", lambda home, config, tell: outcome)
    code, out, err = nightsoak("drill", "rollback", "--home", tmp_path / "drill")
    assert code == (0 if holds else 1)
    assert "files restored 0.12 s after detection" in out
    assert "running bot restored 0.34 s after detection" in out
    assert ("OK" if holds else "FAILED") in out
    assert "hint: " in err and "ROLLBACK.md" in out
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    out = nightsoak("drill", "rollback")[1]
    assert ("ROLLBACK.md" in out) is not holds
    assert bool(list((tmp_path / "temporary").iterdir())) is not holds


@pytest.mark.parametrize("action", ["promote", "propose", "freeze"])
def test_a_symbol_that_nothing_knows_is_a_typing_error_unless_it_is_said_to_be_new(
    nightsoak, home, overrides, action
) -> None:
    given = () if action == "freeze" else ("--overrides", overrides(min_interval_ms=90))
    words = ("champion", action, *given, "--why", "w", "--yes", "--symbol")
    code, out, err = nightsoak(*words, "BTCUSDT_T")
    assert (code, out, home.champion_symbols()) == (2, "", ())
    assert "error: --symbol BTCUSDT_T: no champion, tape, run or known instrument has this symbol; did you mean" in err
    assert "--new-symbol" in err
    assert nightsoak(*words, "BTCUSDT_T", "--new-symbol")[0] == 0
    assert nightsoak(*words, "BTCUSDT")[0] == 0  # of config/instruments.json
    assert home.champion_symbols() == ("BTCUSDT", "BTCUSDT_T")
