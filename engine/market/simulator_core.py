"""The simulated market's event loop, compiled: integers only, so that the bytes are the same everywhere.

Notation (all int64; a microtick is 1e-6 of a tick)
    x   efficient price, microticks: the sum of public and private news
    m   what the market makers believe, microticks: public news at once, the rest with the delay `react_ms`
    h   displayed half-spread, microticks: mean-reverting about its regime's level
    bid target floor(m - h), ask target ceil(m + h); each depth row pulls, improves or refreshes one level
Noise orders are slices of a few parent orders of heavy-tailed length, so that signs remember (Lillo, Mike and
Farmer 2005). Informed orders go where x - m points, before the makers have learnt it: adverse selection.

Random numbers are xorwow (Marsaglia 2003): shifts, xors and one 32-bit sum, no wrap-around of int64, so that
NUMBA_DISABLE_JIT=1 draws the same ones. Deviates come from integer inverse-CDF tables (simulator_tables.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.jit import compiled
from engine.market.events import BUY, CLEAR, DEPTH, LAST, MARKER, TRADE, Columns

Ints = npt.NDArray[np.int64]

MICRO = 1_000_000
STEP_NS = 20_000_000
STEP_MS = 20
STEPS_PER_S = 50
NORMAL_SD = 37_837  # of the sum of four uniform 16-bit integers: 65536 / sqrt(3)
TABLE_BITS = 11
ONE = 1 << 16  # fixed point of the tables
MAX_MESSAGE_ROWS = 1024  # a chunk must have this much room left before a message is begun
EVERYTHING = 1 << 40
KEEP_LEVELS = 5  # neither a sweep nor a pull takes a side below this many levels

# state
T, LOCAL, LATENCY, NEXT_STEP, X, M, H, REGIME, EXCITE, STARTED, PARENT, CASCADE = range(12)
BEST, COUNT, STATE_SIZE = 12, 14, 16  # BEST and COUNT have a place for each side
# columns of the regime table
STAY_STEPS, RISE, SIGMA_PUBLIC, SIGMA_PRIVATE, NEWS_STEPS, NEWS_SIZE, HALF_SPREAD, DEPTH_MHZ, TRADE_MHZ = range(9)


class Rules(NamedTuple):
    """The settings as the loop uses them; see simulator.SimulatorSettings for their meaning."""

    low_ticks: int
    width_ticks: int
    start_ticks: int
    snapshot_levels: int
    public_permille: int
    react_ms: int
    spread_relax_ms: int
    spread_noise: int
    spread_floor: int
    closest_ticks: int
    rows_permille: int
    pull_permille: int
    improve_permille: int
    reach_ticks: int
    delete_permille: int
    level_lots: int
    level_slope_permille: int
    trade_lots: int
    max_sweep_levels: int
    informed_permille: int
    informed_threshold: int
    sweep_per_10k: int
    cascade_permille: int
    sweep_ticks: int
    sweep_impact: int
    full_impact_ticks: int
    rush_permille: int
    stick_permille: int
    order_impact: int
    excite_mhz: int
    excite_ms: int
    parent_orders: int
    latency_mean_ns: int
    latency_low_ns: int
    latency_high_ns: int
    latency_noise_ns: int


class Tables(NamedTuple):
    """Inverse CDFs at (i + 1/2) / 2^11, fixed point 2^-16; each int64[2048]."""

    exponential: Ints
    level_size: Ints
    trade_size: Ints
    news_size: Ints
    sweep_depth: Ints
    parent_length: Ints


class Market(NamedTuple):
    """Everything that changes, so that a run continues exactly where the last chunk ended.

    state int64[STATE_SIZE], rng int64[6], levels int64[2, width] (bids, asks) in lots, parents int64[n, 2]
    (sign, slices left).
    """

    state: Ints
    rng: Ints
    levels: Ints
    parents: Ints


@compiled
def _bits32(rng: Ints) -> int:
    t = rng[0] ^ (rng[0] >> 2)
    rng[0], rng[1], rng[2], rng[3] = rng[1], rng[2], rng[3], rng[4]
    v = rng[4]
    rng[4] = (v ^ (v << 4) ^ t ^ (t << 1)) & 0xFFFFFFFF
    rng[5] = (rng[5] + 362437) & 0xFFFFFFFF
    return int((rng[4] + rng[5]) & 0xFFFFFFFF)


@compiled
def _below(rng: Ints, n: int) -> int:
    return (_bits32(rng) * n) >> 32


@compiled
def _normal(rng: Ints, sd: int) -> int:
    a, b = _bits32(rng), _bits32(rng)
    total = (a & 0xFFFF) + (a >> 16) + (b & 0xFFFF) + (b >> 16) - 2 * 0xFFFF
    return total * sd // NORMAL_SD


@compiled
def _pick(rng: Ints, table: Ints, scale: int) -> int:
    return int((table[_bits32(rng) >> (32 - TABLE_BITS)] * scale) >> 16)


@compiled
def _geometric(rng: Ints, tables: Tables, mean: int) -> int:
    return _pick(rng, tables.exponential, mean)


@compiled
def _row(out: Columns, i: int, state: Ints, kind: int, flags: int, price_ticks: int, qty_lots: int) -> int:
    out.exch_ts_ns[i] = state[T]
    out.local_ts_ns[i] = state[LOCAL]
    out.kind[i] = kind
    out.flags[i] = flags
    out.price_ticks[i] = price_ticks
    out.qty_lots[i] = qty_lots
    return i + 1


@compiled
def _set_level(out: Columns, first: int, i: int, rules: Rules, market: Market, j: int, p: int, qty_lots: int) -> int:
    """Level p (offset) of side j becomes `qty_lots`; one row a level in a message (first <= row < i)."""
    state, levels = market.state, market.levels
    side = 1 - 2 * j
    old = levels[j, p]
    levels[j, p] = qty_lots
    if old == 0 and qty_lots > 0:
        state[COUNT + j] += 1
    elif old > 0 and qty_lots == 0:
        state[COUNT + j] -= 1
    if qty_lots > 0 and (p - state[BEST + j]) * side > 0:
        state[BEST + j] = p
    elif qty_lots == 0 and p == state[BEST + j]:
        best = p
        while levels[j, best] == 0:
            best -= side
        state[BEST + j] = best
    price, flags = p + rules.low_ticks, BUY * (1 - j)
    for n in range(first, i):
        if out.kind[n] == DEPTH and out.price_ticks[n] == price and out.flags[n] == flags:
            out.qty_lots[n] = qty_lots
            return i
    return _row(out, i, state, DEPTH, flags, price, qty_lots)


@compiled
def _fresh_size(rules: Rules, tables: Tables, rng: Ints, distance: int) -> int:
    scale = rules.level_lots * (1000 + rules.level_slope_permille * distance) // 1000
    return 1 + _pick(rng, tables.level_size, scale)


@compiled
def _target(rules: Rules, market: Market, j: int) -> int:
    """Where the makers want side j's touch, never closer than `closest_ticks` to the other side."""
    state = market.state
    if j == 0:
        return int(min((state[M] - state[H]) // MICRO - rules.low_ticks, state[BEST + 1] - rules.closest_ticks))
    return int(max(-((-state[M] - state[H]) // MICRO) - rules.low_ticks, state[BEST] + rules.closest_ticks))


@compiled
def _stamp(rules: Rules, market: Market, wait_ns: int) -> None:
    """Moves both clocks to the next message; latency is AR(1) within its bounds, local time never falls."""
    state = market.state
    state[T] += 1000 * (1 + wait_ns // 1000)
    latency = state[LATENCY] + (rules.latency_mean_ns - state[LATENCY]) // 20
    latency += _normal(market.rng, rules.latency_noise_ns)
    state[LATENCY] = min(max(latency, rules.latency_low_ns), rules.latency_high_ns)
    state[LOCAL] = max(state[LOCAL], state[T] + state[LATENCY])


@compiled
def _step(rules: Rules, regimes: Ints, tables: Tables, market: Market) -> None:
    """20 ms of what nobody sees: regime, news, what the makers learn, spread, excitement."""
    state, rng = market.state, market.rng
    r = state[REGIME]
    if _below(rng, regimes[r, STAY_STEPS]) == 0:
        r += 1 if _below(rng, 1000) < regimes[r, RISE] else -1
        state[REGIME] = r
    public = _normal(rng, regimes[r, SIGMA_PUBLIC])
    state[X] += public + _normal(rng, regimes[r, SIGMA_PRIVATE])
    state[M] += public
    if _below(rng, regimes[r, NEWS_STEPS]) == 0:
        size = _pick(rng, tables.news_size, regimes[r, NEWS_SIZE]) * (1 - 2 * _below(rng, 2))
        state[X] += size
        state[M] += size * rules.public_permille // 1000
    margin = (rules.width_ticks // 8) * MICRO  # the price window is a wall, far away
    low = rules.low_ticks * MICRO + margin
    state[X] = min(max(state[X], low), low + rules.width_ticks * MICRO - 2 * margin)
    state[M] += (state[X] - state[M]) * STEP_MS // rules.react_ms
    h = state[H] + (regimes[r, HALF_SPREAD] - state[H]) * STEP_MS // rules.spread_relax_ms
    state[H] = max(h + _normal(rng, rules.spread_noise), rules.spread_floor)
    state[EXCITE] -= state[EXCITE] * STEP_MS // rules.excite_ms


@compiled
def _snapshot(out: Columns, i: int, rules: Rules, tables: Tables, market: Market) -> int:
    """CLEAR, then `snapshot_levels` ticks a side."""
    state, first = market.state, i
    i = _row(out, i, state, MARKER, CLEAR, 0, 0)
    for j in range(2):
        side = 1 - 2 * j
        centre = (state[M] - side * state[H]) // MICRO - rules.low_ticks
        if j == 1:
            centre = max(centre, state[BEST] + rules.closest_ticks)
        state[BEST + j] = centre
        for k in range(rules.snapshot_levels):
            qty = _fresh_size(rules, tables, market.rng, k)
            if k == 0 or k > rules.snapshot_levels - 2 * KEEP_LEVELS or _below(market.rng, 1000) < 700:
                i = _set_level(out, first, i, rules, market, j, centre - side * k, qty)
    return i


@compiled
def _depth_message(out: Columns, i: int, rules: Rules, tables: Tables, market: Market) -> int:
    state, rng, levels, first = market.state, market.rng, market.levels, i
    rows = 1 + min(_geometric(rng, tables, rules.rows_permille) // 1000, 60)
    for _ in range(rows):
        j = _below(rng, 2)
        side = 1 - 2 * j
        best = state[BEST + j]
        room = (_target(rules, market, j) - best) * side  # > 0: may improve; < 0: too eager, to be pulled
        draw = _below(rng, 1000)
        if room < 0 and draw < rules.pull_permille and state[COUNT + j] > KEEP_LEVELS:
            target = best + side * room
            while (state[BEST + j] - target) * side > 0 and i - first < 100 and state[COUNT + j] > KEEP_LEVELS:
                i = _set_level(out, first, i, rules, market, j, state[BEST + j], 0)
            continue
        if room > 0 and draw < rules.improve_permille:
            price = best + side * (1 + _below(rng, room))
            i = _set_level(out, first, i, rules, market, j, price, _fresh_size(rules, tables, rng, 0))
            continue
        distance = min(_geometric(rng, tables, rules.reach_ticks * 1000) // 1000, rules.snapshot_levels - 1)
        price = best - side * distance
        old = levels[j, price]
        if old == 0 or _below(rng, 2) == 0:
            qty = old + _fresh_size(rules, tables, rng, distance) // (1 if old == 0 else 3)
        elif distance > 0 and _below(rng, 1000) < rules.delete_permille and state[COUNT + j] > KEEP_LEVELS:
            qty = 0
        else:
            qty = max(1, old * (200 + _below(rng, 800)) // 1000)
        if qty != old:
            i = _set_level(out, first, i, rules, market, j, price, qty)
    return i


@compiled
def _mispricing(rules: Rules, state: Ints) -> int:
    """Efficient price less displayed mid, microticks: what the informed trade on."""
    return int(state[X] - (state[BEST] + state[BEST + 1] + 2 * rules.low_ticks) * (MICRO // 2))


@compiled
def _noise_side(rules: Rules, tables: Tables, market: Market) -> int:
    """Sign of a slice: of the parent order that traded last, or of any."""
    state, rng, parents = market.state, market.rng, market.parents
    if _below(rng, 1000) >= rules.stick_permille:
        state[PARENT] = _below(rng, rules.parent_orders)
    n = state[PARENT]
    if parents[n, 1] <= 0:
        parents[n, 0] = 1 - 2 * _below(rng, 2)
        parents[n, 1] = 1 + _pick(rng, tables.parent_length, 3)
    parents[n, 1] -= 1
    return int(parents[n, 0])


@compiled
def _trade_message(out: Columns, i: int, rules: Rules, tables: Tables, market: Market) -> int:
    """One aggressive order: a trade row for each level it meets, then a depth row for each of them."""
    state, rng, levels, first = market.state, market.rng, market.levels, i
    gap = _mispricing(rules, state)
    informed = abs(gap) > rules.informed_threshold and _below(rng, 1000) < rules.informed_permille
    cascade = state[CASCADE] != 0 and _below(rng, 1000) < rules.cascade_permille
    sweep = cascade or _below(rng, 10_000) < rules.sweep_per_10k
    if cascade:
        side = state[CASCADE]
    elif informed:
        side = 1 if gap > 0 else -1
    elif sweep:
        side = 1 - 2 * _below(rng, 2)
    else:
        side = _noise_side(rules, tables, market)
    state[CASCADE] = side if sweep else 0
    j = 1 if side > 0 else 0
    p = state[BEST + j]
    left, limit = 1 + _pick(rng, tables.trade_size, rules.trade_lots), rules.width_ticks
    if sweep:
        left, limit = EVERYTHING, _pick(rng, tables.sweep_depth, rules.sweep_ticks)
    last_price = p + side * limit
    for _ in range(min(rules.max_sweep_levels, state[COUNT + j] - KEEP_LEVELS)):
        while levels[j, p] == 0:
            p += side
        if (p - last_price) * side > 0:
            break
        take = min(left, levels[j, p])
        i = _row(out, i, state, TRADE, BUY * j, p + rules.low_ticks, take)
        left -= take
        p += side
        if left == 0:
            break
    last = i
    for n in range(first, last):
        p = out.price_ticks[n] - rules.low_ticks
        i = _set_level(out, first, i, rules, market, j, p, levels[j, p] - out.qty_lots[n])
    if last > first and sweep:
        if cascade or informed:  # it follows news and is none: the makers hear of what there is
            told = state[X] - state[M]
        else:
            depth = min(abs(out.price_ticks[last - 1] - out.price_ticks[first]), rules.full_impact_ticks)
            told = side * rules.sweep_impact * depth // rules.full_impact_ticks
            state[X] += told
        state[M] += told * rules.public_permille // 1000
    state[M] += side * rules.order_impact
    state[EXCITE] += rules.excite_mhz
    return i


@compiled
def fill(out: Columns, rules: Rules, regimes: Ints, tables: Tables, market: Market, stop_ns: int) -> int:
    """Writes whole messages into `out` until it is nearly full or the exchange time reaches `stop_ns`.

    Returns the number of rows written; 0 when the tape is complete. Cutting the output into chunks of any
    size gives the same rows.
    """
    state, rng, i = market.state, market.rng, 0
    room = len(out.kind) - MAX_MESSAGE_ROWS
    if state[STARTED] == 0:
        state[STARTED] = 1
        _stamp(rules, market, 0)
        i = _snapshot(out, i, rules, tables, market)
        out.flags[i - 1] |= LAST
    while i <= room and state[T] < stop_ns:
        r = state[REGIME]
        rush = min(abs(_mispricing(rules, state)) * rules.rush_permille // state[H], 10_000)
        trade_mhz = regimes[r, TRADE_MHZ] * (1000 + rush) // 1000 + state[EXCITE]
        total_mhz = regimes[r, DEPTH_MHZ] + trade_mhz
        _stamp(rules, market, _pick(rng, tables.exponential, 1_000_000_000_000 // total_mhz))
        while state[NEXT_STEP] <= state[T]:
            _step(rules, regimes, tables, market)
            state[NEXT_STEP] += STEP_NS
        if state[T] >= stop_ns:
            break
        before = i
        if _below(rng, total_mhz) < trade_mhz:
            i = _trade_message(out, i, rules, tables, market)
        else:
            i = _depth_message(out, i, rules, tables, market)
        if i > before:
            out.flags[i - 1] |= LAST
    return i


def new_market(rules: Rules, half_spread: int, start_ns: int, words: list[int]) -> Market:
    """The market before its first message; `words` are six 32-bit integers, not all zero."""
    state = np.zeros(STATE_SIZE, np.int64)
    state[T] = start_ns
    state[NEXT_STEP] = start_ns + STEP_NS
    state[LATENCY] = rules.latency_mean_ns
    state[X] = state[M] = rules.start_ticks * MICRO + MICRO // 2
    state[H] = half_spread
    levels = np.zeros((2, rules.width_ticks), np.int64)
    return Market(state, np.array(words, np.int64), levels, np.zeros((rules.parent_orders, 2), np.int64))
