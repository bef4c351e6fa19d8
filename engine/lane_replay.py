"""Lane 0 of a run again, over the same tape, with its parameters at their market times, under other constants.

The kernel gives the same fills for any cutting of time, so without a change the replay gives the run's own fills.
Notation as in engine/ledger.py; windows are the run's own, so that two replays can be compared window by window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from engine.ledger import Components, Valuer, lane_components
from engine.maker.session import MakerSession
from engine.maker.state import EVENT_AMEND, EVENT_NEW, REC_FILL, REC_ORDER, Array, Config
from engine.market.tape import Tape
from engine.profile import Profile
from engine.run_changes import PARAMS, RunChange, perform
from engine.soak import Schedule

_THREADS = 2
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Change:
    """One replay: the kernel's constants, and the fees as shares of notional (+ rebate, - cost)."""

    config: Config
    fee_rate: Fraction
    taker_fee_rate: Fraction


@dataclass(frozen=True)
class Outcome:
    """What a replay came to, window by window, and the mean distance of its quotes from the mid in ticks (or None)."""

    windows: tuple[Components, ...]
    quoted_ticks: float | None

    @property
    def total(self) -> Components:
        """The run's components: sums of integers over its windows."""
        names = ("fills", "gross_units", "slippage_units", "fee_units", "inventory_units", "notional_units")
        return Components(**{name: sum(getattr(window, name) for window in self.windows) for name in names})

    def to_json(self) -> dict[str, Any]:
        """{net_bps, net_pnl_quote, notional_quote, fills}"""
        values = self.total.to_json()
        return {name: values[name] for name in ("net_bps", "net_pnl_quote", "notional_quote")} | {
            "fills": self.total.fills
        }


@dataclass(frozen=True)
class LaneReplay:
    """What lane 0 was given.

    `parameters`: (time of effect in ns, set) in order of time; the first is in force from the start. `actions`: what
    else was done to the bot, in order of time.
    """

    tape: Tape
    profile: Profile
    schedule: Schedule
    parameters: Sequence[tuple[int, Mapping[str, float]]]
    position_start_lots: int = 0
    actions: Sequence[RunChange] = ()

    def unchanged(self) -> Change:
        """The run as it was."""
        meta = self.tape.meta
        config = self.profile.kernel_config(meta.instrument(), self.tape.reference_mid2())
        config = config._replace(arrival=int(meta.order == "arrival"))
        return Change(config, Fraction(self.profile.maker_fee_rate), Fraction(self.profile.taker_fee_rate))

    def run_all(self, changes: Sequence[Change]) -> list[Outcome]:
        """One outcome per change, in their order; two at a time, as the kernel runs without Python's lock."""
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(self.run, changes))

    def run(self, change: Change) -> Outcome:
        meta, schedule = self.tape.meta, self.schedule
        session = MakerSession(
            change.config, [self.parameters[0][1]], (meta.price_low_ticks, meta.price_high_ticks + 1),
            schedule.start_ns, positions_lots=[self.position_start_lots],
        )  # fmt: skip
        order = None if change.config.arrival else self.tape.exch_order
        first, mid2 = self._to_first_book(session, order)
        value, position = Valuer(meta.instrument()), self.position_start_lots
        sets = [RunChange(ts_ns, PARAMS, values) for ts_ns, values in self.parameters[1:]]
        changes = sorted([*sets, *self.actions], key=lambda one: one.ts_ns)
        windows, quotes = [], []
        for window in range(schedule.windows):
            end_ns, parts = schedule.window_end_ns(window), [first] if window == 0 else []
            while changes and changes[0].ts_ns <= end_ns:
                now = changes.pop(0)
                parts.append(session.advance(self.tape.columns, now.ts_ns, order))
                perform(session, now, self.profile, meta.instrument(), self.tape.reference_mid2())
            rows = np.concatenate([*parts, session.advance(self.tape.columns, end_ns, order)])
            mid2_end = session.touch()[0] or mid2
            fees = change.fee_rate, change.taker_fee_rate
            windows.append(lane_components(rows, 0, value, fees[0], mid2, mid2_end, position, fees[1]))
            mid2 = mid2_end
            fills = rows[rows["kind"] == REC_FILL]
            position += int((fills["side"] * fills["qty_lots"]).sum())
            quotes.append(_quoted_ticks(rows))
        distances = np.concatenate(quotes)
        return Outcome(tuple(windows), float(distances.mean()) if len(distances) else None)

    def _to_first_book(self, session: MakerSession, order: Array | None) -> tuple[Array, int]:
        """Second by second to the first two-sided book, which marks the starting position; records, mid2."""
        at_ns, end_ns, parts = self.schedule.start_ns, self.schedule.window_end_ns(0), []
        while not session.touch()[0] and at_ns < end_ns:
            at_ns += _NS_PER_S
            parts.append(session.advance(self.tape.columns, min(at_ns, end_ns), order))
        nothing = session.advance(self.tape.columns, self.schedule.start_ns, order)
        return np.concatenate([nothing, *parts]), session.touch()[0] or 2


def _quoted_ticks(rows: Array) -> Array:
    """Distance of each quote, sent or amended, from the mid it was made at, in ticks."""
    asked = rows[(rows["kind"] == REC_ORDER) & np.isin(rows["code"], (EVENT_NEW, EVENT_AMEND))]
    asked = asked[asked["quote_mid2"] > 0]
    distances: Array = np.abs(2 * asked["price_ticks"] - asked["quote_mid2"]) / 2
    return distances
