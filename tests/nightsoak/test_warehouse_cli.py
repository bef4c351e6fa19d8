"""nightsoak ingest, kpis and windows, as a user calls them."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nightsoak.__main__ import main

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "warehouse" / "golden"
RUN_ID = "20261120T020000-BTCUSDT-901d"


@pytest.fixture
def nightsoak(tmp_path, capsys):
    """Calls a command on a warehouse of the test's own: (exit code, stdout, stderr)."""

    def call(*args: str) -> tuple[int, str, str]:
        code = main([*args, "--db", str(tmp_path / "w.duckdb")])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def journal(tmp_path):
    return Path(shutil.copy(GOLDEN / "journal_v1.jsonl", tmp_path / f"{RUN_ID}.0.jsonl"))


def test_ingest_prints_that_every_line_is_accounted_for(nightsoak, journal):
    with journal.open("ab") as stream:
        stream.write(b"junk\n" + b'{"torn')
    code, out, err = nightsoak("ingest", str(journal))
    assert code == 0
    assert out.splitlines() == [
        "1 files, 597 new lines",
        "595 accepted + 0 duplicates + 1 in quarantine + 1 torn = 597",
    ]
    assert f"in quarantine: 1 x not JSON; the first at {journal}:596" in err
    code, out, _ = nightsoak("ingest", str(journal), "--json")
    assert json.loads(out) == {
        "files": 1,
        "lines": 1,
        "accepted": 0,
        "duplicates": 0,
        "quarantined": 0,
        "torn": 1,
        "alarms": [],
        "reasons": [],
        "refused": [],
    }
    for command in ("kpis", "windows"):
        _, out, err = nightsoak(command, "latest")
        note = f"note: 1 line is in quarantine and in no number of this run, the first: {journal}:596: not JSON"
        assert note in err and note not in out


def test_a_file_that_tells_a_record_otherwise_is_an_error_and_changes_nothing(nightsoak, journal, tmp_path):
    nightsoak("ingest", str(journal))
    _, kpis, _ = nightsoak("kpis", "latest")
    other = tmp_path / "corrected.jsonl"
    first, *lines = journal.read_bytes().splitlines(keepends=True)
    other.write_bytes(first + b"".join(line.replace(b'"seq":', b'"seq":1') for line in lines))
    for words in ((), ("--json",)):
        code, out, err = nightsoak("ingest", str(other), *words)
        assert code == 2
        last = err.splitlines()[-1]
        assert last.startswith(f"error: {other}: line ") and "with other content" in last and "--rebuild" in last
    assert json.loads(out)["refused"][0]["path"] == str(other)
    assert nightsoak("kpis", "latest")[1] == kpis


def test_a_file_without_a_record_is_an_error(nightsoak, journal, tmp_path):
    junk = tmp_path / "junk.jsonl"
    junk.write_bytes(b"a\nb\n")
    code, out, err = nightsoak("ingest", str(junk), str(journal))
    assert code == 2
    assert "595 accepted + 0 duplicates + 2 in quarantine" in out
    assert err.splitlines()[-1].startswith(f"error: {junk}: no line of it is a journal's: 2 in quarantine")


@pytest.mark.parametrize("ref", [RUN_ID, "latest", "journal"])
def test_kpis_of_a_run_by_id_by_journal_or_the_latest(nightsoak, journal, ref):
    nightsoak("ingest", str(journal))
    code, out, _ = nightsoak("kpis", str(journal) if ref == "journal" else ref, "--json")
    assert code == 0
    assert json.loads(out) == json.loads((GOLDEN / "edge_v1.json").read_text())


def test_kpis_for_a_reader(nightsoak, journal):
    nightsoak("ingest", str(journal))
    code, out, err = nightsoak("kpis", "latest")
    assert code == 0
    totals = json.loads((GOLDEN / "edge_v1.json").read_text())["totals"]
    assert out.splitlines()[0] == f"{RUN_ID} BTCUSDT, lane 0"
    assert f"{totals['net_bps']:.6g} bps" in out
    assert "blocked: min_interval" in out
    assert f"{totals['realised_pnl_quote']:.6g} USDT" in out
    assert f"{totals['unrealised_pnl_quote']:.6g} USDT" in out
    assert [line.split()[2] for line in out.splitlines() if "markout cost" in line] == ["1", "5", "10", "60"]
    assert "hint: nightsoak windows" in err


