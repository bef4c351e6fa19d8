"""Profiles: the shipped ones, what they become in the kernel, and what is refused."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.instrument import Instrument
from engine.maker.state import QUEUE_OPTIMISTIC, QUEUE_POWER, QUEUE_RISK, RULE_S1
from engine.profile import Profile, default_profile_name, load_profile, parse_queue, profile_path

CONFIG = Path(__file__).parents[1] / "config"
SHIPPED = ("S1", "moderate")
BTC = Instrument(
    venue="binance-usdm",
    symbol="BTCUSDT",
    tick=Decimal("0.1"),
    lot=Decimal("0.001"),
    contract="linear",
    contract_size=Decimal(1),
    quote_currency="USDT",
    pnl_currency="USDT",
    min_qty_lots=2,
)
SQUARED = "power:²"
UNITS = ("_bps", "_ms", "_quote", "_share", "_bps_at_cap", "_burst")


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """A config folder with S1, changed as asked; a value of None takes the key away."""

    def build(**changes: Any) -> Path:
        value = json.loads(profile_path(CONFIG, "S1").read_text(encoding="utf-8")) | changes
        value = {key: entry for key, entry in value.items() if entry is not None}
        path = profile_path(tmp_path, "S1")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")
        return tmp_path

    return build


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_load_and_every_number_has_its_unit(name: str) -> None:
    profile = load_profile(CONFIG, name)
    assert profile.name == name
    numbers = [key for key, value in profile if isinstance(value, int | float)]
    assert numbers and all(key.endswith(UNITS) for key in numbers)
    text = json.loads(profile_path(CONFIG, name).read_text(encoding="utf-8"))
    assert set(text) - {"comment"} == set(Profile.model_fields) - {"comment"}, "every number stands in the file"


def test_s1_in_the_kernels_units() -> None:
    """500 quote are 8 lots of 60, 5000 are 83; times become ns."""
    config = load_profile(CONFIG, "S1").kernel_config(BTC, 1_200_000)
    assert config.rule == RULE_S1
    assert (config.queue, config.power, config.full_fill) == (QUEUE_POWER, 3, 0)
    assert (config.order_lots, config.cap_lots, config.venue_min_lots) == (8, 83, 2)
    assert (config.entry_ns, config.response_ns) == (20_000_000, 20_000_000)
    assert (config.spacing_ns, config.stale_ns, config.burst) == (100_000_000, 3_000_000_000, 4)
    assert (config.base_half_spread_bps, config.skew_bps_at_cap, config.requote_threshold_bps) == (5.0, 3.0, 0.8)
    assert (config.market_half_spread_share, config.depth_band_bps) == (1.0, 10.0)


def test_sizes_never_fall_below_the_venues_minimum(folder: Any) -> None:
    profile = load_profile(folder(order_notional_quote=1.0, position_cap_notional_quote=1.0), "S1")
    config = profile.kernel_config(BTC, 1_200_000)
    assert config.order_lots == 2
    assert config.cap_lots >= config.order_lots


def test_fees_are_contributions() -> None:
    for name in SHIPPED:
        profile = load_profile(CONFIG, name)
        assert profile.maker_fee_rate == Decimal("-0.00001")
        assert profile.taker_fee_rate == Decimal("-0.0005")


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("risk", (QUEUE_RISK, 0)),
        ("optimistic", (QUEUE_OPTIMISTIC, 0)),
        ("power:1", (QUEUE_POWER, 1)),
        ("power:9", (QUEUE_POWER, 9)),
    ],
)
def test_queue_models(text: str, model: tuple[int, int]) -> None:
    assert parse_queue(text) == model


@pytest.mark.parametrize(
    "text", ["", "power", "power:", "power:0", "power:10", "power:-1", "power:1.5", "Risk", SQUARED]
)
def test_unknown_queue_models(text: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown queue model .*; give risk, optimistic or power:N"):
        parse_queue(text)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"base_half_spread_bps": 0}, "base_half_spread_bps"),
        ({"base_half_spread_bps": "5"}, "base_half_spread_bps"),
        ({"entry_latency_ms": -1}, "entry_latency_ms"),
        ({"request_burst": 0}, "request_burst"),
        ({"request_burst": 1.5}, "request_burst"),
        ({"queue": "power:10"}, "queue"),
        ({"maker_fee_bps": None}, "maker_fee_bps"),
        ({"half_spread": 5.0}, "half_spread"),
    ],
)
def test_a_bad_profile_is_refused_by_key(folder: Any, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key) as error:
        load_profile(folder(**changes), "S1")
    assert "market_maker_S1.json" in str(error.value)
    assert error.value.exit_code == 2


def test_an_unknown_profile_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no profile 'S2'; known ones: S1, moderate"):
        load_profile(CONFIG, "S2")
    with pytest.raises(ConfigError, match="known ones: none"):
        load_profile(tmp_path, "S1")


def test_the_environment_names_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MM_PROFILE", raising=False)
    assert default_profile_name() == "S1"
    monkeypatch.setenv("MM_PROFILE", "moderate")
    assert default_profile_name() == "moderate"
