"""Short tapes, a plan on them, and made-up windows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.market.simulator import generate_tape, read_settings
from engine.market.tape import Tape
from engine.paths import CHECKOUT
from engine.profile import Profile, load_profile
from engine.search.objective import Scoring
from engine.search.settings import TuneSettings, load_search
from engine.search.trial_windows import LaneWindows
from engine.tuning.judge import load_judge

CONFIG = CHECKOUT / "config"
QUARTER_S, WINDOW_S = 900, 15


@pytest.fixture(scope="session")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> list[Tape]:
    """Two quarters of an hour of the generated market, 60 windows of 15 s each; not to be changed."""
    folder = tmp_path_factory.mktemp("quarters")
    market = read_settings(CONFIG, "s1")
    return [generate_tape(folder / str(seed), market.with_run(seed=seed, duration_s=QUARTER_S)) for seed in (31, 32)]


@pytest.fixture(scope="session")
def profile() -> Profile:
    return load_profile(CONFIG, "S1")


@pytest.fixture
def asked(tapes: list[Tape]) -> Callable[..., TuneSettings]:
    """Settings of a small tune on both tapes, changed as told."""

    def settings(**changes: object) -> TuneSettings:
        small = {
            "tapes": [str(tape.path) for tape in tapes],
            "trials": 12,
            "lanes": 4,
            "window_seconds": WINDOW_S,
            "profile": "quick",
            "maker_profile": "S1",
        }
        return TuneSettings.model_validate_json(json.dumps(small | changes))

    return settings


@pytest.fixture(scope="session")
def scoring() -> Scoring:
    return Scoring(load_search(CONFIG).penalties, load_judge(CONFIG), 0.65, 3)


def make_windows(pnl: object, notional: object, **changes: object) -> LaneWindows:
    """Lanes from PnL and notional [K, W]; all else harmless unless given."""
    p, n = np.atleast_2d(np.asarray(pnl, np.float64)), np.atleast_2d(np.asarray(notional, np.float64))
    values = {
        "pnl_quote": p,
        "notional_quote": n,
        "fills": np.ones_like(p),
        "slippage_cost_quote": np.zeros_like(p),
        "blocked": np.zeros_like(p),
        "intents": np.full_like(p, 100.0),
        "ended": np.full_like(p, 10.0),
        "cancelled": np.zeros_like(p),
        "valid_share": np.ones(p.shape[1]),
        "order_ack_ms": np.full(p.shape[1], 40.0),
        "feed_p95_ms": np.full(p.shape[1], 12.0),
        "quote_per_pnl": np.ones(p.shape[1]),
        "tape": np.zeros(p.shape[1], np.int64),
    }
    return LaneWindows(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def windows_of() -> Callable[..., LaneWindows]:
    return make_windows


@pytest.fixture
def wide_profile_config(tmp_path: Path) -> Path:
    """The configuration with a profile `wide` whose quotes nothing ever reaches."""
    import shutil

    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)
    file = folder / "profiles" / "market_maker_S1.json"
    value = json.loads(file.read_text())
    value |= {"name": "wide", "base_half_spread_bps": 900.0}
    (folder / "profiles" / "market_maker_wide.json").write_text(json.dumps(value))
    return folder
