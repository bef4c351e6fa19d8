"""Replay parameter sets over a tape: many lanes in one pass, a digest of the fills of each.

A lane's fills do not depend on the other lanes, so lanes are split over passes and passes over threads (the
kernel runs without Python's lock) with the same result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.instrument import VALUE_SCALE
from engine.ledger import Valuer, lane_components
from engine.maker.session import MakerSession
from engine.maker.state import REC_FILL, RULE_S1, RULE_SYMMETRIC, Array, Config
from engine.market.tape import Tape
from engine.params import Params
from engine.profile import Profile, parse_queue

DIGEST_FIELDS = ("ts_ns", "exch_ts_ns", "order_id", "side", "price_ticks", "qty_lots", "position_lots")
_THREADS = 2
_LANES_PER_THREAD = 8
_SYMMETRIC = ("half_spread_ticks", "skew_ticks")
_SYMMETRIC_ORDER_LOTS, _SYMMETRIC_MOST_UNITS = 10, 10  # the benchmark's rule: this rule's cap counts orders
_MS = 1_000_000
_MOST_MS, _LEAST_STEP_MS = 3_600_000.0, 0.001
_MOST_TICKS = 1 << 31  # a price has no more
_EVENTS_AT_ONCE = 1 << 19


@dataclass(frozen=True)
class ReplaySettings:
    """How to replay; None takes the profile's value. `lanes` parameter sets, at most, share a pass."""

    rule: str = "s1"
    queue: str | None = None
    entry_latency_ms: float | None = None
    response_latency_ms: float | None = None
    full_fill: bool = False
    lanes: int = 64


@dataclass(frozen=True)
class LaneResult:
    """One parameter set's outcome.

    `cash` is the sum of -side x value of its fills, in the PnL currency, fees left out, as a decimal string;
    `digest` the sha256 of the fills' DIGEST_FIELDS as int64, row by row.
    """

    params: dict[str, float]
    fills: int
    position_lots: int
    cash: str
    kpis: dict[str, Any]
    digest: str
    trace: Array

    def to_json(self) -> dict[str, Any]:
        names = ("params", "fills", "position_lots", "cash", "kpis", "digest")
        return {name: getattr(self, name) for name in names}


def read_parameter_sets(path: Path, rule: str, step_ms: float = 100.0) -> list[dict[str, float]]:
    """The JSON list of parameter objects in `path`, checked; S1 sets start from the initial values.

    Raises:
        InputError: not a list of objects, an unknown name, a value that is no number or out of range, or the step is.
    """
    try:
        sets = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), remedy="check --params") from error
    except ValueError as error:
        raise InputError(
            f"is no JSON list of parameter sets: {error}", where=str(path), remedy="write [{...}, ...]"
        ) from error
    if not isinstance(sets, list) or not sets or not all(isinstance(one, dict) for one in sets):
        raise InputError("is not a JSON list of objects", where=str(path), remedy="write [{...}, ...]")
    if rule == "s1":
        return [dict(Params().with_changes(one, where=f"{path} set {i}")) for i, one in enumerate(sets)]
    if not _LEAST_STEP_MS <= step_ms <= _MOST_MS:
        raise InputError(f"a step of {step_ms} ms makes no sense", remedy=f"give {_LEAST_STEP_MS} to {_MOST_MS:.0f}")
    return [_symmetric_set(one, f"{path} set {i}", step_ms) for i, one in enumerate(sets)]


def _symmetric_set(one: Mapping[str, Any], where: str, step_ms: float) -> dict[str, float]:
    for name, value in one.items():
        good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MOST_TICKS
        if name not in _SYMMETRIC or not good:
            raise InputError(
                f"{name} = {value!r:.60} is not for the symmetric rule",
                where=where,
                remedy=f"give {' and '.join(_SYMMETRIC)} as numbers, at most {_MOST_TICKS}",
            )
    missing = [name for name in _SYMMETRIC if name not in one]
    if missing:
        raise InputError(f"{missing[0]} is missing", where=where, remedy=f"give {' and '.join(_SYMMETRIC)}")
    return {**{name: float(one[name]) for name in _SYMMETRIC}, "min_interval_ms": step_ms}


