"""Profiles: everything about a bot that is not tuned, one file each in config/profiles/, every number with its unit.

`Profile.kernel_config` turns a profile into the kernel's constants for one instrument. Sizes are given in quote
currency and become whole lots once per run, at a reference mid, so that a run's sizes do not drift.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import Field

from engine.config import ConfigModel, load_config
from engine.errors import ConfigError, did_you_mean
from engine.instrument import Instrument
from engine.maker.state import QUEUE_OPTIMISTIC, QUEUE_POWER, QUEUE_RISK, RULE_S1, Config

_MS = 1_000_000
DEFAULT_PROFILE = "S1"
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0)]


class Profile(ConfigModel):
    """One profile. Fees are contributions: + rebate, - cost."""

    name: str
    base_half_spread_bps: Positive
    market_half_spread_share: Share
    order_notional_quote: Positive
    position_cap_notional_quote: Positive
    skew_bps_at_cap: Share
    requote_threshold_bps: Share
    depth_band_bps: Positive
    venue_spacing_ms: Share
    stale_ms: Positive
    request_burst: Annotated[int, Field(ge=1)]
    entry_latency_ms: Share
    response_latency_ms: Share
    maker_fee_bps: float
    taker_fee_bps: float
    queue: Annotated[str, Field(pattern=r"^(risk|power:[1-9]|optimistic)$")] = "power:3"

    def kernel_config(self, instrument: Instrument, reference_mid2: int) -> Config:
        """The kernel's constants; order size and position cap in lots of the instrument at the reference mid."""
        queue, power = parse_queue(self.queue)
        order_lots = max(
            instrument.lots_for_notional(self.order_notional_quote, reference_mid2), instrument.min_qty_lots
        )
        return Config(
            rule=RULE_S1,
            queue=queue,
            power=power,
            full_fill=0,
            entry_ns=round(self.entry_latency_ms * _MS),
            response_ns=round(self.response_latency_ms * _MS),
            order_lots=order_lots,
            cap_lots=max(order_lots, instrument.lots_for_notional(self.position_cap_notional_quote, reference_mid2)),
            venue_min_lots=instrument.min_qty_lots,
            spacing_ns=round(self.venue_spacing_ms * _MS),
            stale_ns=round(self.stale_ms * _MS),
            burst=self.request_burst,
            base_half_spread_bps=self.base_half_spread_bps,
            market_half_spread_share=self.market_half_spread_share,
            skew_bps_at_cap=self.skew_bps_at_cap,
            requote_threshold_bps=self.requote_threshold_bps,
            depth_band_bps=self.depth_band_bps,
        )

    @property
    def maker_fee_rate(self) -> Decimal:
        """Share of notional: + rebate, - cost."""
        return Decimal(str(self.maker_fee_bps)) / 10_000

    @property
    def taker_fee_rate(self) -> Decimal:
        return Decimal(str(self.taker_fee_bps)) / 10_000


def parse_queue(text: str) -> tuple[int, int]:
    """risk | power:N | optimistic -> (model, power).

    Raises:
        ConfigError: anything else.
    """
    if text == "risk":
        return QUEUE_RISK, 0
    if text == "optimistic":
        return QUEUE_OPTIMISTIC, 0
    name, _, power = text.partition(":")
    if name == "power" and power.isascii() and power.isdigit() and 1 <= int(power) <= 9:
        return QUEUE_POWER, int(power)
    raise ConfigError(f"unknown queue model {text!r}", remedy="give risk, optimistic or power:N with N from 1 to 9")


def default_profile_name() -> str:
    """MM_PROFILE in the environment, else S1."""
    return os.environ.get("MM_PROFILE", DEFAULT_PROFILE)


def profile_path(folder: Path, name: str) -> Path:
    return folder / "profiles" / f"market_maker_{name}.json"


def profile_names(folder: Path) -> list[str]:
    """The profiles in config folder `folder`, sorted."""
    files = profile_path(folder, "").parent.glob("market_maker_*.json")
    return sorted(file.stem.removeprefix("market_maker_") for file in files)


def load_profile(folder: Path, name: str) -> Profile:
    """The profile `name` from config folder `folder`.

    Raises:
        ConfigError: unknown name (the known ones are listed) or a bad file.
    """
    path = profile_path(folder, name)
    if not path.is_file():
        remedy = did_you_mean(name, profile_names(folder))
        raise ConfigError(f"no profile {name!r}", where=str(path.parent), remedy=remedy)
    return load_config(path, Profile)
