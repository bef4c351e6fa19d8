"""nightsoak judge and calibrate, as a user calls them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from engine.tuning import calibration
from engine.tuning.calibration import Sizes
from engine.tuning.noise import NoiseModel, lane_noise
from engine.warehouse.series import WINDOW_COLUMNS
from nightsoak.__main__ import main


@pytest.fixture
def nightsoak(capsys):
    """Calls a command: (exit code, stdout, stderr)."""

    def call(*args: object) -> tuple[int, str, str]:
        code = main([str(arg) for arg in args])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def csv_file(tmp_path):
    """Writes windows of 10,000 quote each, in the columns of `nightsoak windows --csv`."""

    def write(name: str, bps, *, skip=()):
        rows = [",".join(WINDOW_COLUMNS)]
        for window, value in enumerate(bps):
            if window not in skip:
                known = {"window": str(window), "net_pnl_quote": repr(float(value)), "notional_quote": "10000"}
                rows.append(",".join(known.get(column, "") for column in WINDOW_COLUMNS))
        path = tmp_path / name
        path.write_text("\n".join(rows) + "\n")
        return path

    return write


@pytest.fixture
def lanes():
    a, b = lane_noise(np.random.default_rng(1), NoiseModel(), 2, 1, 96)[:, 0]
    return a, b - (b - a).mean()


@pytest.mark.parametrize(("effect", "verdict", "code"), [(3.0, "PROMOTE", 0), (0.0, "HOLD", 1), (-3.0, "REJECT", 1)])
def test_verdicts_and_exit_codes(nightsoak, csv_file, lanes, effect, verdict, code) -> None:
    champion, challenger = csv_file("a.csv", lanes[0]), csv_file("b.csv", lanes[1] + effect)
    assert (done := nightsoak("judge", "--champion", champion, "--challenger", challenger))[0] == code
    assert done[1].startswith(f"{verdict}: ")
    code_json, out, err = nightsoak("judge", "--champion", champion, "--challenger", challenger, "--json")
    assert code_json == code
    assert err == ""
    result = json.loads(out)
    assert result["verdict"] == verdict
    assert result["effect"]["adjusted"] is True


def test_too_few_windows_say_how_many_more(nightsoak, csv_file, lanes) -> None:
    champion, challenger = csv_file("a.csv", lanes[0]), csv_file("b.csv", lanes[1][:30], skip=(4,))
    code, out, _ = nightsoak("judge", "--champion", champion, "--challenger", challenger)
    assert code == 1
    assert out.startswith("INCONCLUSIVE: ")
    assert "to a decision: 19 to the next look, at most 67" in out
    assert "1 windows are missing from the pairs" in out
    assert "66 windows lie outside" in out


HEADER = "window,net_pnl_quote,notional_quote\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: column window is missing; the header has nothing"),
        ("window,pnl,notional_quote\n", "line 1: column net_pnl_quote is missing"),
        ("window,window,net_pnl_quote,notional_quote\n", "line 1: column window stands twice"),
        (HEADER, "has no windows"),
        (HEADER + "0,1.0\n", "line 2: 2 fields, the header has 3"),
        (HEADER + "0,1.0,5\n\n1,abc,5\n", "line 4 column net_pnl_quote: 'abc' is no number"),
        (HEADER + "0,inf,5\n", "line 2 column net_pnl_quote: 'inf' is no number"),
        (HEADER + "0,1.0,-5\n", "line 2 column notional_quote: -5 is negative"),
        (HEADER + "1.5,1.0,5\n", "line 2 column window: '1.5' is no whole number"),
        (HEADER + "99999999999999999999,1.0,5\n", "line 2 column window"),
        (HEADER + "7,1.0,5\n8,1.0,5\n7,1.0,5\n", "line 4 column window: window 7 stands in line 2 already"),
    ],
)
def test_a_bad_file_is_one_error_with_file_line_and_column(nightsoak, csv_file, tmp_path, lanes, text, words) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text(text)
    code, out, err = nightsoak("judge", "--champion", csv_file("a.csv", lanes[0]), "--challenger", bad)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert str(bad) in err
    assert words in err


def test_files_that_cannot_be_read(nightsoak, csv_file, tmp_path, lanes) -> None:
    champion = csv_file("a.csv", lanes[0])
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    for path, words in (
        (tmp_path / "none.csv", "No such file"),
        (binary, "is not UTF-8"),
        (tmp_path, "cannot be read"),
    ):
        code, _, err = nightsoak("judge", "--champion", champion, "--challenger", path)
        assert code == 2
        assert words in err


def test_unknown_fields_and_a_byte_order_mark_are_read(nightsoak, csv_file, tmp_path, lanes) -> None:
    other = tmp_path / "b.csv"
    rows = [f"{w},{value!r},10000,x" for w, value in enumerate((lanes[1] + 3.0).tolist())]
    rows[3], rows[5], rows[9] = "3,,10000,x", "5,nan,10000,x", "9,,0,x"
    other.write_text("\ufeffwindow, net_pnl_quote, notional_quote, note\r\n" + "\r\n".join(rows), encoding="utf-8")
    _, out, _ = nightsoak("judge", "--champion", csv_file("a.csv", lanes[0]), "--challenger", other, "--json")
    result = json.loads(out)
    assert result["missing"]["unknown"] == 2
    assert result["windows_usable"] == 94


def test_a_broken_configuration_is_named(nightsoak, csv_file, tmp_path, lanes, monkeypatch, config_folder) -> None:
    broken = shutil.copytree(config_folder, tmp_path / "config")
    (broken / "judge.json").write_text(
        (broken / "judge.json").read_text().replace('"level": ', '"levle": 1, "level": ')
    )
    monkeypatch.setenv("NIGHTSOAK_CONFIG", str(broken))
    champion = csv_file("a.csv", lanes[0])
    code, _, err = nightsoak("judge", "--champion", champion, "--challenger", champion)
    assert code == 2
    assert "screen.levle" in err
    assert "did you mean 'level'?" in err


@pytest.fixture
def config_folder():
    from engine.paths import CHECKOUT

    return CHECKOUT / "config"


@pytest.fixture
def small(monkeypatch):
    """The quick run with fewer simulations."""
    monkeypatch.setattr(calibration, "QUICK", Sizes(pairs=2_000, choices=600, paths=100, path_windows=1_000))


def test_calibrate_prints_every_figure_with_interval_and_bound(nightsoak, small) -> None:
    code, out, err = nightsoak("calibrate", "--quick")
    assert code == 0, err
    rows = [line for line in out.splitlines() if line.startswith("  ")]
    assert sum(row.endswith("holds") for row in rows) == 6
    assert max(map(len, out.splitlines())) <= 100 and max(map(len, rows)) <= 80
    assert "MISSED" not in out
    assert "seed 20261120" in out
    assert "hint: " in err


def test_calibrate_exits_1_where_a_bound_is_missed(nightsoak, small, tmp_path, monkeypatch, config_folder) -> None:
    lax = shutil.copytree(config_folder, tmp_path / "config")
    judge = json.loads((lax / "judge.json").read_text())
    judge["confirm"]["error_per_side"] = 0.15
    (lax / "judge.json").write_text(json.dumps(judge))
    monkeypatch.setenv("NIGHTSOAK_CONFIG", str(lax))
    code, out, _ = nightsoak("calibrate", "--quick", "--json", "--seed", "5")
    assert code == 1
    result = json.loads(out)
    assert result["holds"] is False
    assert result["seed"] == 5
    missed = [figure["name"] for figure in result["figures"] if figure["holds"] is False]
    assert "A/A: promoted" in missed


def test_calibrate_on_own_windows(nightsoak, small, csv_file, lanes) -> None:
    one, other = csv_file("a.csv", lanes[0]), csv_file("b.csv", lanes[1], skip=(3,))
    code, out, _ = nightsoak("calibrate", "--quick", "--windows", one, "--planted-bps", "1.5")
    assert code == 0
    assert "+1.5 bps: promoted" in out
    assert "pairing_assumed 0.8" in out
    code, out, err = nightsoak("calibrate", "--quick", "--windows", one, "--paired-with", other)
    assert code == 0
    assert "difference_sd_bps" in out
    assert "1 windows have no usable pair" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--planted-bps", "1"], "--planted-bps goes with --windows only"),
        (["--windows", "SHORT"], "20 usable windows, at least 24 are needed"),
        (["--windows", "A", "--pairing", "1"], "--pairing 1"),
        (["--windows", "A", "--planted-bps", "nan"], "--planted-bps nan"),
        (["--windows", "A", "--paired-with", "A"], "the two files hold the same values"),
    ],
)
def test_calibrate_refuses_what_cannot_be(nightsoak, small, csv_file, lanes, options, words) -> None:
    files = {"A": csv_file("a.csv", lanes[0]), "SHORT": csv_file("short.csv", lanes[0][:20])}
    code, out, err = nightsoak("calibrate", "--quick", *[files.get(option, option) for option in options])
    assert (code, out) == (2, "")
    assert words in err
