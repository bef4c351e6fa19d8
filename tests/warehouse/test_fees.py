"""Fee simulation against fractions, in totals and by window."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from engine.errors import InputError
from engine.paths import CHECKOUT
from engine.warehouse.edge import edge_report
from engine.warehouse.fees import Tier, profile_tiers, simulate_fees
from engine.warehouse.ingest import ingest

UNITS = 10**12


def tier(maker: str, taker: str) -> Tier:
    return Tier("x", Decimal(maker), Decimal(taker))


@pytest.mark.parametrize("kind", ["linear", "inverse"])
def test_every_fill_is_charged_again_exactly(random_run, instruments, open_warehouse, tmp_path, kind):
    run = random_run(51, instruments[kind])
    for at, record in enumerate(r for r in run.journal.records if r["type"] == "fill"):
        record["liquidity"] = "taker" if at % 5 == 0 else "maker"
    with open_warehouse() as wh:
        ingest(wh, [run.journal.write(tmp_path / "a.0.jsonl")])
        report = edge_report(wh, run.journal.run_id)
        found = simulate_fees(wh, run.journal.run_id, [tier("0.35", "-4.2"), tier("0", "0")])
    fills = [r for r in run.journal.records if r["type"] == "fill" and r["lane"] == 0]
    points = sorted((p for p in run.points[0] if p.signed_lots), key=lambda p: p.at_ns)
    fills.sort(key=lambda r: r["ts_ns"])
    wanted = dict.fromkeys(range(run.windows), 0)
    for fill, point in zip(fills, points, strict=True):
        assert fill["ts_ns"] == point.at_ns
        rate = Fraction("0.000035") if fill["liquidity"] == "maker" else Fraction("-0.00042")
        wanted[point.window] += round(rate * abs(point.signed_lots * point.v_price))
    charged, free = found["tiers"]
    assert [w["fees_quote"] for w in charged["windows"]] == [units / UNITS for units in wanted.values()]
    assert charged["totals"]["fees_quote"] == sum(wanted.values()) / UNITS
    assert free["totals"]["fees_quote"] == 0
    for got, was in zip([charged["totals"], *charged["windows"]], [report["totals"], *report["windows"]], strict=True):
        if was["fills"]:
            others = was["net_bps"] - was["fees_eff_bps"]
            assert got["net_bps"] == pytest.approx(others + got["fees_eff_bps"], abs=1e-9)
        else:
            assert got["net_bps"] is None and got["net_pnl_quote"] == was["net_pnl_quote"]
    for got, was in zip([found["paid"]["totals"], *found["paid"]["windows"]],
                        [report["totals"], *report["windows"]], strict=True):  # fmt: skip
        assert all(got[name] == was[name] for name in ("net_bps", "fees_eff_bps", "net_pnl_quote", "fills"))


def test_the_tier_of_the_journal_gives_what_was_paid(new_journal, open_warehouse, tmp_path):
    j = new_journal().start(lanes=1).mark(0, "60000.0")
    j.fill(1, "buy", "0.010", "60000.1", fee="-0.0060000100").fill(2, "sell", "0.010", "60000.3", fee="-0.0060000300")
    j.mark(3, "60000.0")
    with open_warehouse() as wh:
        ingest(wh, [j.write(tmp_path / "a.0.jsonl")])
        found = simulate_fees(wh, j.run_id, [tier("-0.1", "-5")])
    assert found["tiers"][0]["totals"] == found["paid"]["totals"]


def test_an_unknown_fee_is_no_hindrance_an_unknown_liquidity_is(new_journal, open_warehouse, tmp_path):
    j = new_journal().start(lanes=1).mark(0, "60000.0")
    j.fill(1, "buy", "0.010", "60000.0", fee="-1", fee_currency="BNB").fill(2, "sell", "0.010", "60010.0")
    del j.records[-1]["liquidity"]
    j.mark(3, "60000.0")
    with open_warehouse() as wh:
        ingest(wh, [j.write(tmp_path / "a.0.jsonl")])
        found = simulate_fees(wh, j.run_id, [tier("1", "-1"), tier("1", "1")])
    assert found["paid"]["totals"]["net_bps"] is None
    assert found["tiers"][0]["totals"]["net_bps"] is None
    assert found["tiers"][1]["totals"]["net_pnl_quote"] == pytest.approx(0.1 + 0.12001)


def test_a_run_without_fills_has_nothing_to_charge(new_journal, open_warehouse, tmp_path):
    j = new_journal().start(lanes=1)
    with open_warehouse() as wh:
        ingest(wh, [j.write(tmp_path / "a.0.jsonl")])
        totals = simulate_fees(wh, j.run_id, [tier("1", "1")])["tiers"][0]["totals"]
    assert (totals["fills"], totals["fees_quote"], totals["net_bps"], totals["net_pnl_quote"]) == (0, 0, None, None)


def test_the_profiles_tiers_are_those_of_the_configuration():
    tiers = profile_tiers(CHECKOUT / "config")
    assert {t.name for t in tiers} == {"profile S1", "profile moderate"}
    assert all(t.maker_bps == Decimal("-0.1") and t.taker_bps == Decimal("-5.0") for t in tiers)


@pytest.mark.parametrize("bps", ["NaN", "Infinity", "10001"])
def test_a_fee_is_a_number_within_reason(bps):
    with pytest.raises(InputError, match="maker fee of"):
        tier(bps, "0")
