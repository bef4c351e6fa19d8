"""Runs to report on, made by arithmetic from a seed: edge report, gate and decisions in the shapes of the contract."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from engine.metrics import COMPONENTS, METRICS
from engine.params import Params
from engine.report.record import RunRecord
from engine.tuning.bands import NetBands

START_NS = 1_723_161_600_000_000_000  # 2024-08-09 00:00 UTC
WINDOW_S = 300
NS = 10**9
TARGETS = {"gross_bps": 8.0, "fees_eff_bps": -0.1, "slippage_bps": -2.0, "inventory_bps": -0.2}
START = dict(Params())
ACTIONS = {
    "SUCCESS": "Keep these parameters as they are and run a 24-hour stability soak.",
    "WARN": "Apply the targeted package for the worst driver and soak for three hours again.",
    "NODATA": "No verdict: find out from the checks why data is missing, then run the soak again.",
}


def slice_of(money: dict[str, float], notional: float, fills: int) -> dict[str, Any]:
    """A SLICE of EDGE_REPORT.json with the components `money` over `notional`."""
    empty = notional == 0
    bps = {name: None if empty else 1e4 * money[name] / notional for name in COMPONENTS}
    kpis: dict[str, Any] = {name: None for name in METRICS if name != "block_ratios"}
    if not empty:
        kpis |= bps | {
            "net_bps": sum(bps.values()),
            "slippage_cost_bps": -bps["slippage_bps"],
            "adverse_bps": 1.31,
            "adverse_bps_p95": 4.62,
            "slippage_cost_bps_p95": 2.41,
            "maker_share_pct": 100.0,
            "maker_taker_ratio": 1.0,
            "cancel_ratio": 0.5123,
            "order_age_p95_ms": 301.7,
        }
    kpis |= {
        "p95_latency_ms": 12.25,
        "order_ack_p95_ms": 11.0,
        "risk_ratio": 0.184,
        "net_pnl_quote": sum(money.values()),
        "realised_pnl_quote": sum(money.values()),
        "unrealised_pnl_quote": 0.0,
        "max_drawdown_quote": 12.5,
        "fills": fills,
        "notional_quote": notional,
        "coverage_pct": 98.75,
    }
    drivers = [
        {
            "name": name,
            "bps": bps[name],
            "target_bps": TARGETS[name],
            "shortfall_bps": TARGETS[name] - bps[name],
        }
        for name in COMPONENTS
        if not empty
    ]
    drivers.sort(key=lambda d: -d["shortfall_bps"])
    return kpis | {
        "n": {name: 0 if kpis[name] is None else fills for name in kpis},
        "null_reasons": {name: "no fills" for name in sorted(kpis) if kpis[name] is None},
        "block_reasons": {
            "min_interval": {"count": 1204, "ratio": 0.2137},
            "concurrency": {"count": 377, "ratio": 0.0669},
            "throttle": {"count": 41, "ratio": 0.0073},
            "risk": {"count": 0, "ratio": 0.0},
        },
        "edge_drivers": drivers,
        "neg_edge_drivers": [d["name"] for d in drivers if d["shortfall_bps"] > 0],
    }


def markouts_of(fills: int) -> list[dict[str, Any]]:
    """The mid goes against us for a minute; the minute's last fills have no later mid."""
    rows = []
    for i, horizon in enumerate((1, 5, 10, 60)):
        for side, share in (("both", 1.0), ("buy", 0.6), ("sell", 0.4)):
            missing = i * 2 if side == "both" else i
            n = round(fills * share) - missing
            cost = None if n <= 0 else 0.4 + 0.5 * i + (share - 0.5)
            rows.append(
                {"horizon_s": horizon, "side": side, "n": max(n, 0), "missing": missing, "markout_bps": cost}
                | {"stderr_bps": None if cost is None else 0.1 + 0.05 * i}
            )
    return rows


