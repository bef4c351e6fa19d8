"""The expectations on a run's rows: each one fails on what it is for, and the verdict is never better than the rows."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from engine.bot.journal import journal_path
from engine.files import write_json
from engine.market.tape import Tape
from engine.paths import CHECKOUT, Paths
from engine.quality import Inspector, ProcessInspector, frames, inspector, quality_check
from engine.quality_suite import MOST_KEYS, SUITE, read_frames, run_suite, write_frames
from engine.report.quality import flagged
from engine.soak import SoakSettings
from engine.soak_plan import make_plan
from engine.soak_recipe import run_soak
from engine.soak_steps import report
from engine.tuning.bands import load_gates
from engine.tuning.data_checks import with_checks
from engine.warehouse.db import Warehouse
from engine.warehouse.ingest import ingest

START_NS = 1_723_161_600_000_000_000
ACTIONS = load_gates(CHECKOUT / "config").actions
GOOD = {
    "fills": {
        "side": "buy", "liquidity": "maker", "price": 100.0, "qty": 1.0, "latency_ms": 5.0, "order_age_ms": 90.0,
        "position_jump": 0.0, "off_mid_bps": 5.0, "fee_sign": 1.0, "fee_off_tier_bps": 0.0,
    },
    "orders": {"side": "sell", "event": "new", "price": 100.0, "qty": 1.0, "latency_ms": 5.0, "off_mid_bps": 5.0},
    "marks": {"mid": 100.0, "spread": 0.1, "mid_share": 0.5},
}  # fmt: skip
BAD = [
    ("fills", "seq", 1, "seq rises from row to row"),
    ("fills", "ts_ns", START_NS - 1, "time does not fall from row to row"),
    ("fills", "side", "hold", "side is buy or sell"),
    ("fills", "liquidity", "both", "liquidity is maker or taker"),
    ("fills", "price", 0.0, "price is above 0"),
    ("fills", "qty", -1.0, "quantity is above 0"),
    ("fills", "position_jump", 1e-9, "position follows fills"),
    ("fills", "off_mid_bps", 200.5, "price is within 200 bps of the mid"),
    ("fills", "fee_sign", -1.0, "fee has the sign of its tier"),
    ("fills", "fee_off_tier_bps", -0.02, "fee is its tier's, within 0.01 bps"),
    ("fills", "latency_ms", -0.5, "latency is 0 to 60 s"),
    ("fills", "order_age_ms", -1.0, "quote age is 0 to a day"),
    ("orders", "seq", 1, "seq rises from row to row"),
    ("orders", "ts_ns", START_NS - 1, "time does not fall from row to row"),
    ("orders", "side", "hold", "side is buy or sell"),
    ("orders", "event", "dance", "event is known"),
    ("orders", "price", 0.0, "price is above 0"),
    ("orders", "qty", -1.0, "quantity is not below 0"),
    ("orders", "off_mid_bps", 9999.0, "price is within 200 bps of the mid"),
    ("orders", "latency_ms", 60_001.0, "latency is 0 to 60 s"),
    ("marks", "seq", 1, "seq rises from row to row"),
    ("marks", "ts_ns", START_NS - 1, "time does not fall from row to row"),
    ("marks", "mid", 0.0, "mid is above 0"),
    ("marks", "spread", 0.0, "bid is below ask"),
    ("marks", "mid_share", 1.5, "mid is between bid and ask"),
]


def rows_of(count: int = 6) -> dict[str, list[dict[str, Any]]]:
    """`count` good rows of each table."""
    return {
        table: [{"seq": 10 + i, "lane": i % 2, "ts_ns": START_NS + i // 2, **row} for i in range(count)]
        for table, row in GOOD.items()
    }


def tables(rows: dict[str, list[dict[str, Any]]]) -> dict[str, pa.Table]:
    return {table: pa.Table.from_pylist(list_of) for table, list_of in rows.items()}


def quality_of(results: list[dict[str, Any]], rows: int = 6) -> dict[str, Any]:
    return {"rows": dict.fromkeys(GOOD, rows), "expectations": results, "error": ""}


def test_good_rows_meet_everything() -> None:
    results = run_suite(tables(rows_of()))
    assert [(one["table"], one["title"]) for one in results] == [(e.table, e.title) for e in SUITE]
    assert {(one["checked"], one["failed"], one["reason"]) for one in results} == {(6, 0, "")}
    assert quality_check(quality_of(results))["label"] == "SUCCESS"


def test_each_expectation_fails_on_the_row_it_is_for_and_no_other() -> None:
    """A row for each, all in one run."""
    rows = rows_of(len(BAD) + 6)
    wanted = {}
    for place, (table, column, value, title) in enumerate(BAD, 3):
        rows[table][place][column] = value
        row = rows[table][place]
        wanted[table, title] = [{"lane": row["lane"], "seq": row["seq"]}]
    found = {(one["table"], one["title"]): one for one in run_suite(tables(rows))}
    assert {name: one["keys"] for name, one in found.items()} == wanted
    for (table, title), one in found.items():
        assert one["failed"] == 1
        critical = next(e.critical for e in SUITE if (e.table, e.title) == (table, title))
        check = quality_check(quality_of([one]))
        assert check["label"] == ("NODATA" if critical else "WARN")
        assert f"{table}: {title}: 1 of {len(rows[table])} fail" in check["reason"]


def test_every_expectation_has_its_bad_row() -> None:
    assert {(table, title) for table, _, _, title in BAD} == {(e.table, e.title) for e in SUITE}
    assert {e.title for e in SUITE if e.critical} == {
        "side is buy or sell", "price is above 0", "quantity is above 0", "position follows fills", "mid is above 0"
    }  # fmt: skip


def test_what_the_journal_does_not_say_is_not_judged_and_not_passed() -> None:
    rows = rows_of()
    for row in rows["fills"]:
        row["off_mid_bps"] = row["fee_sign"] = None
    rows["fills"][0]["latency_ms"] = None
    rows["orders"] = []
    given = tables(rows)
    given["fills"] = given["fills"].set_column(
        given["fills"].column_names.index("off_mid_bps"), "off_mid_bps", pa.nulls(6, pa.float64())
    )
    given["orders"] = tables(rows_of())["orders"].slice(0, 0)
    found = {(one["table"], one["title"]): one for one in run_suite(given)}
    near = found["fills", "price is within 200 bps of the mid"]
    assert (near["checked"], near["failed"], near["reason"]) == (0, 0, "no mid at the fill")
    assert found["fills", "fee has the sign of its tier"]["reason"] == "no fee, or no tier"
    assert found["fills", "latency is 0 to 60 s"]["checked"] == 5
    assert found["orders", "side is buy or sell"]["reason"] == "no orders"


def test_many_failures_are_counted_and_the_first_keys_kept() -> None:
    rows = rows_of(MOST_KEYS + 50)
    for row in rows["fills"]:
        row["off_mid_bps"] = 500.0
    one = next(one for one in run_suite(tables(rows)) if one["failed"])
    assert (one["failed"], len(one["keys"])) == (MOST_KEYS + 50, MOST_KEYS)


def test_no_rows_are_no_pass() -> None:
    empty = {table: frame.slice(0, 0) for table, frame in tables(rows_of()).items()}
    check = quality_check(quality_of(run_suite(empty), 0))
    assert (check["label"], check["observed"]) == ("NODATA", None)
    for nothing in (None, {"rows": {}, "expectations": [], "error": "no module"}):
        check = quality_check(nothing)
        assert (check["label"], check["criticality"], check["observed"]) == ("NODATA", "normal", None)


def test_a_request_is_read_as_it_was_written() -> None:
    given = tables(rows_of())
    read, write = os.pipe()
    with os.fdopen(write, "wb") as out:
        out.write(write_frames(given))
    with os.fdopen(read, "rb") as stream:
        assert read_frames(stream) == given


def test_the_inspector_finds_the_same_in_a_process_and_in_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of()
    rows["fills"][3]["qty"] = -1.0
    run_suite(tables(rows))
    with inspector() as here:
        assert type(here) is Inspector
        quality = here.inspect(tables(rows))
    monkeypatch.delitem(sys.modules, "great_expectations")
    with inspector() as elsewhere:
        assert type(elsewhere) is ProcessInspector
        assert elsewhere.inspect(tables(rows)) == quality
    assert quality["rows"] == dict.fromkeys(GOOD, 6)
    assert quality["error"] == ""
    assert flagged(quality) == [{"table": "fills", "lane": 1, "seq": 13, "failed": ["quantity is above 0"]}]


def test_an_inspector_that_cannot_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "great_expectations", raising=False)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with inspector() as broken:
        quality = broken.inspect(tables(rows_of()))
    assert quality["error"] == "RunError: engine.quality_suite: no word of it"
    assert quality["expectations"] == []
    assert quality_check(quality)["label"] == "NODATA"


@pytest.mark.parametrize(
    ("gate", "label", "criticality", "verdict"),
    [
        ("SUCCESS", "SUCCESS", "normal", "SUCCESS"),
        ("SUCCESS", "WARN", "normal", "WARN"),
        ("OK", "WARN", "normal", "WARN"),
        ("WARN", "WARN", "normal", "WARN"),
        ("FAIL", "WARN", "normal", "FAIL"),
        ("SUCCESS", "NODATA", "critical", "NODATA"),
        ("FAIL", "NODATA", "critical", "NODATA"),
        ("SUCCESS", "unknown", "normal", "WARN"),
        ("FAIL", "unknown", "normal", "FAIL"),
    ],
)
def test_the_verdict_is_no_better_than_the_rows(gate: str, label: str, criticality: str, verdict: str) -> None:
    one = {"table": "fills", "title": "t", "critical": criticality == "critical", "checked": 6, "keys": []}
    failed = 0 if label == "SUCCESS" else 1
    quality = None if label == "unknown" else quality_of([one | {"failed": failed, "reason": ""}])
    given = {"verdict": gate, "reason": "net_bps: because.", "action": "a", "action_package": {"p": 1}, "checks": [{}]}
    judged = with_checks(given, [quality_check(quality)], ACTIONS)
    assert judged["verdict"] == verdict
    assert judged["action"] == getattr(ACTIONS, verdict)
    assert judged["checks"][1]["metric"] == "expectations"
    assert (judged["action_package"] == {"p": 1}) == (verdict == gate)
    if verdict != gate:
        assert judged["reason"].startswith("expectations: ")
    elif label == verdict != "SUCCESS":
        assert judged["reason"].startswith("net_bps: because; expectations: ")
    else:
        assert judged["reason"] == "net_bps: because."


# --- from a journal --------------------------------------------------------------------------------------------------


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with Warehouse(tmp_path / "warehouse.duckdb") as wh:
        yield wh


def journal(path: Path, instrument: dict[str, str], records: list[dict[str, Any]], **start: Any) -> Path:
    head = {"type": "run_start", "bot": "x", "instrument": {"tick": "0.1", "lot": "0.001", **instrument}, **start}
    common = {"v": 1, "run_id": "r", "symbol": "BTCUSDT", "lane": 0}
    lines = [json.dumps(common | {"seq": i, "ts_ns": START_NS + i} | r) for i, r in enumerate([head, *records])]
    path.write_text("\n".join(lines) + "\n")
    return path


def fill(side: str = "buy", **fields: Any) -> dict[str, Any]:
    return {"type": "fill", "order_id": 1, "side": side, "price": "50000", "qty": "0.1"} | fields


TIERS = {"contract": "linear", "pnl_currency": "USDT", "maker_fee_bps": "0.2", "taker_fee_bps": "-5"}


def column(wh: Warehouse, name: str) -> list[Any]:
    values: list[Any] = frames(wh, "r")["fills"].column(name).to_pylist()
    return values


def test_position_follows_fills_by_lane_from_where_the_run_started(warehouse: Warehouse, tmp_path: Path) -> None:
    fills = [
        fill(position_after="0.6"),
        fill("sell", lane=1, position_after="0.4"),
        fill("sell", position_after="0.5"),
        fill(position_after="0.7"),  # 0.1 too much
        fill("sell", position_after="0.6"),
        fill(),
        fill(position_after="0.9"),
    ]
    ingest(warehouse, [journal(tmp_path / "j.jsonl", TIERS, fills, position_start="0.5")])
    assert column(warehouse, "position_jump") == [0.0, 0.0, 0.0, 0.1, 0.0, None, None]


@pytest.mark.parametrize(
    ("instrument", "liquidity", "fee", "off_bps", "sign"),
    [
        (TIERS, "maker", "0.1", 0.0, 1.0),  # 0.2 bps of 5000
        (TIERS, "maker", "-0.1", -0.4, -1.0),
        (TIERS, "taker", "-2.5", 0.0, 1.0),
        (TIERS, "taker", "-2.45", 0.1, 1.0),
        ({"contract": "linear"}, "maker", "0.1", None, None),
        (TIERS, None, "0.1", None, None),
        (TIERS, "maker", None, None, None),
        # one contract of 100 USD: 0.1 contracts at 50000 are 0.0002 BTC
        ({"contract": "inverse", "contract_size": "100", "pnl_currency": "BTC", "maker_fee_bps": "-1"}, "maker",
         "-0.00000002", 0.0, 1.0),
    ],
)  # fmt: skip
def test_fees_are_held_against_the_tier_of_the_instrument(
    warehouse: Warehouse,
    tmp_path: Path,
    instrument: dict[str, str],
    liquidity: str | None,
    fee: str | None,
    off_bps: float | None,
    sign: float | None,
) -> None:
    given = {"liquidity": liquidity, "fee": fee}
    record = fill(**{name: value for name, value in given.items() if value is not None})
    ingest(warehouse, [journal(tmp_path / "j.jsonl", instrument, [record])])
    (found,), (found_sign,) = column(warehouse, "fee_off_tier_bps"), column(warehouse, "fee_sign")
    assert found == (None if off_bps is None else pytest.approx(off_bps, abs=1e-9))
    assert found_sign == sign


def test_a_fee_in_another_currency_is_not_compared(warehouse: Warehouse, tmp_path: Path) -> None:
    record = fill(liquidity="maker", fee="-0.0001", fee_currency="BNB", fill_mid="50010")
    ingest(warehouse, [journal(tmp_path / "j.jsonl", TIERS, [record])])
    assert column(warehouse, "fee_off_tier_bps") == [None]
    assert column(warehouse, "off_mid_bps") == [pytest.approx(10_000 * 10 / 50_010)]


def test_a_bot_we_did_not_write_is_judged_on_what_it_says(warehouse: Warehouse, tmp_path: Path) -> None:
    ingest(warehouse, [journal(tmp_path / "j.jsonl", {"contract": "linear"}, [fill(), fill("sell")])])
    found = run_suite(frames(warehouse, "r"))
    assert [one["title"] for one in found if one["table"] == "fills" and one["checked"]] == [
        "seq rises from row to row", "time does not fall from row to row", "side is buy or sell", "price is above 0",
        "quantity is above 0",
    ]  # fmt: skip
    assert not any(one["failed"] for one in found)


@pytest.fixture
def doctored(tmp_path: Path, short_tape: Tape) -> Callable[[Callable[[list[dict[str, Any]]], None]], Path]:
    """A soak whose journal is changed before it is read, under gates that everything else passes; its report."""
    config = shutil.copytree(CHECKOUT / "config", tmp_path / "config")
    gates = json.loads((config / "gates.json").read_text())
    write_json(
        config / "gates.json",
        gates | {"net_bps": {"fail_below": -1e9, "warn_below": -1e8, "ok_below": -1e7}, "gates": []},
    )
    paths = Paths(config=config, datasets=tmp_path / "datasets", reports=tmp_path / "reports")

    def soak(change: Callable[[list[dict[str, Any]]], None]) -> Path:
        plan = make_plan(SoakSettings(tape=str(short_tape.path), iterations=1, window_seconds=10), paths)
        run_soak(plan)
        path = journal_path(paths.journals, plan.run_id, 0)
        records = [json.loads(line) for line in path.read_text().splitlines()]
        change(records)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return report(plan).folder

    return soak


def fills_in(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record["type"] == "fill"]


def test_a_fill_with_a_strange_fee_stays_and_is_flagged_and_caps_the_verdict(doctored: Any) -> None:
    changed: dict[str, Any] = {}

    def triple_a_fee(records: list[dict[str, Any]]) -> None:
        changed.update(fills_in(records)[2], fills=len(fills_in(records)))
        fills_in(records)[2]["fee"] = str(3 * Decimal(changed["fee"]))

    folder = doctored(triple_a_fee)
    gate, manifest, edge = (
        json.loads((folder / name).read_text()) for name in ("KPI_GATE.json", "truth_manifest.json", "EDGE_REPORT.json")
    )
    assert gate["verdict"] == "WARN"
    assert gate["reason"].startswith("expectations: fills: fee is its tier's")
    assert manifest["flagged"] == [
        {"table": "fills", "lane": 0, "seq": changed["seq"], "failed": ["fee is its tier's, within 0.01 bps"]}
    ]
    assert edge["totals"]["fills"] == changed["fills"]
    text = (folder / "SOAK_RESULTS.md").read_text()
    assert "1 row flagged" in text
    assert f"| {changed['seq']} | fee is its tier's" in text


def test_a_lost_fill_leaves_no_verdict(doctored: Any) -> None:
    folder = doctored(lambda records: records.remove(fills_in(records)[2]))
    gate = json.loads((folder / "KPI_GATE.json").read_text())
    assert gate["verdict"] == "NODATA"
    assert "fills: position follows fills: 1 of" in gate["reason"]
    (check,) = [check for check in gate["checks"] if check["metric"] == "expectations"]
    assert check["label"] == "NODATA"