def test_windows_as_csv_hold_full_precision_and_nothing_else(nightsoak, journal):
    nightsoak("ingest", str(journal))
    code, out, err = nightsoak("windows", "latest", "--seconds", "60", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    windows = json.loads((GOLDEN / "edge_v1.json").read_text())["windows"]
    assert (code, err) == (0, "")
    assert [row["window"] for row in rows] == ["0", "1", "2", "3"]
    assert rows[1]["start_utc"] == "2024-08-09T00:01:00.000000Z"
    for row, window in zip(rows, windows, strict=True):
        assert (row.pop("run_id"), row.pop("symbol")) == (RUN_ID, "BTCUSDT")
        start = datetime.fromisoformat(row.pop("start_utc"))
        assert (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000 == window["start_ns"]
        for name, text in row.items():
            assert (None if text == "" else float(text)) == window[name], name


def test_windows_for_a_reader(nightsoak, journal):
    nightsoak("ingest", str(journal))
    code, out, _ = nightsoak("windows", "latest", "--seconds", "120")
    assert code == 0
    assert len(out.splitlines()) == 4
    assert out.splitlines()[2].split()[:3] == ["0", "2024-08-09", "00:00:00"]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("ingest", "nowhere.jsonl"), 2, "nowhere.jsonl"),
        (("kpis", "latest"), 2, "there is no warehouse yet; a soak or nightsoak ingest makes it"),
        (("windows", "nobody"), 2, f"run nobody: is not in the warehouse; known ones: latest, {RUN_ID}; or ingest"),
        (("windows", "latst"), 2, "did you mean 'latest'?"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(nightsoak, journal, tmp_path, args, code, message):
    if args[0] == "windows":
        nightsoak("ingest", str(journal))
    found, out, err = nightsoak(*args)
    assert (found, out) == (code, "")
    assert err.startswith("error: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert (tmp_path / "w.duckdb").exists() is (args[0] != "kpis"), "reading makes no warehouse"


@pytest.fixture
def holder(tmp_path):
    """A process that has the warehouse open, until it reads a line."""
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "w.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        if process.poll() is None:
            process.communicate("\n")


def test_a_locked_warehouse_is_exit_3(nightsoak, holder, journal):
    code, _, err = nightsoak("ingest", str(journal))
    assert code == 3
    assert f"pid {holder.pid}" in err


def test_an_ingest_waits_a_moment_for_who_holds_the_warehouse(nightsoak, holder, journal, monkeypatch):
    """Once the ingest has begun to wait, its holder lets go."""
    waits = []

    def wait(seconds):
        waits.append(seconds)
        holder.communicate("\n")

    monkeypatch.setattr("engine.warehouse.db.time.sleep", wait)
    code, out, _ = nightsoak("ingest", str(journal))
    assert (code, out.splitlines()[0], len(waits)) == (0, "1 files, 595 new lines", 1)


def test_rebuild_compares_and_says_that_nothing_changed(nightsoak, journal):
    nightsoak("ingest", str(journal))
    code, out, _ = nightsoak("ingest", str(journal), "--rebuild")
    assert code == 0
    assert out.splitlines() == [
        "1 files, 595 new lines",
        "595 accepted + 0 duplicates + 0 in quarantine + 0 torn = 595",
        "every raw table is equal to what it was",
    ]
    code, out, _ = nightsoak("ingest", str(journal), "--rebuild", "--json")
    assert (code, json.loads(out)["differing"]) == (0, [])


def test_a_rebuild_that_would_lose_records_is_refused(nightsoak, journal, tmp_path):
    nightsoak("ingest", str(journal))
    other = tmp_path / "other.jsonl"
    other.write_text('{"v":1,"type":"heartbeat","run_id":"x","seq":0,"ts_ns":1,"symbol":"S","lane":0}\n')
    code, out, err = nightsoak("ingest", str(other), "--rebuild")
    assert (code, out) == (2, "")
    assert "which is not among the journals given" in err
    code, out, _ = nightsoak("kpis", "latest")
    assert out.startswith(RUN_ID)


def test_a_damaged_warehouse_is_said_to_have_been_made_again(nightsoak, journal, tmp_path):
    nightsoak("ingest", str(journal))
    (tmp_path / "w.duckdb").write_bytes(b"")
    code, _, err = nightsoak("kpis", "latest")
    assert (code, "ingest --rebuild" in err) == (3, True)
    code, out, err = nightsoak("ingest", str(journal))
    assert code == 0
    assert "595 accepted" in out
    assert f"the warehouse was damaged: it now lies in {tmp_path / 'w.duckdb.damaged-1'}" in err


def test_a_journal_cut_short_is_alarmed_about(nightsoak, journal):
    nightsoak("ingest", str(journal))
    journal.write_bytes(journal.read_bytes()[:-3000])
    code, _, err = nightsoak("ingest", str(journal))
    assert code == 0
    assert f"alarm: {journal}: is shorter" in err


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTSOAK_DATASETS", str(tmp_path / "datasets"))
    return tmp_path / "datasets"


EXPORT = """Date(UTC),Symbol,Side,Price,Quantity,Amount,Fee,Realized Profit
2026-06-01 09:00:01,BTCUSDT,BUY,68000,0.01,680,0.27,0
2026-06-01 10:00:00,BTCUSDT,SELL,68600,0.01,686,0.27,6
"""


def test_an_export_is_made_into_a_journal_and_read(nightsoak, datasets, tmp_path):
    export = tmp_path / "trades.csv"
    export.write_text(EXPORT)
    code, out, _ = nightsoak("ingest", "--format", "binance", str(export), "--symbol", "BTCUSDT")
    assert code == 0
    [journal] = (datasets / "journals").iterdir()
    assert out.splitlines() == [
        f"2 fills, 0 funding payments, 0 marks -> {journal}",
        "  not said: liquidity (2), fee_currency (2), order_id (2), fill_mid (2), quote_mid (2), order_age_ms (2), "
        "position_start (1)",
        "  mids joined from the tape: 0 of 2",
        "  times are to 1 s only",
        "1 files, 4 new lines",
        "4 accepted + 0 duplicates + 0 in quarantine + 0 torn = 4",
    ]
    code, out, _ = nightsoak("ingest", "--format", "binance", str(export), "--symbol", "BTCUSDT", "--json")
    assert json.loads(out)["lines"] == 0
    assert json.loads(out)["exports"][0]["fills"] == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--format", "binance"), "--format needs --symbol"),
        (("--format", "binance", "--symbol", "BTCUSDT", "--tick", "fine"), "--tick fine is no number"),
        (("--format", "bybit", "--symbol", "BTCUSDT"), "has no column"),
    ],
)
def test_an_export_that_cannot_be_read_leaves_nothing_behind(nightsoak, datasets, tmp_path, args, message):
    export = tmp_path / "trades.csv"
    export.write_text(EXPORT)
    code, out, err = nightsoak("ingest", str(export), *args)
    assert (code, out) == (2, "")
    assert message in err
    assert not datasets.exists()


def test_ingest_without_journals_reads_the_installations_own(datasets, journal, capsys):
    assert main(["ingest"]) == 2
    assert "no journals are named" in capsys.readouterr().err
    (datasets / "journals").mkdir(parents=True)
    shutil.copy(journal, datasets / "journals")
    assert main(["ingest"]) == 0
    assert "595 accepted" in capsys.readouterr().out


def test_help_of_the_group_imports_nothing_heavy():
    script = "import sys; from nightsoak.__main__ import build_parser; build_parser(); print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert not {"duckdb", "pyarrow", "pandas", "numpy"} & set(json.loads(out.replace("'", '"')))