def kernel_config(tape: Tape, profile: Profile, settings: ReplaySettings) -> Config:
    """The kernel's constants for `tape`: the profile's, with what `settings` overrides."""
    meta = tape.meta
    config = profile.kernel_config(meta.instrument(), tape.reference_mid2())
    changes: dict[str, Any] = {"full_fill": int(settings.full_fill), "arrival": int(meta.order == "arrival")}
    if settings.queue is not None:
        changes["queue"], changes["power"] = parse_queue(settings.queue)
    for name, value in (("entry_ns", settings.entry_latency_ms), ("response_ns", settings.response_latency_ms)):
        if value is not None:
            if not 0 <= value <= _MOST_MS:
                raise InputError(f"a latency of {value} ms makes no sense", remedy=f"give 0 to {_MOST_MS:.0f}")
            changes[name] = round(value * _MS)
    if settings.rule == "symmetric":
        changes |= {
            "rule": RULE_SYMMETRIC,
            "order_lots": _SYMMETRIC_ORDER_LOTS,
            "cap_lots": _SYMMETRIC_MOST_UNITS,
        }
    elif settings.rule != "s1":
        raise InputError(f"unknown rule {settings.rule!r}", remedy="give s1 or symmetric")
    return config._replace(**changes)


def slots_needed(config: Config, lanes: Sequence[Mapping[str, float]]) -> int:
    """Order slots per side: one for the amending S1; for cancel-and-send, one per step within a round trip."""
    if config.rule == RULE_S1:
        return 1
    step_ns = min(lane["min_interval_ms"] for lane in lanes) * _MS
    return 3 + int((config.entry_ns + config.response_ns) // step_ns)


def replay(
    tape: Tape, lanes: Sequence[Mapping[str, float]], profile: Profile, settings: ReplaySettings, *, trace: bool = False
) -> list[LaneResult]:
    """Every parameter set over the whole tape, `settings.lanes` to a pass; results in the order given."""
    config = kernel_config(tape, profile, settings)
    size = max(
        1, min(settings.lanes, -(-len(lanes) // _THREADS) if len(lanes) >= 2 * _LANES_PER_THREAD else len(lanes))
    )
    parts = [lanes[i : i + size] for i in range(0, len(lanes), size)]
    with ThreadPoolExecutor(_THREADS) as pool:
        done = pool.map(lambda part: _pass(tape, part, config, profile, trace), parts)
        return [result for part in done for result in part]


def run_session(session: MakerSession, tape: Tape, until_ns: int) -> Array:
    """Advance to `until_ns` over a tape of any length, giving back the memory of what was read; the fills."""
    local, parts = tape.columns.local_ts_ns, []
    order = None if session.config.arrival else tape.exch_order
    for stop in range(_EVENTS_AT_ONCE, len(local), _EVENTS_AT_ONCE):
        edge = int(local[stop])
        if edge >= until_ns:
            break
        parts.append(_fills(session.advance(tape.columns, edge, order)))
        tape.release(stop)
    parts.append(_fills(session.advance(tape.columns, until_ns, order)))
    return np.concatenate(parts)


def _fills(records: Array) -> Array:
    fills: Array = records[records["kind"] == REC_FILL]
    return fills


def _pass(
    tape: Tape, lanes: Sequence[Mapping[str, float]], config: Config, profile: Profile, trace: bool
) -> list[LaneResult]:
    meta = tape.meta
    start, end = meta.first_exch_ts_ns, meta.last_local_ts_ns + 1
    steps = 0
    if trace:
        steps = int((end - start) / (min(lane["min_interval_ms"] for lane in lanes) * _MS)) + 1
    session = MakerSession(
        config, lanes, (meta.price_low_ticks, meta.price_high_ticks + 1), start,
        slots=slots_needed(config, lanes), trace_steps=steps,
    )  # fmt: skip
    fills = run_session(session, tape, end)
    value = Valuer(meta.instrument())
    fee_rate = Fraction(profile.maker_fee_rate)
    mid2, _, _ = session.touch()
    results = []
    for lane, (params, sums) in enumerate(zip(lanes, session.lane_sums(), strict=True)):
        mine = fills[fills["lane"] == lane]
        rows = np.stack([mine[name] for name in DIGEST_FIELDS], axis=1) if len(mine) else np.zeros((0, 7), np.int64)
        components = lane_components(mine, lane, value, fee_rate, mid2 or 2, mid2 or 2)
        results.append(
            LaneResult(
                params=dict(params),
                fills=sums["fills"],
                position_lots=sums["position_lots"],
                cash=str(Decimal(_cash_units(mine, value)).scaleb(-VALUE_SCALE)),
                kpis=components.to_json(),
                digest=hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest(),
                trace=session.trace[: session.state.lanes[lane]["steps"], lane],
            )
        )
    return results


def _cash_units(fills: Array, value: Valuer) -> int:
    """Cash from trading, fees left out, in 10^-12 of the PnL currency: sum of -s q v(p)."""
    rows = zip(fills["side"].tolist(), fills["qty_lots"].tolist(), fills["price_ticks"].tolist(), strict=True)
    return sum(-side * lots * value(2 * price) for side, lots, price in rows)
