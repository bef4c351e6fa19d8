"""nightsoak hourly and fees, as a user calls them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from nightsoak.__main__ import main

GOLDEN = Path(__file__).parents[1] / "warehouse" / "golden"


@pytest.fixture
def nightsoak(tmp_path, capsys):
    """Calls a command on a warehouse that holds the golden journal: (exit code, stdout, stderr)."""
    assert main(["ingest", str(GOLDEN / "journal_v1.jsonl"), "--db", str(tmp_path / "w.duckdb")]) == 0
    capsys.readouterr()

    def call(*args: str) -> tuple[int, str, str]:
        code = main([*args, "--db", str(tmp_path / "w.duckdb")])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def totals():
    return json.loads((GOLDEN / "edge_v1.json").read_text())["totals"]


def test_hours_as_json_and_csv_hold_the_runs_numbers(nightsoak, totals):
    span = ("--from", "2024-08-08T23:00", "--to", "2024-08-09T01:00+00:00")
    code, out, err = nightsoak("hourly", *span, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["to_ns"] - found["from_ns"], found["left_out"]) == (2 * 3600 * 10**9, {})
    empty, hour = found["rows"]
    assert (empty["runs"], empty["net_bps"]) == (0, None)
    assert {name: hour[name] for name in totals if name in hour} == {n: v for n, v in totals.items() if n in hour}
    code, out, _ = nightsoak("hourly", *span, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["net_bps"] for row in rows] == ["", str(totals["net_bps"])]


def test_hours_for_a_reader(nightsoak):
    code, out, err = nightsoak("hourly", "--from", "2024-08-08T23:00")
    assert code == 0
    _head, empty, hour = out.splitlines()
    assert max(map(len, out.splitlines())) <= 80
    assert empty.split()[:3] == ["2024-08-08T23:00:00Z", "BTCUSDT", "0"] and "no data" in empty
    assert hour.split()[:4] == ["2024-08-09T00:00:00Z", "BTCUSDT", "1", "0.170"]
    assert "hint: --csv" in err
    assert len(nightsoak("hourly")[1].splitlines()) == 2


def test_fees_at_the_profiles_tiers_and_at_one_of_ones_own(nightsoak, totals):
    code, out, err = nightsoak("fees", "latest")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["as", "profile", "profile"]
    assert "--maker-bps" in err
    code, out, _ = nightsoak("fees", "latest", "--maker-bps", "0.5", "--taker-bps", "-3")
    assert code == 0
    then = totals["net_bps"] - totals["fees_eff_bps"] + 0.5
    assert f"{then:.4f}" in out
    assert len(out.splitlines()) == 4 + 2 + 4
    code, out, err = nightsoak("fees", "latest", "--maker-bps", "0.5", "--taker-bps", "-3", "--json")
    assert json.loads(out)["tiers"][0]["totals"]["net_bps"] == pytest.approx(then, abs=1e-6)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("hourly", "--from", "yesterday"), "--from yesterday is no time"),
        (("hourly", "--from", "2025-01-01", "--to", "2024-01-01"), "the span is empty"),
        (("fees", "latest", "--maker-bps", "1"), "one fee of two"),
        (("fees", "latest", "--maker-bps", "much", "--taker-bps", "1"), "--maker-bps much is no number"),
        (("fees", "nobody"), "run nobody"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(nightsoak, args, message):
    code, out, err = nightsoak(*args)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and message in err and len(err.splitlines()) == 1
