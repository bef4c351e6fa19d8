from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from engine.errors import InputError
from engine.lane_replay import LaneReplay
from engine.market.events import GAP, LAST, MARKER, Columns
from engine.market.tape import Gap, Tape, write_tape
from engine.params import Params
from engine.profile import Profile
from engine.search.trial_windows import evaluate, window_count
from engine.soak import Schedule

WINDOW_S = 15
SETS = [Params().with_changes({"base_spread_bps_delta": d}) for d in (0.1, 0.0, 0.2, 0.6, 0.3)]


def reference(tape: Tape, profile: Profile, params: Params, count: int) -> list[tuple[float, float, int]]:
    """PnL, notional and fills per window by the report's own lane replay, in integers."""
    start = tape.meta.first_exch_ts_ns
    end = max(tape.meta.last_exch_ts_ns, tape.meta.last_local_ts_ns) + 1
    schedule = Schedule(start, min(end, start + count * WINDOW_S * 10**9), WINDOW_S, count, count)
    replay = LaneReplay(tape, profile, schedule, [(start, dict(params))])
    return [
        (part.net_units / 1e12, part.notional_units / 1e12, part.fills)
        for part in replay.run(replay.unchanged()).windows
    ]


def test_windows_are_those_of_the_lane_replay(tapes: list[Tape], profile: Profile) -> None:
    found = evaluate(tapes[:1], profile, SETS[:2], WINDOW_S)
    for lane, params in enumerate(SETS[:2]):
        known = reference(tapes[0], profile, params, found.windows)
        assert found.pnl_quote[lane] == pytest.approx([row[0] for row in known], rel=1e-9, abs=1e-9)
        assert found.notional_quote[lane] == pytest.approx([row[1] for row in known], rel=1e-12)
        assert found.fills[lane].tolist() == [row[2] for row in known]


def test_a_tape_of_our_own_replays_in_the_order_of_arrival(tapes: list[Tape], profile: Profile, tmp_path: Path) -> None:
    """On a feed whose messages overtake each other the two orders differ, and each is the lane replay's."""
    columns = tapes[0].columns
    message = np.concatenate([[0], np.cumsum((columns.flags & LAST) > 0)[:-1]])
    late_ns = np.random.default_rng(4).integers(0, 80_000_000, message[-1] + 1)[message]
    columns = columns._replace(exch_ts_ns=columns.exch_ts_ns - late_ns)
    both = [
        write_tape(tmp_path / order, columns, instrument=tapes[0].meta.instrument(), replay_order=order)
        for order in ("arrival", "exchange")
    ]
    found = [evaluate([tape], profile, SETS[:1], WINDOW_S) for tape in both]
    for tape, one in zip(both, found, strict=True):
        known = reference(tape, profile, SETS[0], one.windows)
        assert one.pnl_quote[0] == pytest.approx([row[0] for row in known], rel=1e-9, abs=1e-9)
    assert not np.array_equal(found[0].pnl_quote, found[1].pnl_quote)


def test_lanes_and_tapes_may_be_cut_anyhow(tapes: list[Tape], profile: Profile) -> None:
    together = evaluate(tapes, profile, SETS, WINDOW_S)
    assert together.pnl_quote.shape == (5, 120)
    assert together.tape.tolist() == [0] * 60 + [1] * 60
    for number, tape in enumerate(tapes):
        for lane, params in enumerate(SETS):
            alone = evaluate([tape], profile, [params], WINDOW_S)
            part = together.take(np.flatnonzero(together.tape == number), [lane])
            for name in ("pnl_quote", "notional_quote", "intents", "blocked", "ended", "cancelled"):
                np.testing.assert_array_equal(getattr(part, name), getattr(alone, name), err_msg=name)


def test_counts_are_of_intents_and_ends(tapes: list[Tape], profile: Profile) -> None:
    found = evaluate(tapes[:1], profile, SETS[:1], WINDOW_S)
    assert (found.blocked <= found.intents).all()
    assert (found.cancelled <= found.ended).all()
    assert found.ended.sum() > 0
    assert (found.valid_share[1:] > 0.99).all()
    assert ((found.feed_p95_ms > 5) & (found.feed_p95_ms < 30)).all()


def test_windows_behind_a_gap_are_unknown(tapes: list[Tape], profile: Profile, tmp_path: Path) -> None:
    """The book is gone from the middle of window 20 on: a position held there has no mark, no later window a book."""
    tape = tapes[0]
    ends = np.flatnonzero(tape.columns.flags & LAST)
    at_ns = tape.meta.first_exch_ts_ns + round(20.5 * WINDOW_S * 1e9)
    row = int(ends[np.searchsorted(tape.columns.local_ts_ns[ends], at_ns)]) + 1
    marker = Columns.empty(1)
    marker.exch_ts_ns[:], marker.local_ts_ns[:] = tape.columns.exch_ts_ns[row - 1], tape.columns.local_ts_ns[row - 1]
    marker.kind[:], marker.flags[:] = MARKER, GAP | LAST
    columns = Columns(*(np.insert(old, row, new[0]) for old, new in zip(tape.columns, marker, strict=True)))
    gap = Gap(local_ts_ns=int(marker.local_ts_ns[0]), reason="sequence")
    broken = write_tape(tmp_path / "gap", columns, instrument=tape.meta.instrument(), gaps=[gap])
    found = evaluate([broken], profile, SETS[:1], WINDOW_S)
    whole = evaluate([tape], profile, SETS[:1], WINDOW_S)
    assert found.valid_share[20] == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(found.pnl_quote[0, :20], whole.pnl_quote[0, :20])
    assert np.isnan(found.pnl_quote[0, 20:]).all()
    assert found.series(0).pnl_quote.shape == (60,)


def test_a_tape_shorter_than_a_window_is_refused(tapes: list[Tape]) -> None:
    assert window_count(tapes[0], 450) == 2
    assert window_count(tapes[0], 600) == 1
    with pytest.raises(InputError, match=r"hold no window of 1000 s.*--window-seconds"):
        window_count(tapes[0], 1000)


def test_fees_are_the_profiles(tapes: list[Tape], profile: Profile) -> None:
    free = profile.model_copy(update={"maker_fee_bps": 0.0})
    with_fee, without = (evaluate(tapes[:1], one, SETS[:1], WINDOW_S) for one in (profile, free))
    paid = (without.pnl_quote - with_fee.pnl_quote).sum()
    assert paid == pytest.approx(float(Fraction("0.00001")) * with_fee.notional_quote.sum(), rel=1e-6)
