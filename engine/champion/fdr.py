"""The budget of false promotions: an online false-discovery rule whose memory fades with time.

Notation: test i is made at time t_i (days) at level a_i with p-value p_i; R_i = 1 when it promotes, V_i = 1 when it
promotes a challenger that is no better. d = 2^(-1 / half_life_days); w_i(T) = d^(T - t_i) how much test i still counts
at time T. With alpha the rate to hold and W_0 = initial_wealth,

    W(T) = W_0 + sum_i w_i(T) (alpha R_i - a_i)       the wealth
    a_i  = min(share W(t_i), max_level)               what a test may cost: only part of it, so W stays above 0

which as a recursion reads: time draws the wealth back to W_0 by half in half_life_days, a test takes its level, a
promotion gives alpha. W >= 0 at every T says that the estimated false promotions, sum w_i a_i, are at most
alpha (sum w_i R_i + W_0 / alpha). So, with eta = W_0 / alpha,

    E[sum w_i V_i] <= alpha E[sum w_i R_i + eta]        if P(p_i <= a | the tests before) <= a for every null (mFDR)
    E[sum w_i V_i / (sum w_i R_i + eta)] <= alpha       if, beside it, the p-values are independent (FDR); a_i is then
                                                        monotone: promoting more in the past never lowers a level

This is generalised alpha-investing (Foster and Stine 2008) derived from an estimated false-discovery proportion, with
decaying memory and smoothing as in Ramdas, Yang, Wainwright and Jordan 2017 (mem-FDR), the decay taken by time rather
than by number of tests. Without fading (half_life_days infinite) W_0 would be all that is ever spent without success.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, model_validator

from engine.config import ConfigModel, load_config


class EvidenceSettings(ConfigModel):
    """config/evidence.json; the notation above says what each is."""

    alpha: float = Field(gt=0, lt=1)
    initial_wealth: float = Field(gt=0, lt=1)
    share: float = Field(gt=0, lt=1)
    max_level: float = Field(gt=0, lt=1)
    half_life_days: float = Field(gt=0)

    @model_validator(mode="after")
    def _smoothed_by_one_at_most(self) -> EvidenceSettings:
        if self.initial_wealth > self.alpha:
            raise ValueError(f"initial_wealth {self.initial_wealth} is above alpha {self.alpha}")
        return self

    @property
    def smoothing(self) -> float:
        """eta: how many promotions the initial wealth stands for."""
        return self.initial_wealth / self.alpha


def load_evidence(config: Path) -> EvidenceSettings:
    """The settings of the configuration folder. Raises ConfigError, naming file, key and remedy."""
    return load_config(config / "evidence.json", EvidenceSettings)


@dataclass(frozen=True)
class Wealth:
    """W after the tests so far, at `at_days` (any origin); start with `Wealth(settings.initial_wealth)`."""

    value: float
    at_days: float | None = None

    def at(self, days: float, settings: EvidenceSettings) -> Wealth:
        """The same after some time without tests; a clock that went back has not moved."""
        if self.at_days is None or days <= self.at_days:
            return Wealth(self.value, days if self.at_days is None else self.at_days)
        kept = 0.5 ** ((days - self.at_days) / settings.half_life_days)
        return Wealth(settings.initial_wealth + (self.value - settings.initial_wealth) * kept, days)

    def level(self, settings: EvidenceSettings) -> float:
        """The level of a test made now."""
        return min(settings.share * self.value, settings.max_level)

    def after(self, level: float, promoted: bool, settings: EvidenceSettings) -> Wealth:
        """The wealth behind a test of that level; other settings than today's never make it negative."""
        return Wealth(max(0.0, self.value - level) + settings.alpha * promoted, self.at_days)


@dataclass(frozen=True)
class Spent:
    """A test that was made."""

    at_days: float
    level: float
    promoted: bool


def wealth_after(tests: Iterable[Spent], settings: EvidenceSettings) -> Wealth:
    """The wealth behind all of `tests`, in the order in which they were made."""
    wealth = Wealth(settings.initial_wealth)
    for test in tests:
        wealth = wealth.at(test.at_days, settings).after(test.level, test.promoted, settings)
    return wealth
