"""What each parameter really does, one at a time: the signs that the shipped driver matrix rests on.

Lanes that differ in one parameter share one market; three hours of it, from seeds that nothing was tuned on.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape
from engine.params import PARAMETERS, Params
from engine.paths import CHECKOUT
from engine.profile import Profile, load_profile
from engine.sweep import lane_effects, sweep, sweep_values

CONFIG = CHECKOUT / "config"
Rows = list[dict[str, float]]


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile(CONFIG, "S1")


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> list[Tape]:
    folder = tmp_path_factory.mktemp("tapes")
    settings = read_settings(CONFIG, "s1")
    return [generate_tape(folder / str(seed), settings.with_run(seed=seed, duration_s=3600)) for seed in (40, 41, 42)]


@pytest.fixture(scope="module")
def effects(tapes: list[Tape], profile: Profile) -> dict[str, Rows]:
    """Rows of effects over the range of every parameter, lowest value first."""
    return {name: sweep(tapes, profile, name, sweep_values(name)) for name in PARAMETERS}


def column(rows: Rows, name: str) -> list[float]:
    return [row[name] for row in rows]


def falls(values: list[float]) -> bool:
    return all(later < earlier for earlier, later in pairwise(values))


def test_a_wider_spread_earns_more_a_fill_and_trades_less(effects: dict[str, Rows]) -> None:
    rows = effects["base_spread_bps_delta"]
    assert falls(column(rows, "notional_quote"))
    assert falls([-value for value in column(rows, "gross_bps")])
    assert falls([-value for value in column(rows, "net_bps")])
    assert falls(column(rows, "slippage_bps")), "it costs slippage, less than it earns"


def test_a_slower_cadence_blocks_less_and_leaves_older_quotes(effects: dict[str, Rows]) -> None:
    rows = effects["min_interval_ms"]
    assert falls(column(rows, "changes"))
    assert falls([-value for value in column(rows, "order_age_p95_ms")])
    assert rows[0]["blocked.min_interval"] > 0.05 > rows[1]["blocked.min_interval"] == rows[-1]["blocked.min_interval"]
    assert rows[0]["net_bps"] > rows[-1]["net_bps"]


def test_a_larger_budget_throttles_less(effects: dict[str, Rows]) -> None:
    rows = effects["replace_rate_per_min"]
    assert falls(column(rows, "blocked.throttle"))
    ages = column(rows, "order_age_p95_ms")
    assert max(ages) - min(ages) < 50, "it does not make quotes fresher"


def test_a_longer_tail_age_leaves_older_quotes_and_sends_less(effects: dict[str, Rows]) -> None:
    rows = effects["tail_age_ms"]
    assert falls([-value for value in column(rows, "order_age_p95_ms")])
    assert falls(column(rows, "changes"))
    slippage = column(rows, "slippage_bps")
    assert max(slippage) - min(slippage) < 0.1, "slippage does not feel it"


def test_a_smaller_impact_cap_quotes_less_and_meets_as_much_informed_flow(effects: dict[str, Rows]) -> None:
    rows = effects["impact_cap_ratio"]
    assert falls([-value for value in column(rows, "quote_lots_mean")])
    assert rows[0]["notional_quote"] < 0.85 * rows[-1]["notional_quote"]
    assert rows[0]["adverse_bps_p95"] > 0.95 * rows[-1]["adverse_bps_p95"]


def test_max_delta_moves_no_tail(effects: dict[str, Rows]) -> None:
    rows = effects["max_delta_ratio"]
    adverse = column(rows, "adverse_bps_p95")
    assert max(adverse) - min(adverse) < 0.05 * max(adverse)
    assert rows[0]["blocked.min_interval"] > rows[-1]["blocked.min_interval"], "smaller steps are wanted more often"


def test_dwell_and_smallest_lot_touch_only_what_they_name(effects: dict[str, Rows]) -> None:
    dwell = column(effects["touch_dwell_ms"], "net_bps")
    assert max(dwell) - min(dwell) < 0.25
    assert falls([-value for value in column(effects["min_lot"], "cancels")])


def test_concurrency_yields_to_cadence_not_to_the_budget(tapes: list[Tape], profile: Profile) -> None:
    """At a round trip of 300 ms."""
    slow = profile.model_copy(update={"entry_latency_ms": 150.0, "response_latency_ms": 150.0})
    cadence = [dict(Params().with_changes({"min_interval_ms": value})) for value in (50, 100, 200)]
    budget = [dict(Params().with_changes({"replace_rate_per_min": value})) for value in (360, 240)]
    rows = lane_effects(tapes, slow, [*cadence, *budget])
    assert falls(column(rows[:3], "blocked.concurrency"))
    assert rows[0]["blocked.concurrency"] > 0.3
    assert rows[3]["blocked.concurrency"] == pytest.approx(rows[4]["blocked.concurrency"], abs=0.02)


def test_cancels_come_from_a_spent_budget_and_go_with_tail_age(tapes: list[Tape], profile: Profile) -> None:
    """A quote that is due while the budget is spent is pulled: less budget means more cancels."""
    hurried = Params().with_changes({"tail_age_ms": 400})
    budget = [dict(hurried.with_changes({"replace_rate_per_min": value})) for value in (120, 180)]
    patient = dict(hurried.with_changes({"replace_rate_per_min": 120, "tail_age_ms": 500}))
    spent, ample, later = lane_effects(tapes, profile, [*budget, patient])
    assert spent["cancels"] > 1000 > 100 > ample["cancels"]
    assert later["cancels"] < 100
