"""Whole documents, compared whole. After a wanted change: UPDATE_GOLDEN=1 pytest tests/report, and read the diff."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.report.artefacts import build_artefacts, render_again, write_artefacts
from engine.report.record import RunRecord
from engine.report.render import render_markdown
from engine.report.view import build_view

GOLDEN = Path(__file__).parent / "golden"
KINDS = ("normal", "nodata", "interrupted")


@pytest.fixture(scope="session")
def artefacts(records: dict[str, RunRecord]) -> dict[str, dict[str, bytes]]:
    return {kind: build_artefacts(record) for kind, record in records.items()}


def comparable(files: dict[str, bytes]) -> dict[str, object]:
    """The artefacts with the manifest parsed and its code hash left out: the checkout may be edited meanwhile."""
    manifest = json.loads(files["truth_manifest.json"])
    del manifest["code_sha256"]
    return {**files, "truth_manifest.json": manifest}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", ["SOAK_RESULTS.md", "summary.txt"])
def test_the_document_is_the_golden_one(artefacts: dict[str, dict[str, bytes]], kind: str, file: str) -> None:
    golden = GOLDEN / f"{kind}.{file.rsplit('.', 1)[1]}"
    made = artefacts[kind][file].decode()
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(made, encoding="utf-8")
    assert made == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_tables_are_narrow_and_nothing_is_raw_html(artefacts: dict[str, dict[str, bytes]], kind: str) -> None:
    text = artefacts[kind]["SOAK_RESULTS.md"].decode()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows
    for row in rows:
        assert len(row) <= 80, row
        assert len(re.findall(r"(?<!\\)\|", row)) - 1 <= 6, row
        assert "…" not in row, "a cell was cut"
    assert set(re.findall(r"</?([a-z]+)", text)) <= {"details", "summary"}
    assert "nan" not in text.lower().split()
    assert "None" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_is_there_and_every_chart_is_shown(artefacts: dict[str, dict[str, bytes]], kind: str) -> None:
    links = re.findall(r"!\[[^]]+\]\((charts/\w+\.svg)\)", artefacts[kind]["SOAK_RESULTS.md"].decode())
    assert sorted(links) == sorted(name for name in artefacts[kind] if name.startswith("charts/"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_notice_opens_with_the_verdict_and_is_short(artefacts: dict[str, dict[str, bytes]], kind: str) -> None:
    lines = artefacts[kind]["summary.txt"].decode().splitlines()
    assert lines[0].split()[0] == json.loads(artefacts[kind]["KPI_GATE.json"])["verdict"]
    assert len(lines) <= 8


def test_two_renders_are_the_same_bytes_and_so_is_one_from_the_folder(
    artefacts: dict[str, dict[str, bytes]], normal: RunRecord, tmp_path: Path
) -> None:
    assert comparable(build_artefacts(normal)) == comparable(artefacts["normal"])
    write_artefacts(normal, tmp_path / "run")
    (tmp_path / "run" / "SOAK_RESULTS.md").write_text("lost\n", encoding="utf-8")
    (tmp_path / "run" / "charts" / "price.svg").unlink()
    assert render_again(tmp_path / "run") == ["SOAK_RESULTS.md", "charts/price.svg"]
    written = {
        path.relative_to(tmp_path / "run").as_posix(): path.read_bytes()
        for path in (tmp_path / "run").rglob("*")
        if path.is_file()
    }
    assert comparable(written) == comparable(artefacts["normal"])
    assert render_again(tmp_path / "run") == []


def test_user_settings_of_matplotlib_do_not_reach_the_charts(
    artefacts: dict[str, dict[str, bytes]], records: dict[str, RunRecord]
) -> None:
    import matplotlib

    with matplotlib.rc_context({"lines.linewidth": 9.0, "font.size": 20.0, "svg.hashsalt": "other"}):
        assert comparable(build_artefacts(records["nodata"])) == comparable(artefacts["nodata"])
        assert matplotlib.rcParams["font.size"] == 20.0


def test_a_partial_report_says_so_at_the_top_and_a_whole_one_does_not(
    artefacts: dict[str, dict[str, bytes]],
) -> None:
    head = {kind: artefacts[kind]["SOAK_RESULTS.md"].decode().split("\n\n")[1] for kind in KINDS}
    assert head["interrupted"].startswith("> **Partial report.** The run was interrupted after 8 windows in 2 of 6")
    assert "Partial" not in artefacts["normal"]["SOAK_RESULTS.md"].decode()


def test_a_generated_market_is_named_near_the_top_and_a_recorded_one_is_not(
    artefacts: dict[str, dict[str, bytes]],
) -> None:
    assert "**Generated market.**" in artefacts["normal"]["SOAK_RESULTS.md"].decode()[:400]
    assert "generated" not in artefacts["nodata"]["SOAK_RESULTS.md"].decode().lower()


def test_no_data_is_never_written_as_a_number(artefacts: dict[str, dict[str, bytes]]) -> None:
    text = artefacts["nodata"]["SOAK_RESULTS.md"].decode()
    for name in ("net_bps", "gross_bps", "cancel_ratio", "adverse_bps_p95", "residual"):
        row = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
        assert "no data" in row
    assert "windows.svg" not in text
    assert "Net 0.00" not in artefacts["nodata"]["summary.txt"].decode()


def test_hostile_text_stays_text(normal: RunRecord) -> None:
    plan = {**normal.plan, "venue": "a|b\n# x <script>alert(1)</script> [l](http://h) `c` *b*"}
    text = render_markdown(build_view(replace(normal, plan=plan).completed()))
    assert "\\<script>" in text
    assert not re.search(r"(?<!\\)<script", text)
    assert "](http" not in text.replace("\\](http", "")
    assert "\n# x" not in text


def test_a_normal_run_renders_in_two_cpu_seconds(normal: RunRecord) -> None:
    before = time.process_time()
    build_artefacts(normal)
    assert time.process_time() - before < 2.0
