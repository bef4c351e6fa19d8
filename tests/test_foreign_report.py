"""The report of another bot's run: from its journal, written by hand here, or from an export of its trades."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.find_report import find_report
from engine.paths import Paths
from engine.report.copies import read_copy
from engine.warehouse.db import Warehouse
from engine.warehouse.ingest import ingest
from nightsoak.__main__ import main
from tasks.render_report import render_report

pytestmark = pytest.mark.usefixtures("expectations_here")
GOLDEN = Path(__file__).parent / "report" / "golden" / "foreign.md"
T0 = 1_723_161_600 * 10**9  # 2024-08-09 00:00 UTC
S = 10**9
INSTRUMENT = {"tick": "0.1", "lot": "0.001", "contract": "linear", "quote_currency": "USDT"}
START = {"type": "run_start", "ts_ns": T0, "instrument": INSTRUMENT}
EXPORT = """Date(UTC),Symbol,Side,Price,Quantity,Amount,Fee,Fee Coin,Realized Profit
2024-08-09 00:00:09,BTCUSDT,SELL,60010.0,0.010,600.10,0.12002,USDT,0.1
2024-08-09 00:00:03,BTCUSDT,BUY,60000.0,0.010,600.00,-0.06,USDT,0
"""


def fill(number: int, second: int, half_spread: int = 5) -> dict[str, Any]:
    """A buy below 60,000 or, every other time, a sale above it."""
    side, sign = ("buy", -1) if number % 2 == 0 else ("sell", +1)
    money = {"price": str(60_000 + sign * half_spread), "qty": "0.010", "fee": "-0.06", "fee_currency": "USDT"}
    return {"type": "fill", "ts_ns": T0 + second * S, "side": side, "liquidity": "maker", **money}


def bare(fills: int = 30) -> list[dict[str, Any]]:
    return [START, *(fill(i, 7 + 150 * i) for i in range(fills))]


def told() -> list[dict[str, Any]]:
    """An hour with all that the gates ask for: marks, orders with their ends, quote age, edges; and a good net."""
    lanes = [{"lane": 0, "role": "champion", "params": {"levels": 3, "style": "wide"}}]
    rows: list[dict[str, Any]] = []
    for second in range(3601):
        rows.append({"type": "mark", "ts_ns": T0 + second * S, "mid": "60000", "bid": "59999.9", "ask": "60000.1"})
    for i in range(48):
        second, order = 10 + 75 * i, {"order_id": i, "price": "59970", "qty": "0.010", "side": "buy"}
        rows.append({"type": "order", "ts_ns": T0 + second * S, "event": "new", "latency_ms": 3.5, **order})
        rows.append(fill(i, second + 5, 30) | {"order_id": i, "order_age_ms": 200, "quote_mid": "60000"})
    for w in range(6):
        edges = {"ts_ns": T0 + (w + 1) * 600 * S, "start_ns": T0 + w * 600 * S}
        rows.append({"type": "window_end", "window": w, "iteration": 0, "valid_book_ms": 600_000, **edges})
    change = {"type": "params", "ts_ns": T0 + 1800 * S, "params": {"levels": 5}, "source": "its owner"}
    rows = sorted([*rows, change], key=lambda row: row["ts_ns"])
    head = START | {
        "bot": "gridder/2",
        "mode": "paper",
        "market": "generated",
        "latency_modelled": True,
        "lanes": lanes,
        "position_cap_qty": "1",
    }
    return [head, *rows, {"type": "run_end", "ts_ns": T0 + 3600 * S, "reason": "complete"}]


def write(folder: Path, run_id: str, rows: list[dict[str, Any]], name: str = "journal") -> Path:
    path = folder / f"{name}.0.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    heads = ({"v": 1, "run_id": run_id, "seq": seq, "symbol": "BTCUSDT", "lane": 0} for seq in range(len(rows)))
    path.write_text("".join(json.dumps(head | row) + "\n" for head, row in zip(heads, rows, strict=True)))
    return path


def read(paths: Paths, *journals: Path) -> None:
    with Warehouse(paths.warehouse) as wh:
        for journal in journals:  # one after the other, as a user reads them
            ingest(wh, [journal])


def report_of(paths: Paths, run: str) -> Path:
    return find_report(run, paths, paths.warehouse, wait_s=1.0)


def value(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_bytes())


def test_a_journal_of_fills_alone_has_a_whole_report(paths: Paths, tmp_path: Path) -> None:
    journal = write(tmp_path, "my bot: night 7", bare())
    read(paths, journal)
    folder = report_of(paths, "my bot: night 7")
    assert folder == paths.reports / "2024-08-09" / "my%20bot%3A%20night%207"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        *("EDGE_REPORT.json", "KPI_GATE.json", "soak_metrics.json", "truth_manifest.json", "wall_clock.json"),
        *("SOAK_RESULTS.md", "summary.txt", "charts/windows.svg", "charts/position.svg"),
    }
    text = re.sub(r"\b[0-9a-f]{16}\b", "<sha256>", (folder / "SOAK_RESULTS.md").read_text(encoding="utf-8"))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")
    assert (folder / "summary.txt").read_text().splitlines()[0] == "NODATA · BTCUSDT · 9 Aug · checks 3/9"
    manifest = value(folder, "truth_manifest.json")
    assert (manifest["kind"], manifest["result"]["verdict"]) == ("foreign", "NODATA")
    assert list(manifest["inputs"]) == ["config/edge_targets.json", "config/gates.json", "journal/journal.0.jsonl"]
    assert "[foreign][1]" in (paths.reports / "index.md").read_text()
    assert "2024-08-09/my%2520bot%253A%2520night%25207/SOAK_RESULTS.md" in (paths.reports / "index.md").read_text()
    assert read_copy(folder).key == "foreign-btcusdt", "no other version of the soak's own artifact"


def test_a_journal_that_says_all_is_judged_but_for_the_replay_that_it_cannot_have(paths: Paths, tmp_path: Path) -> None:
    read(paths, write(tmp_path, "grid-1", told()))
    folder = report_of(paths, "grid-1")
    gate, text = value(folder, "KPI_GATE.json"), (folder / "SOAK_RESULTS.md").read_text(encoding="utf-8")
    labels = {check["metric"]: check["label"] for check in gate["checks"]}
    assert labels.pop("cancel_ratio") == labels.pop("maker_share_pct") == labels.pop("adverse_bps_p95") == "SUCCESS"
    assert labels.pop("net_bps") == labels.pop("order_age_p95_ms") == labels.pop("slippage_cost_bps_p95") == "SUCCESS"
    assert labels == {"expectations": "SUCCESS", "parity": "NODATA", "windows_with_fills": "WARN"}
    assert gate["verdict"] == "WARN", "what was not replayed is no pass"
    assert "parity: no data: not possible, there is no tape; WARN at best" in gate["reason"]
    assert "bot gridder/2 · paper · 2024-08-09 00:00-01:00 UTC · 60 of 60 min observed" in text
    assert "6 windows of 600 s" in text, "the bot's own windows"
    assert "> **Generated market.** This market is generated, not recorded." in text
    assert "- Latency is modelled, not measured.\n" in text
    assert "| levels    |     3 |     5 |" in text
    assert "| style     |  wide |  wide |" in text
    assert "by the bot itself: levels 3 -> 5" in text
    for section in ("Tuned against", "Champion against", "The same market", "no run_end", "journalled no windows"):
        assert section not in text
    assert "## Windows" in text
    assert [row["source"] for row in value(folder, "soak_metrics.json")["parameters"]] == ["start", "its owner"]


def test_the_report_is_made_anew_when_more_was_read_and_only_then(paths: Paths, tmp_path: Path) -> None:
    read(paths, write(tmp_path, "b", bare(20)))
    first = report_of(paths, "b")
    clock = (first / "wall_clock.json").read_bytes()
    assert report_of(paths, "b") == first
    assert (first / "wall_clock.json").read_bytes() == clock
    read(paths, write(tmp_path, "b", bare(24)))
    assert render_report.fn("b") == first, "the deployment report/report"
    assert value(first, "EDGE_REPORT.json")["totals"]["fills"] == 24
    paths.warehouse.unlink()
    assert report_of(paths, "b") == first, "what is written needs no warehouse"


@pytest.fixture
def nightsoak(paths: Paths, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    def call(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_an_export_from_the_first_command_to_the_verification(nightsoak: Any, paths: Paths, tmp_path: Path) -> None:
    export = tmp_path / "trades.csv"
    export.write_text(EXPORT, encoding="utf-8")
    code, _, err = nightsoak("ingest", "--format", "binance", str(export), "--symbol", "BTCUSDT")
    hint = err.splitlines()[-1]
    assert (code, hint.startswith("hint: nightsoak report 20240809T000003-BTCUSDT-")) == (0, True)
    words = shlex.split(hint)[2:]
    code, out, err = nightsoak(*words)
    assert code == 0
    assert out.startswith("NODATA  BTCUSDT  bot binance-export · export · binance")
    assert "against control" not in out
    assert err.splitlines()[-1] == f"hint: see what each KPI lacks, nightsoak kpis {words[1]}"
    folder = Path(json.loads(nightsoak("report", words[1], "--json")[1])["folder"])
    code, out, _ = nightsoak("verify", words[1])
    assert (code, out.splitlines()[0]) == (1, f"NOT verified: {words[1]}")
    assert "another bot's, known by its journal only, and cannot be made again" in " ".join(out.split())
    assert "differs" not in out
    assert "changed input" not in out
    (folder / "KPI_GATE.json").write_text("{}")
    assert "differs first: KPI_GATE.json: sha256 in the manifest" in nightsoak("verify", words[1])[1]


def test_latest_is_the_run_that_was_read_last_and_our_own_runs_are_none_of_these(
    nightsoak: Any, paths: Paths, tmp_path: Path
) -> None:
    journals = [write(tmp_path, run_id, bare(4), name=run_id) for run_id in ("one", "two", "ours")]
    read(paths, *journals[:2])
    assert report_of(paths, "latest").name == "two"
    assert report_of(paths, str(journals[0])) == paths.reports / "2024-08-09" / "one"
    assert (paths.reports / "latest").resolve().name == "two", "one was read before"
    plan = paths.datasets / "runs" / "ours" / "plan.json"
    plan.parent.mkdir(parents=True)
    plan.write_text("{}")
    code, _, err = nightsoak("ingest", str(journals[2]))
    assert (code, err) == (0, "hint: nightsoak kpis ours\n")
    code, _, err = nightsoak("report", "ours")
    assert (code, err.startswith("error: ours: no such run; ")) == (2, True), "its soak writes it"
    code, _, err = nightsoak("explain", "one", "two")
    why = "is another bot's run: what it was given is not known; see nightsoak kpis of both"
    assert (code, err) == (2, f"error: one: {why}\n")
