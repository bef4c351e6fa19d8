"""The whole summary against golden ones; UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputError, VerificationError
from engine.report.baseline_artefacts import (
    BASELINE,
    DOCUMENT,
    publish_baseline,
    render_baseline,
    render_baseline_again,
)

GOLDEN = Path(__file__).parent / "golden"
GOOD = (3.0, 10_000.0, 6, 12.0, 0.2)
POOR = (1.0, 10_000.0, 5, 12.0, 0.45)
EMPTY = (0.0, 0.0, 0, None, 0.0)

RecordOf = Callable[..., dict[str, Any]]
EdgeOf = Callable[..., dict[str, Any]]


@pytest.fixture
def records(record_of: RecordOf, edge_of: EdgeOf) -> dict[str, dict[str, Any]]:
    good = [edge_of("BTCUSDT", GOOD, GOOD), edge_of("ETHUSDT", GOOD, GOOD)]
    go = [[edge_of("BTCUSDT", POOR, POOR), good[1]], good]
    return {
        "go": record_of(*go),
        "no_go": record_of(*[[edge_of("BTCUSDT", POOR, EMPTY)]] * 4, mock=False),
        "no_fills": record_of(*[[edge_of("BTCUSDT", EMPTY, EMPTY)]] * 4),
    }


@pytest.mark.parametrize("name", ["go", "no_go", "no_fills"])
def test_the_summary_is_the_golden_one(records: dict[str, dict[str, Any]], name: str) -> None:
    files = render_baseline(records[name])
    for file, golden in ((DOCUMENT, GOLDEN / f"{name}.md"), ("summary.txt", GOLDEN / f"{name}.txt")):
        made = files[file].decode()
        if os.environ.get("UPDATE_GOLDEN"):
            golden.write_text(made, encoding="utf-8")
        assert made == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["go", "no_go", "no_fills"])
def test_it_has_the_header_and_tables_of_the_form_and_fits_a_terminal(
    records: dict[str, dict[str, Any]], name: str
) -> None:
    files = render_baseline(records[name])
    lines = files[DOCUMENT].decode().splitlines()
    feed = "Recorded Tape" if name == "no_go" else "Generated Market"
    assert lines[0] == f"# STEP 1 — Baseline Shadow ({feed}) + Auto-Tune"
    assert [line for line in lines if line.startswith("## ")] == [
        "## KPI Summary (Averages)",
        "## Auto-Tune Attempts",
        "## Decision",
    ]
    assert f"### **{records[name]['decision']}**" in lines
    assert [line for line in lines if len(line) > 80 and "](../" not in line and not line.startswith("nightsoak")] == []
    notice = files["summary.txt"].decode().splitlines()
    assert notice[0].startswith(records[name]["decision"])
    assert len(notice) <= 8


def test_the_ladder_ends_with_the_first_go(records: dict[str, dict[str, Any]]) -> None:
    record = records["go"]
    assert (record["decision"], record["judged"]) == ("GO", "A")
    assert [attempt["decision"] for attempt in record["attempts"]] == ["NO-GO", "GO"]


def test_only_a_ladder_on_a_live_feed_says_real_feed(records: dict[str, dict[str, Any]]) -> None:
    record = records["no_go"]
    live = record | {"settings": record["settings"] | {"tapes": []}}
    assert "(Real Feed)" in render_baseline(live)[DOCUMENT].decode().splitlines()[0]
    live["settings"]["endpoint"] = "ws://127.0.0.1:9"
    made = render_baseline(live)
    text = made[DOCUMENT].decode()
    assert "(Own Feed)" in text.splitlines()[0]
    assert "from ws://127.0.0.1:9, not the venue's feed: it may play a tape" in " ".join(text.split())
    assert made["summary.txt"].decode().splitlines()[0].endswith("not the venue's feed")


def test_published_whole_listed_beside_latest_and_rendered_again(
    records: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    folder = publish_baseline(records["go"], {"config/presets.json": "0" * 64}, tmp_path, wall_clock={"at": "now"})
    assert folder == tmp_path / "2026-11-20" / "20261120T020000-baseline-1f2e"
    assert not (tmp_path / "latest").exists()
    assert f"2026-11-20/{folder.name}/{DOCUMENT}" in (tmp_path / "index.md").read_text()
    assert sorted(path.name for path in folder.iterdir()) == [
        BASELINE, DOCUMENT, "summary.txt", "truth_manifest.json", "wall_clock.json",
    ]  # fmt: skip
    assert render_baseline_again(folder) == []
    (folder / DOCUMENT).write_text("older words")
    assert render_baseline_again(folder) == [DOCUMENT]
    assert render_baseline_again(folder) == []


def test_a_changed_record_is_refused(records: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    folder = publish_baseline(records["no_go"], {}, tmp_path, wall_clock={})
    record = json.loads((folder / BASELINE).read_bytes()) | {"decision": "GO"}
    (folder / BASELINE).write_text(json.dumps(record))
    with pytest.raises(VerificationError, match="differs from its sha256"):
        render_baseline_again(folder)
    (folder / BASELINE).unlink()
    with pytest.raises(InputError, match="is not a ladder's record"):
        render_baseline_again(folder)