def edge_report(windows: int, per_iteration: int, *, fills: bool = True, control: bool = True) -> dict[str, Any]:
    rng = random.Random(7)
    rows, control_rows, sums = [], [], dict.fromkeys(COMPONENTS, 0.0)
    notional_sum, control_sum, control_notional, fill_sum = 0.0, 0.0, 0.0, 0
    for window in range(windows):
        count = rng.randrange(20, 60) if fills and window % 11 != 4 else 0
        notional = count * 600.0
        level = {"gross_bps": 7.4, "fees_eff_bps": 0.1, "slippage_bps": -3.1, "inventory_bps": -1.5}
        money = {k: (v + rng.uniform(-1.0, 1.2)) * notional / 1e4 for k, v in level.items()}
        start_ns = START_NS + window * WINDOW_S * NS
        edges = {"start_ns": start_ns, "end_ns": start_ns + WINDOW_S * NS, "iteration": window // per_iteration}
        rows.append(slice_of(money, notional, count) | edges | {"window": window})
        worse = sum(money.values()) - notional / 1e4 * rng.uniform(-0.6, 1.1)
        control_rows.append(
            {
                "window": window,
                "net_pnl_quote": worse,
                "notional_quote": notional,
                "net_bps": 1e4 * worse / notional if notional else None,
                "fills": count,
            }
        )
        sums = {k: sums[k] + money[k] for k in COMPONENTS}
        notional_sum, fill_sum = notional_sum + notional, fill_sum + count
        control_sum, control_notional = control_sum + worse, control_notional + notional
    totals = slice_of(sums, notional_sum, fill_sum)
    keys = ("window", "net_pnl_quote", "notional_quote", "net_bps", "fills")
    lanes = [totals | {"lane": 0, "role": "champion", "windows": [{k: row[k] for k in keys} for row in rows]}]
    if control:
        sums = {**dict.fromkeys(COMPONENTS, 0.0), "gross_bps": control_sum}
        lanes.append(
            slice_of(sums, control_notional, fill_sum) | {"lane": 1, "role": "control", "windows": control_rows}
        )
    iterations = []
    for iteration in range(-(-windows // per_iteration)):
        part = [row for row in rows if row["iteration"] == iteration]
        iterations.append(
            part[0] | {"iteration": iteration, "start_ns": part[0]["start_ns"], "end_ns": part[-1]["end_ns"]}
        )
    return {
        "run_id": "20261120T020000-BTCUSDT-1f2e",
        "symbol": "BTCUSDT",
        "pnl_currency": "USDT",
        "totals": totals,
        "windows": rows,
        "iterations": iterations,
        "symbols": {"BTCUSDT": totals},
        "markouts": markouts_of(fill_sum) if fill_sum else [],
        "lanes": lanes,
    }


def check(metric: str, unit: str, observed: float | None, limit: float, label: str, reason: str) -> dict[str, Any]:
    return {
        "name": metric,
        "metric": metric,
        "unit": unit,
        "criticality": "normal",
        "observed": observed,
        "limit": limit,
        "label": label,
        "reason": reason,
        "bound": {"FAIL": "fail", "WARN": "warn"}.get(label, "ideal"),
    }


PACKAGE = {
    "package": "inventory_relief",
    "driver": "adverse_bps_p95",
    "effect": "smaller quotes and slower tightening",
    "moves": {"impact_cap_ratio": -0.03, "max_delta_ratio": -0.03},
    "changes": [
        {"rule": "inventory_relief", "parameter": name, "before": before, "wanted": after, "after": after}
        | {"status": "fired", "reason": "adverse_bps_p95 is the worst driver"}
        for name, before, after in (("impact_cap_ratio", 0.09, 0.06), ("max_delta_ratio", 0.14, 0.11))
    ],
    "applied": False,
}


def gate_of(totals: dict[str, Any], verdict: str, interval: dict[str, Any] | None) -> dict[str, Any]:
    def row(metric: str, unit: str, limit: float, label: str) -> dict[str, Any]:
        value = totals[metric]
        if value is None:
            return check(metric, unit, None, limit, "NODATA", "no data: no fills")
        return check(metric, unit, value, limit, label, f"{value:.6g} against {limit:.6g}")

    bands = NetBands(fail_below=2.5, warn_below=2.8, ok_below=3.0)
    net_label = "NODATA" if totals["net_bps"] is None else bands.label(totals["net_bps"])
    return {
        "verdict": verdict,
        "reason": "net_bps: no data: no fills." if net_label == "NODATA" else "adverse_bps_p95: 4.62 against 4.",
        "action": ACTIONS[verdict],
        "action_package": PACKAGE if verdict == "WARN" else None,
        "checks": [
            row("net_bps", "bps", bands.limit(net_label), net_label),
            row("cancel_ratio", "ratio", 0.55, "SUCCESS"),
            row("maker_share_pct", "%", 90.0, "SUCCESS"),
            row("adverse_bps_p95", "bps", 4.0, "WARN"),
            row("slippage_cost_bps_p95", "bps", 3.0, "SUCCESS"),
            row("order_age_p95_ms", "ms", 330.0, "SUCCESS"),
        ],
        "net_bps": {
            "observed": totals["net_bps"],
            "interval": interval and {**interval, "bands": {"FAIL": 0.03, "WARN": 0.2, "OK": 0.42, "SUCCESS": 0.35}},
            "interval_note": "" if interval else "no interval: 0 windows with fills, at least 12 are needed",
        },
    }


def change(rule: str, parameter: str, before: float, wanted: float, after: float, status: str, why: str) -> Any:
    return {
        "rule": rule,
        "parameter": parameter,
        "before": before,
        "wanted": wanted,
        "after": after,
        "status": status,
        "reason": why,
    }


def decisions_of() -> list[dict[str, Any]]:
    """Five decisions: fired, clamped and refused wishes, a quiet one, and one without data."""
    first = START | {"base_spread_bps_delta": 0.14, "tail_age_ms": 725}
    second = first | {"base_spread_bps_delta": 0.24}
    texts = [
        (
            "slippage triggered; changed base_spread_bps_delta, tail_age_ms.",
            ["slippage"],
            [
                change("slippage", "base_spread_bps_delta", 0.1, 0.14, 0.14, "fired", "slippage_cost_bps 1.7 > 1"),
                change("slippage", "tail_age_ms", 650, 725, 725, "fired", "slippage_cost_bps 1.7 > 1"),
            ],
            first,
        ),
        (
            "adverse, min_interval_blocks, slippage triggered; changed base_spread_bps_delta.",
            ["slippage", "adverse", "age_relief"],
            [
                change(
                    "slippage",
                    "base_spread_bps_delta",
                    0.14,
                    0.29,
                    0.24,
                    "clamped",
                    "slippage_cost_bps 3.1 > 1; 0.29 became 0.24 (at most +0.1 per iteration)",
                ),
                change(
                    "age_relief",
                    "min_interval_ms",
                    70,
                    60,
                    70,
                    "refused",
                    "order_age_p95_ms 355 > 330; 3 rules triggered at once: only calming moves",
                ),
            ],
            second,
        ),
        ("No change: no rule triggered.", [], [], second),
        ("No change: net_bps has no data (no fills).", [], [], second),
        ("No change: no rule triggered.", [], [], second),
    ]
    return [
        {
            "iteration": i,
            "mode": "matrix",
            "note": note,
            "triggers": triggers,
            "readings": [],
            "changes": changes,
            "params_after": params,
            "state": {"iterations": i + 1, "negative_in_a_row": 0, "fallbacks": 0},
        }
        for i, (note, triggers, changes, params) in enumerate(texts)
    ]


def parameters_of(edge: dict[str, Any], decisions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The starting set and what each of `decisions` brought, at its iteration's end."""
    rows = [{"effective_ts_ns": START_NS, "source": "start", "params": START}]
    for decision in decisions:
        end_ns = edge["iterations"][decision["iteration"]]["end_ns"]
        source = f"decision after iteration {decision['iteration']}"
        rows.append({"effective_ts_ns": end_ns, "source": source, "params": decision["params_after"]})
    return rows


def interventions_of(totals: dict[str, Any]) -> dict[str, Any]:
    """Replays with one thing changed: one worth something, one worth nothing, one that chance may explain."""
    names = ("net_bps", "net_pnl_quote", "notional_quote", "fills")
    rows = [
        ("no latency", "slippage_bps", 1.31, 61.5, 22.25, 100.75),
        ("no fees", "fees_eff_bps", -0.1, -4.75, -5.25, -4.25),
        ("no position cap", "inventory_bps", 0.0, 0.0, 0.0, 0.0),
        ("one tick wider", "gross_bps", 0.02, 3.125, -40.5, 46.75),
        ("no skew", "inventory_bps", None, -88.25, None, None),
    ]
    return {
        "unchanged": {name: totals[name] for name in names},
        "same_as_run": True,
        "interventions": [
            {name: totals[name] for name in names}
            | {"name": changed, "component": component, "component_bps": totals[component]}
            | {"difference_bps": bps, "difference_quote": quote, "low_quote": low, "high_quote": high}
            for changed, component, bps, quote, low, high in rows
        ],
    }


QUALITY = {
    "rows": {"fills": 1204, "orders": 81_022, "marks": 10_801},
    "expectations": [
        {"table": "fills", "title": "position follows fills", "critical": True, "checked": 1204, "failed": 0}
        | {"keys": [], "reason": ""},
        {"table": "fills", "title": "fee is its tier's, within 0.01 bps", "critical": False, "checked": 1204}
        | {"failed": 2, "keys": [{"lane": 0, "seq": 4711}, {"lane": 1, "seq": 66}], "reason": ""},
        {"table": "fills", "title": "quote age is 0 to a day", "critical": False, "checked": 0, "failed": 0}
        | {"keys": [], "reason": "the journal does not say"},
    ],
    "error": "",
}


def series_of(windows: int, *, fills: bool = True) -> dict[str, Any]:
    rng = random.Random(11)
    mid, position = 60_000.0, 0.0
    marks: dict[str, list[Any]] = {"ts_ns": [], "mid": []}
    trades: dict[str, list[Any]] = {"ts_ns": [], "price": [], "side": []}
    held: dict[str, list[Any]] = {"ts_ns": [START_NS], "qty": [0.0]}
    for second in range(windows * WINDOW_S + 1):
        mid += rng.uniform(-3.0, 3.0)
        ts_ns = START_NS + second * NS
        marks["ts_ns"].append(ts_ns)
        marks["mid"].append(round(mid, 2))
        if fills and rng.random() < 0.12:
            side = 1 if rng.random() < 0.5 - position / 2 else -1
            position = round(position + side * 0.01, 3)
            for key, value in (("ts_ns", ts_ns), ("price", round(mid - side * 4.5, 1)), ("side", side)):
                trades[key].append(value)
            held["ts_ns"].append(ts_ns)
            held["qty"].append(position)
    return {"marks": marks, "fills": trades, "position": held}


def _lane(lane: int, journalled: int, replayed: int) -> dict[str, Any]:
    return {
        "lane": lane,
        "journalled": journalled,
        "replayed": replayed,
        "digest": f"{lane}f" * 32,
        "same": journalled == replayed,
        "first_difference_ns": None if journalled == replayed else START_NS + 90 * NS,
    }


PARITY = {"same": True, "lanes": [_lane(0, 812, 812), _lane(1, 790, 790)]}
BROKEN_PARITY = {"same": False, "lanes": [_lane(0, 0, 2), _lane(1, 0, 0)]}


def normal_record() -> RunRecord:
    edge = edge_report(36, 6)
    interval = {
        "mean": edge["totals"]["net_bps"],
        "low": edge["totals"]["net_bps"] - 0.42,
        "high": edge["totals"]["net_bps"] + 0.42,
        "n_windows": 36,
        "phi": 0.21,
        "sd": 1.2,
        "se": 0.2,
        "df": 20.0,
        "confidence": 0.95,
    }
    return RunRecord(
        run_id=edge["run_id"],
        plan={
            "mode": "replay",
            "venue": "binance-usdm",
            "symbol": "BTCUSDT",
            "profile": "S1",
            "hours": 3,
            "iterations": 6,
            "window_seconds": WINDOW_S,
            "auto_tune": True,
            "seed": 7,
            "params_source": "config/profiles/market_maker_S1.json",
            "quote_currency": "USDT",
            "latency_modelled": True,
            "command": ["soak", "--hours", "3", "--iterations", "6", "--auto-tune"],
            "tape": {"name": "generated-s1-7", "generated": {"seed": 7}, "count": 2_512_331},
        },
        edge=edge,
        gate=gate_of(edge["totals"], "WARN", interval),
        parameters=parameters_of(edge, decisions_of()[:2]),
        decisions=decisions_of(),
        params_start=START,
        params_final=decisions_of()[-1]["params_after"],
        series=series_of(36),
        data_quality={
            "gaps": [{"ts_ns": START_NS + 4000 * NS, "reason": "sequence"}],
            "crossed_message_ends": 0,
            "overrides_refused": [{"ts_ns": START_NS + 5000 * NS, "reason": "unknown parameter 'min_interval'"}],
            "notes": ["The tape has 1 gap; nothing is quoted across it."],
            "ingest": {"accepted": 81_022, "duplicates": 0, "quarantined": 0, "torn": 0},
        },
        interventions=interventions_of(edge["totals"]),
        parity=PARITY,
        quality=QUALITY,
        inputs={"tape/price_ticks.npy": "3f" * 32, "config/profiles/market_maker_S1.json": "a9" * 32},
    )


def nodata_record() -> RunRecord:
    """A run without one fill: nothing earned is not nothing known."""
    edge = edge_report(6, 3, fills=False, control=False)
    return replace(
        normal_record(),
        plan=normal_record().plan
        | {"auto_tune": False, "iterations": 2, "hours": 0.5, "latency_modelled": False}
        | {"command": ["soak", "--tape", "datasets/tapes/quiet", "--hours", "0.5", "--iterations", "2"]}
        | {"tape": {"name": "datasets/tapes/quiet", "generated": None, "count": 81_000}},
        edge=edge,
        gate=gate_of(edge["totals"], "NODATA", None),
        parameters=parameters_of(edge, []),
        decisions=(),
        interventions=None,
        parity=BROKEN_PARITY,
        quality=None,
        params_final=START,
        series=series_of(6, fills=False) | {"fills": {"ts_ns": [], "price": [], "side": []}},
        data_quality={"gaps": [], "crossed_message_ends": 0},
    )


def interrupted_record() -> RunRecord:
    """Stopped in the second of six iterations, after 8 windows."""
    edge = edge_report(8, 6)
    return replace(
        normal_record(),
        edge=edge,
        gate=gate_of(edge["totals"], "WARN", None),
        parameters=parameters_of(edge, decisions_of()[:1]),
        decisions=decisions_of()[:1],
        interventions=None,
        parity=None,
        quality=None,
        params_final=decisions_of()[0]["params_after"],
        series=series_of(8),
        interrupted=True,
    )


RECORDS = {"normal": normal_record, "nodata": nodata_record, "interrupted": interrupted_record}


@pytest.fixture(scope="session")
def records() -> dict[str, RunRecord]:
    return {name: make() for name, make in RECORDS.items()}


@pytest.fixture
def normal(records: dict[str, RunRecord]) -> RunRecord:
    return records["normal"]
