"""What the GET routes show, put together once a snapshot: JSON-ready, money as decimal numbers of the PnL currency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.control.board import Snapshot
from engine.control.kpis import live_gate, live_kpis, live_metrics
from engine.instrument import UNITS_PER_QUOTE
from engine.live_metrics import LIVE_METRICS

if TYPE_CHECKING:
    from engine.control.desk import Desk

ENGINE = "maker_s1"
"""The one engine of this bot: the maker by rule S1, in as many lanes as the run has."""


def make_snapshot(desk: Desk) -> Snapshot:
    """The bot as it stands."""
    bot, plan, measures = desk.bot, desk.plan, desk.measures
    schedule = bot.schedule
    window = min(max(0, bot.now_ns - 1 - schedule.start_ns) // (schedule.window_seconds * 10**9), schedule.windows - 1)
    gate = live_gate(measures, desk.gates)
    metrics = live_metrics(measures, gate, window, paused=desk.in_force.paused)
    head = {"run_id": bot.journal.run_id, "symbol": plan.symbol, "ts_ns": bot.now_ns}
    span = {"since_ns": measures.since_ns, "iteration": schedule.iteration_of(window), "window": window}
    health = {**head, "status": "paused" if desk.in_force.paused else "running", "mode": bot.run_start["mode"]}
    pnl = _pnl(desk, head)
    reports: dict[str, dict[str, Any]] = {
        "positions": _positions(desk, head),
        "pnl": pnl,
        "pnl_by_engine": _by_engine(pnl, head),
        "toxicity": {**head, **span, "horizons": measures.markouts.report()},
        "shadow": {
            **head,
            **span,
            "kpis": live_kpis(measures),
            "gate": {"verdict": gate.verdict, "reason": gate.reason, "checks": [c.to_json() for c in gate.checks]},
            "window": window_so_far(desk, window),
            "windows": list(desk.windows),
            "in_force": {name: dict(values) for name, values in desk.in_force.groups.items()}
            | {"strategy": dict(bot.params)},
            "metrics": metrics,
            "absent": {name: LIVE_METRICS[name].absent for name, value in metrics.items() if value is None},
        },
    }
    reports |= {f"{name}_final": report for name, report in desk.final.items()}
    return Snapshot(bot.now_ns, health, reports, metrics)


def _positions(desk: Desk, head: dict[str, Any]) -> dict[str, Any]:
    bot, instrument = desk.bot, desk.bot.formatter.instrument
    mid2, bid_ticks, ask_ticks = bot.market.touch()
    cap_lots = bot.market.cap_lots
    lanes = []
    for lane, lots in zip(desk.plan.lanes, desk.measures.pnl.positions_lots, strict=True):
        lanes.append(
            {
                "lane": lane["lane"],
                "role": lane["role"],
                "position_lots": lots,
                "position": bot.formatter.qty(lots),
                "cap_share": lots / cap_lots,
            }
        )
    book = {
        "mid": str(instrument.mid(mid2)),
        "bid": str(instrument.price(bid_ticks)),
        "ask": str(instrument.price(ask_ticks)),
    }
    return {
        **head,
        "paused": desk.in_force.paused,
        "cap_lots": cap_lots,
        "cap": bot.formatter.qty(cap_lots),
        "book": book if mid2 else None,
        "lanes": lanes,
    }


def _pnl(desk: Desk, head: dict[str, Any]) -> dict[str, Any]:
    pnl = desk.measures.pnl
    lanes = [{"lane": lane["lane"], "role": lane["role"], **pnl.to_json(lane["lane"])} for lane in desk.plan.lanes]
    currency = desk.bot.formatter.instrument.pnl_currency
    return {**head, "since_ns": desk.measures.since_ns, "pnl_currency": currency, "lanes": lanes}


def _by_engine(pnl: dict[str, Any], head: dict[str, Any]) -> dict[str, Any]:
    """Lane 0 trades; the other lanes run beside it and belong to no total."""
    engine = {"engine": ENGINE, **{name: value for name, value in pnl["lanes"][0].items() if name != "role"}}
    shared = {"since_ns": pnl["since_ns"], "pnl_currency": pnl["pnl_currency"]}
    return {**head, **shared, "engines": [engine], "net_pnl_quote": engine["net_pnl_quote"]}


def window_so_far(desk: Desk, window: int) -> dict[str, Any]:
    """The current window so far; the finished ones are kept in this form."""
    measures, schedule = desk.measures, desk.bot.schedule
    part = measures.pnl.window[0]
    return {
        "window": window,
        "start_ns": schedule.window_start_ns(window),
        "end_ns": desk.bot.now_ns,
        "net_pnl_quote": part.net_units / UNITS_PER_QUOTE,
        "notional_quote": part.notional_units / UNITS_PER_QUOTE,
        "net_bps": part.bps(part.net_units),
        "fills": part.fills,
        "shots": measures.window_shots,
        "outcomes": measures.window_outcomes,
    }
