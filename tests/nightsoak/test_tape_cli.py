"""`nightsoak tape ...` as a user runs it: output, exit codes, the one-line error, the hint."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from engine.market.tape import Tape
from nightsoak.__main__ import main

START = [
    '1700000000010000000 {"stream":"btcusdt@depth","data":{"e":"depthUpdate","E":1700000000006,"T":1700000000005,'
    '"s":"BTCUSDT","U":1,"u":5,"pu":0,"b":[],"a":[]}}',
    '1700000000020000000 {"lastUpdateId":5,"bids":[["100.0","1"]],"asks":[["100.2","2"]]}',
    '1700000000030000000 {"stream":"btcusdt@trade","data":{"e":"trade","E":1700000000026,"T":1700000000025,'
    '"s":"BTCUSDT","t":1,"p":"100.2","q":"0.5","X":"MARKET","m":false}}',
]
BROKEN = (
    '1700000000040000000 {"stream":"btcusdt@depth","data":{"e":"depthUpdate","E":1700000000036,"T":1700000000035,'
    '"s":"BTCUSDT","U":8,"u":9,"pu":7,"b":[],"a":[]}}'
)
CROSSED = BROKEN.replace('"pu":7,"b":[]', '"pu":5,"b":[["100.4","1"]]')


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    file = tmp_path / "capture.gz"
    file.write_bytes(gzip.compress(("\n".join(START) + "\n").encode()))
    return file


def run(*words: object) -> int:
    return main(["tape", *(str(word) for word in words)])


def test_import_info_verify(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t"
    assert run("import", capture, "--out", out) == 0
    printed = capsys.readouterr()
    assert "BTCUSDT at binance-usdm" in printed.out and "4 (2 depth rows, 1 trades)" in printed.out
    assert printed.err.splitlines()[-1].startswith("hint: ") and f"soak --tape {out}" in printed.err
    assert run("info", out) == 0
    assert capsys.readouterr().out == printed.out
    assert run("info", out, "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((out / "meta.json").read_text()) and printed.err == ""
    assert run("verify", out) == 0
    printed = capsys.readouterr()
    assert {line.split()[0] for line in printed.out.splitlines()[1:]} == {"ok"}
    assert f"soak --tape {out}" in printed.err


def test_a_tape_is_overwritten_only_with_force(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("import", capture, "--out", tmp_path / "t") == 0
    capsys.readouterr()
    assert run("import", capture, "--out", tmp_path / "t") == 2
    error = capsys.readouterr().err
    assert error == f"error: {tmp_path / 't'}: a tape is there already; choose another folder or say --force\n"
    assert run("import", capture, "--out", tmp_path / "t", "--force") == 0


def test_gaps_and_crossed_books_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "capture.txt"
    file.write_text("\n".join([*START, BROKEN]) + "\n")
    assert run("import", file, "--out", tmp_path / "gap") == 0
    assert (
        "warning: gap at local time 1700000000040000000: sequence: pu 7 does not follow u 5" in capsys.readouterr().err
    )
    assert run("verify", tmp_path / "gap") == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("warn")] == [
        f"warn  {'no gaps: 1 found':<76}  4"
    ]
    file.write_text("\n".join([*START, CROSSED]) + "\n")
    assert run("import", file, "--out", tmp_path / "crossed") == 0
    assert "warning: 1 messages leave a crossed book" in capsys.readouterr().err
    assert run("verify", tmp_path / "crossed") == 1
    printed = capsys.readouterr()
    assert "fail  no message leaves a crossed book: 1 found" in printed.out and "hint: a failed tape" in printed.err


def test_damage_fails_verify_with_1_and_a_missing_tape_is_2(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("import", capture, "--out", tmp_path / "t")
    file = tmp_path / "t" / "qty_lots.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    capsys.readouterr()
    assert run("verify", tmp_path / "t") == 1
    assert "qty_lots.npy: is altered" in capsys.readouterr().out
    assert run("verify", tmp_path / "t", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False and "is altered" in str([one for one in found["findings"] if one["label"] == "fail"])
    file.write_bytes(file.read_bytes()[:-1])
    assert run("info", tmp_path / "t") == 2
    assert "qty_lots.npy: is truncated" in capsys.readouterr().err
    for action in ("verify", "info"):
        assert run(action, tmp_path / "none") == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--symbol", "ETHUSDT"], "holds BTCUSDT, not ETHUSDT; mend --symbol"),
        (["--tick", "0.3"], "price '100.0' is not a multiple of 0.3"),
        (["--format", "bybit"], "holds no orderbook topic"),
        (["--format", "neutral"], "is damaged or not an .npz"),
    ],
)
def test_a_bad_import_is_one_line_exit_2_and_no_tape(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], error: str
) -> None:
    assert run("import", capture, "--out", tmp_path / "t", *words) == 2
    printed = capsys.readouterr().err
    assert error in printed and len(printed.splitlines()) == 1
    assert not (tmp_path / "t").exists()


def test_flags_define_an_unknown_symbol(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "capture.txt"
    file.write_text("\n".join(START).replace('"BTCUSDT"', '"ABCUSD_PERP"') + "\n")
    assert run("import", file, "--out", tmp_path / "t") == 2
    assert "unknown symbol ABCUSD_PERP of binance-coinm" in capsys.readouterr().err
    grid = ["--tick", "0.1", "--lot", "0.5", "--contract", "inverse", "--contract-size", "10"]
    assert run("import", file, "--out", tmp_path / "t", *grid) == 0
    instrument = Tape.open(tmp_path / "t").meta.instrument()
    assert (instrument.contract, instrument.pnl_currency, instrument.contract_size) == ("inverse", "ABC", 10)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "x"])
def test_flags_that_are_no_grid_are_usage_errors(capture: Path, tmp_path: Path, value: str) -> None:
    with pytest.raises(SystemExit) as caught:
        run("import", capture, "--out", tmp_path / "t", f"--tick={value}")
    assert caught.value.code == 2


def test_a_neutral_file_needs_tick_and_lot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = np.array([100, 200])
    np.savez(
        tmp_path / "s_neutral.npz",
        exch_ts=times,
        local_ts=times + 9,
        kind=np.zeros(2, np.uint8),
        side=np.array([1, -1], np.int8),
        price_ticks=np.array([10, 11], np.int32),
        qty_lots=np.array([5, 7], np.int32),
    )
    (tmp_path / "s_meta.json").write_text('{"n": 2}')
    assert run("import", tmp_path / "s_neutral.npz", "--out", tmp_path / "t") == 2
    assert "give --tick and --lot (and --symbol)" in capsys.readouterr().err
    assert run("import", tmp_path / "s_neutral.npz", "--out", tmp_path / "t", "--tick", "0.1", "--lot", "0.001") == 0


def test_generate_is_seeded_and_replaces_only_with_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hour = ["--hours", "0.02"]
    assert run("generate", "--out", tmp_path / "a", "--seed", 5, *hour) == 0
    assert "yes, seed 5" in capsys.readouterr().out
    assert run("generate", "--out", tmp_path / "b", "--seed", 5, *hour) == 0
    assert run("generate", "--out", tmp_path / "b", "--seed", 6, *hour) == 2
    first = Tape.open(tmp_path / "a").meta
    assert Tape.open(tmp_path / "b", verify=True).meta == first
    assert run("generate", "--out", tmp_path / "b", "--seed", 6, *hour, "--force") == 0
    assert Tape.open(tmp_path / "b", verify=True).meta.digest != first.digest
    assert run("verify", tmp_path / "b") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
