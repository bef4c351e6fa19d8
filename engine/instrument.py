"""The instrument: an integer grid of ticks and lots, and the one value function of a contract.

Notation: p price (quote currency), c contract size, L lot. The value of one lot at price p, in the currency
in which PnL is paid, is

    linear    v(p) = p * c * L              (USDT-margined, spot)
    inverse   v(p) = -c * L / p             (coin-margined: a long of n lots gains n * (v(p2) - v(p1)))

so that for both kinds a long of n lots moved from p1 to p2 earns n * (v(p2) - v(p1)), and the traded notional
of n lots is n * |v(p)|. v is rounded once, half to even, to integer *units* of 10^-VALUE_SCALE: every sum over
fills is then a sum of integers, and the components of PnL telescope exactly whatever the rounding was.
Mid prices are carried as `mid2`: best bid + best ask in ticks, an integer number of half ticks; 0 = unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from engine.errors import ConfigError

VALUE_SCALE = 12
UNITS_PER_QUOTE = 10**VALUE_SCALE


@dataclass(frozen=True)
class Instrument:
    """One tradable instrument; `pnl_currency` is what PnL and fees are paid in.

    Raises:
        ConfigError: a grid size is not positive, or the contract kind is unknown.
    """

    venue: str
    symbol: str
    tick: Decimal
    lot: Decimal
    contract: str
    contract_size: Decimal
    quote_currency: str
    pnl_currency: str
    min_qty_lots: int = 1

    def __post_init__(self) -> None:
        if self.contract not in ("linear", "inverse"):
            raise ConfigError(
                f"contract {self.contract!r} is neither linear nor inverse",
                where=self.symbol,
                remedy="mend the instrument",
            )
        for name in ("tick", "lot", "contract_size"):
            value = getattr(self, name)
            if not (value.is_finite() and value > 0):
                raise ConfigError(f"{name} {value} is not positive", where=self.symbol, remedy="mend the instrument")

    def value_units(self, price: Fraction | Decimal) -> int:
        """v(p): the value of one lot at `price`, in units of 10^-12 of `pnl_currency`, rounded half to even."""
        per_lot = Fraction(self.contract_size) * Fraction(self.lot) * UNITS_PER_QUOTE
        exact: Fraction = per_lot * Fraction(price) if self.contract == "linear" else -per_lot / Fraction(price)
        return round(exact)

    def price(self, price_ticks: int) -> Decimal:
        return self.tick * price_ticks

    def mid(self, mid2: int) -> Decimal:
        return self.tick * mid2 / 2

    def qty(self, qty_lots: int) -> Decimal:
        return self.lot * qty_lots

    def notional_quote(self, price: Decimal, qty: Decimal) -> Decimal:
        """Size of a position in the currency of the price: p*q*c linear, q*c inverse."""
        return price * qty * self.contract_size if self.contract == "linear" else qty * self.contract_size

    def lots_for_notional(self, notional_quote: float, mid2: int) -> int:
        """Whole lots nearest to a notional in quote currency at a mid; at least one."""
        one = self.notional_quote(self.mid(mid2), self.lot)
        return max(1, round(Fraction(notional_quote) / Fraction(one)))

    def journal(self) -> dict[str, str]:
        """The `instrument` object of a journal's run_start (fee tiers are added by the bot's profile)."""
        return {
            "venue": self.venue,
            "tick": str(self.tick),
            "lot": str(self.lot),
            "contract": self.contract,
            "contract_size": str(self.contract_size),
            "quote_currency": self.quote_currency,
            "pnl_currency": self.pnl_currency,
        }
