from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.paths import CHECKOUT
from engine.report.copies import artefact_key, read_copy

EXAMPLE = CHECKOUT / "reports" / "example"


def test_the_copy_says_what_the_report_says_in_fewer_lines() -> None:
    copy = read_copy(EXAMPLE)
    report = (EXAMPLE / "SOAK_RESULTS.md").read_text(encoding="utf-8")
    without_charts = re.compile(r"!\[[^\]]*\]\([^)]*\)")
    words, theirs = (without_charts.sub("", text).replace("\n> ", "\n").split() for text in (copy.markdown, report))
    assert words == theirs
    tables = [line for line in report.splitlines() if line.startswith(("|", "#", "<"))]
    assert [line for line in copy.markdown.splitlines() if line.startswith(("|", "#", "<"))] == tables


def test_its_charts_are_the_files() -> None:
    copy = read_copy(EXAMPLE)
    assert sorted(copy.charts) == sorted(path.stem for path in (EXAMPLE / "charts").glob("*.svg"))
    head, _, data = copy.charts["windows"].partition(",")
    assert head == "data:image/svg+xml;base64"
    assert base64.b64decode(data) == (EXAMPLE / "charts" / "windows.svg").read_bytes()
    assert "](charts/" not in copy.markdown
    assert copy.charts["windows"] in copy.markdown


def test_key_message_and_kpis() -> None:
    copy = read_copy(EXAMPLE)
    assert copy.key == "soak-simusdt"
    assert copy.message.startswith("FAIL · SIMUSDT · ")
    rows = {row["metric"]: row for row in copy.kpis}
    assert rows["net_bps"]["unit"] == "bps"
    assert rows["maker_share_pct"]["value"] == "100"


def test_keys_are_what_prefect_takes() -> None:
    assert artefact_key("soak", "BTC/USDT:Perp") == "soak-btc-usdt-perp"
    assert artefact_key("baseline", "BTCUSDT ETHUSDT") == "baseline-btcusdt-ethusdt"


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_copy(tmp_path)
    (tmp_path / "truth_manifest.json").write_text("{}")
    with pytest.raises(InputError, match="holds no whole report"):
        read_copy(tmp_path)
