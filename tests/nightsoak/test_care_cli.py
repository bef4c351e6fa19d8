"""nightsoak backup, restore, prune and export, as a user calls them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from nightsoak.__main__ import main

GOLDEN = Path(__file__).parents[1] / "warehouse" / "golden" / "journal_v1.jsonl"
RUN_ID = "20261120T020000-BTCUSDT-901d"


@pytest.fixture
def nightsoak(tmp_path, monkeypatch, capsys):
    """Calls a command in an installation with one run: (exit code, stdout, stderr)."""
    monkeypatch.setenv("NIGHTSOAK_DATASETS", str(tmp_path / "datasets"))

    def call(*args: str) -> tuple[int, str, str]:
        code = main([*map(str, args)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    journals = tmp_path / "datasets" / "journals"
    journals.mkdir(parents=True)
    shutil.copy(GOLDEN, journals / f"{RUN_ID}.0.jsonl")
    assert call("ingest")[0] == 0
    return call


def test_backup_and_restore(nightsoak, tmp_path):
    code, out, _ = nightsoak("backup", tmp_path / "kept")
    assert (code, out) == (0, f"1 files, 596 rows -> {tmp_path / 'kept'}\n")
    (tmp_path / "datasets" / "warehouse.duckdb").unlink()
    code, out, _ = nightsoak("restore", tmp_path / "kept", "--json")
    assert (code, sum(json.loads(out)["rows"].values())) == (0, 596)
    code, out, _ = nightsoak("ingest", "--json")
    assert (code, json.loads(out)["lines"]) == (0, 0)
    code, _, err = nightsoak("backup", tmp_path / "kept")
    assert (code, "is not empty" in err) == (2, True)


def test_prune_says_what_would_go_and_then_lets_it_go(nightsoak, tmp_path):
    journal = tmp_path / "datasets" / "journals" / f"{RUN_ID}.0.jsonl"
    code, out, err = nightsoak("prune", "--keep-days", "7")
    assert (code, out) == (0, "")
    assert "0 runs removed" in err
    os.utime(journal, (10**9, 10**9))
    code, out, err = nightsoak("prune", "--keep-days", "7", "--dry-run")
    assert (code, out) == (0, f"{RUN_ID}\n")
    assert "1 runs would go, 1 journals of 0.2 MB" in err
    assert journal.exists()
    code, out, _ = nightsoak("prune", "--keep-days", "7", "--json")
    assert (code, json.loads(out)["runs"]) == (0, [RUN_ID])
    assert not journal.exists()
    assert nightsoak("kpis", "latest")[0] == 2


def test_export_writes_parquet(nightsoak, tmp_path):
    code, out, _ = nightsoak("export", tmp_path / "out", "--run", "latest", "--json")
    assert code == 0
    rows = json.loads(out)["rows"]
    assert rows["raw_record"] == 595
    assert {path.stem for path in (tmp_path / "out").iterdir()} == set(rows)
